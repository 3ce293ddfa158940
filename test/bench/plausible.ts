import { hash } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';
import type { Database } from 'better-sqlite3';
import { openForWriting } from '../../src/capture/database.ts';
import { createExchangeRows } from '../../src/capture/exchange-rows.ts';
import type { ListName } from '../../src/capture/list-schema.ts';
import { type Cells, createLists, PAUSE } from '../../src/capture/lists.ts';
import { createApplyDerived } from '../../src/capture/log.ts';
import { BODY_SQL, DERIVED_SQL, MARK_SQL, type Value, WRITER_SQL } from '../../src/capture/statements.ts';

/** Runs of a capture between which one has decoded rows: the decoder is measured elsewhere, and would take an hour here. */
const DECODED_EVERY = 20;

const AGENTS = 1_000;
const START_AT = Date.UTC(2026, 0, 5, 6);

export interface Plausible {
  exchanges: number;
  runs: number;
  connections: number;
}

/**
 * Writes a capture of so many exchanges straight into the tables, as a fleet of 1,000 agents would have left it: the phases, targets,
 * header lines, sizes, times and errors of Puppet 7 runs. The same for the same count.
 */
export function writePlausible(file: string, exchanges: number): Plausible {
  const owned = openForWriting(file, 0);
  try {
    owned.db.pragma('journal_mode = OFF'); // a crash leaves a file that is made again
    owned.db.pragma('synchronous = OFF');
    owned.db.pragma('cache_size = -262144');
    return write(owned.db, exchanges);
  } finally {
    owned.close();
  }
}

interface Request {
  phase: string;
  method: string;
  indirection: string;
  key: string;
  query: string;
  type: string;
  bytes: number;
  ms: number;
  status?: number;
}

