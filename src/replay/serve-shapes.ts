import type { RunRow, Store } from '../capture/store.ts';
import type { Certname, ExchangeId, Phase } from '../model.ts';
import type { Authority } from '../pki/authority.ts';
import type { NearMiss } from './match.ts';
import type { Pace } from './pace.ts';

export interface ServeOptions {
  /** Opened for `bodies`; the caller's to close, after {@link Served.close}. */
  store: Store;
  runs: readonly RunRow[];
  listen: { host: string; port: number };
  /** Folder of our CA. */
  certsDir: string;
  /** More names and addresses on the server's certificate. */
  names: readonly string[];
  /** Names that the runs are served to beside their own certname: a name, or a pattern with `*`. All runs are then of one certname. */
  as: readonly string[];
  /** What a request gets that was not recorded. */
  missing: 404 | 500 | 'close';
  pace: Pace;
  /** Told once for each request, when its answer left. */
  onAnswer?(answer: ServedAnswer): void;
  /** A line that the operator should read. */
  onNotice?(line: string): void;
}

/** How a request was answered. */
export type ServedAs =
  /** With a recorded answer to the same question. */
  | { type: 'recorded'; exchange: ExchangeId }
  /** With the content of a file that another request carried, by its checksum; `null`: an empty file. */
  | { type: 'content'; exchange: ExchangeId | null }
  /** By us: CA, CRL, certificates, an empty file bucket, `/status`. */
  | { type: 'own' }
  /** As auth.conf does it: no certificate, or somebody else's catalog. */
  | { type: 'refused'; why: string }
  | { type: 'missed'; near: readonly NearMiss[] };

export interface ServedAnswer {
  at: number;
  certname: Certname | null;
  phase: Phase;
  method: string;
  target: string;
  /** `null`: the connection was closed instead. */
  status: number | null;
  tookMs: number;
  as: ServedAs;
}

/** A request that had no answer. */
export interface Miss {
  certname: Certname | null;
  method: string;
  /** The first one's; others may differ in what does not matter. */
  target: string;
  times: number;
  near: readonly NearMiss[];
}

/** What a served primary came to. */
export interface ServeSummary {
  requests: number;
  /** Recorded exchanges that were an answer, those of the bootstrap left out: their answers are always ours. */
  used: readonly ExchangeId[];
  unused: readonly ExchangeId[];
  /** Recorded exchanges that cannot be an answer, and why. */
  unusable: ReadonlyArray<{ exchange: ExchangeId; why: string }>;
  missed: readonly Miss[];
  /** Answers by kind. */
  answers: Readonly<Record<ServedAs['type'], number>>;
  certnames: readonly Certname[];
}

export interface Served {
  readonly address: { host: string; port: number };
  readonly authority: Authority;
  summary(): ServeSummary;
  /** Stops listening, lets the answers under way end. */
  close(): Promise<void>;
}
