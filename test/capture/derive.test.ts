import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import type { Run } from '../../src/analysis/runs.ts';
import { createAnnouncer, PAUSE_MS } from '../../src/capture/announce.ts';
import { rederive } from '../../src/capture/rederive.ts';
import { openStore } from '../../src/capture/store.ts';
import { toCertname } from '../../src/model.ts';
import { agent, closing, open, tempDir } from './rig.ts';

const CHECK = 'GET /puppet/v3/file_metadatas/plugins?recurse=false&environment=production';
const UUIDS = ['11111111-1111-1111-1111-111111111111', '22222222-2222-2222-2222-222222222222'];

type Recorder = Awaited<ReturnType<typeof open>>;

/** One whole run of an agent, first of all with its bootstrap. */
async function run(recorder: Recorder, certname: string, address: string, uuid: string, bootstrap: boolean): Promise<void> {
  const peer = `${address}:40000`;
  const client = agent(recorder, certname);
  if (bootstrap) {
    const nobody = agent(recorder, null);
    nobody.connect(peer).close();
    for (const request of ['GET /puppet-ca/v1/certificate/ca', 'GET /puppet-ca/v1/certificate_revocation_list/ca']) {
      const line = nobody.connect(peer);
      await line.send(request);
      line.close();
      await new Promise(resolve => setTimeout(resolve, 5));
    }
    const line = nobody.connect(peer);
    await line.send(`PUT /puppet-ca/v1/certificate_request/${certname}`);
    await line.send(`GET /puppet-ca/v1/certificate/${certname}`);
    line.close();
  }
  const line = client.connect(peer);
  await line.send(CHECK);
  await line.send(`GET /puppet/v3/file_metadata/modules/m/none?environment=production`, { status: 404 });
  const form = Buffer.from(`facts=${'%257B'.repeat(20_000)}&environment=canary&transaction_uuid=${uuid}`);
  await line.send(`POST /puppet/v3/catalog/${certname}?environment=canary`, { bodies: { request: form }, status: 500 });
  const report = Buffer.from(JSON.stringify({ host: certname, transaction_uuid: uuid, environment: 'canary', logs: [] }));
  await line.send(`PUT /puppet/v3/report/${certname}?environment=canary`, { bodies: { request: report } });
  line.close();
}

function derived(file: string): unknown[] {
  const db = new Database(file, { readonly: true });
  const tables = ['run', 'run_exchange', 'run_connection', "derived WHERE name = 'runs'"];
  const rows = tables.map(table => db.prepare<[], Record<string, unknown>>(`SELECT * FROM ${table}`).all());
  db.close();
  // Whether a run was judged is kept beside it, and another derivation's: that comes when it has the time.
  return rows.map(table => table.map(({ judged: _, ...row }) => row));
}

describe('runs', () => {
  test('are folded while they are captured; folded again they are the same', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    for (let round = 0; round < 2; round++) {
      const recorder = await open(file);
      await Promise.all([
        run(recorder, 'web1.lab', '10.0.0.1', UUIDS[0]!, round === 0),
        run(recorder, 'web2.lab', '10.0.0.2', UUIDS[1]!, false),
      ]);
      const cutOff = agent(recorder, 'web3.lab').connect();
      await cutOff.send(CHECK);
      await recorder.close();
    }
    const live = derived(file);
    const store = closing(openStore(file));
    const rows = [...store.runs()];
    expect(rows.map(({ certname, end, exchanges, failed }) => [certname, end, exchanges, failed]).sort()).toEqual([
      ['web1.lab', 'report', 4, 1],
      ['web1.lab', 'report', 8, 1],
      ['web2.lab', 'report', 4, 1],
      ['web2.lab', 'report', 4, 1],
      ['web3.lab', 'connections-closed', 1, 0],
      ['web3.lab', 'connections-closed', 1, 0],
    ]);
    const first = rows.find(row => row.certname === 'web1.lab')!;
    expect(first).toMatchObject({
      transactionUuid: UUIDS[0],
      environment: 'canary',
      puppetVersion: '7.23.0',
      agentConnections: 5,
    });
    expect([...store.exchanges({ run: first.id })].map(row => [row.n, row.phase])).toEqual([
      [1, 'ca'],
      [2, 'crl'],
      [3, 'csr'],
      [4, 'certificate'],
      [5, 'pluginsync'],
      [6, 'file'],
      [7, 'catalog'],
      [8, 'report'],
    ]);
    store.close();
    expect(rederive(file)).toBe(6);
    expect(derived(file)).toEqual(live);
    expect(live[3]).toMatchObject([{ name: 'runs', settled: 1 }]);
  });

  test('a decoder thread that ends in the middle of a run goes on with it', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const workers: Worker[] = [];
    const started = (worker: Worker): void => {
      workers.push(worker);
    };
    process.on('worker', started);
    const recorder = await open(file);
    await run(recorder, 'web1.lab', '10.0.0.1', UUIDS[0]!, true);
    const line = agent(recorder, 'web2.lab').connect();
    for (let i = 0; i < 300; i++) await line.send(CHECK);
    await Promise.all([once(workers[1]!, 'exit'), workers[1]!.terminate()]);
    for (let i = 0; i < 300; i++) await line.send(CHECK);
    line.close();
    await recorder.close();
    process.off('worker', started);
    const live = derived(file);
    const store = closing(openStore(file));
    expect([...store.runs()].map(row => [row.certname, row.exchanges])).toEqual([
      ['web1.lab', 8],
      ['web2.lab', 600],
    ]);
    store.close();
    rederive(file);
    expect(derived(file)).toEqual(live);
  });

  test('cannot be folded again while they are captured', async () => {
    using dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    expect(() => rederive(dir.file('a.db'))).toThrow('is being written by another stringtap');
    await recorder.close();
    expect(rederive(dir.file('a.db'))).toBe(0);
  });
});

describe('when the end of a run is told', () => {
  function ended(id: number, end: Run['end']): Run {
    return {
      id: id as Run['id'],
      certname: toCertname('web1.lab')!,
      transactionUuid: null,
      environment: null,
      puppetVersion: null,
      startedAt: 0,
      endedAt: end === null ? null : 1,
      end,
      exchanges: 1,
      failed: 0,
      agentConnections: 1,
      primaryConnections: 0,
      requestBytes: 0,
      responseBytes: 0,
    };
  }

  test('at once with a report, after a pause with its connections, never while it goes on', () => {
    const announcer = createAnnouncer();
    announcer.changed([ended(1, 'report'), ended(2, 'connections-closed'), ended(3, null)], 0);
    expect(announcer.due(0, false).map(run => run.id)).toEqual([1]);
    announcer.changed([ended(2, null)], PAUSE_MS - 1); // the agent came back
    expect(announcer.due(PAUSE_MS, false)).toEqual([]);
    announcer.changed([ended(2, 'connections-closed')], 10_000);
    announcer.changed([ended(2, 'connections-closed')], 12_000); // something late was added; the pause goes on
    expect(announcer.due(10_000 + PAUSE_MS, false).map(run => run.id)).toEqual([2]);
  });

  test('once, but again when it ends in another way', () => {
    const announcer = createAnnouncer();
    announcer.changed([ended(1, 'connections-closed')], 0);
    expect(announcer.due(0, true)).toHaveLength(1);
    announcer.changed([ended(1, 'connections-closed')], 1);
    expect(announcer.due(1, true)).toEqual([]);
    announcer.changed([ended(1, 'report')], 2);
    expect(announcer.due(2, false).map(run => run.end)).toEqual(['report']);
  });
});
