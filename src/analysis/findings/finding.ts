import type { RunFacts } from './facts.ts';

/** Most severe first. error: something did not work. warning: it worked, and costs or will fail. info: worth knowing. */
export const SEVERITIES = ['error', 'warning', 'info'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** A decoded row: `n` of its kind (the view `v_<kind>`) in its exchange. */
export interface RowRef {
  kind: string;
  exchange: number;
  n: number;
}

/** Where to look. Lists are cut at {@link EVIDENCE}; figures hold the whole counts. */
export interface Evidence {
  exchanges: readonly number[];
  connections: readonly number[];
  rows: readonly RowRef[];
  /** Numbers and words that the summary speaks of, for programs. Never a secret. */
  figures: Readonly<Record<string, string | number | boolean | null>>;
}

/** What a rule says of one run. */
export interface Found {
  severity: Severity;
  /** One line: what happened, with the figures. */
  summary: string;
  /** In place of the rule's general fix, when this case tells the command or the value. */
  fix?: string;
  evidence: Evidence;
}

/** One rule: pure, over what is known of a run. */
export interface Rule {
  /** Stable: programs and people name it. */
  id: string;
  /** What it can say, the most severe first. */
  severities: readonly Severity[];
  /** One line: what it finds. */
  title: string;
  /** What that means for the run. */
  meaning: string;
  /** The setting, or the command, that mends it. */
  fix: string;
  /** When it speaks, with where each figure comes from. */
  threshold: string;
  /** The page of Puppet's documentation. */
  page: string;
  judge(run: RunFacts): readonly Found[];
}

/** Ids that the evidence lists of one kind; the first ones tell the rest. */
export const EVIDENCE = 20;

/** Words of the wire within a summary: a compiler's message may be pages. */
const QUOTED = 300;

export function evidence(parts: Partial<Evidence> = {}): Evidence {
  const { exchanges = [], connections = [], rows = [], figures = {} } = parts;
  return {
    exchanges: exchanges.slice(0, EVIDENCE),
    connections: connections.slice(0, EVIDENCE),
    rows: rows.slice(0, EVIDENCE),
    figures,
  };
}

/** A text of the wire, on one line and cut. */
export function quoted(text: string): string {
  const line = text
    .slice(0, 4 * QUOTED)
    .replace(/\s+/g, ' ')
    .trim();
  return line.length <= QUOTED ? line : `${line.slice(0, QUOTED - 1)}…`;
}

/** `0.35 s`, `4.2 s`, `12 s`, `3 min 5 s`, `2 h 5 min`. */
export function lasting(ms: number): string {
  const s = Math.abs(ms) / 1000;
  if (s < 0.995) return `${s.toFixed(2)} s`;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  const whole = Math.round(s);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 172_800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} days`;
}

/** `2031-11-21`, of an ISO time. */
export function dayOf(at: string): string {
  return at.slice(0, 10);
}

/** A page of Puppet's documentation. */
export function page(path: string): string {
  return `https://www.puppet.com/docs/puppet/8/${path}`;
}
