import { type Command, Option } from 'commander';
import { foldReuse, type Reuse } from '../analysis/reuse.ts';
import { advise } from '../analysis/reuse-advice.ts';
import { segmentsOf } from '../analysis/reuse-lanes.ts';
import type { ConnectionFacts } from '../analysis/reuse-rows.ts';
import type { ConnectionRow, ExchangeRow, RunRow, Store } from '../capture/store.ts';
import { type ExchangeId, PHASES, type Phase } from '../model.ts';
import { runsAndCapture } from './filter-argument.ts';
import { idText, requireRun } from './ids.ts';
import { CliError, type Io } from './io.ts';
import { openCapture, since } from './options.ts';
import { broken } from './present.ts';
import { adviceLines, closingLines, figureLines, laneLines } from './reuse-text.ts';
import { lineWidth } from './terminal.ts';

interface ReuseOptions {
  certname?: string;
  since?: number;
  phase?: Phase;
  compare?: string;
  capture?: string;
  json?: boolean;
}

/** Up to so many runs are read one by one; for more the whole capture is walked through once. */
const SINGLE_RUNS = 8;
/** Answers whose fields are looked at for what the primary advertises. */
const ADVERTISING = 100;

/** `stringtap reuse`: connection reuse on both legs, who closed what and why, what it cost, what to change. */
export function registerReuse(program: Command, io: Io): void {
  program
    .command('reuse')
    .description('connection reuse on both legs: who reused, who closed and why, what it cost, what to change')
    .argument('[run...]', 'only these runs, as in r3 (default: the whole capture); at the end a capture file')
    .option('--certname <NAME>', 'only the runs of this agent')
    .option('--since <TIME>', 'only what began since: an ISO 8601 time, or an age as in 30m, 2h, 7d', since)
    .addOption(
      new Option('--phase <PHASE>', 'only the exchanges of this phase, and the connections that they went over').choices(PHASES),
    )
    .option('--capture <FILE>', 'capture file (default: the newest in captures/)')
    .option('--compare <FILE>', 'a second capture beside it: before and after a change of a setting')
    .option('--json', 'as one JSON object')
    .action(async (words: string[], options: ReuseOptions) => {
      const { runs, file } = runsAndCapture('reuse', words, options.capture);
      const store = await openCapture(file);
      try {
        const main = measure(store, { ...options, runs });
        const other = options.compare === undefined ? null : await measureOther(options.compare, options);
        if (options.json === true) io.out(jsonOf(main, other));
        else show(io, main, other);
      } finally {
        store.close();
      }
    });
}

interface Scope {
  runs: readonly number[];
  certname?: string;
  since?: number;
  phase?: Phase;
}

interface Measured {
  reuse: Reuse;
  title: string;
  advertised: Advertised;
  pools: readonly string[];
  /** The JSON object but for its connections. */
  json: object;
}

/** What the primary says of its connections; Puppet Server says nothing. */
interface Advertised {
  answers: number;
  /** Values of the Keep-Alive field, each once. */
  keepAlive: readonly string[];
  /** Answers with `Connection: close`. */
  connectionClose: number;
}

async function measureOther(file: string, options: ReuseOptions): Promise<Measured> {
  const store = await openCapture(file);
  try {
    return measure(store, { ...options, runs: [] });
  } finally {
    store.close();
  }
}

function measure(store: Store, scope: Scope): Measured {
  const runs = runsOf(store, scope);
  const { connections, exchanges, counts } = ofPhase(read(store, scope, runs), scope.phase);
  const firsts: ExchangeId[] = [];
  const reuse = foldReuse(connections, exchanges, row => {
    const counted = counts(row);
    if (counted && row.primaryConnection !== null && row.primaryOrdinal === 1) firsts.push(row.id);
    if (firsts.length > ADVERTISING) firsts.shift();
    return counted;
  });
  const advertised = advertisedBy(store, firsts);
  const used = new Set(reuse.connections.map(({ facts }) => facts.recording));
  const pools = [...new Set(store.recordings().flatMap(row => (used.has(row.id) ? row.pool : [])))];
  const json = {
    capture: store.file,
    runs: runs?.map(run => idText('run', run.id)) ?? null,
    certname: scope.certname ?? null,
    since: scope.since === undefined ? null : new Date(scope.since).toISOString(),
    phase: scope.phase ?? null,
    pools,
    agent: reuse.agent,
    primary: reuse.primary,
    advertised,
    advice: advise(reuse),
  };
  const imported = store.recordings().some(row => used.has(row.id) && row.imported);
  const title = `${titleOf(store, scope, runs)}${imported ? ' (imported: what was not told is not counted)' : ''}`;
  return { reuse, title, advertised, pools, json };
}

