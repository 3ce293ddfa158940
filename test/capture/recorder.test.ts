import { once } from 'node:events';
import { statSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import type { Loss } from '../../src/capture/recorder.ts';
import { openStore } from '../../src/capture/store.ts';
import type { Exchange } from '../../src/model.ts';
import { agent, closing, FIELDS, joined, lossCounts, noise, open, tempDir, until } from './rig.ts';

const FILE = 'GET /puppet/v3/file_content/modules/m/f?environment=production';

/** Catches the threads that are started meanwhile, in order: the writer, then the decoder. */
function threads(): { list: Worker[]; stop(): void } {
  const list: Worker[] = [];
  const seen = (worker: Worker): void => {
    list.push(worker);
  };
  process.on('worker', seen);
  return { list, stop: () => process.off('worker', seen) };
}

describe('what was captured is read as it was', () => {
  test('a connection that is open tells the exchanges that it has carried so far', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const recorder = await open(file);
    const line = agent(recorder, 'web1.lab').connect();
    for (const _ of [1, 2, 3]) await line.send(FILE);
    {
      using store = closing(openStore(file));
      // Which run they are of is worked out in its own time.
      await until(() => store.connection(line.id)?.exchanges === 3);
      expect([...store.connections()].map(row => [row.closedAt, row.exchanges])).toEqual([[null, 3]]);
    }
    line.close();
    await recorder.close();
    using store = closing(openStore(file));
    expect([...store.connections()].map(row => row.exchanges)).toEqual([3]);
  });

  test('one exchange with everything', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const line = agent(recorder, 'web1.lab').connect('[::1]:40000');
    const body = Buffer.from('the body');
    const id = await line.send(FILE, {
      bodies: { request: [Buffer.from('in '), Buffer.from('two')], response: body },
      status: 404,
    });
    line.close();
    await recorder.close();
    using store = closing(openStore(dir.file('a.db')));
    const exchange = store.exchange(id);
    expect(exchange).toMatchObject({
      id: 1,
      run: 1,
      n: 1,
      phase: 'file',
      indirection: 'file_content',
      key: 'modules/m/f',
      environment: 'production',
      method: 'GET',
      target: FILE.slice(4),
      status: 404,
      outcome: 'answered',
      certname: 'web1.lab',
      agentConnection: 1,
      agentOrdinal: 1,
      primaryConnection: null,
      primaryOrdinal: null,
      requestBytes: 6,
      responseBytes: 8,
      durationMs: 2,
      failure: null,
      early: false,
      request: { method: 'GET', httpVersion: '1.1', fields: FIELDS },
      response: { status: 404, reason: 'OK', fields: [['Content-Type', 'text/plain']] },
      trailers: [],
    });
    expect(exchange?.startedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect((exchange?.timing.firstByteMono ?? 0) - (exchange?.timing.startMono ?? 0)).toBeCloseTo(1.25, 6);
    expect(exchange?.bodies.map(({ side, size, kept, cut }) => ({ side, size, kept, cut }))).toEqual([
      { side: 'request', size: 6, kept: 6, cut: null },
      { side: 'response', size: 8, kept: 8, cut: null },
    ]);
    expect(joined(store.body(id, 'request')).toString()).toBe('in two');
    expect(joined(store.body(id, 'response'))).toEqual(body);
    expect([...store.body(id, 'primary-request')]).toEqual([]);
    expect(store.connection(line.id)).toMatchObject({
      leg: 'agent',
      peer: '[::1]:40000',
      tlsVersion: 'TLSv1.3',
      resumed: false,
      handshakeMs: 1.5,
      closedBy: 'agent',
      cause: 'end',
      exchanges: 1,
    });
    expect(store.recordings()).toMatchObject([{ id: 1, version: '0.1.0', pool: 'pooled', primaries: ['puppet.lab:8140'] }]);
  });

  test('failures, abandoned exchanges and exchanges without an answer', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const line = agent(recorder, 'web1.lab').connect();
    const failure = { reason: 'primary-unreachable', origin: 'https://puppet.lab:8140', code: 'ECONNREFUSED' } as const;
    await line.send(FILE, { status: 502, outcome: { type: 'failed', failure } });
    await line.send(FILE, { status: null, outcome: { type: 'abandoned' } });
    await recorder.close();
    using store = closing(openStore(dir.file('a.db')));
    const rows = [...store.exchanges()];
    expect(rows.map(row => [row.status, row.outcome, row.failure])).toEqual([
      [502, 'failed', failure],
      [null, 'abandoned', null],
    ]);
    expect(store.exchange(2)?.response).toBeNull();
    expect([...store.runs()][0]?.failed).toBe(2);
  });

  test('a body for each side', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const sides = ['request', 'response', 'primary-request', 'primary-response'] as const;
    const bodies = Object.fromEntries(sides.map(side => [side, Buffer.from(`of ${side}`)]));
    const id = await agent(recorder, 'web1.lab').connect().send(FILE, { bodies });
    await recorder.close();
    using store = closing(openStore(dir.file('a.db')));
    expect(sides.map(side => joined(store.body(id, side)).toString())).toEqual(sides.map(side => `of ${side}`));
  });

  test('the file is for its owner alone, and at rest it is one file', async () => {
    using dir = tempDir();
    const file = dir.file('made/on/the/way/a.db');
    const recorder = await open(file);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(`${file}-wal`).mode & 0o777).toBe(0o600);
    expect(statSync(dir.file('made')).mode & 0o777).toBe(0o700);
    expect(statSync(dir.file('made/on/the/way')).mode & 0o777).toBe(0o700);
    await recorder.close();
    for (const rest of ['-wal', '-shm', '.lock']) expect(statSync(file + rest, { throwIfNoEntry: false })).toBeUndefined();
  });
});

