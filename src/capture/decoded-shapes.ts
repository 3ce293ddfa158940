import type { FactType } from '../decode/facts.ts';
import type { Side } from '../model.ts';

/*
 * Rows of decoded bodies as readers get them, and as `--json` gives them: the columns of the views in camel case, flags as booleans,
 * lists and values as data. Times are ISO 8601 in UTC with milliseconds.
 */

/** What every row has. */
export interface OfExchange {
  exchange: number;
  run: number | null;
}

export interface DecodeNoteRow extends OfExchange {
  side: Side;
  /** `false`: a remark on a body that was decoded. */
  error: boolean;
  text: string;
}

export interface BodyRow extends OfExchange {
  side: Side;
  format: string;
  mime: string | null;
  codings: string[];
  /** Without content codings. */
  bytes: number;
  sha256: string;
}

/** An X.509 extension, or an attribute of a CSR. */
export interface ExtensionValue {
  oid: string;
  name: string | null;
  critical: boolean;
  value: string;
}

interface KeyColumns {
  keyType: string;
  keyBits: number | null;
  curve: string | null;
  keySha256: string;
}

export interface CsrRow extends OfExchange, KeyColumns {
  /** `primary-request`: the one that stringtap sent in its place. */
  side: Side;
  subject: string;
  commonName: string | null;
  signatureAlgorithm: string;
  signatureValid: boolean | null;
  fingerprint: string;
  alternativeNames: string[];
  extensions: ExtensionValue[];
  attributes: ExtensionValue[];
  challengePassword: boolean;
}

export interface CertificateRow extends OfExchange, KeyColumns {
  /** `primary-response`: what the primary answered to stringtap. */
  side: Side;
  n: number;
  subject: string;
  commonName: string | null;
  issuer: string;
  serial: string;
  notBefore: string | null;
  notAfter: string | null;
  signatureAlgorithm: string;
  fingerprint: string;
  alternativeNames: string[];
  extensions: ExtensionValue[];
  authority: boolean;
}

export interface CrlRow extends OfExchange {
  side: Side;
  n: number;
  issuer: string;
  number: string | null;
  thisUpdate: string | null;
  nextUpdate: string | null;
  signatureAlgorithm: string;
  fingerprint: string;
  /** How many. */
  revoked: number;
  extensions: ExtensionValue[];
}

export interface RevokedRow extends OfExchange {
  side: Side;
  crl: number;
  n: number;
  serial: string;
  revokedAt: string | null;
  reason: string | null;
}

export interface NodeRow extends OfExchange {
  name: string | null;
  environment: string | null;
  requestedEnvironment: string | null;
  configuredEnvironment: string | null;
  transactionUuid: string | null;
  classes: string[];
  classParameters: unknown;
  parameters: Record<string, unknown>;
  trusted: unknown;
  serverFacts: unknown;
}

export interface FileMetadataRow extends OfExchange {
  side: Side;
  n: number;
  /** Of a static catalog's own metadata, the title of the file that it is for. */
  resource: string | null;
  path: string | null;
  relativePath: string | null;
  type: string | null;
  mode: string | null;
  owner: string | null;
  group: string | null;
  checksumType: string | null;
  checksum: string | null;
  size: number | null;
  links: string | null;
  destination: string | null;
  source: string | null;
  contentUri: string | null;
}

export interface FileContentRow extends OfExchange {
  side: Side;
  indirection: string | null;
  key: string | null;
  bytes: number;
  sha256: string;
  md5: string;
  text: boolean;
  complete: boolean;
  /** The exchange whose metadata promised a checksum. */
  promisedBy: number | null;
  promisedType: string | null;
  promised: string | null;
  verdict: 'match' | 'mismatch' | 'unchecked';
}

export interface FilebucketRow extends OfExchange {
  checksumType: string | null;
  checksum: string | null;
  path: string | null;
  diffWith: string | null;
}

export interface CatalogRequestRow extends OfExchange {
  environment: string | null;
  configuredEnvironment: string | null;
  checkEnvironment: boolean | null;
  transactionUuid: string | null;
  jobUuid: string | null;
  staticCatalog: boolean | null;
  checksumTypes: string[];
  factsFormat: string | null;
  factsName: string | null;
  factsTimestamp: string | null;
  topLevelFacts: number | null;
  /** Leaves. */
  facts: number | null;
}

export interface FactRow extends OfExchange {
  n: number;
  path: string;
  type: FactType;
  value: string;
  bytes: number;
}

export interface SoftLimitRow extends OfExchange {
  setting: string;
  limit: number;
  actual: number;
  path: string | null;
  exceeded: boolean;
}

export interface CatalogRow extends OfExchange {
  name: string | null;
  version: string | null;
  codeId: string | null;
  catalogUuid: string | null;
  catalogFormat: number | null;
  environment: string | null;
  tags: string[];
  resources: number;
  edges: number;
  classes: number;
  metadata: number;
}

