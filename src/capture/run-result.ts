import type { Phase } from '../model.ts';
import type { RunRow } from './shapes.ts';
import type { Store } from './store-shape.ts';

/** What an agent asks its CA for; it asks for the server's status (`other`) as well, before it has a certificate. */
const ENROLMENT: ReadonlySet<Phase> = new Set(['ca', 'crl', 'csr', 'certificate']);

/**
 * How a run went, by its report or by what there is instead of one; `reported`: a report came that is not decoded (yet), or was not kept;
 * `partial`: no catalog was asked for, as by `puppet facts upload`, `plugin download` and `filebucket`, or by an agent that ended before.
 */
export type RunResult =
  | 'changed'
  | 'unchanged'
  | 'failed'
  | 'noop'
  | 'corrective'
  | 'compile error'
  | 'bootstrap'
  | 'partial'
  | 'no catalog'
  | 'reported'
  | 'no report'
  | 'open';

/** Reads what was decoded of a run: its report, and the primary's refusal of a catalog. */
export function resultOf(store: Store, run: RunRow): RunResult {
  if (run.end === null) return 'open'; // its report would have ended it
  if (store.decoded.rows('refusal', { run: run.id }).some(row => row.error !== null)) return 'compile error';
  const [report] = store.decoded.rows('report', { run: run.id });
  if (report !== undefined) {
    if (report.status === 'failed') return 'failed';
    // some resources may have been changed where others are only noop
    if (report.status === 'changed') return report.correctiveChange === true ? 'corrective' : 'changed';
    return report.noop === true || report.noopPending === true ? 'noop' : 'unchanged';
  }
  const asked = [...store.exchanges({ run: run.id, phase: 'catalog' })];
  if (asked.length > 0 && asked.every(one => one.status !== 200)) return 'no catalog';
  if (run.end === 'report') return 'reported';
  if (run.transactionUuid !== null || asked.length > 0) return 'no report';
  for (const one of store.exchanges({ run: run.id })) {
    if (!ENROLMENT.has(one.phase) && (one.phase !== 'other' || one.target.startsWith('/puppet/'))) return 'partial';
  }
  return 'bootstrap';
}