describe('bodies', () => {
  test('the same bytes are stored once, across sides, sizes and recordings', async () => {
    using dir = tempDir();
    const large = noise(3 << 20, 1);
    const small = Buffer.from('small');
    for (let round = 0; round < 2; round++) {
      const recorder = await open(dir.file('a.db'));
      const line = agent(recorder, 'web1.lab').connect();
      await line.send(FILE, { bodies: { request: small, response: large } });
      await line.send(FILE, { bodies: { request: large, response: small } });
      await recorder.close();
    }
    expect(count(dir.file('a.db'), 'SELECT count(*) FROM body')).toBe(2);
    expect(count(dir.file('a.db'), 'SELECT count(*) FROM body_chunk')).toBe(12);
    using store = closing(openStore(dir.file('a.db')));
    for (const { id } of store.exchanges()) {
      const [request, response] = id % 2 === 1 ? [small, large] : [large, small];
      expect(joined(store.body(id, 'request')).equals(request)).toBe(true);
      expect(joined(store.body(id, 'response')).equals(response)).toBe(true);
    }
  });

  test('zstd is kept where it is smaller', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const line = agent(recorder, 'web1.lab').connect();
    const text = Buffer.from('facts '.repeat(2_000));
    const id = await line.send(FILE, { bodies: { request: text, response: noise(12_000, 2) } });
    const big = await line.send(FILE, { bodies: { request: Buffer.alloc(4 << 20, 'x'), response: noise(600_000, 3) } });
    await recorder.close();
    using store = closing(openStore(dir.file('a.db')));
    const [packed, raw] = store.exchange(id)!.bodies;
    expect(packed!.stored).toBeLessThan(200);
    expect(raw!.stored).toBe(12_000);
    expect(joined(store.body(id, 'request')).equals(text)).toBe(true);
    const [bigPacked, bigRaw] = store.exchange(big)!.bodies;
    expect(bigPacked!.stored).toBeLessThan(10_000);
    expect(bigRaw!.stored).toBe(600_000);
    expect(joined(store.body(big, 'request')).equals(Buffer.alloc(4 << 20, 'x'))).toBe(true);
  });

  test.each([1, 255, 256, 262_143, 262_144, 262_145, 2 << 20, (2 << 20) + 1, 5_000_000])(
    'of %d bytes, in chunks of odd sizes',
    async size => {
      using dir = tempDir();
      const recorder = await open(dir.file('a.db'));
      const body = noise(size, size);
      const chunks: Buffer[] = [];
      for (let at = 0, step = 1; at < size; at += step, step = (step * 7 + 13) % 70_001)
        chunks.push(body.subarray(at, at + step));
      const line = agent(recorder, 'web1.lab').connect();
      const at = recorder.exchangeId();
      const tap = recorder.tap(at, 'response');
      for (const [i, chunk] of chunks.entries()) {
        tap.write(chunk);
        if (i % 5 === 0) await new Promise(resolve => setImmediate(resolve)); // over many batches
      }
      await new Promise<void>(resolve => recorder.exchange(exchange(recorder, at, line.id, size), resolve));
      await recorder.close();
      using store = closing(openStore(dir.file('a.db')));
      expect(store.exchange(at)?.bodies).toMatchObject([{ side: 'response', size, kept: size, cut: null }]);
      expect(joined(store.body(at, 'response')).equals(body)).toBe(true);
    },
  );

  test('--max-body cuts what is stored, and says so', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'), { maxBodyBytes: 1_000 });
    const body = noise(5_000, 4);
    const line = agent(recorder, 'web1.lab').connect();
    const cut = await line.send(FILE, { bodies: { response: [body.subarray(0, 900), body.subarray(900)] } });
    const whole = await line.send(FILE, { bodies: { response: body.subarray(0, 1_000) } });
    await recorder.close();
    using store = closing(openStore(dir.file('a.db')));
    expect(store.exchange(cut)?.bodies).toMatchObject([{ size: 5_000, kept: 1_000, cut: 'limit' }]);
    expect(store.exchange(whole)?.bodies).toMatchObject([{ size: 1_000, kept: 1_000, cut: null }]);
    expect(joined(store.body(cut, 'response')).equals(body.subarray(0, 1_000))).toBe(true);
    expect(recorder.losses).toEqual([]);
  });

  test('those of a dropped exchange leave nothing behind, those after its end are not part of it', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const line = agent(recorder, 'web1.lab').connect();
    const dropped = recorder.exchangeId();
    recorder.tap(dropped, 'request').write(noise(3 << 20, 5));
    await line.send(FILE);
    recorder.drop(dropped);
    const id = recorder.exchangeId();
    const tap = recorder.tap(id, 'response');
    tap.write(Buffer.from('in time'));
    await new Promise<void>(resolve => recorder.exchange(exchange(recorder, id, line.id, 7), resolve));
    tap.write(Buffer.from(', too late'));
    recorder.tap(id, 'request').write(Buffer.from('too late'));
    await recorder.close();
    using store = closing(openStore(dir.file('a.db')));
    expect(joined(store.body(id, 'response')).toString()).toBe('in time');
    expect(store.exchange(id)?.bodies).toHaveLength(1);
    expect(count(dir.file('a.db'), 'SELECT count(*) FROM body')).toBe(1);
    expect(count(dir.file('a.db'), 'SELECT count(*) FROM body_chunk')).toBe(0);
  });
});

