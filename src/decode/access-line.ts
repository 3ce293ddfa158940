/** A request as the access log of a Puppet Server tells it. */
export interface AccessEntry {
  /** CN of the client's certificate, where the log says it; Puppet Server's own pattern has `-`. */
  user: string | null;
  /** Wall-clock ms of the answer's end; of whole seconds in Puppet Server's own pattern. */
  at: number;
  method: string;
  target: string;
  status: number;
  /** From the request's head to the answer's end. */
  tookMs: number;
  /** How long a JRuby instance was held for it; `null` when none was, or the log does not say. */
  borrowMs: number | null;
}

/** Lines that are longer are none of Jetty's: its request heads have 8 KiB, agents' GET queries up to 64 KiB. */
export const LINE_MAX = 256 << 10;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/**
 * Reads a line of `puppetserver-access.log` (`request-logging.xml`):
 * `%h %l %u [%t] "%r" %s %b "%i{Referer}" "%i{User-Agent}" %D %i{Content-Length} %mdc{jruby.borrow-time:--}`; logs of before 6.4 end
 * before the last one or two. `null` for any other line. Linear in the line.
 */
export function accessLine(line: string): AccessEntry | null {
  if (line.length > LINE_MAX) return null;
  const open = line.indexOf(' [');
  const close = line.indexOf('] "', open);
  if (open < 0 || open > 1000 || close < 0 || close - open > 60) return null;
  const user = line.slice(0, open).split(' ')[2] ?? '-';
  const at = timeOf(line.slice(open + 2, close));
  // what a client says (target, Referer, User-Agent) is in quotes: the numbers are found from both ends
  const version = line.indexOf(' HTTP/', close);
  const head = /^([A-Z]{1,20}) (\S+)$/.exec(line.slice(close + 3, Math.max(version, 0)));
  const status = /^ HTTP\/\d(?:\.\d)?" (\d{3}) (?:\d+|-) "/.exec(line.slice(version, version + 60));
  const tail = /^" (\d{1,12})(?: (?:\d+|-))?(?: (\d{1,12}|-))?\s*$/.exec(line.slice(line.lastIndexOf('" ')));
  if (at === null || head === null || status === null || tail === null) return null;
  return {
    user: user === '-' ? null : user,
    at,
    method: head[1]!,
    target: head[2]!,
    status: Number(status[1]),
    tookMs: Number(tail[1]),
    borrowMs: tail[2] === undefined || tail[2] === '-' ? null : Number(tail[2]),
  };
}

/** `23/Nov/2026:00:25:14 +0100`, or ISO 8601 with a zone; `null` for another. */
function timeOf(text: string): number | null {
  const own = /^(\d\d)\/([A-Z][a-z]{2})\/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d\d)(\d\d)$/.exec(text);
  if (own !== null) {
    const [, day, name, year, hour, minute, second, zone, rest] = own as unknown as string[];
    const month = MONTHS.indexOf(name!);
    if (month < 0) return null;
    const utc = Date.UTC(Number(year), month, Number(day), Number(hour), Number(minute), Number(second));
    return utc - (Number(zone) * 60 + Math.sign(Number(`${zone}1`)) * Number(rest)) * 60_000;
  }
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)$/.test(text)
    ? Date.parse(text.replace(',', '.'))
    : Number.NaN;
  return Number.isNaN(time) ? null : time;
}
