import type { Certname, CloseCause, ConnectionId, ExchangeId, Leg, Phase, RunId } from '../model.ts';
import { toCertname } from '../model.ts';
import { createPreludes, type Prelude } from './bootstrap.ts';

/*
 * Folds what happened on the agent leg into agent runs. Only the node request, the catalog request and the report carry Puppet's
 * transaction_uuid; everything else is joined by certname, connection, order and time. The rules, in the order in which they
 * decide:
 *
 *  - An exchange names an agent by its client certificate, or, while the agent has none, by the key of certificate_request/NAME
 *    and certificate/NAME. An exchange that names nobody belongs to no run, but for ca, crl and status, which may open one
 *    (bootstrap.ts).
 *  - It goes to the run of its transaction_uuid, else of its connection, else to the latest run of its certname, unless a new run begins: see begins().
 *  - A report that was answered ends a run (`report`). Else its last connection ends it (`connections-closed`), but when the
 *    proxy closed an idle connection the agent may well be busy applying a catalog: such a run stays open until
 *    it goes on, the certname begins another run, an hour has passed, or the recording ends (`idle`).
 *  - A run that was ended by its connections goes on when the agent comes back: agents drop a connection that was idle for 4 s
 *    (http_keepalive_timeout), and one that waits for its certificate (waitforcert) connects anew for each try.
 *
 * Nothing here depends on when it runs: the same events give the same runs, live or years later.
 */

/** One agent run; times in ms since the epoch. */
export interface Run {
  readonly id: RunId;
  readonly certname: Certname;
  transactionUuid: string | null;
  environment: string | null;
  puppetVersion: string | null;
  startedAt: number;
  endedAt: number | null;
  end: 'report' | 'connections-closed' | 'idle' | null;
  exchanges: number;
  /** Failed, abandoned, or answered with a 5xx status. */
  failed: number;
  agentConnections: number;
  primaryConnections: number;
  requestBytes: number;
  responseBytes: number;
}

/** An exchange is over. */
export interface ExchangeEvent {
  type: 'exchange';
  id: ExchangeId;
  /** Proved by the client certificate. */
  certname: Certname | null;
  phase: Phase;
  indirection: string | null;
  key: string | null;
  target: string;
  /** Agent leg. */
  connection: ConnectionId;
  openedAt: number;
  /** Of the agent's end of the connection, without the port. */
  address: string;
  primaryConnection: ConnectionId | null;
  startedAt: number;
  endedAt: number;
  status: number | null;
  outcome: 'answered' | 'failed' | 'abandoned';
  requestBytes: number;
  responseBytes: number;
  /** From the query, the catalog form or the report. */
  transactionUuid: string | null;
  environment: string | null;
  /** The agent's X-Puppet-Version. */
  puppetVersion: string | null;
  /** The request had If-Modified-Since. */
  conditional: boolean;
}

/** An agent's connection was closed. */
export interface ClosedEvent {
  type: 'closed';
  connection: ConnectionId;
  via: 'direct' | 'connect' | 'plain' | 'blind';
  address: string;
  openedAt: number;
  closedAt: number;
  by: Leg | 'proxy';
  cause: CloseCause;
  exchanges: number;
}

export type RunEvent =
  | ExchangeEvent
  | ClosedEvent
  /** Nothing happened until then. */
  | { type: 'time'; at: number }
  /** The recording ended, and with it every connection; nothing of it can follow. */
  | { type: 'cut' };

/** What events changed, to be stored. */
export interface RunChanges {
  runs: ReadonlySet<Readonly<Run>>;
  exchanges: ReadonlyArray<{ exchange: ExchangeId; run: RunId; n: number }>;
  connections: ReadonlyArray<{ connection: ConnectionId; run: RunId }>;
}

export interface RunFold {
  apply(event: RunEvent): void;
  /** Everything that changed since the last call. The runs go on changing: copy what you keep. */
  take(): RunChanges;
}