describe('numbers', () => {
  test('go on from the maximum of an existing capture', async () => {
    using dir = tempDir();
    const ids: number[][] = [];
    for (let round = 0; round < 3; round++) {
      const recorder = await open(dir.file('a.db'));
      const line = agent(recorder, 'web1.lab').connect();
      ids.push([line.id, await line.send(FILE), await line.send(FILE)]);
      line.close();
      await recorder.close();
    }
    expect(ids).toEqual([
      [1, 1, 2],
      [2, 3, 4],
      [3, 5, 6],
    ]);
    using store = closing(openStore(dir.file('a.db')));
    expect([...store.runs()].map(run => [run.id, run.exchanges])).toEqual([
      [1, 2],
      [2, 2],
      [3, 2],
    ]);
    expect(store.recordings()).toHaveLength(3);
  });
});

describe('durability', () => {
  test('commit: committed runs once the row is in the file', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const reader = new Database(dir.file('a.db'), { readonly: true });
    const known = reader.prepare<[number], number>('SELECT count(*) FROM exchange WHERE id = ?').pluck();
    const line = agent(recorder, 'web1.lab').connect();
    for (let i = 0; i < 50; i++) expect(known.get(await line.send(FILE))).toBe(1);
    reader.close();
    await recorder.close();
  });

  test('async: committed runs at once, the row comes later', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'), { durability: 'async' });
    const line = agent(recorder, 'web1.lab').connect();
    const id = recorder.exchangeId();
    let ran = 0;
    recorder.exchange(exchange(recorder, id, line.id, 0), () => ran++);
    expect(ran).toBe(1);
    await recorder.close();
    expect(ran).toBe(1);
    expect(count(dir.file('a.db'), 'SELECT count(*) FROM exchange')).toBe(1);
  });

  test('a slow disk is waited for so long and no longer; the exchange is marked, and not lost', async () => {
    using dir = tempDir();
    const losses: Loss[] = [];
    const recorder = await open(dir.file('a.db'), { commitWaitMs: 100, onLoss: loss => losses.push(loss) });
    const line = agent(recorder, 'web1.lab').connect();
    const intime = await line.send(FILE);
    const other = new Database(dir.file('a.db'));
    other.exec('BEGIN IMMEDIATE'); // another program holds the write lock
    const start = performance.now();
    const [late] = await Promise.all([line.send(FILE), line.send(FILE)]);
    const waited = performance.now() - start;
    other.exec('COMMIT');
    other.close();
    await recorder.close();
    expect(waited).toBeGreaterThan(90);
    expect(waited).toBeLessThan(5_000);
    expect(losses.map(loss => loss.reason)).toEqual(['late']);
    expect(recorder.losses).toMatchObject([{ reason: 'late', count: 2 }]);
    using store = closing(openStore(dir.file('a.db')));
    expect([intime, late!].map(id => store.exchange(id)?.early)).toEqual([false, true]);
    expect(lossCounts(store.losses())).toEqual({ late: 2 });
  });
});