function write(db: Database, wanted: number): Plausible {
  const random = createRandom(20_260_105);
  const rows = createExchangeRows(db);
  const connection = db.prepare<Value[]>(WRITER_SQL.connection);
  const body = db.prepare<Value[]>(BODY_SQL.insert);
  const bodyBytes = db.prepare<[number, Uint8Array]>(BODY_SQL.bytes);
  const run = db.prepare<Value[]>(DERIVED_SQL.run!);
  const runExchange = db.prepare<Value[]>(DERIVED_SQL.runExchange!);
  const runConnection = db.prepare<Value[]>(DERIVED_SQL.runConnection!);
  const lists = createLists(db);
  const apply = createApplyDerived(db);
  const bodies = new Map<string, number>();
  let id = 0;
  let seq = 0;
  let runId = 0;
  let connectionId = 0;

  function bodyId(text: string): number {
    const sha256 = hash('sha256', text);
    let found = bodies.get(sha256);
    if (found === undefined) {
      const bytes = Buffer.from(text);
      const small = bytes.length < 300 ? bytes : zstdCompressSync(bytes);
      const coding = small.length < bytes.length ? 'zstd' : 'identity';
      const stored = coding === 'zstd' ? small : bytes;
      const values = [Buffer.from(sha256, 'hex'), bytes.length, bytes.length, stored.length, coding, null];
      found = Number(body.run(null, ...values).lastInsertRowid);
      bodyBytes.run(found, stored);
      bodies.set(sha256, found);
    }
    return found;
  }

  function oneRun(): void {
    const nth = runId++;
    const agent = nth % AGENTS;
    const certname = `${['web', 'db', 'mail', 'build'][agent % 4]}${String(agent).padStart(4, '0')}.example.com`;
    const environment = agent % 10 === 0 ? 'staging' : 'production';
    const uuid = uuidOf(random);
    const startedAt = START_AT + nth * 1_800 + random() * 1_000;
    const compileFails = random() < 0.002;
    const [agentLeg, primaryLeg] = [++connectionId, ++connectionId];
    let mono = startedAt - START_AT;
    let ordinal = 0;
    let [up, down, failed] = [0, 0, 0];
    const requests = requestsOf(certname, environment, uuid, agent, compileFails, random);
    for (const request of requests) {
      if (id >= wanted) break;
      const gone = random() < 0.0002;
      const status = gone ? null : (request.status ?? 200);
      const at = START_AT + mono;
      const ms = request.ms * (0.5 + random());
      const target = `/puppet/v3/${request.indirection}/${request.key}?${request.query}`;
      const [asked, answered] = bodiesOf(request, certname, nth, random);
      const requestLines = JSON.stringify([
        ['X-Puppet-Version', agent % 3 === 0 ? '8.10.0' : '7.23.0'],
        ['User-Agent', 'Puppet/7.23.0 Ruby/3.1.7-p261 (x86_64-linux-gnu)'],
        ['Accept', 'application/vnd.puppet.rich+json, application/json, text/pson'],
        ['Accept-Encoding', 'gzip;q=1.0,deflate;q=0.6,identity;q=0.3'],
        ...(asked === null
          ? []
          : [['Content-Type', request.phase === 'report' ? 'application/json' : 'application/x-www-form-urlencoded']]),
        ['Host', 'puppet.example.com:8140'],
      ]);
      const responseLines = JSON.stringify([
        ['Date', new Date(at).toUTCString()],
        ['Content-Type', request.type],
        ['X-Puppet-Version', '7.9.5'],
        ['Content-Length', String(request.bytes)],
      ]);
      const failure = gone
        ? JSON.stringify({ reason: 'primary-closed', origin: 'puppet.example.com:8140', detail: 'reset', partial: false })
        : null;
      id++;
      rows.exchange([
        id,
        ++seq,
        certname,
        request.phase,
        request.indirection,
        decodeURIComponent(request.key),
        environment,
        request.phase === 'node' ? uuid : null,
        agentLeg,
        ++ordinal,
        primaryLeg,
        ordinal,
        0,
        'primary',
        request.method,
        target,
        '1.1',
        status,
        status === null ? null : 'OK',
        status,
        at,
        mono,
        mono + 0.2,
        mono + 0.3,
        mono + ms * 0.8,
        mono + ms * 0.8,
        mono + ms,
        asked?.length ?? 0,
        request.bytes,
        gone ? 'failed' : 'answered',
        failure,
        rows.fields(requestLines),
        gone ? null : rows.fields(responseLines),
        null,
        asked === null ? null : bodyId(asked),
        answered === null || gone ? null : bodyId(answered),
        null,
        null,
        1,
        0,
      ]); // prettier-ignore
      runExchange.run(id, runId, ordinal);
      up += asked?.length ?? 0;
      down += request.bytes;
      if (gone || (status ?? 0) >= 500) failed++;
      mono += ms + random() * 8;
      if (request.phase === 'catalog' && nth % DECODED_EVERY === 0) decoded(id, certname, agent);
    }
    const endedAt = START_AT + mono;
    for (const leg of [agentLeg, primaryLeg]) {
      const ours = leg === agentLeg;
      connection.run(
        leg,
        ours ? 'agent' : 'primary',
        'direct',
        ours ? `10.0.${agent >> 8}.${agent & 255}:${40_000 + (nth % 20_000)}` : '10.9.0.1:8140',
        ours ? null : 'puppet.example.com:8140',
        startedAt,
        startedAt - START_AT,
        startedAt - START_AT,
        startedAt - START_AT + 3,
        'TLSv1.3',
        'TLS_AES_256_GCM_SHA384',
        0,
        'puppet.example.com',
        certname,
        certname,
        null,
        null,
        up,
        down,
        ordinal,
        endedAt,
        mono,
        ours ? 'agent' : 'proxy',
        ours ? 'end' : 'idle-timeout',
        ++seq,
        1,
      );
      runConnection.run(runId, leg);
    }
    run.run(runId, 1, certname, uuid, environment, '7.23.0', startedAt, endedAt, 'report', ordinal, failed, 1, 1, up, down);
  }

  function listed(name: ListName, owner: number, certname: string, list: readonly Cells[]): void {
    for (const write of lists.of(certname).rows(name, owner, list.length, i => list[i]!)) {
      if (write !== PAUSE) apply({ writes: [write], seq: null, settled: false });
    }
  }

  function decoded(catalog: number, certname: string, agent: number): void {
    const fact = (path: string, value: string): Cells => ({ path, type: 'string', value, bytes: value.length });
    const facts = Array.from({ length: 60 }, (_, i) => fact(`site.group${(i + 1) % 6}.item${i + 1}`, `value ${(i + 1) * agent}`));
    facts.push(fact('os.family', agent % 5 === 0 ? 'RedHat' : 'Debian'), fact('networking.fqdn', certname));
    listed('fact', catalog, certname, facts);
    const resources = Array.from({ length: 120 }, (_, i) => ({
      type: ['File', 'Package', 'Service', 'Exec'][(i + 1) % 4],
      title: (i + 1) % 4 === 0 ? `/etc/conf.d/${i + 1}.conf` : `thing-${i + 1}`,
      parameters: '{}',
      sensitive: '[]',
      tags: '[]',
      exported: 0,
      virtual: 0,
    }));
    listed('resource', catalog, certname, resources);
  }

  db.exec('BEGIN');
  db.prepare(WRITER_SQL.recording).run(
    0,
    START_AT,
    0,
    '0.1.0',
    'pooled',
    '["puppet.example.com:8140"]',
    '127.0.0.1:8140',
    'commit',
  );
  while (id < wanted) oneRun();
  db.prepare(MARK_SQL.write).run(seq, 1);
  db.prepare("INSERT INTO derived (name, seq, settled) VALUES ('bodies', ?, 0)").run(seq);
  db.exec('UPDATE run SET judged = 1');
  db.exec('UPDATE recording SET ended_at = started_at');
  db.exec('COMMIT');
  return { exchanges: id, runs: runId, connections: connectionId };
}