/** One object. Connections are written one by one: as data they would take some hundred bytes for each exchange. */
function jsonOf(main: Measured, other: Measured | null): string {
  const pieces = ({ json, reuse }: Measured): string => {
    let text = `${JSON.stringify(json).slice(0, -1)},"connections":[`;
    for (const [n, one] of reuse.connections.entries()) text += `${n === 0 ? '' : ','}${JSON.stringify(connectionJson(one))}`;
    return `${text}]`;
  };
  return `${pieces(main)},"compare":${other === null ? 'null' : `${pieces(other)}}`}}`;
}

function connectionJson(connection: Reuse['connections'][number]): object {
  const { facts, exchanges, inherited, bootstrap, ending, idleBeforeCloseMs } = connection;
  const { id, leg, certname, tlsVersion, resumed, connectMs, handshakeMs, bytesRead, bytesWritten, closedBy, cause } = facts;
  return {
    ...{ id: idText('connection', id), leg, certname, tlsVersion, resumed, connectMs, handshakeMs, inherited, bootstrap },
    exchanges,
    ...{ bytesRead, bytesWritten, closedBy, cause, ending, idleBeforeCloseMs },
    segments: segmentsOf(connection),
  };
}

/** The runs that are reported on, `null` for everything. */
function runsOf(store: Store, scope: Scope): RunRow[] | null {
  if (scope.runs.length === 0 && scope.certname === undefined) return null;
  const named = scope.runs.map(id => requireRun(store, id));
  const { certname } = scope;
  const runs = named.length > 0 ? named : [...store.runs(certname === undefined ? {} : { certname })];
  const wanted = runs.filter(
    run =>
      (certname === undefined || run.certname === certname) &&
      (scope.since === undefined || Date.parse(run.startedAt) >= scope.since),
  );
  if (wanted.length === 0) throw new CliError(`no such run in ${store.file}`, `stringtap runs ${store.file} lists them`);
  return wanted;
}

/** What is held of a connection. */
interface Connected extends ConnectionFacts {
  exchanges: number;
  openedAt: string;
}

function factsOf(row: ConnectionRow): Connected {
  const { id, recording, leg, via, certname, peerName, openedAt, openedMono, connectMs, handshakeMs, tlsVersion } = row;
  const { resumed, bytesRead, bytesWritten, closedMono, closedBy, cause, exchanges } = row;
  return {
    ...{ id, recording, leg, via, certname, peerName, openedAt, openedMono, connectMs, handshakeMs, tlsVersion },
    ...{ resumed, bytesRead, bytesWritten, closedMono, closedBy, cause, exchanges },
  };
}

interface Rows {
  connections: Iterable<Connected>;
  /** In the order of ids; read as they are walked through, once. */
  exchanges: Iterable<ExchangeRow>;
  counts(exchange: ExchangeRow): boolean;
}

/** A connection that carried nothing is of no phase. */
function ofPhase(rows: Rows, phase: Phase | undefined): Rows {
  if (phase === undefined) return rows;
  return {
    ...rows,
    connections: [...rows.connections].filter(row => row.exchanges > 0),
    counts: row => row.phase === phase && rows.counts(row),
  };
}

function read(store: Store, scope: Scope, runs: readonly RunRow[] | null): Rows {
  if (runs === null) return readAll(store, scope.since ?? null);
  const ids = new Set(runs.map(run => run.id));
  const counts: Rows['counts'] = ({ run }) => run !== null && ids.has(run);
  const connections = new Map<number, Connected>();
  for (const run of runs) for (const row of store.connections({ run: run.id })) connections.set(row.id, factsOf(row));
  if (runs.length > SINGLE_RUNS) return { connections: connections.values(), exchanges: store.exchanges(), counts };
  const exchanges = new Map(runs.flatMap(run => [...store.exchanges({ run: run.id })].map(row => [row.id, row])));
  // What went before on connections that an earlier run had opened: the pause before the first exchange is measured from there.
  for (const id of openedBefore([...exchanges.values()])) {
    for (const row of store.exchanges({ connection: id })) exchanges.set(row.id, row);
  }
  const inOrder = [...exchanges.values()].sort((a, b) => a.id - b.id);
  return { connections: connections.values(), exchanges: inOrder, counts };
}

