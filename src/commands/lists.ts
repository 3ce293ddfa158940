import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Subject } from '../analysis/filter.ts';
import { explainTls } from '../analysis/tls-failures.ts';
import { sized } from '../analysis/words.ts';
import { CaptureError, sqliteCode } from '../capture/errors.ts';
import { withoutSecrets } from '../capture/hidden-store.ts';
import { type RunResult, resultOf } from '../capture/run-result.ts';
import type { ConnectionRow, ExchangeRow, OutcomeType, RunRow, Store } from '../capture/store.ts';
import { type Leg, PHASES, type Phase } from '../model.ts';
import { CAPTURE_HELP, type Chosen, chosen, FILTER_HELP, openChosen } from './filter-argument.ts';
import { connectionJson, exchangeJson, idText, parseId, requireConnection, requireRun, runJson } from './ids.ts';
import type { Io } from './io.ts';
import { tellLosses } from './losses.ts';
import { noteText } from './note-text.ts';
import { sinceIso, wholeNumber } from './options.ts';
import { type Column, clock, day, duration, table, use } from './present.ts';
import { noteProblem, type Problem, showProblems } from './show-problems.ts';
import { pageOf } from './show-text.ts';
import { lineWidth } from './terminal.ts';

/** The rows of a capture, as tables or NDJSON. */
export function registerRuns(program: Command, io: Io): void {
  program
    .command('runs')
    .description('list the agent runs of a capture')
    .argument('[capture]', CAPTURE_HELP)
    .argument('[filter...]', FILTER_HELP)
    .option('--certname <NAME>', 'only runs of this agent')
    .option('--since <TIME>', 'only what began since: an ISO 8601 time, or an age as in 30m, 2h, 7d', sinceIso)
    .option('--limit <N>', 'the newest N only', wholeNumber)
    .option('--json', 'one JSON object a line')
    .action(
      async (
        file: string | undefined,
        words: string[],
        options: { certname?: string; since?: string; limit?: number; json?: boolean },
      ) => {
        await withChosen(io, file, words, 'run', (store, match) => {
          const rows = newest(options.limit, filter => store.runs({ ...filter, ...pick(options, ['certname', 'since']), match }));
          print(
            io,
            options.json === true,
            rows,
            row => ({ ...runJson(row), outcome: readResult(store, row) }),
            (to, found) => listRuns(to, found, store),
          );
        });
      },
    );
}

export function registerExchanges(program: Command, io: Io): void {
  program
    .command('exchanges')
    .description('list exchanges: one request with its outcome each')
    .argument('[capture]', CAPTURE_HELP)
    .argument('[filter...]', FILTER_HELP)
    .option('--run <RUN>', 'only of this run', parseId('run'))
    .addOption(new Option('--phase <PHASE>', 'only of this phase').choices(PHASES))
    .option('--status <CODE>', 'only with this status', status)
    .addOption(new Option('--outcome <OUTCOME>', 'only with this outcome').choices(['answered', 'failed', 'abandoned']))
    .option('--certname <NAME>', 'only of this agent')
    .option('--connection <CONNECTION>', 'only on this connection, of either leg', parseId('connection'))
    .option('--since <TIME>', 'only what began since: an ISO 8601 time, or an age as in 30m, 2h, 7d', sinceIso)
    .option('--limit <N>', 'the newest N only', wholeNumber)
    .option('--json', 'one JSON object a line')
    .action(async (file: string | undefined, words: string[], options: ExchangeOptions) => {
      await withChosen(io, file, words, 'exchange', (opened, match) => {
        const store = withoutSecrets(opened);
        if (options.run !== undefined) requireRun(store, options.run);
        if (options.connection !== undefined) requireConnection(store, options.connection);
        const wanted = pick(options, ['run', 'phase', 'status', 'outcome', 'certname', 'connection', 'since']);
        const rows = newest(options.limit, filter => store.exchanges({ ...filter, ...wanted, match }));
        print(io, options.json === true, rows, exchangeJson, listExchanges);
      });
    });
}