/**
 * How long a run without a connection may go on: longer than any pause in the middle of a run, but for its report (by
 * transaction_uuid).
 */
export const IDLE_MS = 3_600_000;

/** How long before a run its empty probe connection may have been opened, when its closing is seen late. */
const PROBE_MS = 10_000;

/**
 * Bounds of what is remembered of agents that went away, and of connections that were closed (an abandoned exchange ends after
 * its connection).
 */
const REMEMBERED_RUNS = 20_000;
const REMEMBERED_CONNECTIONS = 20_000;

/**
 * How far a run has come; an agent never goes back within one, but for pluginsync and catalog on the same connection
 * (environments).
 */
type Stage = 0 | 1 | 2 | 3 | 4 | 5;

interface State {
  run: Run;
  stage: Stage;
  address: string;
  agent: Set<ConnectionId>;
  open: Set<ConnectionId>;
  primary: Set<ConnectionId>;
  lastAt: number;
  reported: boolean;
  /** Requests of later phases know the environment better: what the agent asks for first may be changed by the primary. */
  environmentBy: Stage;
}

interface Used {
  closed: boolean;
  /** Runs that used the connection, the latest last. */
  runs: State[];
}

export function createRunFold(lastRun: number): RunFold {
  const byCertname = new Map<Certname, State>();
  const byAddress = new Map<string, State>();
  /** Runs without their report, by transaction_uuid: two agents with one certname (a machine that was cloned) may run at once. */
  const byUuid = new Map<string, State>();
  const used = new Map<ConnectionId, Used>();
  const closedOnes: ConnectionId[] = [];
  /** Runs whose last connection the proxy closed for idleness, by the time of that, in order. */
  const parked = new Map<State, number>();
  const preludes = createPreludes<ExchangeEvent>();
  let changes = nothing();
  let nextRun = lastRun + 1;

  function begin(certname: Certname, e: ExchangeEvent): State {
    const before = byCertname.get(certname);
    if (before !== undefined && parked.has(before)) endIdle(before);
    const neighbour = byAddress.get(e.address);
    const alone = neighbour === undefined || neighbour.run.certname === certname;
    const run: Run = {
      id: nextRun++ as RunId,
      certname,
      transactionUuid: null,
      environment: null,
      puppetVersion: null,
      startedAt: e.startedAt,
      endedAt: null,
      end: null,
      exchanges: 0,
      failed: 0,
      agentConnections: 0,
      primaryConnections: 0,
      requestBytes: 0,
      responseBytes: 0,
    };
    const state: State = {
      run,
      stage: 0,
      address: e.address,
      agent: new Set(),
      open: new Set(),
      primary: new Set(),
      lastAt: e.startedAt,
      reported: false,
      environmentBy: 0,
    };
    byCertname.delete(certname); // so that the map is in the order of the latest runs
    byCertname.set(certname, state);
    byAddress.delete(e.address);
    byAddress.set(e.address, state);
    forget(byCertname);
    forget(byAddress);
    const prelude =
      preludes.takeConnection(e.address, e.connection) ??
      preludes.take(e.address, e.openedAt, { enrols: e.certname === null, alone });
    if (prelude !== null) attachPrelude(state, prelude);
    return state;
  }

  function attachPrelude(state: State, prelude: Prelude<ExchangeEvent>): void {
    for (const connection of prelude.connections) addConnection(state, connection);
    for (const e of prelude.exchanges) attach(state, e);
  }

  function addConnection(state: State, connection: ConnectionId): void {
    if (state.agent.has(connection)) return;
    state.agent.add(connection);
    state.run.agentConnections = state.agent.size;
    changes.connections.push({ connection, run: state.run.id });
    changes.runs.add(state.run);
    const use = used.get(connection);
    if (use?.closed !== true) state.open.add(connection);
    if (use === undefined) used.set(connection, { closed: false, runs: [state] });
    else use.runs.push(state);
  }

  function attach(state: State, e: ExchangeEvent): void {
    const { run } = state;
    addConnection(state, e.connection);
    if (e.primaryConnection !== null && !state.primary.has(e.primaryConnection)) {
      state.primary.add(e.primaryConnection);
      run.primaryConnections = state.primary.size;
      changes.connections.push({ connection: e.primaryConnection, run: run.id });
    }
    run.exchanges++;
    changes.exchanges.push({ exchange: e.id, run: run.id, n: run.exchanges });
    if (e.outcome !== 'answered' || (e.status !== null && e.status >= 500)) run.failed++;
    run.requestBytes += e.requestBytes;
    run.responseBytes += e.responseBytes;
    run.startedAt = Math.min(run.startedAt, e.startedAt);
    if (run.transactionUuid === null && e.transactionUuid !== null) {
      run.transactionUuid = e.transactionUuid;
      byUuid.set(e.transactionUuid, state);
      forget(byUuid);
    }
    run.puppetVersion ??= e.puppetVersion;
    const stage = stageOf(e);
    if (e.environment !== null && stage >= state.environmentBy) {
      run.environment = e.environment;
      state.environmentBy = stage;
    }
    if (stage > state.stage) state.stage = stage;
    state.lastAt = Math.max(state.lastAt, e.endedAt);
    if (e.phase === 'report' && e.status !== null && e.outcome !== 'abandoned') {
      state.reported = true;
      if (run.transactionUuid !== null) byUuid.delete(run.transactionUuid);
      end(state, 'report', e.endedAt);
    } else if (!state.reported && run.end !== null && state.open.has(e.connection)) {
      run.end = run.endedAt = null; // the agent came back
    }
    parked.delete(state);
    changes.runs.add(run);
  }

  function end(state: State, how: NonNullable<Run['end']>, at: number): void {
    state.run.end = how;
    state.run.endedAt = at;
    parked.delete(state);
    changes.runs.add(state.run);
  }

  function endIdle(state: State): void {
    end(state, 'idle', state.lastAt);
  }

  function exchange(e: ExchangeEvent): void {
    passed(e.endedAt);
    const use = used.get(e.connection);
    const latest = use?.runs.at(-1);
    const certname = named(e);
    if (certname === null) {
      if (!opensRuns(e)) return;
      if (latest !== undefined && !latest.reported) attach(latest, e);
      else preludes.exchange(e);
      return;
    }
    const known = e.transactionUuid === null ? undefined : byUuid.get(e.transactionUuid);
    const candidate = [known, latest].find(one => one?.run.certname === certname) ?? byCertname.get(certname);
    const state = candidate === undefined || begins(e, candidate) ? begin(certname, e) : candidate;
    if (!state.agent.has(e.connection)) {
      const prelude = preludes.takeConnection(e.address, e.connection);
      if (prelude !== null) attachPrelude(state, prelude);
    }
    attach(state, e);
  }

  function closed(c: ClosedEvent): void {
    passed(c.closedAt);
    const use = used.get(c.connection);
    closedOnes.push(c.connection);
    if (closedOnes.length > REMEMBERED_CONNECTIONS) used.delete(closedOnes.shift()!);
    if (use === undefined) {
      used.set(c.connection, { closed: true, runs: [] });
      if (c.exchanges === 0 && (c.via === 'direct' || c.via === 'connect')) probe(c);
      return;
    }
    use.closed = true;
    for (const state of use.runs) {
      state.open.delete(c.connection);
      if (state.open.size > 0 || state.run.end !== null) continue;
      if (c.by === 'proxy' && c.cause === 'idle-timeout') parked.set(state, c.closedAt);
      else end(state, 'connections-closed', Math.max(c.closedAt, state.lastAt));
    }
  }

  function probe(c: ClosedEvent): void {
    const state = byAddress.get(c.address);
    const before = state === undefined ? -1 : state.run.startedAt - c.openedAt;
    if (state !== undefined && before >= 0 && before < PROBE_MS) addConnection(state, c.connection);
    else preludes.probe(c.address, c.connection, c.openedAt);
  }

  /** Ends what nothing more came to until `at`. */
  function passed(at: number): void {
    for (const [state, since] of parked) {
      if (since + IDLE_MS > at) break;
      endIdle(state);
    }
    for (const prelude of preludes.expired(at)) {
      const state = byAddress.get(prelude.address);
      if (state !== undefined && state.lastAt >= prelude.from) attachPrelude(state, prelude);
    }
  }

  function cut(): void {
    passed(Number.POSITIVE_INFINITY);
    const states = [...used.values()].flatMap(use => use.runs);
    for (const state of [...states, ...byCertname.values()]) {
      if (state.run.end === null) end(state, 'connections-closed', state.lastAt);
    }
    byCertname.clear();
    byAddress.clear();
    byUuid.clear();
    used.clear();
    closedOnes.length = 0;
  }

  return {
    apply(event) {
      switch (event.type) {
        case 'exchange':
          return exchange(event);
        case 'closed':
          return closed(event);
        case 'time':
          return passed(event.at);
        case 'cut':
          return cut();
        default:
          event satisfies never;
      }
    },
    take() {
      const taken = changes;
      changes = nothing();
      return taken;
    },
  };
}

