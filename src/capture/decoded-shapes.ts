import type { Catalog, Edge, Resource } from '../decode/catalog.ts';
import type { CatalogRequest } from '../decode/catalog-request.ts';
import type { Verdict } from '../decode/checksum.ts';
import type { Extension } from '../decode/extensions.ts';
import type { FactRow as Leaf, SoftLimit } from '../decode/facts.ts';
import type { FileMetadata } from '../decode/file-metadata.ts';
import type { Format } from '../decode/format.ts';
import type { LogLine, Metric, Report, ReportEvent, ResourceStatus } from '../decode/report.ts';
import type { Hiding } from '../decode/secrets.ts';
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
  format: Format;
  mime: string | null;
  codings: string[];
  /** Without content codings. */
  bytes: number;
  sha256: string;
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
  extensions: Extension[];
  attributes: Extension[];
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
  extensions: Extension[];
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
  extensions: Extension[];
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

export interface FileMetadataRow extends OfExchange, Omit<FileMetadata, 'sizeBytes'> {
  side: Side;
  n: number;
  /** Of a static catalog's own metadata, the title of the file that it is for. */
  resource: string | null;
  size: number | null;
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
  verdict: Verdict;
}

export interface FilebucketRow extends OfExchange {
  checksumType: string | null;
  checksum: string | null;
  path: string | null;
  diffWith: string | null;
}

export interface CatalogRequestRow extends OfExchange, Omit<CatalogRequest, 'facts' | 'fields'> {
  factsName: string | null;
  factsTimestamp: string | null;
  topLevelFacts: number | null;
  /** Leaves. */
  facts: number | null;
}

export interface FactRow extends OfExchange, Leaf {
  n: number;
}

export interface SoftLimitRow extends OfExchange, SoftLimit {}

export interface CatalogRow
  extends OfExchange,
    Omit<Catalog, 'resources' | 'edges' | 'classes' | 'metadata' | 'recursiveMetadata'> {
  /** How many, as of the others. */
  resources: number;
  edges: number;
  classes: number;
  metadata: number;
}

export interface ResourceRow extends OfExchange, Omit<Resource, 'parameters' | 'sensitiveParameters' | 'extParameters'> {
  n: number;
  /** Sensitive values are `(sensitive)` unless they were asked for. */
  parameters: Record<string, unknown>;
  /** Names of parameters whose values are. */
  sensitive: string[];
}

export interface EdgeRow extends OfExchange, Edge {
  n: number;
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

export interface ReportRow extends OfExchange, Omit<Report, 'format' | 'time' | 'resources' | 'events' | 'logs' | 'metrics'> {
  format: number | null;
  at: string | null;
  processors: string[];
}

export interface ResourceStatusRow extends OfExchange, Omit<ResourceStatus, 'time'> {
  n: number;
  at: string | null;
}

export interface EventRow extends OfExchange, Omit<ReportEvent, 'time' | `${string}Value`> {
  n: number;
  previousValue: unknown;
  desiredValue: unknown;
  historicalValue: unknown;
  at: string | null;
}

export interface LogLineRow extends OfExchange, Omit<LogLine, 'time'> {
  n: number;
  at: string | null;
}

export interface MetricRow extends OfExchange, Metric {
  n: number;
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

/** Rows of an exchange. */
export type RowsByKind = ReadonlyMap<DecodedKind, readonly OfExchange[]>;

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
  /** Around the terms, which stand between U+0001 and U+0002; around a secret when they are within it, and nowhere else. */
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
  /**
   * The rows of some exchanges, by exchange and kind, kinds in the given order and those without rows left out: a question a kind, however many
   * exchanges are asked for.
   */
  rowsOf(kinds: readonly DecodedKind[], exchanges: readonly number[], reveal: boolean): ReadonlyMap<number, RowsByKind>;
  /** Texts that resources of a run hold as secrets: their type or their name says so. */
  secrets(run: number): string[];
  count(kind: DecodedKind, filter: DecodedFilter): number;
  /**
   * Full-text search: every term has to be there; a term that ends in `*` is a beginning. Best first.
   *
   * @param hiding hides the secrets of a run; snippets are cut from what it leaves
   */
  search(terms: string, filter?: SearchFilter, hiding?: (run: number | null) => Hiding): Hit[];
  /**
   * The first exchange, of any run, that carried a whole file of this content (content codings undone); `null` when none did.
   *
   * @param type `sha256` or `md5`; content is found by another one only where metadata had promised it
   */
  content(type: string, value: string): { exchange: number; side: Side } | null;
  /** Exchanges whose bodies are not decoded yet: of the capture, of a run, or the one. */
  behind(of?: { run: number } | { exchange: number }): number;
}