export function registerConnections(program: Command, io: Io): void {
  program
    .command('connections')
    .description('list connections of both legs')
    .argument('[capture]', CAPTURE_HELP)
    .argument('[filter...]', FILTER_HELP)
    .option('--run <RUN>', 'only those that this run used', parseId('run'))
    .addOption(new Option('--leg <LEG>', 'only this leg').choices(['agent', 'primary']))
    .option('--certname <NAME>', 'only of this agent')
    .option('--since <TIME>', 'only what was opened since: an ISO 8601 time, or an age as in 30m, 2h, 7d', sinceIso)
    .option('--limit <N>', 'the newest N only', wholeNumber)
    .option('--json', 'one JSON object a line')
    .action(
      async (
        file: string | undefined,
        words: string[],
        options: { run?: number; leg?: Leg; certname?: string; since?: string; limit?: number; json?: boolean },
      ) => {
        await withChosen(io, file, words, 'connection', (store, match) => {
          if (options.run !== undefined) requireRun(store, options.run);
          const wanted = pick(options, ['run', 'leg', 'certname', 'since']);
          const rows = newest(options.limit, filter => store.connections({ ...filter, ...wanted, match }));
          print(io, options.json === true, rows, connectionJson, listConnections);
        });
      },
    );
}

interface ExchangeOptions {
  run?: number;
  phase?: Phase;
  status?: number;
  outcome?: OutcomeType;
  certname?: string;
  connection?: number;
  since?: string;
  limit?: number;
  json?: boolean;
}

function status(text: string): number {
  if (!/^[1-5]\d\d$/.test(text)) throw new InvalidArgumentError('expected a status code, as in 404');
  return Number(text);
}

/** The given members of an object, without those that are undefined. */
function pick<T extends object, K extends keyof T>(from: T, names: readonly K[]): Pick<T, K> {
  const out: Partial<Pick<T, K>> = {};
  for (const name of names) if (from[name] !== undefined) out[name] = from[name];
  return out as Pick<T, K>;
}

async function withChosen(
  io: Io,
  file: string | undefined,
  words: readonly string[],
  subject: Subject,
  work: (store: Store, match: Chosen['filter']) => void,
): Promise<void> {
  const which = chosen(file, words, subject);
  const store = await openChosen(which, subject);
  try {
    tellLosses(io, store);
    work(store, which.filter);
  } finally {
    store.close();
  }
}

/** Rows oldest first; with a limit the newest ones of them. */
function newest<Row>(
  limit: number | undefined,
  rows: (filter: { limit?: number; reverse?: boolean }) => Iterable<Row>,
): Iterable<Row> {
  return limit === undefined ? rows({}) : [...rows({ limit, reverse: true })].reverse();
}

function print<Row>(
  io: Io,
  json: boolean,
  rows: Iterable<Row>,
  toJson: (row: Row) => object,
  list: (io: Io, rows: Iterable<Row>) => void,
): void {
  if (json) for (const row of rows) io.out(JSON.stringify(toJson(row)));
  else list(io, rows);
}

/** Prints rows as they are read; a head without rows is no answer. */
function printTable<Row>(io: Io, columns: readonly Column<Row>[], rows: Iterable<Row>, none: string): void {
  let head: string | null = null;
  for (const line of table(columns, rows, lineWidth(io))) {
    if (head === null) head = line;
    else {
      if (head !== '') io.out(head);
      head = '';
      io.out(line);
    }
  }
  if (head !== '') io.chatter(none);
}

const dash = (value: string | number | null): string => (value === null ? '-' : String(value));

/** How a run went; `null` where a damaged capture does not say it any more, but still has the run. */
function readResult(store: Store, row: RunRow): RunResult | null {
  try {
    return resultOf(store, row);
  } catch (error) {
    if (error instanceof CaptureError || sqliteCode(error) !== null) return null;
    throw error;
  }
}

