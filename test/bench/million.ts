/*
 * Makes a capture of a million exchanges (or as many as the first argument says) and measures what a person waits for: opening it, the
 * first page and the full count of filters, sorted lists, walking, stopping.
 *
 *   node test/bench/million.ts [EXCHANGES] [FILE]
 *
 * A FILE that is there is used again, and kept; without one the capture goes away in the end. `wall` is what passed on this machine, `cpu` what the
 * work took, both in ms: on a busy machine only the second can be trusted.
 */
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Filter, Subject } from '../../src/analysis/filter.ts';
import { parseFilter } from '../../src/analysis/filter-parse.ts';
import type { Browser } from '../../src/capture/browse.ts';
import type { Cursor, PageRequest } from '../../src/capture/browse-shapes.ts';
import { openStore } from '../../src/capture/store.ts';
import { writePlausible } from './plausible.ts';

/** Rows of a tall terminal. */
const PAGE = 60;

const FILTERS: ReadonlyArray<[list: 'exchange' | 'run' | 'connection', text: string]> = [
  ['exchange', ''],
  ['exchange', '~c 404'],
  ['exchange', '~e'],
  ['exchange', '~phase catalog'],
  ['exchange', '~certname web0100*'],
  ['exchange', 'motd'],
  ['exchange', '~u file_content ~phase file'],
  ['exchange', '~u /mod.*(ntp|motd)/'],
  ['exchange', '~t pson'],
  ['exchange', '~h "content-type: text/pson"'],
  ['exchange', '~d puppet.example.com'],
  ['exchange', '~run r1000'],
  ['exchange', '~conn c2000'],
  ['exchange', '~res /etc/conf.d/40'],
  ['exchange', '~fact os.family=RedHat'],
  ['exchange', '~find crl-expired'],
  ['exchange', '~c 5xx ~b "Evaluation Error"'],
  ['exchange', '~b "Evaluation Error"'],
  ['exchange', 'nothing-has-this'],
  ['run', '~certname web0100*'],
  ['run', '~e'],
  ['run', '~c 404'],
  ['connection', '~conn 10.0.1.'],
];

interface Took<T> {
  value: T;
  wall: number;
  cpu: number;
}

async function timed<T>(work: () => T | Promise<T>): Promise<Took<T>> {
  const cpu = process.cpuUsage();
  const began = performance.now();
  const value = await work();
  const { user, system } = process.cpuUsage(cpu);
  return { value, wall: performance.now() - began, cpu: (user + system) / 1_000 };
}

function print(...cells: ReadonlyArray<string | number>): void {
  const [name, ...rest] = cells.map(cell => (typeof cell === 'number' ? cell.toFixed(cell < 10 ? 1 : 0) : cell));
  process.stdout.write(`${name!.padEnd(44)}${rest.map(cell => cell.padStart(12)).join('')}\n`);
}

function filterOf(text: string, subject: Subject): Filter | null {
  const parsed = parseFilter(text, subject);
  if (parsed.type === 'wrong') throw new Error(`${text}: ${parsed.problem.message}`);
  return parsed.filter;
}

async function filters(browser: Browser): Promise<void> {
  print('filter', 'page wall', 'page cpu', 'rows', 'count wall', 'count cpu', 'count');
  for (const [list, text] of FILTERS) {
    const filter = filterOf(text, list);
    const page = await timed(() => browser.page({ list, filter, before: 'end', limit: PAGE }));
    const count = await timed(() => browser.count({ list, filter }));
    print(`${list}s ${text}`, page.wall, page.cpu, String(page.value.rows.length), count.wall, count.cpu, String(count.value));
  }
}

async function sorts(browser: Browser): Promise<void> {
  print('sorted', 'first wall', 'first cpu', 'next wall', 'next cpu');
  for (const by of ['duration', 'bytes', 'status'] as const) {
    const request = { list: 'exchange', sort: { by, descending: true }, limit: PAGE } as const;
    const first = await timed(() => browser.page(request));
    const next = await timed(() => browser.page({ ...request, after: first.value.last }));
    print(`exchanges by ${by}`, first.wall, first.cpu, next.wall, next.cpu);
  }
}

async function walking(browser: Browser): Promise<void> {
  print('walking, 100 pages', 'median', 'worst');
  for (const backwards of [false, true]) {
    const times: number[] = [];
    let place: Cursor | null = null;
    for (let n = 0; n < 100; n++) {
      const at: Partial<PageRequest<'exchange'>> = backwards ? { before: place ?? 'end' } : { after: place };
      const page = await timed(() => browser.page({ list: 'exchange', limit: PAGE, ...at }));
      times.push(page.wall);
      place = page.value.reached;
    }
    times.sort((a, b) => a - b);
    print(backwards ? 'from the end' : 'from the beginning', times[50]!, times[99]!);
  }
}

async function stopping(browser: Browser): Promise<void> {
  print('stopped', 'rejected', 'next page');
  // None of them was counted before: what is known is answered at once, and cannot be stopped.
  for (const text of ['~b "nobody has this"', '~u /(x+x+)+y/', 'nor-has-anything-this']) {
    const abort = new AbortController();
    let began = 0;
    const counting = browser.count(
      { list: 'exchange', filter: filterOf(text, 'exchange') },
      () => {
        began ||= performance.now();
        abort.abort();
      },
      abort.signal,
    );
    await counting.catch(() => null);
    const rejected = performance.now() - began;
    const page = await timed(() => browser.page({ list: 'exchange', limit: PAGE, before: 'end' }));
    print(text, rejected, page.wall);
  }
}

const exchanges = Number(process.argv[2] ?? 1_000_000);
const given = process.argv[3];
const dir = mkdtempSync(join(tmpdir(), 'stringtap-million-'));
try {
  const file = given ?? join(dir, 'capture.db');
  if (!existsSync(file)) {
    const made = await timed(() => writePlausible(file, exchanges));
    print(`made: ${made.value.exchanges} exchanges, ${made.value.runs} runs`, `${(made.wall / 1_000).toFixed(0)} s`);
  }
  print('file', `${(statSync(file).size / 2 ** 20).toFixed(0)} MiB`);
  print('', 'wall', 'cpu');
  const store = await timed(() => openStore(file));
  print('open', store.wall, store.cpu);
  const first = await timed(() => [...store.value.exchanges({ reverse: true, limit: PAGE })]);
  print('first page, no thread', first.wall, first.cpu);
  const runs = await timed(() => [...store.value.runs({ reverse: true, limit: PAGE })]);
  print('first page of runs, no thread', runs.wall, runs.cpu);
  const browser = store.value.browse();
  const started = await timed(() => browser.page({ list: 'exchange', before: 'end', limit: PAGE }));
  print('thread, with its first page', started.wall, started.cpu);
  await filters(browser);
  await sorts(browser);
  await walking(browser);
  await stopping(browser);
  await browser.close();
  store.value.close();
} finally {
  rmSync(dir, { recursive: true, force: true });
}