function openedBefore(exchanges: readonly ExchangeRow[]): Set<number> {
  const least = new Map<number, number>();
  const note = (id: number | null, ordinal: number | null): void => {
    if (id !== null && ordinal !== null) least.set(id, Math.min(least.get(id) ?? ordinal, ordinal));
  };
  for (const row of exchanges) {
    note(row.agentConnection, row.agentOrdinal);
    note(row.primaryConnection, row.primaryOrdinal);
  }
  return new Set([...least].flatMap(([id, ordinal]) => (ordinal > 1 ? [id] : [])));
}

function readAll(store: Store, from: number | null): Rows {
  const connections: Connected[] = [];
  for (const row of store.connections()) connections.push(factsOf(row));
  const exchanges = store.exchanges();
  if (from === null) return { connections, exchanges, counts: () => true };
  return {
    connections: connections.filter(row => row.exchanges > 0 || Date.parse(row.openedAt) >= from),
    exchanges,
    counts: ({ startedAt }) => Date.parse(startedAt) >= from,
  };
}

/** Looks at the first answer of each connection to the primary, the newest ones. */
function advertisedBy(store: Store, firsts: readonly ExchangeId[]): Advertised {
  const keepAlive = new Set<string>();
  let answers = 0;
  let connectionClose = 0;
  for (const id of firsts) {
    const response = store.exchange(id)?.response;
    if (!response) continue;
    answers += 1;
    const values = (wanted: string): string[] =>
      response.fields.flatMap(([name, value]) => (name.toLowerCase() === wanted ? [value] : []));
    for (const value of values('keep-alive')) keepAlive.add(value.slice(0, 100));
    if (values('connection').some(value => /\bclose\b/i.test(value))) connectionClose += 1;
  }
  return { answers, keepAlive: [...keepAlive].slice(0, 10), connectionClose };
}

function titleOf(store: Store, scope: Scope, runs: readonly RunRow[] | null): string {
  const phase = scope.phase === undefined ? '' : `, phase ${scope.phase}`;
  const from = `${scope.since === undefined ? '' : ` since ${new Date(scope.since).toISOString()}`}${phase}`;
  if (runs === null) return `${store.file}: everything${from}`;
  const names = [...new Set(runs.map(run => run.certname))].slice(0, 3).join(', ');
  const which = runs.length <= 5 ? runs.map(run => idText('run', run.id)).join(' ') : `${runs.length} runs`;
  return `${store.file}: ${which} of ${names}${from}`;
}

function show(io: Io, main: Measured, other: Measured | null): void {
  const width = lineWidth(io);
  const out = (lines: readonly string[]): void => {
    for (const line of lines) for (const part of broken(line, width, 2)) io.out(part);
  };
  const head = (measured: Measured): string =>
    `${measured.title}; connections to the primary: ${measured.pools.join(', ') || '-'}`;
  out(other === null ? [head(main), ''] : [`A: ${head(main)}`, `B: ${head(other)}`, '']);
  out(figureLines(other === null ? [main.reuse] : [main.reuse, other.reuse], other === null ? [] : ['A', 'B'], width));
  for (const { measured, name } of [{ measured: main, name: 'A' }, ...(other === null ? [] : [{ measured: other, name: 'B' }])]) {
    const which = other === null ? '' : `${name}: `;
    out(['', `${which}why connections ended`, ...closingLines(measured.reuse)]);
    if (other === null) out(['', ...laneLines(measured.reuse, width)]);
    out(['', `${which}limits`, ...limitLines(measured), '', `${which}what to change`, ...adviceLines(advise(measured.reuse))]);
  }
}

const whole = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

function limitLines({ reuse, advertised }: Measured): string[] {
  const { agent, primary } = reuse;
  const survived = agent.longestSurvivedMs;
  const closed = agent.shortestClosedMs.agent;
  const says =
    advertised.keepAlive.length > 0
      ? `Keep-Alive: ${advertised.keepAlive.join(' | ')}`
      : advertised.connectionClose > 0
        ? `Connection: close in ${advertised.connectionClose} of ${advertised.answers} answers`
        : 'nothing';
  const idle = primary.shortestClosedMs.primary;
  return [
    `the agent reused connections after up to ${survived === null ? '-' : whole(survived)}, ${
      closed === null ? 'and closed none for being idle' : `and closed one after ${whole(closed)}`
    } (http_keepalive_timeout, default 4 s)`,
    `the primary advertises ${says}; ${
      idle === null ? 'it closed no connection for being idle' : `it closed idle connections after ${whole(idle)} and more`
    } (idle-timeout-milliseconds, default 30 s)`,
  ];
}
