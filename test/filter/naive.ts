import type { Filter, Pattern, Subject, TextTerm } from '../../src/analysis/filter.ts';
import { compileRegex } from '../../src/analysis/filter-regex.ts';
import type { DecodedRows } from '../../src/capture/decoded-shapes.ts';
import type { ConnectionRow, ExchangeDetail, RunRow, Store } from '../../src/capture/store.ts';
import { codingsOf, decodeContent } from '../../src/decode/encoding.ts';
import type { Fields } from '../../src/model.ts';

/** A whole capture in memory, and the plain meaning of filters on it: what SQL has to agree with. */
export interface World {
  exchanges: ExchangeDetail[];
  runs: RunRow[];
  connections: ConnectionRow[];
  /** Ids of the connections of each run, those that carried nothing included. */
  used: Map<number, Set<number>>;
  bodies: Map<string, Buffer>;
  facts: DecodedRows['fact'][];
  resources: DecodedRows['resource'][];
  statuses: DecodedRows['resource_status'][];
  findings: Array<{
    run: number | null;
    rule: string;
    severity: string;
    summary: string;
    exchanges: number[];
    connections: number[];
  }>;
}

export function worldOf(store: Store): World {
  const exchanges = [...store.exchanges()].map(row => store.exchange(row.id)!);
  const bodies = new Map<string, Buffer>();
  for (const { id, bodies: infos } of exchanges) {
    for (const { side } of infos) bodies.set(`${id} ${side}`, Buffer.concat([...store.body(id, side)]));
  }
  const findings = [...store.query('SELECT run, rule, severity, summary, evidence FROM v_finding').rows].map(row => {
    const evidence = JSON.parse(String(row[4])) as { exchanges?: number[]; connections?: number[] };
    return {
      run: row[0] as number | null,
      rule: String(row[1]),
      severity: String(row[2]),
      summary: String(row[3]),
      exchanges: evidence.exchanges ?? [],
      connections: evidence.connections ?? [],
    };
  });
  return {
    exchanges,
    runs: [...store.runs()],
    used: new Map([...store.runs()].map(({ id }) => [id, new Set([...store.connections({ run: id })].map(row => row.id))])),
    connections: [...store.connections()],
    bodies,
    facts: store.decoded.rows('fact', {}),
    resources: store.decoded.rows('resource', {}),
    statuses: store.decoded.rows('resource_status', {}),
    findings,
  };
}

export function wanted(world: World, filter: Filter, subject: 'exchange' | 'run' | 'connection'): number[] {
  const rows = { exchange: world.exchanges, run: world.runs, connection: world.connections }[subject];
  return rows.filter(row => holds(world, filter, subject, row.id)).map(({ id }) => id);
}

function holds(world: World, filter: Filter, subject: Subject, id: number): boolean {
  switch (filter.type) {
    case 'and':
      return filter.terms.every(term => holds(world, term, subject, id));
    case 'or':
      return filter.terms.some(term => holds(world, term, subject, id));
    case 'not':
      return !holds(world, filter.term, subject, id);
    default:
      if (subject === 'exchange') return onExchange(world, filter, world.exchanges.find(row => row.id === id)!);
      if (subject === 'run') return onRun(world, filter, world.runs.find(row => row.id === id)!);
      return onConnection(world, filter, world.connections.find(row => row.id === id)!);
  }
}

type Term = Exclude<Filter, { type: 'and' | 'or' | 'not' }>;

const lower = (text: string): string => text.replace(/[A-Z]/g, letter => letter.toLowerCase());

