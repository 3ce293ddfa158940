import type { ExchangeDetail, RunRow, Store } from '../capture/store.ts';
import { fieldValue } from '../decode/encoding.ts';
import { mimeOf } from '../decode/format.ts';
import type { ExchangeId, Fields, Phase, RunId } from '../model.ts';
import { madeByFault } from './faulted.ts';
import { type Asking, type Book, type Entry, openBook, questionOf } from './match.ts';

/** The bootstrap's answers are of another CA than ours: they are made anew, and never served. */
export const OWN_PHASES: ReadonlySet<Phase> = new Set<Phase>(['ca', 'crl', 'csr', 'certificate']);

/** What of the captured runs can be an answer. */
export interface RecordedAnswers {
  book: Book;
  /**
   * Node answers of other runs of the same agents: an agent that remembers its environment does not ask, so that many a run has
   * none, and a fresh agent wants one.
   */
  spare: Book;
  /** Recorded exchanges that cannot be an answer, and why. */
  unusable: ReadonlyArray<{ exchange: ExchangeId; why: string }>;
}

/** Reads heads, no bodies. */
export function recordedAnswers(store: Store, runs: readonly RunRow[]): RecordedAnswers {
  const entries: Entry[] = [];
  const unusable: { exchange: ExchangeId; why: string }[] = [];
  for (const { id: run } of runs) {
    for (const { id, phase } of store.exchanges({ run })) {
      const exchange = OWN_PHASES.has(phase) ? null : store.exchange(id);
      if (exchange === null) continue;
      const why = whyUnusable(exchange);
      if (why === null) entries.push(entryOf(exchange, run));
      else unusable.push({ exchange: id, why });
    }
  }
  return { book: openBook(entries), spare: openBook(spares(store, runs)), unusable };
}

function spares(store: Store, runs: readonly RunRow[]): Entry[] {
  const served = new Set<RunId | null>(runs.map(({ id }) => id));
  return [...new Set(runs.map(({ certname }) => certname))].flatMap(certname =>
    [...store.exchanges({ certname, phase: 'node', status: 200 })]
      .filter(({ run }) => run !== null && !served.has(run))
      .flatMap(({ id, run }) => {
        const exchange = store.exchange(id);
        return exchange === null || run === null || whyUnusable(exchange) !== null ? [] : [entryOf(exchange, run)];
      }),
  );
}

function whyUnusable(exchange: ExchangeDetail): string | null {
  const { outcome, response, bodies } = exchange;
  if (madeByFault(exchange)) return 'what it got was a fault on purpose';
  if (response === null) return 'it has no answer';
  if (outcome === 'failed') return 'its answer is of stringtap, because something failed';
  if (outcome === 'abandoned') return 'the agent did not wait for its answer';
  const body = bodies.find(({ side }) => side === 'response');
  return body !== undefined && body.kept < body.size ? 'the capture does not hold all of its answer' : null;
}

function entryOf(exchange: ExchangeDetail, run: RunId): Entry {
  const { id, request, status, certname } = exchange;
  return {
    exchange: id,
    run,
    method: request.method,
    target: request.target,
    question: questionOf(askingOf(request.method, request.target, certname, request.fields)),
    unmodified: status === 304,
  };
}

/** A request, recorded or just received, as far as its answer depends on it. */
export function askingOf(method: string, target: string, certname: Asking['certname'], fields: Fields): Asking {
  const conditional = fieldValue(fields, 'if-modified-since') !== null || fieldValue(fields, 'if-none-match') !== null;
  return { method, target, certname, conditional, mime: mimeOf(fieldValue(fields, 'content-type')) };
}