describe('never the reason', () => {
  test('writer thread dead: everybody who waits goes on, what comes is counted', async () => {
    using dir = tempDir();
    const started = threads();
    const losses: Loss[] = [];
    const recorder = await open(dir.file('a.db'), { onLoss: loss => losses.push(loss) });
    started.stop();
    const line = agent(recorder, 'web1.lab').connect();
    await line.send(FILE);
    const waiting = Promise.all([line.send(FILE), line.send(FILE)]);
    await started.list[0]!.terminate();
    await waiting;
    for (let i = 0; i < 10; i++) await line.send(FILE, { bodies: { response: noise(100_000, i) } });
    expect(recorder.ready(() => undefined)).toBe(true);
    await recorder.close();
    expect(losses).toMatchObject([{ reason: 'writer-dead' }]);
    expect(losses[0]?.hint).not.toBe('');
    // The two that waited may have been written before the thread ended.
    expect(recorder.losses[0]?.count).toBeGreaterThanOrEqual(10);
    expect(recorder.losses[0]?.count).toBeLessThanOrEqual(12);
    using store = closing(openStore(dir.file('a.db')));
    expect(store.exchange(1)?.status).toBe(200);
  });

  test('damaged where decoded rows go: the decoder is given up and says so, the traffic is captured', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    await (await open(file)).close();
    {
      using db = closing(new Database(file));
      db.unsafeMode().exec("UPDATE log_line_fts_data SET block = x'FFFFFFFFFFFFFFFFFFFFFFFF'");
    }
    const recorder = await open(file);
    const line = agent(recorder, 'web1.lab').connect();
    const report = { bodies: { request: Buffer.from('{"host":"web1.lab","logs":[{"message":"a line"}]}') } };
    await line.send('PUT /puppet/v3/report/web1.lab?environment=production', report);
    await until(() => recorder.losses.length > 0);
    expect(recorder.losses).toMatchObject([
      { reason: 'decoder-dead', count: 1, detail: expect.stringMatching(/^SQLITE_CORRUPT/) },
    ]);
    const last = await line.send(FILE, { bodies: { response: Buffer.from('hello') } });
    line.close();
    await recorder.close();
    using db = closing(new Database(file));
    expect(db.prepare('SELECT max(id) FROM exchange').pluck().get()).toBe(last);
  });

  test('decoder thread dead: started again once, then given up; the next reader folds what is missing', async () => {
    using dir = tempDir();
    const started = threads();
    const losses: Loss[] = [];
    const recorder = await open(dir.file('a.db'), { onLoss: loss => losses.push(loss) });
    const line = agent(recorder, 'web1.lab').connect();
    await line.send(FILE);
    await started.list[1]!.terminate();
    await until(() => started.list.length === 3);
    await line.send(FILE);
    const reader = new Database(dir.file('a.db'), { readonly: true });
    const folded = reader.prepare<[], number>('SELECT count(*) FROM run_exchange').pluck();
    await until(() => folded.get() === 2);
    reader.close();
    expect(losses).toEqual([]);
    // One that ends while it decodes a body is started again at no cost: the body is what is passed over.
    for (let last = 2; losses.length === 0; last = started.list.length - 1) {
      expect(last).toBeLessThan(5);
      await started.list[last]!.terminate();
      await until(() => losses.length > 0 || started.list.length > last + 1);
    }
    started.stop();
    await line.send(FILE);
    await recorder.close();
    expect(recorder.losses).toMatchObject([{ reason: 'decoder-dead', count: 1 }]);
    using store = closing(openStore(dir.file('a.db')));
    expect([...store.runs()]).toMatchObject([{ id: 1, exchanges: 3, end: 'connections-closed' }]);
    expect(store.losses()).toMatchObject([{ reason: 'decoder-dead' }]);
  });

  test('a row that the schema refuses is lost alone', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const line = agent(recorder, 'web1.lab').connect();
    const id = recorder.exchangeId();
    const done = [1, 2].map(() => new Promise<void>(resolve => recorder.exchange(exchange(recorder, id, line.id, 0), resolve)));
    const other = line.send(FILE);
    await Promise.all([...done, other]);
    await recorder.close();
    expect(recorder.losses).toMatchObject([{ reason: 'row-rejected', count: 1 }]);
    using store = closing(openStore(dir.file('a.db')));
    expect([...store.exchanges()]).toHaveLength(2);
    expect(store.losses()).toMatchObject([{ reason: 'row-rejected', count: 1 }]);
  });

  test('a callback that throws keeps no other from being called', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const line = agent(recorder, 'web1.lab').connect();
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const thrown = once(process, 'uncaughtException');
    recorder.exchange(exchange(recorder, recorder.exchangeId(), line.id, 0), () => {
      throw new Error('of the caller');
    });
    await line.send(FILE);
    expect((await thrown)[0]).toMatchObject({ message: 'of the caller' });
    for (const listener of others) process.on('uncaughtException', listener);
    await recorder.close();
  });

  test('after close nothing is taken, and nobody waits', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const line = agent(recorder, 'web1.lab').connect();
    await Promise.all([recorder.close(), line.send(FILE), line.send(FILE)]);
    await recorder.close();
    expect(recorder.losses).toMatchObject([{ reason: 'writer-dead', count: 2 }]);
  });
});