export function like(pattern: Pattern, ...texts: ReadonlyArray<string | null | undefined>): boolean {
  return texts.some(text => {
    if (text === null || text === undefined) return false;
    if (pattern.type === 'regex') {
      const compiled = compileRegex(pattern.source);
      return 'test' in compiled && compiled.test(text);
    }
    const pieces = pattern.pieces.map(piece => lower(piece).replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'));
    const source = pieces.length === 1 ? pieces[0]! : `^${pieces.join('[^]*')}$`;
    return new RegExp(source).test(lower(text));
  });
}

const texts = new WeakMap<Buffer, string>();

/** What a body says; as it is when it is not what its Content-Encoding says. */
function textOf(bytes: Buffer, fields: Fields): string {
  let text = texts.get(bytes);
  if (text === undefined) {
    try {
      text = Buffer.from(decodeContent(bytes, codingsOf(fields)).bytes).toString('utf8');
    } catch {
      text = bytes.toString('utf8');
    }
    texts.set(bytes, text);
  }
  return text;
}

function inBody(pattern: Pattern, bytes: Buffer | undefined, fields: Fields): boolean {
  if (bytes === undefined) return false;
  const text = textOf(bytes, fields);
  if (pattern.type === 'regex') return like(pattern, text);
  let rest = lower(text);
  for (const piece of pattern.pieces.map(lower)) {
    const found = rest.indexOf(piece);
    if (found === -1) return false;
    rest = rest.slice(found + piece.length);
  }
  return true;
}

const lines = (fields: Fields): string[] => fields.map(([name, value]) => `${name}: ${value}`);
const types = (fields: Fields): string[] => fields.filter(([name]) => lower(name) === 'content-type').map(([, value]) => value);
const within = (value: number | null, { from, to }: { from: number; to: number }): boolean =>
  value !== null && value >= from && value <= to;

function onExchange(world: World, term: Term, row: ExchangeDetail): boolean {
  const run = world.runs.find(({ id }) => id === row.run);
  const connections = world.connections.filter(({ id }) => id === row.agentConnection || id === row.primaryConnection);
  switch (term.type) {
    case 'status':
      return within(row.status, term);
    case 'phase':
      return row.phase === term.phase;
    case 'flag':
      if (term.flag === 'e') return row.outcome !== 'answered' || (row.status ?? 0) >= 500;
      return (row.status === null) === (term.flag === 'q');
    case 'ids':
      return term.of === 'run' ? within(row.run, term) : within(row.agentConnection, term) || within(row.primaryConnection, term);
    case 'text':
      break;
  }
  const { pattern } = term;
  const asked = row.request.fields;
  const answered = row.response?.fields ?? [];
  const body = (side: 'request' | 'response'): boolean =>
    inBody(pattern, world.bodies.get(`${row.id} ${side}`), side === 'request' ? asked : answered);
  const meanings: Record<TextTerm, () => boolean> = {
    any: () => like(pattern, row.target, row.certname, row.key),
    u: () => like(pattern, row.target),
    m: () => like(pattern, row.method),
    d: () => connections.some(c => like(pattern, c.serverName, c.target)),
    h: () => like(pattern, ...lines(asked), ...lines(answered)),
    hq: () => like(pattern, ...lines(asked)),
    hs: () => like(pattern, ...lines(answered)),
    t: () => like(pattern, ...types(asked), ...types(answered)),
    tq: () => like(pattern, ...types(asked)),
    ts: () => like(pattern, ...types(answered)),
    b: () => body('request') || body('response'),
    bq: () => body('request'),
    bs: () => body('response'),
    certname: () => like(pattern, row.certname),
    env: () => like(pattern, row.environment),
    run: () => like(pattern, run?.transactionUuid),
    conn: () => connections.some(c => like(pattern, c.peer)),
    res: () =>
      (row.phase === 'catalog' || row.phase === 'report') &&
      (world.resources.some(r => r.exchange === row.id && like(pattern, `${r.type}[${r.title}]`)) ||
        world.statuses.some(s => s.exchange === row.id && like(pattern, s.resource))),
    fact: () => world.facts.some(f => f.exchange === row.id && like(pattern, `${f.path}=${f.value}`)),
    fault: () => like(pattern, row.fault),
    find: () => world.findings.some(f => f.exchanges.includes(row.id) && like(pattern, f.rule, f.severity, f.summary)),
  };
  return meanings[term.on]();
}

function onRun(world: World, term: Term, row: RunRow): boolean {
  const exchanges = world.exchanges.filter(({ run }) => run === row.id);
  const connections = world.connections.filter(({ id }) => world.used.get(row.id)?.has(id));
  if (term.type === 'flag' && term.flag === 'e') return row.failed > 0;
  if (term.type === 'ids') return term.of === 'run' ? within(row.id, term) : connections.some(c => within(c.id, term));
  if (term.type === 'text') {
    const { on, pattern } = term;
    if (on === 'any') return like(pattern, row.certname, row.environment, row.transactionUuid, row.puppetVersion);
    if (on === 'certname') return like(pattern, row.certname);
    if (on === 'env') return like(pattern, row.environment);
    if (on === 'run') return like(pattern, row.transactionUuid);
    if (on === 'd') return connections.some(c => like(pattern, c.serverName, c.target));
    if (on === 'conn') return connections.some(c => like(pattern, c.peer));
    if (on === 'find') return world.findings.some(f => f.run === row.id && like(pattern, f.rule, f.severity, f.summary));
  }
  return exchanges.some(exchange => onExchange(world, term, exchange));
}

function onConnection(world: World, term: Term, row: ConnectionRow): boolean {
  const runs = world.runs.filter(run => world.used.get(run.id)?.has(row.id));
  if (term.type === 'flag') return row.error !== null || row.refusal !== null;
  if (term.type === 'ids') return term.of === 'conn' ? within(row.id, term) : runs.some(run => within(run.id, term));
  if (term.type !== 'text') throw new Error('no question to a connection');
  const { on, pattern } = term;
  if (on === 'certname') return like(pattern, row.certname);
  if (on === 'conn') return like(pattern, row.peer);
  if (on === 'd') return like(pattern, row.serverName, row.target);
  if (on === 'run') return runs.some(run => like(pattern, run.transactionUuid));
  if (on === 'find')
    return world.findings.some(f => f.connections.includes(row.id) && like(pattern, f.rule, f.severity, f.summary));
  return like(pattern, row.peer, row.certname, row.peerName, row.serverName, row.target, row.error, row.refusal);
}