export function listRuns(io: Io, rows: Iterable<RunRow>, store: Store): void {
  const notes = Map.groupBy(store.notes(), note => note.run);
  const columns: Column<RunRow>[] = [
    { title: 'RUN', value: row => idText('run', row.id) },
    { title: 'STARTED', value: row => `${day(Date.parse(row.startedAt))} ${clock(Date.parse(row.startedAt)).slice(0, 8)}` },
    { title: 'CERTNAME', value: row => row.certname },
    { title: 'RESULT', value: row => readResult(store, row) ?? '?' },
    { title: 'ENVIRONMENT', value: row => dash(row.environment) },
    { title: 'PUPPET', value: row => dash(row.puppetVersion) },
    {
      title: 'TIME',
      right: true,
      value: row => (row.endedAt === null ? '-' : duration(Date.parse(row.endedAt) - Date.parse(row.startedAt))),
    },
    { title: 'EXCH', right: true, value: row => String(row.exchanges) },
    { title: 'FAILED', right: true, value: row => String(row.failed) },
    { title: 'CONN', right: true, value: row => `${row.agentConnections}/${row.primaryConnections}` },
    { title: 'UP', right: true, value: row => sized(row.requestBytes) },
    { title: 'DOWN', right: true, value: row => sized(row.responseBytes) },
    { title: 'END', value: row => row.end ?? 'open' },
    ...(notes.size === 0
      ? []
      : [{ title: 'NOTES', value: (row: RunRow) => (notes.get(row.id) ?? []).map(noteText).join('; ').slice(0, 60) }]),
  ];
  printTable(io, columns, rows, 'no runs');
}

function statusText({ status, outcome, fault }: ExchangeRow): string {
  return `${dash(status)}${outcome === 'answered' ? '' : ` ${outcome}`}${fault === null ? '' : ' FAULT'}`;
}

function listExchanges(io: Io, rows: Iterable<ExchangeRow>): void {
  const columns: Column<ExchangeRow>[] = [
    { title: 'ID', value: row => idText('exchange', row.id) },
    { title: 'RUN', value: row => dash(idText('run', row.run)) },
    { title: 'TIME', value: row => clock(Date.parse(row.startedAt)) },
    { title: 'CERTNAME', value: row => dash(row.certname) },
    { title: 'PHASE', value: row => row.phase },
    { title: 'METHOD', value: row => row.method },
    { title: 'STATUS', value: statusText },
    { title: 'TOOK', right: true, value: row => duration(row.durationMs) },
    { title: 'UP', right: true, value: row => sized(row.requestBytes) },
    { title: 'DOWN', right: true, value: row => sized(row.responseBytes) },
    { title: 'AGENT', value: row => use(row.agentConnection, row.agentOrdinal) },
    { title: 'PRIMARY', value: row => use(row.primaryConnection, row.primaryOrdinal) },
    { title: 'TARGET', value: row => row.target },
  ];
  printTable(io, columns, rows, 'no exchanges');
}

function listConnections(io: Io, given: Iterable<ConnectionRow>): void {
  const found = new Map<string, Problem>();
  function* noted(): Generator<ConnectionRow> {
    for (const row of given) {
      noteProblem(found, idText('connection', row.id), explainTls(row));
      yield row;
    }
  }
  const columns: Column<ConnectionRow>[] = [
    { title: 'ID', value: row => idText('connection', row.id) },
    { title: 'LEG', value: row => row.leg },
    { title: 'OPENED', value: row => clock(Date.parse(row.openedAt)) },
    { title: 'PEER', value: row => row.peer },
    { title: 'VIA', value: row => row.via },
    { title: 'CERTNAME', value: row => dash(row.certname) },
    {
      title: 'TLS',
      value: row => (row.tlsVersion === null ? '-' : `${row.tlsVersion.replace('TLSv', '')}${row.resumed ? ' resumed' : ''}`),
    },
    { title: 'HANDSHAKE', right: true, value: row => (row.handshakeMs === null ? '-' : duration(row.handshakeMs)) },
    { title: 'EXCH', right: true, value: row => String(row.exchanges) },
    {
      title: 'OPEN FOR',
      right: true,
      value: row => (row.closedAt === null ? 'open' : duration(Date.parse(row.closedAt) - Date.parse(row.openedAt))),
    },
    { title: 'CLOSED BY', value: row => (row.closedBy === null ? '-' : `${row.closedBy}: ${row.cause}`) },
    { title: 'NOTE', value: row => row.refusal ?? row.error ?? '' },
  ];
  printTable(io, columns, noted(), 'no connections');
  const page = pageOf(io);
  if (found.size > 0) page.line();
  showProblems(page, found.values());
}