export interface ResourceRow extends OfExchange {
  n: number;
  type: string;
  title: string;
  /** Sensitive values are `(sensitive)` unless they were asked for. */
  parameters: Record<string, unknown>;
  /** Names of parameters whose values are. */
  sensitive: string[];
  tags: string[];
  file: string | null;
  line: number | null;
  exported: boolean;
  virtual: boolean;
  kind: string | null;
}

export interface EdgeRow extends OfExchange {
  n: number;
  source: string;
  target: string;
}

export interface ClassRow extends OfExchange {
  n: number;
  name: string;
}

export interface RefusalRow extends OfExchange {
  status: number;
  message: string | null;
  issueKind: string | null;
  /** The compiler's words without its place. */
  error: string | null;
  file: string | null;
  line: number | null;
  column: number | null;
  resource: string | null;
  node: string | null;
  environment: string | null;
}

export interface ReportRow extends OfExchange {
  format: number | null;
  host: string | null;
  at: string | null;
  status: string | null;
  kind: string | null;
  noop: boolean | null;
  noopPending: boolean | null;
  correctiveChange: boolean | null;
  cachedCatalogStatus: string | null;
  environment: string | null;
  configurationVersion: string | null;
  puppetVersion: string | null;
  transactionUuid: string | null;
  catalogUuid: string | null;
  codeId: string | null;
  jobId: string | null;
  serverUsed: string | null;
  transactionCompleted: boolean | null;
  processors: string[];
}

export interface ResourceStatusRow extends OfExchange {
  n: number;
  resource: string;
  type: string | null;
  title: string | null;
  file: string | null;
  line: number | null;
  /** Seconds. */
  evaluationTime: number | null;
  at: string | null;
  changed: boolean | null;
  failed: boolean | null;
  failedToRestart: boolean | null;
  skipped: boolean | null;
  outOfSync: boolean | null;
  correctiveChange: boolean | null;
  changeCount: number | null;
  outOfSyncCount: number | null;
  provider: string | null;
  containmentPath: string[];
  tags: string[];
  events: number;
}

export interface EventRow extends OfExchange {
  n: number;
  resource: string;
  property: string | null;
  name: string | null;
  status: string | null;
  previousValue: unknown;
  desiredValue: unknown;
  historicalValue: unknown;
  message: string | null;
  at: string | null;
  audited: boolean | null;
  correctiveChange: boolean | null;
  redacted: boolean | null;
}

export interface LogLineRow extends OfExchange {
  n: number;
  level: string | null;
  message: string | null;
  source: string | null;
  at: string | null;
  file: string | null;
  line: number | null;
  tags: string[];
}

export interface MetricRow extends OfExchange {
  n: number;
  category: string;
  name: string;
  label: string;
  value: number | null;
}

/** The kinds of rows, by the name of their view without its `v_`. */
export interface DecodedRows {
  decode_note: DecodeNoteRow;
  body: BodyRow;
  csr: CsrRow;
  certificate: CertificateRow;
  crl: CrlRow;
  revoked: RevokedRow;
  node: NodeRow;
  file_metadata: FileMetadataRow;
  file_content: FileContentRow;
  filebucket: FilebucketRow;
  catalog_request: CatalogRequestRow;
  fact: FactRow;
  soft_limit: SoftLimitRow;
  catalog: CatalogRow;
  resource: ResourceRow;
  edge: EdgeRow;
  class: ClassRow;
  refusal: RefusalRow;
  report: ReportRow;
  resource_status: ResourceStatusRow;
  event: EventRow;
  log_line: LogLineRow;
  metric: MetricRow;
}
export type DecodedKind = keyof DecodedRows;

export interface DecodedFilter {
  run?: number;
  exchange?: number;
  /** Sensitive values as they are; private keys never. */
  reveal?: boolean;
}

/** What a search looks through. */
export const SEARCHED = ['resources', 'facts', 'logs', 'metadata', 'bodies'] as const;
export type Searched = (typeof SEARCHED)[number];

/** One thing that was found. */
export interface Hit extends OfExchange {
  in: Searched;
  /** What it is: `File[/etc/motd]`, a fact's path, a log line's source, a file's path, a request's target. */
  place: string;
  /** Around the terms, which stand between U+0001 and U+0002. */
  snippet: string;
}

export interface SearchFilter {
  in?: Searched;
  run?: number;
  /** Default 50. */
  limit?: number;
}

/** Reads what was decoded of a capture. Every method throws {@link CaptureError} when the file cannot be read. */
export interface DecodedStore {
  /** Rows of a kind in their order. */
  rows<K extends DecodedKind>(kind: K, filter: DecodedFilter): DecodedRows[K][];
  count(kind: DecodedKind, filter: DecodedFilter): number;
  /** Full-text search: every term has to be there; a term that ends in `*` is a beginning. Best first. */
  search(terms: string, filter?: SearchFilter): Hit[];
  /** The first exchange, of any run, that carried a whole file of this content (content codings undone); `null` when none did. */
  content(type: 'sha256' | 'md5', value: string): { exchange: number; side: Side } | null;
  /** Exchanges whose bodies are not decoded yet: of the capture, of a run, or the one. */
  behind(of?: { run: number } | { exchange: number }): number;
}
