import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ExchangeRow, openStore } from '../../src/capture/store.ts';
import { accessLine } from '../../src/decode/access-line.ts';
import { type TempDir, tempDir } from '../capture/rig.ts';
import { command } from './command.ts';

const SAMPLE = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));

let dir: TempDir;
let file: string;
beforeEach(() => {
  dir = tempDir();
  file = dir.file('sample.db');
  copyFileSync(SAMPLE, file);
});
afterEach(() => dir[Symbol.dispose]());

/** What the primary was asked, as it passed. */
function upstream(): ExchangeRow[] {
  const store = openStore(file);
  try {
    return [...store.exchanges()].filter(row => row.primaryConnection !== null && row.status !== null);
  } finally {
    store.close();
  }
}

const two = (n: number): string => String(n).padStart(2, '0');
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `%t` of logback-access in a zone of two hours east. */
function logTime(ms: number): string {
  const at = new Date(ms + 2 * 3_600_000);
  const day = `${two(at.getUTCDate())}/${MONTHS[at.getUTCMonth()]}/${at.getUTCFullYear()}`;
  return `${day}:${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())} +0200`;
}

/** Lines as Puppet Server writes them, by a clock that is ahead by `offsetMs`; each request took what it took here less 4 ms. */
function logOf(rows: readonly ExchangeRow[], offsetMs: number): string[] {
  return rows.map(row => {
    const took = Math.max(0, Math.round(row.durationMs) - 4);
    const end = Date.parse(row.startedAt) + row.durationMs + offsetMs;
    const borrow = row.phase === 'catalog' ? String(Math.round(took / 2)) : '-';
    return `192.0.2.1 - - [${logTime(end)}] "${row.method} ${row.target} HTTP/1.1" ${row.status} 100 "-" "Puppet/7.23.0 Ruby/3.1.2-p20 (x86_64-linux-gnu)" ${took} - ${borrow}`;
  });
}

/** Lines that match nothing, or are none. */
const NOISE = [
  '192.0.2.9 - - [23/Nov/2026:00:00:00 +0000] "GET /status/v1/simple HTTP/1.1" 200 7 "-" "curl" 3 - -',
  'x'.repeat(600_000),
  '',
  '" " " [ ] "',
  '192.0.2.9 - - [99/Foo/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 7 "-" "curl" 3 - -',
  `192.0.2.9 - - [23/Nov/2026:00:00:00 +0000] "GET ${'/a"'.repeat(5000)} HTTP/1.1" 400 7 "-" "${'" '.repeat(5000)}" 3 - -`,
  '\u001b[31m\0',
];

async function join(log: string): Promise<Record<string, number>> {
  const { code, out, err } = await command('join', log, file, '--json');
  expect(code, err.join('\n')).toBe(0);
  return JSON.parse(out[0]!) as Record<string, number>;
}