const MODULES = ['ntp', 'apache', 'nginx', 'postgresql', 'sudo', 'motd', 'ssh', 'users', 'backup', 'monitoring'];

/** The requests of one run in their order, about fifty. */
function requestsOf(
  certname: string,
  environment: string,
  uuid: string,
  agent: number,
  compileFails: boolean,
  random: () => number,
): Request[] {
  const query = `environment=${environment}`;
  const listing = 'links=manage&checksum_type=sha256&source_permissions=ignore';
  const get = (phase: string, indirection: string, key: string, more: string, bytes: number, ms: number): Request => ({
    phase,
    method: 'GET',
    indirection,
    key,
    query: `${more}${query}`,
    type: indirection === 'file_content' ? 'application/octet-stream' : 'application/json',
    bytes,
    ms,
  });
  const requests = [
    get('node', 'node', certname, `configured_environment=${environment}&transaction_uuid=${uuid}&`, 480, 25),
    get(
      'pluginsync',
      'file_metadatas',
      'pluginfacts',
      `recurse=true&max_files=-1&ignore=.svn&ignore=CVS&ignore=.git&${listing}&`,
      288,
      12,
    ),
    get(
      'pluginsync',
      'file_metadatas',
      'plugins',
      `recurse=true&max_files=-1&ignore=.svn&ignore=CVS&ignore=.git&${listing}&`,
      64_000,
      60,
    ),
  ];
  for (let n = Math.floor(random() * 6); n > 0; n--) {
    requests.push(get('pluginsync', 'file_content', `plugins/facter/${MODULES[n]}.rb`, '', 900 + n * 37, 4));
  }
  const catalog = get('catalog', 'catalog', certname, '', compileFails ? 340 : 30_000 + agent * 10, 1_800);
  requests.push({ ...catalog, method: 'POST', ...(compileFails ? { status: 500 } : {}) });
  if (!compileFails) {
    for (let n = 0; n < 40; n++) {
      const file = `modules/${MODULES[(n + agent) % MODULES.length]}/files/item%20${n}.conf`;
      const missing = random() < 0.01;
      requests.push({ ...get('file', 'file_metadata', file, `${listing}&`, 330, 6), ...(missing ? { status: 404 } : {}) });
      if (random() < 0.1) requests.push(get('file', 'file_content', file, '', 2_000 + n * 11, 5));
    }
  }
  requests.push({ ...get('report', 'report', certname, '', 9, 90), method: 'PUT', type: 'text/pson' });
  return requests;
}

/** What was sent and answered, where a body is worth storing: facts, catalogs, reports; those that are always the same are stored once. */
function bodiesOf(request: Request, certname: string, nth: number, random: () => number): [string | null, string | null] {
  const lines = (count: number, line: (n: number) => string): string =>
    Array.from({ length: count }, (_, n) => line(n)).join('\n');
  switch (request.phase) {
    case 'catalog': {
      const facts = lines(60, n => `site.group${n % 6}.item${n}=value ${n * (nth % 997)}`);
      if (request.status === 500)
        return [facts, `Error while evaluating a Resource Statement, Evaluation Error on node ${certname}`];
      return [facts, lines(80, n => `{"type":"File","title":"/etc/conf.d/${n}.conf","node":"${certname}"}`)];
    }
    case 'report':
      return [
        lines(30, n => `${certname} ${nth} File[/etc/conf.d/${n}.conf] ${random() < 0.05 ? 'changed' : 'unchanged'}`),
        '["ok"]',
      ];
    default:
      return [null, `${request.indirection} ${request.key}`.slice(0, 80)];
  }
}

function uuidOf(random: () => number): string {
  const hex = (digits: number): string =>
    Math.floor(random() * 16 ** digits)
      .toString(16)
      .padStart(digits, '0');
  return `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
