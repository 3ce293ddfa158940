import { type Command, Option } from 'commander';
import { foldTimes, groupOf, TIMES_BY, type Times, type TimesBy } from '../analysis/times.ts';
import { counted, sized } from '../analysis/words.ts';
import { PHASES, type Phase } from '../model.ts';
import { CAPTURE_HELP, type Chosen, chosen, FILTER_HELP, openChosen } from './filter-argument.ts';
import type { Io } from './io.ts';
import { tellLosses } from './losses.ts';
import { captureFile, sinceIso, wholeNumber } from './options.ts';
import { type Column, duration, table } from './present.ts';
import { lineWidth } from './terminal.ts';

interface TimesOptions {
  by: TimesBy;
  since?: string;
  compare?: string;
  limit?: number;
  json?: boolean;
}

/** `stringtap times`: percentiles of how long requests took, by what they have in common; of one capture, or of two. */
export function registerTimes(program: Command, io: Io): void {
  program
    .command('times')
    .description('how long requests took: p50, p95, p99 of each phase, certname, environment, kind of request, status or run')
    .argument('[capture]', CAPTURE_HELP)
    .argument('[filter...]', FILTER_HELP)
    .addOption(new Option('--by <WHAT>', 'what requests are put together by').choices(TIMES_BY).default('phase'))
    .option('--since <TIME>', 'only what began since: an ISO 8601 time, or an age as in 30m, 2h, 7d', sinceIso)
    .option('--compare <FILE>', 'a second capture beside it: before and after a change')
    .option('--limit <N>', 'the N that took most time together only', wholeNumber)
    .option('--json', 'one JSON object a line')
    .action(async (file: string | undefined, words: string[], options: TimesOptions) => {
      const which = chosen(file, words, 'exchange');
      const own = { ...which, file: captureFile(which.file) };
      const other = options.compare === undefined ? null : { ...which, file: captureFile(options.compare) };
      const rows = paired(await measured(io, own, options), other === null ? null : await measured(io, other, options), options);
      if (options.json === true) for (const row of rows) io.out(JSON.stringify(timesJson(row, options.by)));
      else if (rows.length === 0) io.chatter('no exchanges');
      else {
        if (other !== null) for (const line of [`${own.file} → ${other.file}`, '']) io.out(line);
        const width = lineWidth(io);
        const columns = withGroup(options.by, other === null ? ownColumns() : bothColumns(), width);
        for (const line of table(columns, rows, width)) io.out(line);
      }
    });
}

/** A group with its times in the one capture, and in the other. */
interface Row {
  group: string | null;
  own: Times | null;
  other: Times | null;
}

async function measured(io: Io, which: Chosen, { by, since }: TimesOptions): Promise<Map<string | null, Times>> {
  const store = await openChosen(which, 'exchange');
  try {
    tellLosses(io, store);
    const rows = store.exchanges({ match: which.filter, ...(since !== undefined && { since }) });
    let faults = 0;
    const times = foldTimes(rows, row => {
      if (row.fault !== null) faults += 1;
      return groupOf(row, by);
    });
    if (faults > 0)
      io.err(
        `stringtap: ${counted(faults, 'request')} of these met a fault on purpose; '!~fault *' leaves them out (docs/faults.md)`,
      );
    return times;
  } finally {
    store.close();
  }
}

/** Phases stand in the order of a run, all else as it took most time. */
function paired(own: Map<string | null, Times>, other: Map<string | null, Times> | null, { by, limit }: TimesOptions): Row[] {
  const names = [...new Set([...own.keys(), ...(other?.keys() ?? [])])].slice(0, limit);
  if (by === 'phase') names.sort((a, b) => PHASES.indexOf(a as Phase) - PHASES.indexOf(b as Phase));
  return names.map(group => ({ group, own: own.get(group) ?? null, other: other?.get(group) ?? null }));
}

/** The documented shape of `times --json`; a capture that has nothing of a group says `null`. */
function timesJson({ group, own, other }: Row, by: TimesBy): object {
  const none = {
    requests: 0,
    p50Ms: null,
    p95Ms: null,
    p99Ms: null,
    maxMs: null,
    failed: 0,
    totalMs: 0,
    requestBytes: 0,
    responseBytes: 0,
  };
  return { by, group, ...(own ?? none), compare: other };
}

function ownColumns(): Column<Row>[] {
  const figure = (title: string, value: (times: Times) => string): Column<Row> => ({
    title,
    right: true,
    value: ({ own }) => (own === null ? '-' : value(own)),
  });
  return [
    figure('REQUESTS', times => String(times.requests)),
    figure('FAILED', times => String(times.failed)),
    figure('P50', times => duration(times.p50Ms)),
    figure('P95', times => duration(times.p95Ms)),
    figure('P99', times => duration(times.p99Ms)),
    figure('MAX', times => duration(times.maxMs)),
    figure('TOTAL', times => duration(times.totalMs)),
    figure('UP', times => sized(times.requestBytes)),
    figure('DOWN', times => sized(times.responseBytes)),
  ];
}

function bothColumns(): Column<Row>[] {
  const both = (title: string, value: (times: Times) => string): Column<Row> => ({
    title,
    right: true,
    value: ({ own, other }) => [own, other].map(times => (times === null ? '-' : value(times))).join(' → '),
  });
  return [
    both('REQUESTS', times => String(times.requests)),
    both('P50', times => duration(times.p50Ms)),
    both('P95', times => duration(times.p95Ms)),
    both('P99', times => duration(times.p99Ms)),
    both('MAX', times => duration(times.maxMs)),
    { title: 'P50 CHANGE', right: true, value: ({ own, other }) => change(own?.p50Ms ?? 0, other?.p50Ms ?? 0) },
  ];
}

function change(before: number, after: number): string {
  if (before === 0 || after === 0) return '-';
  const percent = Math.round((after / before - 1) * 100);
  return `${percent > 0 ? '+' : ''}${percent} %`;
}

/** What leaves room for the name of a request in a line that has not. */
const MAIN_FIGURES: ReadonlySet<string> = new Set(['REQUESTS', 'P50', 'P95', 'TOTAL', 'P50 CHANGE']);
const WIDE_COLUMNS = 120;

/** A kind of request may be long: it stands where a line is cut, and a narrow one has fewer figures before it. */
function withGroup(by: TimesBy, figures: Column<Row>[], width: number): Column<Row>[] {
  const name: Column<Row> = { title: by.toUpperCase(), value: ({ group }) => group ?? '-' };
  if (by !== 'request') return [name, ...figures];
  return [...figures.filter(({ title }) => width >= WIDE_COLUMNS || MAIN_FIGURES.has(title)), name];
}
