import type { Tagged } from '../decode/data.ts';
import type { Leg, Phase } from '../model.ts';

/*
 * What a comparison says. All of it is JSON as it is: `stringtap diff --json` prints it, and a tree of it can be walked through without knowing
 * more than these types. `a` and `before` are of the first side, `b` and `after` of the second one. Text in it is the wire's own: whoever prints it
 * escapes it. Sensitive values are `(sensitive)` and other secrets `(hidden)` unless they were asked for; private keys are never in it.
 */

/** A whole Float is a `Tagged`, which JSON.stringify writes as `1.0`. */
export type Json = null | boolean | number | string | Tagged | readonly Json[] | { readonly [key: string]: Json };

/** `reordered`: an array with the same items in another order. */
export type ChangeKind = 'added' | 'removed' | 'changed' | 'reordered';

/** One value that differs, at the deepest place where it does. */
export interface ValueChange {
  /** Names and positions from the top: `['parameters', 'options', 'retries', '0']`. */
  path: readonly string[];
  kind: ChangeKind;
  /** `null` for what was added. Long texts are cut, with an ellipsis and their length at the end. */
  before: Json;
  /** `null` for what was removed. */
  after: Json;
  /** The values are hidden: that they differ is all that is told. */
  sensitive: boolean;
  /** Of texts with more than one line. */
  text: TextDiff | null;
}

/** A hunk as `diff -u` writes it; each line begins with ` `, `-`, `+` or `\`. */
export interface Hunk {
  oldStart: number;
  oldLines: number;
  newStart: number;
  newLines: number;
  lines: readonly string[];
}

export interface TextDiff {
  /** Empty when the texts have too little in common, or are too long, to be compared line by line. */
  hunks: readonly Hunk[];
  addedLines: number;
  removedLines: number;
  /** Lines of hunks that were left out because there are too many. */
  omittedLines: number;
}

/** How the content of a file differs. */
export type ContentDifference =
  | { type: 'text'; text: TextDiff; before: ContentId; after: ContentId }
  /** No text, or too large to be compared as text. */
  | { type: 'binary'; before: ContentId; after: ContentId }
  /** What differs is hidden: its resource calls it Sensitive, or it differs in a secret only. */
  | { type: 'hidden'; before: ContentId; after: ContentId }
  /** The checksums differ, and the capture does not hold both contents. */
  | { type: 'unknown'; before: ContentId; after: ContentId };

export interface ContentId {
  /** As Puppet writes it, `{sha256}ab…`; `null` when nobody said. */
  checksum: string | null;
  /** `null` when the content is not at hand. */
  bytes: number | null;
}

/** A place in Puppet code. */
export interface Place {
  file: string | null;
  line: number | null;
}

/** A resource that is in one catalog only, or differs. */
export interface ResourceChange {
  kind: 'added' | 'removed' | 'changed';
  type: string;
  title: string;
  /** Where the first catalog has it from; `null` when it is not there. */
  before: Place | null;
  after: Place | null;
  /** Of a resource that was added or removed: each of its parameters. Paths begin with `parameters`, `tags`, `exported`, `virtual`. */
  changes: readonly ValueChange[];
  /** Facts that changed between the two and whose values are in what changed here: perhaps the reason. */
  facts: readonly string[];
}

export interface EdgeChange {
  kind: 'added' | 'removed';
  source: string;
  target: string;
}

export interface CatalogComparison {
  /** Resources of the two catalogs. */
  resourcesBefore: number;
  resourcesAfter: number;
  resources: readonly ResourceChange[];
  /** Edges between resources that both catalogs have; those of resources that came or went are counted only. */
  edges: readonly EdgeChange[];
  impliedEdges: number;
  /** Changes that a rule of `--ignore` left out. */
  ignored: number;
  /** Changes that were left out because there are too many. */
  omitted: number;
}

export interface FactsComparison {
  changes: readonly ValueChange[];
  /** Changes of facts that are different every time (uptime, free memory), left out. */
  volatile: number;
  omitted: number;
}

/** A file that both sides describe or hold: content of a `source`, a plugin, what a recursive directory has in it. */
export interface FileDifference {
  kind: 'added' | 'removed' | 'changed';
  /** Mount and path, as in `modules/motd/motd`, `plugins/puppet/type/x.rb`. */
  path: string;
  phase: 'file' | 'pluginsync';
  /** `File[…]` resources that have it as their source. */
  resources: readonly string[];
  /** Mode, owner, group, type, link target. */
  metadata: readonly ValueChange[];
  content: ContentDifference | null;
}