test('a run is told when it ends', async () => {
  using dir = tempDir();
  const told: Array<[number, string | null]> = [];
  const recorder = await open(dir.file('a.db'), { onRun: run => told.push([run.id, run.end]) });
  const first = agent(recorder, 'web1.lab').connect();
  await first.send('GET /puppet/v3/file_metadatas/plugins?recurse=false&environment=production');
  await first.send('PUT /puppet/v3/report/web1.lab?environment=production');
  await until(() => told.length === 1);
  const second = agent(recorder, 'web2.lab').connect();
  await second.send(FILE);
  second.close();
  await recorder.close();
  expect(told).toEqual([
    [1, 'report'],
    [2, 'connections-closed'],
  ]);
});

function exchange(recorder: { file: string }, id: number, connection: number, responseBytes: number): Exchange {
  void recorder;
  return {
    id: id as Exchange['id'],
    certname: null,
    route: { phase: 'other', indirection: null, key: null, environment: null, transactionUuid: null },
    agent: { connection: connection as Exchange['agent']['connection'], ordinal: 1 },
    primary: null,
    resent: 0,
    answeredBy: 'primary',
    fault: null,
    request: { method: 'GET', target: '/', httpVersion: '1.1', fields: [] },
    response: null,
    primaryStatus: null,
    trailers: [],
    startedAt: Date.now(),
    timing: {
      startMono: 1,
      requestEndMono: null,
      primaryReadyMono: null,
      responseHeadMono: null,
      firstByteMono: null,
      endMono: 2,
    },
    requestBytes: 0,
    responseBytes,
    outcome: { type: 'answered' },
  };
}

function count(file: string, sql: string): number {
  const db = new Database(file, { readonly: true });
  const value = db.prepare<[], number>(sql).pluck().get()!;
  db.close();
  return value;
}
