import { explainTls, type TlsCause } from '../analysis/tls-failures.ts';
import { sized } from '../analysis/words.ts';
import type { Connection, Exchange, Failure } from '../model.ts';
import { columnsOf, padTo, widthOf } from './columns.ts';
import { printable } from './io.ts';

/** Figures and rows as people read them. All text of the wire goes through `printable`. */

/** `0.4 ms`, `12 ms`, `1.24 s`, `3 min 05 s`, `2 h 05 min`, `3 d 04 h`. */
export function duration(ms: number): string {
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_995) return `${(ms / 1000).toFixed(2)} s`;
  const two = (n: number): string => String(n).padStart(2, '0');
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

/** `14:03:21.123` of the local day. */
export function clock(at: number): string {
  const date = new Date(at);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** `2026-03-01` of the local calendar: the day of `clock`. */
export function day(at: number): string {
  const date = new Date(at);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** UTF-16 units that are looked at for a column, at most: to measure a text of megabytes takes seconds. */
const AHEAD = 8;

/** Cuts to `width` columns with an ellipsis. */
export function clip(text: string, width: number): string {
  const isLong = text.length > width * AHEAD;
  if (!isLong && widthOf(text) <= width) return text;
  return `${columnsOf(isLong ? text.slice(0, width * AHEAD) : text, 0, Math.max(0, width - 1))}…`;
}

/** The same with the ellipsis in the middle: paths and titles differ at their ends. */
function clipMiddle(text: string, width: number): string {
  const isLong = text.length > width * AHEAD;
  if (!isLong && widthOf(text) <= width) return text;
  const tail = Math.floor((width - 1) / 2);
  const end = isLong ? text.slice(-width * AHEAD) : text;
  return `${columnsOf(isLong ? text.slice(0, width * AHEAD) : text, 0, width - 1 - tail)}…${columnsOf(end, widthOf(end) - tail)}`;
}

export interface Column<Row> {
  title: string;
  /** Figures stand on the right. */
  right?: boolean;
  /** The last column takes what is left of the line instead of being padded. */
  value(row: Row): string;
}

/** Rows that a table looks at before it decides how wide its columns are: a capture may have a million. */
const MEASURED_ROWS = 1000;

/** A title may be pages (an exec's command): what is longer does not widen its column where no line is cut. */
const WIDEST = 100;

/** What a cell keeps at least when a table is made narrower: certnames are mostly shorter. */
const NARROWEST = 40;

/** What is left to the last column, when it has so much to say. */
const LAST = 24;

/**
 * A table with a head, line by line. At `width` the last column is cut; when that leaves it no room, the widest other columns are, in the
 * middle of their cells.
 */
export function* table<Row>(columns: readonly Column<Row>[], rows: Iterable<Row>, width: number): Generator<string, void> {
  const cellsOf = (row: Row): string[] => columns.map(column => printable(column.value(row)));
  let widths = columns.map(column => column.title.length);
  let limits = widths.map(() => Number.POSITIVE_INFINITY);
  const last = columns.length - 1;
  const line = (parts: readonly string[]): string => {
    const text = parts
      .map((whole, i) => {
        const part = i === last ? whole : clipMiddle(whole, limits[i]!);
        if (i !== last && part.length > WIDEST * AHEAD) return part;
        if (columns[i]!.right) return padTo(part, widths[i]!, 'right');
        return i === last ? part : padTo(part, widths[i]!);
      })
      .join('  ')
      .trimEnd();
    return clip(text, width);
  };
  const measured: string[][] = [];
  function* begin(): Generator<string, void> {
    if (width < Number.MAX_SAFE_INTEGER) {
      const fitting = narrowed(widths, width);
      limits = fitting.map((one, i) => (one < widths[i]! ? one : Number.POSITIVE_INFINITY));
      widths = fitting;
    } else widths = widths.map((one, i) => Math.max(columns[i]!.title.length, Math.min(one, WIDEST)));
    yield line(columns.map(column => column.title));
    for (const cells of measured) yield line(cells);
  }
  let count = 0;
  for (const row of rows) {
    const cells = cellsOf(row);
    if (++count > MEASURED_ROWS) {
      yield line(cells);
      continue;
    }
    measured.push(cells);
    cells.forEach((cell, i) => {
      widths[i] = Math.max(widths[i]!, cell.length > WIDEST * AHEAD ? cell.length : widthOf(cell));
    });
    if (count === MEASURED_ROWS) yield* begin();
  }
  if (count < MEASURED_ROWS) yield* begin();
}

/** Lines of at most `width`, broken at blanks; all but the first are indented by `indent`, or as the first is. */
export function broken(text: string, width: number, indent = 0): string[] {
  const lines: string[] = [];
  const before = ' '.repeat(Math.min(Math.max(indent, text.length - text.trimStart().length), Math.floor(width / 2)));
  for (let rest = text; ; ) {
    if (rest.length <= width) return [...lines, rest];
    const blank = rest.lastIndexOf(' ', width);
    // A word that has no room in a line is cut where the line ends.
    const end = blank > before.length ? blank : width;
    lines.push(rest.slice(0, end).trimEnd());
    rest = `${before}${rest.slice(end).trimStart()}`;
  }
}

/** Widths with which a line leaves some room for the last column: the widest others give way first. */
function narrowed(natural: readonly number[], width: number): number[] {
  const others = natural.slice(0, -1);
  const room = width - 2 * others.length - Math.min(natural.at(-1) ?? 0, LAST);
  for (;;) {
    const excess = others.reduce((sum, one) => sum + one, 0) - room;
    const widest = Math.max(...others);
    if (excess <= 0 || widest <= NARROWEST) return [...others, natural.at(-1) ?? 0];
    const next = Math.max(NARROWEST, ...others.filter(one => one < widest));
    const level = others.filter(one => one === widest).length;
    const to = Math.max(next, widest - Math.ceil(excess / level));
    others.forEach((one, i) => {
      if (one === widest) others[i] = to;
    });
  }
}

/** `c3#12`: the 12th exchange on connection 3. */
export function use(connection: number | null, ordinal: number | null): string {
  return connection === null ? '-' : `c${connection}#${ordinal ?? '?'}`;
}

/** What became of an exchange, in a word or a status. */
export function result(exchange: Exchange): string {
  const { outcome, response } = exchange;
  if (outcome.type === 'answered') return String(response?.status ?? '-');
  if (outcome.type === 'abandoned') return 'gone';
  return response ? `${response.status}!` : 'cut';
}

/** Why an exchange failed, and the rule of `--fault` that it met, at the end of its line. */
export function remarkOn(failure: Failure | null, fault: string | null): string {
  const reason = failure === null || failure.reason === 'fault' ? '' : `  [${failure.reason}]`;
  return `${reason}${fault === null ? '' : `  [FAULT ${printable(clip(fault, 60))}]`}`;
}

/** One line of `stringtap proxy` an exchange. */
export function exchangeLine(exchange: Exchange): string {
  const { timing, route, agent, primary, request, outcome } = exchange;
  const parts = [
    clock(exchange.startedAt),
    (exchange.certname ?? '-').padEnd(20),
    route.phase.padEnd(11),
    request.method.padEnd(4),
    result(exchange).padEnd(4),
    duration(timing.endMono - timing.startMono).padStart(8),
    sized(exchange.requestBytes).padStart(7),
    sized(exchange.responseBytes).padStart(7),
    use(agent.connection, agent.ordinal).padEnd(7),
    use(primary?.connection ?? null, primary?.ordinal ?? null).padEnd(7),
    printable(clip(request.target.split('?', 1)[0]!, 100)),
  ];
  return `${parts.join(' ')}${remarkOn(outcome.type === 'failed' ? outcome.failure : null, exchange.fault)}`;
}

/** Causes of connections that carried requests, each of which was refused. */
const REFUSED_REQUESTS: ReadonlySet<TlsCause | undefined> = new Set(['plain-http', 'local-host-refused']);

/** A line for a connection that carried nothing because something went wrong, and one with what to do; `null` for all others. */
export function connectionLine(connection: Connection): string | null {
  const { closed, error, refusal, peer, leg } = connection;
  if (closed === null || (error === null && refusal === null)) return null;
  const words = explainTls(connection);
  const help = words === null ? '' : `\n  ${words.what}: ${words.remedy}`;
  if (leg === 'agent' && refusal !== null) {
    return `${clock(closed.at)} agent ${printable(peer)}: certificate ${printable(connection.peerName ?? '')} refused: ${printable(refusal)}${help}`;
  }
  if (error === null || (connection.exchanges > 0 && !REFUSED_REQUESTS.has(words?.cause))) return null;
  return `${clock(closed.at)} ${leg} ${printable(peer)}: ${printable(error)}${help}`;
}