export interface EventSide {
  status: string | null;
  previous: Json;
  desired: Json;
  message: string | null;
  corrective: boolean;
}

export interface EventChange {
  kind: 'added' | 'removed' | 'changed';
  resource: string;
  property: string | null;
  before: EventSide | null;
  after: EventSide | null;
}

/** A log line that is in one report only, times and ids in it apart. */
export interface LogChange {
  kind: 'added' | 'removed';
  level: string | null;
  source: string | null;
  message: string;
  /** How often. */
  count: number;
}

export interface ReportComparison {
  /** Status, noop, environment and the like. */
  fields: readonly ValueChange[];
  /** What became of a resource: paths are `[resource, 'changed' | 'failed' | 'skipped' | …]`. */
  resources: readonly ValueChange[];
  events: readonly EventChange[];
  logs: readonly LogChange[];
  omitted: number;
}

/** What a body is about, for {@link Part} of type `values`. */
export type Subject =
  | 'refusal'
  | 'node'
  | 'catalog request'
  | 'file metadata'
  | 'certificates'
  | 'crls'
  | 'csr'
  | 'answer'
  | 'body';

/** One thing in which the bodies of two exchanges differ. */
export type Part =
  | { type: 'values'; side: 'request' | 'response'; of: Subject; changes: readonly ValueChange[]; omitted: number }
  | { type: 'facts'; side: 'request'; facts: FactsComparison }
  | { type: 'catalog'; side: 'response'; catalog: CatalogComparison }
  | { type: 'report'; side: 'request'; report: ReportComparison }
  | { type: 'content'; side: 'request' | 'response'; content: ContentDifference }
  /** The bytes differ, and at least one of them cannot be decoded: the reasons. */
  | { type: 'undecoded'; side: 'request' | 'response'; before: string | null; after: string | null };

/** An exchange as a comparison names it. */
export interface ExchangeRef {
  id: string | null;
  phase: Phase;
  method: string;
  target: string;
  status: number | null;
  outcome: 'answered' | 'failed' | 'abandoned';
}

/** A header field that differs; `null` where it is absent. Credentials are `(hidden)`. */
export interface FieldChange {
  side: 'request' | 'response';
  name: string;
  before: string | null;
  after: string | null;
}

/** Two exchanges, compared. */
export interface ExchangeComparison {
  a: ExchangeRef;
  b: ExchangeRef;
  same: boolean;
  /** Status, outcome and who answered, where they differ. */
  outcome: readonly ValueChange[];
  fields: readonly FieldChange[];
  parts: readonly Part[];
}

export interface PhaseTotals {
  exchanges: number;
  ms: number;
  requestBytes: number;
  responseBytes: number;
}

/** Time is shown, and never is a difference. */
export interface PhaseTiming {
  phase: Phase;
  a: PhaseTotals;
  b: PhaseTotals;
}

export interface LegTotals {
  connections: number;
  full: number;
  resumed: number;
}

/** Connections are shown, and never are a difference. */
export interface LegComparison {
  leg: Leg;
  a: LegTotals;
  b: LegTotals;
}

export interface RunRef {
  id: string | null;
  capture: string | null;
  certname: string;
  environment: string | null;
  puppetVersion: string | null;
  startedAt: string | null;
  durationMs: number | null;
  exchanges: number;
}

/** Two runs, compared. A noun is `null` when one of the runs does not have it. */
export interface RunComparison {
  a: RunRef;
  b: RunRef;
  same: boolean;
  /** How many differences there are of each kind; {@link RunComparison.same} when all are 0. */
  counts: {
    run: number;
    node: number;
    facts: number;
    resources: number;
    edges: number;
    files: number;
    report: number;
    exchanges: number;
    unmatched: number;
  };
  /** Environment and version of the agent. */
  run: readonly ValueChange[];
  /** What the classifier said: the last answers of both. */
  node: readonly ValueChange[] | null;
  facts: FactsComparison | null;
  /** The last catalogs of both, which were applied. */
  catalog: CatalogComparison | null;
  files: readonly FileDifference[];
  report: ReportComparison | null;
  exchanges: {
    matched: number;
    /** Pairs that differ in what none of the above tells. */
    different: readonly ExchangeComparison[];
    onlyA: readonly ExchangeRef[];
    onlyB: readonly ExchangeRef[];
  };
  timing: readonly PhaseTiming[];
  connections: readonly LegComparison[];
  /** What could not be compared, and why. */
  notes: readonly string[];
}
