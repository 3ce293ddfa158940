import type { CloseCause, ExchangeId, Failure, Fields, Phase, RunId, Side } from '../../model.ts';
import type { ConnectionFacts, ExchangeFacts } from '../reuse-rows.ts';

/*
 * What rules may ask of a run. The lists that can be long are asked by what is in question, and are bounded by whoever answers; the
 * rest is a few rows. Everything is read when it is asked for. Times are ISO 8601 in UTC, or ms since the epoch where the name says so (…At is ISO).
 */

export interface RunFact {
  id: RunId;
  certname: string;
  environment: string | null;
  puppetVersion: string | null;
  startedAt: string;
  endedAt: string | null;
}

export interface ExchangeFact extends ExchangeFacts {
  method: string;
  target: string;
  status: number | null;
  outcome: 'answered' | 'failed' | 'abandoned';
  certname: string | null;
  requestBytes: number;
  responseBytes: number;
  startedAt: string;
  durationMs: number;
  answeredBy: 'primary' | 'proxy';
  failure: Failure | null;
  /** The rule of `--fault` that interfered with it. */
  fault: string | null;
}

export interface ConnectionFact extends ConnectionFacts {
  peer: string;
  serverName: string | null;
  refusal: string | null;
  error: string | null;
  exchanges: number;
  cause: CloseCause | null;
}

/** Heads of one exchange. */
export interface HeadFact {
  indirection: string | null;
  key: string | null;
  environment: string | null;
  /** `null` when no answer was made. */
  reason: string | null;
  requestFields: Fields;
  responseFields: Fields;
  /** From the start to the answer's head, ms. */
  headMs: number | null;
}

interface OfExchange {
  exchange: number;
}

export interface BodyFact extends OfExchange {
  side: Side;
  format: string;
  codings: readonly string[];
  /** Without content codings. */
  bytes: number;
}

export interface CsrFact extends OfExchange {
  side: Side;
  commonName: string | null;
  keySha256: string;
  fingerprint: string;
}

export interface CertificateFact extends OfExchange {
  side: Side;
  n: number;
  subject: string;
  commonName: string | null;
  issuer: string;
  serial: string;
  notBefore: string | null;
  notAfter: string | null;
  keySha256: string;
  fingerprint: string;
  authority: boolean;
}

export interface CrlFact extends OfExchange {
  side: Side;
  n: number;
  issuer: string;
  thisUpdate: string | null;
  nextUpdate: string | null;
}

export interface NodeFact extends OfExchange {
  environment: string | null;
  requestedEnvironment: string | null;
}

export interface CatalogRequestFact extends OfExchange {
  environment: string | null;
  staticCatalog: boolean | null;
}

export interface CatalogFact extends OfExchange {
  version: string | null;
  codeId: string | null;
  environment: string | null;
  resources: number;
}

export interface SoftLimitFact extends OfExchange {
  setting: string;
  limit: number;
  actual: number;
  path: string | null;
  exceeded: boolean;
}

export interface RefusalFact extends OfExchange {
  status: number;
  message: string | null;
  error: string | null;
  file: string | null;
  line: number | null;
  column: number | null;
  resource: string | null;
}

export interface ReportFact extends OfExchange {
  at: string | null;
  status: string | null;
  noop: boolean | null;
  cachedCatalogStatus: string | null;
  configurationVersion: string | null;
  transactionCompleted: boolean | null;
}

export interface FileContentFact extends OfExchange {
  side: Side;
  indirection: string | null;
  key: string | null;
  bytes: number;
  sha256: string;
  promisedBy: number | null;
  verdict: 'match' | 'mismatch' | 'unchecked';
}

/** Kinds of decoded rows that are few in a run. */
export interface FactRows {
  body: BodyFact;
  csr: CsrFact;
  certificate: CertificateFact;
  crl: CrlFact;
  node: NodeFact;
  catalog_request: CatalogRequestFact;
  catalog: CatalogFact;
  soft_limit: SoftLimitFact;
  refusal: RefusalFact;
  report: ReportFact;
  file_content: FileContentFact;
}

/** A structured fact as a whole: its leaves and their size. */
export interface FactCost {
  name: string;
  leaves: number;
  bytes: number;
}

/** A listing of files: what it was asked for, or the title of the File resource in a static catalog. */
export interface Listing extends OfExchange {
  what: string;
  entries: number;
}

/** A parameter whose name says that it is a secret; the value itself, to be looked at and never shown. */
export interface NamedValue extends OfExchange {
  n: number;
  resource: string;
  parameter: string;
  value: unknown;
  file: string | null;
  line: number | null;
}

/** An event that a report tells of a resource. */
export interface EventFact extends OfExchange {
  n: number;
  resource: string;
  property: string | null;
  status: string | null;
  correctiveChange: boolean | null;
}

export interface LogFact extends OfExchange {
  n: number;
  message: string;
}

/** An earlier catalog of the same node. */
export interface EarlierCatalog {
  run: RunId;
  exchange: ExchangeId;
  environment: string | null;
  durationMs: number;
}

/** A file content that came in earlier runs of the same node with the same bytes under the same key. */
export interface FetchedAgain extends OfExchange {
  key: string;
  bytes: number;
  /** Earlier runs that fetched it. */
  runs: number;
}

/** What is known of a run, and of the runs of the same node before it. */
export interface RunFacts {
  readonly run: RunFact;
  /** Recorded by another program, which may have undone content codings. */
  readonly imported: boolean;
  /** In the order of the run. */
  readonly exchanges: readonly ExchangeFact[];
  /** Of both legs; pooled ones may have been opened by an earlier run. */
  readonly connections: readonly ConnectionFact[];
  /** The phases' exchanges. */
  phase(phase: Phase): readonly ExchangeFact[];
  head(exchange: number): HeadFact | null;
  rows<K extends keyof FactRows>(kind: K): readonly FactRows[K][];
  /** The first exchanges of the recording, of any run, that the primary answered. */
  firstAnswers(limit: number): readonly ExchangeFact[];
  /** Structured facts that cost most, by leaves. */
  factCosts(): readonly FactCost[];
  /** Listings with more than `over` entries, without those of pluginsync. */
  listings(over: number): readonly Listing[];
  /** File resources in the report that the catalog has not: what recursion made. */
  generatedFiles(): number;
  /** Parameters of the catalog whose name holds one of these words and whose value is not Sensitive; and `content` that holds a private key. */
  namedValues(words: readonly string[]): readonly NamedValue[];
  /** Events with these statuses, in the order of the report. */
  events(statuses: readonly string[]): readonly EventFact[];
  /** Lines of the report's log whose message holds this text. */
  logs(containing: string): readonly LogFact[];
  /** The latest moment that the report's log names. */
  lastLogAt(): string | null;
  /** Latest first: earlier catalogs that were answered with 200. */
  earlierCatalogs(limit: number): readonly EarlierCatalog[];
  /** Latest first: events of the node's earlier reports, one list a run; runs without a report, and noop runs, are left out. */
  earlierEvents(limit: number, statuses: readonly string[]): readonly (readonly EventFact[])[];
  /** File contents of this run that the last `runs` runs fetched, too. */
  fetchedAgain(runs: number): readonly FetchedAgain[];
  /** Keys of CSRs that this certname sent in earlier runs, with when: oldest first. */
  earlierCsrs(): readonly { keySha256: string; at: string }[];
}

/** A field's first value, its name in any case. */
export function fieldOf(fields: Fields, name: string): string | null {
  return fields.find(([key]) => key.toLowerCase() === name)?.[1] ?? null;
}