describe('join', () => {
  test.each([0, 1700, -37_500, 3_605_000])('finds each exchange with clocks %d ms apart', async offsetMs => {
    const rows = upstream();
    const log = dir.file('puppetserver-access.log');
    writeFileSync(log, [...NOISE, ...logOf(rows, offsetMs), ...NOISE].join('\n'));
    const joined = await join(log);
    expect(joined.exchanges).toBe(rows.length);
    expect(joined.matched).toBe(rows.length);
    expect(joined.unread).toBeGreaterThanOrEqual(8);
    expect(Math.abs(joined.offsetMs! - offsetMs)).toBeLessThan(1100);
    const store = openStore(file);
    for (const row of rows) {
      const time = store.primaryTimes({ exchanges: [row.id] }).get(row.id)!;
      // the right one of several that asked the same
      expect(time.tookMs, `e${row.id} ${row.durationMs} ${JSON.stringify(time)} ${JSON.stringify(joined)}`).toBe(
        Math.max(0, Math.round(row.durationMs) - 4),
      );
      expect(time.borrowMs).toBe(row.phase === 'catalog' ? Math.round(time.tookMs / 2) : null);
    }
    store.close();
  });

  test('finds those of one agent among what many others ask for all the time', async () => {
    const rows = upstream();
    const common = rows.filter(row => row.certname !== null && !row.target.includes(row.certname));
    expect(common.length).toBeGreaterThan(20);
    const first = Math.min(...rows.map(row => Date.parse(row.startedAt)));
    // a run begins every two seconds, and twenty at once now and then; before and after ours
    const others = Array.from({ length: 120 }, (_, n) => first + (n - 60) * 2000 - (n % 2) * 300_000);
    const herds = [-90_000, 40_000].flatMap(after => Array.from({ length: 20 }, (_, n) => first + after + n * 10));
    const lines = [...others, ...herds].flatMap(at =>
      logOf(
        common.map(row => ({ ...row, startedAt: new Date(Date.parse(row.startedAt) - first + at).toISOString() })),
        0,
      ),
    );
    const log = dir.file('busy.log');
    writeFileSync(log, [...lines, ...logOf(rows, 0)].join('\n'));
    const joined = await join(log);
    expect(joined).toMatchObject({ exchanges: rows.length, matched: rows.length });
    expect(Math.abs(joined.offsetMs!)).toBeLessThan(1500);
  });

  test('a packed log is read, and show says what was queue and what was compile', async () => {
    const rows = upstream();
    const log = dir.file('puppetserver-access-2026-11-23.0.log.gz');
    writeFileSync(log, gzipSync(logOf(rows, 0).join('\r\n')));
    expect((await join(log)).matched).toBe(rows.length);
    const catalog = rows.find(row => row.phase === 'catalog')!;
    const shown = (await command('show', `e${catalog.id}`, file)).out.join(' ').replace(/\s+/g, ' ');
    expect(shown).toMatch(/at the primary .* in a JRuby instance, .* waiting for one, reading and sending; .* on the way/);
    expect((await command('show', `r${catalog.run}`, file)).out.join('\n')).toMatch(
      /\[primary .*: JRuby .*, queue and rest .*\]/,
    );
  });

  test('the page of a run draws the time in a JRuby instance, and tells it', async () => {
    const log = dir.file('a.log');
    writeFileSync(log, logOf(upstream(), 0).join('\n'));
    await join(log);
    const page = dir.file('a.html');
    expect((await command('export', 'r1', '--capture', file, '--format', 'html', '-o', page)).err).toEqual([]);
    const html = readFileSync(page, 'utf8');
    expect(html).toMatch(/<rect class="jruby" [^>]*><title>e\d+ catalog: POST [^<]*at the primary [^<]* in a JRuby instance/);
    expect(html).toContain('in a JRuby instance of the primary</li>');
  });

  test('a log of another primary matches nothing; one that is none is refused', async () => {
    const log = dir.file('other.log');
    writeFileSync(log, NOISE.join('\n'));
    expect(await join(log)).toMatchObject({ matched: 0, offsetMs: null });
    writeFileSync(log, 'no log\n');
    expect(await command('join', log, file)).toMatchObject({ code: 1 });
    expect(await command('join', dir.file('none.log'), file)).toMatchObject({ code: 1 });
  });

  test('of another certname, or another time, it is another request', async () => {
    const rows = upstream();
    const [row] = rows.filter(one => one.phase === 'catalog');
    const log = dir.file('some.log');
    const lines = logOf(rows, 0);
    const mine = lines[rows.indexOf(row!)]!;
    writeFileSync(log, [...lines.filter(line => line !== mine), mine.replace(' - - ', ' - somebody.else ')].join('\n'));
    expect((await join(log)).matched).toBe(rows.length - 1);
  });
});

test('lines of older servers, with a user, and with milliseconds', () => {
  const line = '10.0.0.1 - web01.lab [2026-11-23T00:25:14.123Z] "GET /a?b=%22 HTTP/1.1" 200 - "-" "a "b" c" 12';
  expect(accessLine(line)).toEqual({
    user: 'web01.lab',
    at: Date.UTC(2026, 10, 23, 0, 25, 14, 123),
    method: 'GET',
    target: '/a?b=%22',
    status: 200,
    tookMs: 12,
    borrowMs: null,
  });
  expect(accessLine(line.replace('2026-11-23T00:25:14.123Z', '23/Nov/2026:00:25:14 -0330'))?.at).toBe(
    Date.UTC(2026, 10, 23, 3, 55, 14),
  );
});