function nothing() {
  return {
    runs: new Set<Run>(),
    exchanges: [] as Array<{ exchange: ExchangeId; run: RunId; n: number }>,
    connections: [] as Array<{ connection: ConnectionId; run: RunId }>,
  };
}

/** Drops the oldest run that is over, when there are very many. */
function forget<K>(runs: Map<K, State>): void {
  if (runs.size <= REMEMBERED_RUNS) return;
  for (const [key, state] of runs) {
    if (state.run.end === null) continue;
    runs.delete(key);
    return;
  }
}

function named(e: ExchangeEvent): Certname | null {
  if (e.certname !== null) return e.certname;
  return (e.phase === 'csr' || e.phase === 'certificate') && e.key !== null ? toCertname(e.key) : null;
}

/** Requests without a name that an agent begins with; with server_list it first asks for the server's status. */
function opensRuns(e: ExchangeEvent): boolean {
  return e.phase === 'ca' || e.phase === 'crl' || e.target.startsWith('/status/v1/simple');
}

function stageOf(e: ExchangeEvent): Stage {
  switch (e.phase) {
    case 'ca':
    case 'crl':
    case 'csr':
    case 'certificate':
    case 'other':
      return 0;
    case 'node':
      return 1;
    case 'pluginsync':
      return 2;
    case 'catalog':
      return 3;
    case 'file':
    case 'filebucket':
      return 4;
    case 'report':
      return 5;
    default:
      return e.phase satisfies never;
  }
}

/** Whether an exchange begins a new run instead of going on with the latest one of its certname. */
function begins(e: ExchangeEvent, { run, reported, agent, open, lastAt, stage }: State): boolean {
  if (e.transactionUuid !== null && run.transactionUuid !== null) return e.transactionUuid !== run.transactionUuid;
  if (reported) return true; // the report is an agent's last request
  if (agent.has(e.connection)) return false;
  if (open.size === 0 && e.startedAt - lastAt > IDLE_MS) return true;
  switch (e.phase) {
    case 'ca':
    case 'crl':
    case 'csr':
    case 'certificate':
      return stage > 0;
    case 'node':
      return stage >= 1;
    case 'pluginsync':
      return stage >= 2 && checksEnvironment(e);
    default:
      return false;
  }
}

/**
 * The first request of pluginsync: does the environment exist? (configurer.rb; the run's first of all when it remembers its
 * environment)
 */
function checksEnvironment(e: ExchangeEvent): boolean {
  return e.indirection === 'file_metadatas' && e.key === 'plugins' && /[?&]recurse=false(&|$)/.test(e.target);
}
