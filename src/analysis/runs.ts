import type { Certname, ConnectionId, ExchangeId, RunId } from '../model.ts';
import { createPreludes, type Prelude } from './bootstrap.ts';
import { begins, IDLE_MS, named, opensRuns, type Progress, type Stage, stageOf } from './run-beginnings.ts';
import type { ClosedEvent, ExchangeEvent, RunEvent } from './run-events.ts';

/*
 * Folds what happened on the agent leg into agent runs. Only the node request, the catalog request and the report carry Puppet's
 * transaction_uuid; everything else is joined by certname, connection, order and time. The rules, in the order in which they
 * decide:
 *
 *  - An exchange names an agent by its client certificate, or, while the agent has none, by the key of certificate_request/NAME
 *    and certificate/NAME. An exchange that names nobody belongs to no run, but for ca, crl and status, which may open one
 *    (bootstrap.ts).
 *  - It goes to the run of its transaction_uuid, else of its connection, else to the latest run of its certname, unless a new run begins: see
 *    run-beginnings.ts.
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

/** How long before a run its empty probe connection may have been opened, when its closing is seen late. */
const PROBE_MS = 10_000;

/**
 * Bounds of what is remembered of agents that went away, and of connections that were closed (an abandoned exchange ends after
 * its connection).
 */
const REMEMBERED_RUNS = 20_000;
const REMEMBERED_CONNECTIONS = 20_000;

interface State extends Progress {
  run: Run;
  stage: Stage;
  address: string;
  agent: Set<ConnectionId>;
  open: Set<ConnectionId>;
  primary: Set<ConnectionId>;
  lastAt: number;
  reported: boolean;
  /** Body of the latest CSR. */
  csr: number | null;
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
    const beginning = { certname, enrols: e.certname === null, alone: alone(certname, e.address) };
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
      csr: null,
      environmentBy: 0,
    };
    byCertname.delete(certname); // so that the map is in the order of the latest runs
    byCertname.set(certname, state);
    byAddress.delete(e.address);
    byAddress.set(e.address, state);
    forget(byCertname);
    forget(byAddress);
    const prelude = preludes.takeConnection(e.address, e.connection) ?? preludes.take(e.address, e.openedAt, beginning);
    if (prelude !== null) attachPrelude(state, prelude);
    return state;
  }

  /** No other agent was seen at the address after it. */
  function alone(certname: Certname, address: string): boolean {
    const neighbour = byAddress.get(address);
    return neighbour === undefined || neighbour.run.certname === certname;
  }

  /**
   * An agent that waits for its certificate has the CA's files and asks for them no more, and sends the same CSR again: one with another key that
   * asks for the CA was wiped, and is started anew. With an EC key the bytes differ each time, and only the first sign is left.
   */
  function startsOver(e: ExchangeEvent, { agent, lastAt, csr }: State): boolean {
    if (e.phase !== 'csr' || agent.has(e.connection) || e.requestBody === csr) return false;
    return preludes.enrolling(e.address, lastAt, e.openedAt);
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
    if (e.phase === 'csr') state.csr = e.requestBody;
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
    const anew = candidate === undefined || begins(e, candidate) || startsOver(e, candidate);
    const state = anew ? begin(certname, e) : candidate;
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

  /**
   * An empty connection is of the run that begins after it. Without keep-alive an agent opens one each time that it looks for a service,
   * with its certificate, also in the middle of a run.
   */
  function probe(c: ClosedEvent): void {
    const own = c.certname === null ? byAddress.get(c.address) : byCertname.get(c.certname);
    if (own !== undefined) {
      const before = own.run.startedAt - c.openedAt;
      const within = c.certname !== null && !own.reported && before < 0 && c.openedAt - own.lastAt < PROBE_MS;
      if (within || (before >= 0 && before < PROBE_MS)) {
        addConnection(own, c.connection);
        return;
      }
    }
    preludes.probe(c.address, c.connection, c.openedAt, c.certname);
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
