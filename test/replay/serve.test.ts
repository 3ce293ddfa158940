import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { encode } from '@msgpack/msgpack';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import type { Fields } from '../../src/model.ts';
import { utf8 } from '../../src/pki/der.ts';
import { basicConstraints, extension, readCertificates } from '../../src/pki/x509.ts';
import { OWN_PHASES } from '../../src/replay/serve-entries.ts';
import { agent, joined, open, tempDir } from '../capture/rig.ts';
import { stringtap } from '../commands/reuse-rig.ts';
import { runDemoAgent } from '../peers/agent.ts';
import { makeCsr, makeDemoCa, makeKey } from '../peers/ca.ts';
import { newAgentState } from '../peers/options.ts';
import { fc } from '../rig/properties.ts';
import { record } from './agents-rig.ts';
import { type Client, endToEnd, type ServedRig, serveRig } from './serve-rig.ts';

const bin = fileURLToPath(new URL('../../src/bin.ts', import.meta.url));
const ENVIRONMENT = 'environment=production';
const GZIP: Fields = [['Accept-Encoding', 'gzip;q=1.0,deflate;q=0.6,identity;q=0.3']];
const JSON_OR_PSON: Fields = [...GZIP, ['Accept', 'application/json, text/pson']];
const MISSING = `/puppet/v3/file_metadata/depot/nothing?${ENVIRONMENT}`;

/** Asks everything that was recorded, in its order, each agent by itself; what came is what was recorded. */
async function asRecorded(rig: ServedRig): Promise<number> {
  const clients = new Map<string | null, Client>();
  let count = 0;
  for (const { id, phase } of rig.store.exchanges()) {
    const exchange = rig.store.exchange(id)!;
    if (OWN_PHASES.has(phase) || exchange.run === null || exchange.response === null) continue;
    const { certname, request, response } = exchange;
    const client = clients.get(certname) ?? (await rig.client(certname));
    clients.set(certname, client);
    const body = joined(rig.store.body(id, 'request'));
    const reply = await client.ask(
      request.method,
      request.target,
      endToEnd(request.fields),
      exchange.requestBytes > 0 ? body : undefined,
    );
    expect(rig.answers.at(-1)!.as).toEqual({ type: 'recorded', exchange: id });
    expect({ id, status: reply.status, reason: reply.reason }).toEqual({ id, status: response.status, reason: response.reason });
    expect(endToEnd(reply.fields)).toEqual(endToEnd(response.fields));
    expect(reply.body.equals(joined(rig.store.body(id, 'response')))).toBe(true);
    count += 1;
  }
  const { missed, unused } = rig.served.summary();
  expect({ missed, unused }).toEqual({ missed: [], unused: [] });
  return count;
}

describe('each recorded request is answered as recorded', () => {
  test('the sample: real runs of two agents', async () => {
    await using rig = await serveRig();
    expect(await asRecorded(rig)).toBeGreaterThan(60);
  });

  const target = fc.oneof(
    fc
      .tuple(
        fc.constantFrom('file_metadata', 'file_metadatas', 'file_content', 'catalog', 'facts', 'static_file_content'),
        fc.constantFrom('modules/a', 'modules/a%20b+c&d', 'depot', 'web1.lab', '..', '%00'),
        fc.array(fc.constantFrom('ignore=.git', 'ignore=.svn', 'links=manage', 'recurse=true', 'x=%2B+', ENVIRONMENT), {
          maxLength: 5,
        }),
      )
      .map(([indirection, key, query]) => `/puppet/v3/${indirection}/${key}?${query.join('&')}`),
    fc.constantFrom('/', '/status/v1/services?level=debug', '/puppet/v3/x//y', '/packages/a.deb'),
  );
  const exchange = fc.record({
    method: fc.constantFrom('GET', 'PUT', 'POST', 'HEAD', 'DELETE'),
    target,
    status: fc.constantFrom(200, 200, 200, 404, 500, 204, 304),
    type: fc.constantFrom('application/json', 'application/octet-stream', 'text/pson', 'application/x-msgpack'),
    body: fc.uint8Array({ maxLength: 2000 }),
    sized: fc.boolean(),
  });

  type Told = typeof exchange extends fc.Arbitrary<infer T> ? T : never;
  /** One request is always or never conditional: of a mixture the condition decides before the order does. */
  const agrees = (list: readonly Told[]): boolean =>
    list.every(a => a.status !== 304 || list.every(b => b.status === 304 || b.method !== a.method || b.target !== a.target));

  test('any run', { timeout: 180_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(exchange, { minLength: 1, maxLength: 30 }).filter(agrees), async exchanges => {
        using dir = tempDir();
        const recorder = await open(dir.file('a.db'));
        const line = agent(recorder, 'web1.lab').connect();
        for (const { method, target, status, type, body, sized } of exchanges) {
          const bodiless = method === 'HEAD' || status === 204 || status === 304;
          const fields: Fields = [
            ['Date', 'Mon, 01 Jan 2024 00:00:00 GMT'],
            ['Content-Type', type],
            ['X-Twice', '1'],
            ['x-twice', '2'],
            ...(sized && !bodiless ? [['Content-Length', String(body.length)] as const] : []),
          ];
          const request: Fields = [
            ['Accept', type],
            ...(status === 304 ? [['If-Modified-Since', 'Mon, 01 Jan 2024 00:00:00 GMT'] as const] : []),
          ];
          const sending = { status, fields: request, responseFields: fields, bodies: bodiless ? {} : { response: body } };
          await line.send(`${method} ${target}`, sending);
        }
        line.close();
        await recorder.close();
        await using rig = await serveRig({ capture: dir.file('a.db') });
        expect(await asRecorded(rig)).toBe(exchanges.length);
      }),
      { numRuns: 6 },
    );
  });
});

describe('an agent', () => {
  test('that is new: enrols, takes everything, and comes again', async () => {
    await using recorded = await record(['web1.lab', 'web1.lab']);
    await recorded.primary.stop();
    await using rig = await serveRig({ capture: recorded.capture, only: [1] });
    const place = { ...rig.served.address, serverName: 'localhost', via: null };
    const state = newAgentState();
    const first = await runDemoAgent({ certname: 'web1.lab', place, state, keyType: 'ec' });
    expect(first).toMatchObject({ exitCode: 2, error: null });
    expect(rig.served.summary()).toMatchObject({ missed: [], unused: [], certnames: ['web1.lab'] });
    const second = await runDemoAgent({ certname: 'web1.lab', place, state, keyType: 'ec' });
    expect(second).toMatchObject({ exitCode: 0, error: null });
    expect(rig.served.summary().missed).toEqual([]);
    // As from nothing, with another key: an ssldir that was emptied.
    const again = await runDemoAgent({ certname: 'web1.lab', place, state: newAgentState(), keyType: 'ec' });
    expect(again).toMatchObject({ exitCode: 2, error: null });
  });

  test('of another name gets the run with --as, and nothing without', async () => {
    await using recorded = await record(['web1.lab']);
    await using rig = await serveRig({ capture: recorded.capture, as: ['load*.lab'] });
    const place = { ...rig.served.address, serverName: 'localhost', via: null };
    const run = (certname: string) => runDemoAgent({ certname, place, state: newAgentState(), keyType: 'ec' });
    expect(await run('load17.lab')).toMatchObject({ exitCode: 2, error: null });
    expect(await run('load2.lab')).toMatchObject({ exitCode: 2, error: null });
    expect(rig.served.summary()).toMatchObject({ missed: [], certnames: ['load17.lab', 'load2.lab'] });
    expect((await run('other.lab')).exitCode).toBe(1);
    expect(rig.answers.at(-1)).toMatchObject({ phase: 'csr', status: 403, as: { type: 'refused' } });
    // The name of the server itself: to other agents its certificate would be a server's.
    expect((await run('localhost')).exitCode).toBe(1);
  });

  test('gets no certificate for more than it is: no CA, no server name', async () => {
    await using rig = await serveRig();
    const anyone = await rig.client(null);
    const key = await makeKey('ec');
    const role = extension('1.3.6.1.4.1.34380.1.1.13', false, utf8('webserver'));
    const extensions = [basicConstraints(true), role];
    const csr = makeCsr('web01.lab', key, { names: ['puppet.lab', 'localhost'], extensions });
    const target = '/puppet-ca/v1/certificate_request/web01.lab';
    expect((await anyone.ask('PUT', target, [['Content-Type', 'text/plain']], Buffer.from(csr))).status).toBe(200);
    const { body } = await anyone.ask('GET', '/puppet-ca/v1/certificate/web01.lab');
    const client = await rig.client(null, { key: key.pem, cert: body.toString() });
    const renewed = await client.ask('POST', '/puppet-ca/v1/certificate_renewal');
    for (const pem of [body, renewed.body]) {
      const certificate = new X509Certificate(pem);
      expect(certificate.subject).toBe('CN=web01.lab');
      expect(certificate.subjectAltName).toBeUndefined();
      expect(certificate.ca).toBe(false);
      expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
      expect(certificate.publicKey.equals(key.publicKey)).toBe(true);
      // What Puppet's own extensions say is kept: a primary makes trusted facts of them.
      const [read] = readCertificates(pem.toString());
      expect(read!.extensions.map(({ oid }) => oid)).toContain('1.3.6.1.4.1.34380.1.1.13');
    }
    expect((await anyone.ask('POST', '/puppet-ca/v1/certificate_renewal')).status).toBe(403);
    // Somebody else's request below that name is none.
    const other = await anyone.ask('PUT', '/puppet-ca/v1/certificate_request/db01.lab', [], Buffer.from(csr));
    expect(other.status).toBe(400);
    expect((await anyone.ask('GET', '/puppet-ca/v1/certificate/db01.lab')).status).toBe(404);
  });

  test('without a certificate, or with a question about another, is refused as auth.conf does it', async () => {
    await using rig = await serveRig();
    const anyone = await rig.client(null);
    const catalog = `/puppet/v3/catalog/web01.lab?${ENVIRONMENT}`;
    expect(await anyone.ask('POST', catalog)).toMatchObject({ status: 403 });
    const db = await rig.client('db01.lab');
    expect(await db.ask('POST', catalog)).toMatchObject({ status: 403 });
    expect((await anyone.ask('GET', '/status/v1/simple')).body.toString()).toBe('running');
    expect(rig.served.summary()).toMatchObject({ missed: [], answers: { refused: 2 } });
  });
});

test('an agent that the recorded primary signed is known where its CA was pinned, and nobody else', async () => {
  await using recorded = await record(['web1.lab']);
  const stranger = await makeDemoCa('another primary', 'self', 'ec');
  await using rig = await serveRig({ capture: recorded.capture, certsDir: recorded.certs });
  const key = await makeKey('ec');
  const target = `/puppet/v3/node/web1.lab?${ENVIRONMENT}`;
  const asked = async (cert: string) => {
    const client = await rig.client(null, { key: key.pem, cert });
    return (await client.ask('GET', target, JSON_OR_PSON)).status;
  };
  expect(await asked(recorded.primary.ca.issue('web1.lab', key.publicKey))).toBe(200);
  expect(await asked(recorded.primary.ca.issue('web2.lab', key.publicKey))).toBe(403);
  expect(await asked(stranger.issue('web1.lab', key.publicKey))).toBe(403);
  expect(rig.answers.at(-1)!.as).toMatchObject({ type: 'refused', why: expect.stringContaining('unknown CA') });
  // A new agent gets both CAs.
  const { body } = await (await rig.client(null)).ask('GET', '/puppet-ca/v1/certificate/ca');
  expect(body.toString().match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
});

describe('a request that was not recorded', () => {
  test('is a miss, with the recorded ones that come closest and how they differ', async () => {
    await using rig = await serveRig({ only: [1] });
    const web = await rig.client('web01.lab');
    const node = '/puppet/v3/node/web01.lab?environment=canary&configured_environment=canary&transaction_uuid=1';
    const reply = await web.ask('GET', node, JSON_OR_PSON);
    expect(reply).toMatchObject({ status: 404, reason: 'Not recorded' });
    expect(JSON.parse(reply.body.toString())).toMatchObject({ issue_kind: 'STRINGTAP_NOT_RECORDED' });
    await web.ask('GET', MISSING, JSON_OR_PSON);
    await web.ask('GET', MISSING, JSON_OR_PSON);
    const [first, second] = rig.served.summary().missed;
    expect(first).toMatchObject({ certname: 'web01.lab', method: 'GET', times: 1 });
    expect(first!.near).toHaveLength(3);
    expect(first!.near[0]).toMatchObject({
      exchange: 5,
      differs: [{ field: 'query environment', asked: 'canary', recorded: 'production' }],
    });
    expect(second).toMatchObject({ times: 2 });
    expect(second!.near[0]!.differs.map(({ field }) => field)).toContain('key');
  });

  test('gets what --missing says', async () => {
    {
      await using rig = await serveRig({ missing: 500 });
      expect((await (await rig.client('web01.lab')).ask('GET', MISSING)).status).toBe(500);
    }
    await using rig = await serveRig({ missing: 'close' });
    await expect((await rig.client('web01.lab')).ask('GET', MISSING)).rejects.toThrow('socket hang up');
    expect(rig.answers.at(-1)).toMatchObject({ status: null, as: { type: 'missed' } });
  });

  test('is answered from elsewhere in the capture when it is for a file: by the checksum that the run promises', async () => {
    // A steady run fetches nothing.
    await using rig = await serveRig({ only: [2] });
    const web = await rig.client('web01.lab');
    const code = rig.store.decoded.rows('catalog', { run: 2 })[0]!.codeId;
    const targets = [
      `/puppet/v3/file_content/plugins/facter/datacenter.rb?${ENVIRONMENT}`,
      `/puppet/v3/static_file_content/modules/profile/files/ntp.conf?code_id=${code}&${ENVIRONMENT}`,
      // The way of an agent without static catalogs.
      `/puppet/v3/file_content/modules/profile/ntp.conf?${ENVIRONMENT}`,
      `/puppet/v3/file_content/depot/robots.txt?${ENVIRONMENT}`,
    ];
    const contents = [];
    for (const target of targets) {
      const { status, body, fields } = await web.ask('GET', target, GZIP);
      expect(status).toBe(200);
      const zipped = fields.some(([name, value]) => name.toLowerCase() === 'content-encoding' && value === 'gzip');
      contents.push((zipped ? gunzipSync(body) : body).toString());
    }
    expect(contents).toEqual([
      "Facter.add(:datacenter) { setcode { 'north-1' } }\n",
      'server ntp.lab iburst\n',
      'server ntp.lab iburst\n',
      'User-agent: *\nDisallow:\n',
    ]);
    // Its node request, too, is of another run.
    expect((await web.ask('GET', `/puppet/v3/node/web01.lab?${ENVIRONMENT}`, JSON_OR_PSON)).status).toBe(200);
    expect(rig.served.summary()).toMatchObject({ missed: [], answers: { content: 4, recorded: 1 } });
  });

  test('is not one when it is for the file bucket: it has nothing, and takes everything', async () => {
    await using rig = await serveRig();
    const web = await rig.client('web01.lab');
    const target = `/puppet/v3/file_bucket_file/sha256/${'0'.repeat(64)}//srv/web/motd?${ENVIRONMENT}`;
    expect((await web.ask('HEAD', target)).status).toBe(404);
    expect((await web.ask('PUT', target, [['Content-Type', 'application/octet-stream']], Buffer.from('old'))).status).toBe(200);
    expect(rig.served.summary().missed).toEqual([]);
  });
});

test('the same request again gets the next recorded answer, and the last one from then on; each agent by itself', async () => {
  using dir = tempDir();
  const recorder = await open(dir.file('a.db'));
  const line = agent(recorder, 'web1.lab').connect();
  for (const body of ['one', 'two']) {
    await line.send(`GET /puppet/v3/file_content/depot/a?links=follow&${ENVIRONMENT}`, {
      bodies: { response: Buffer.from(body) },
    });
  }
  line.close();
  await recorder.close();
  await using rig = await serveRig({ capture: dir.file('a.db'), as: ['web2.lab'] });
  for (const certname of ['web1.lab', 'web2.lab']) {
    const client = await rig.client(certname);
    const bodies = [];
    // Another order of the query, and what is new in each run, make no other request.
    for (let n = 0; n < 3; n++) {
      const target = `/puppet/v3/file_content/depot/a?${ENVIRONMENT}&transaction_uuid=${n}&links=follow`;
      bodies.push((await client.ask('GET', target)).body.toString());
    }
    expect(bodies).toEqual(['one', 'two', 'two']);
  }
});

describe('what the agent takes now', () => {
  const target = `/puppet/v3/catalog/web1.lab?${ENVIRONMENT}`;
  const catalog = { name: 'web1.lab', resources: [{ type: 'File', n: 7 }], none: null };

  async function recordedAs(type: string, body: Uint8Array): Promise<{ file: string } & Disposable> {
    const dir = tempDir();
    const recorder = await open(dir.file('a.db'));
    const line = agent(recorder, 'web1.lab').connect();
    await line.send(`POST ${target}`, { responseFields: [['Content-Type', type]], bodies: { response: body } });
    line.close();
    await recorder.close();
    return { file: dir.file('a.db'), [Symbol.dispose]: () => dir[Symbol.dispose]() };
  }

  test('MessagePack becomes JSON for an agent without it, and stays for one with it', async () => {
    const type = 'application/vnd.puppet.rich+msgpack';
    using dir = await recordedAs(type, encode(catalog));
    await using rig = await serveRig({ capture: dir.file });
    const web = await rig.client('web1.lab');
    const json = await web.ask('POST', target, [['Accept', 'application/vnd.puppet.rich+json, application/json']]);
    expect(json.fields).toContainEqual(['Content-Type', 'application/vnd.puppet.rich+json; charset=utf-8']);
    expect(JSON.parse(json.body.toString())).toEqual(catalog);
    expect(rig.notices).toHaveLength(1);
    const same = await web.ask('POST', target, [['Accept', `${type}, application/json`]]);
    expect(same.body.equals(Buffer.from(encode(catalog)))).toBe(true);
  });

  test('another format that cannot be had is sent all the same, and said', async () => {
    using dir = await recordedAs('application/json', Buffer.from(JSON.stringify(catalog)));
    await using rig = await serveRig({ capture: dir.file });
    const reply = await (await rig.client('web1.lab')).ask('POST', target, [['Accept', 'application/x-msgpack']]);
    expect(JSON.parse(reply.body.toString())).toEqual(catalog);
    expect(rig.notices[0]).toContain('application/x-msgpack');
  });

  test('gzip is undone for who does not take it', async () => {
    await using rig = await serveRig({ only: [1] });
    const web = await rig.client('web01.lab');
    const reply = await web.ask('POST', `/puppet/v3/catalog/web01.lab?${ENVIRONMENT}`, [['Accept', 'application/json']]);
    expect(reply.fields.map(([name]) => name.toLowerCase())).not.toContain('content-encoding');
    expect(JSON.parse(reply.body.toString())).toMatchObject({ name: 'web01.lab' });
  });
});

test('answers take their recorded time when asked to, or a part of it', async () => {
  const target = `/puppet/v3/catalog/web01.lab?${ENVIRONMENT}`;
  const took = async (pace: NonNullable<Parameters<typeof serveRig>[0]>['pace']) => {
    await using rig = await serveRig({ only: [1], pace: pace! });
    const { tookMs } = await (await rig.client('web01.lab')).ask('POST', target, GZIP);
    const recorded = [...rig.store.exchanges({ run: 1, phase: 'catalog' })][0]!.durationMs;
    return { tookMs, recorded };
  };
  const whole = await took({ type: 'recorded' });
  expect(whole.tookMs).toBeGreaterThanOrEqual(whole.recorded - 2);
  const part = await took({ type: 'speed', factor: 4 });
  expect(part.tookMs).toBeGreaterThanOrEqual(part.recorded / 4 - 2);
  expect((await took({ type: 'fast' })).tookMs).toBeLessThan(whole.tookMs);
});

/** Tells on stderr of every connection that a process opens. */
const TELL_CONNECTS = `data:text/javascript,${encodeURIComponent(
  "import { subscribe } from 'node:diagnostics_channel'; subscribe('net.client.socket', () => console.error('CONNECTS'));",
)}`;

test('a recorded answer that is no HTTP is said, and its connection is cut', async () => {
  using dir = tempDir();
  const capture = dir.file('odd.db');
  const recorder = await open(capture);
  const line = agent(recorder, 'agent1.example').connect();
  await line.send('GET /puppet/v3/node/agent1.example?environment=production', { responseFields: [['No Field', 'x']] });
  line.close();
  await recorder.close();
  await using rig = await serveRig({ capture });
  const client = await rig.client('agent1.example');
  await expect(client.ask('GET', '/puppet/v3/node/agent1.example?environment=production')).rejects.toThrow(/hang up|reset/);
  expect(rig.notices).toEqual([expect.stringMatching(/^GET \/puppet\/v3\/node\/agent1\.example.*No Field/)]);
});

test('the command: exit code 3 when something was missed, the summary as JSON, and no connection to anybody', async () => {
  await using rig = await serveRig(); // for its folder
  const args = ['serve', 'r2', '--json', '--listen', '127.0.0.1:0', '--certs', join(rig.dir, 'certs')];
  const command = ['--import', TELL_CONNECTS, bin, ...args, '--capture', join(rig.dir, 'capture.db')];
  const child = spawn(process.execPath, command, { stdio: 'pipe' });
  let out = '';
  let err = '';
  child.stderr.on('data', chunk => {
    err += String(chunk);
  });
  child.stdout.on('data', chunk => {
    out += String(chunk);
  });
  const port = await new Promise<number>(resolve => {
    createInterface({ input: child.stderr }).on('line', line => {
      const match = /^listening on .*:(\d+)$/.exec(line);
      if (match) resolve(Number(match[1]));
    });
  });
  const place = { host: '127.0.0.1', port, serverName: 'localhost', via: null };
  // Its catalog is none of the site that this agent knows, but its first steps are the same.
  const { steps } = await runDemoAgent({ certname: 'web01.lab', place, state: newAgentState(), keyType: 'ec' });
  expect(steps.filter(({ line }) => line === 'main').length).toBeGreaterThan(2);
  child.kill('SIGINT');
  const [code] = (await once(child, 'close')) as [number];
  const summary = JSON.parse(out) as { missed: { near: { exchange: string }[] }[]; used: string[] };
  expect(code).toBe(summary.missed.length > 0 ? 3 : 0);
  expect(summary.missed.length).toBeGreaterThan(0);
  expect(summary.missed[0]!.near[0]!.exchange).toMatch(/^e\d+$/);
  expect(summary.used.length).toBeGreaterThan(2);
  expect(err).toContain('listening on');
  expect(err).not.toContain('CONNECTS');
});

test('the command: what cannot be served is said at once', async () => {
  await using rig = await serveRig();
  const capture = join(rig.dir, 'capture.db');
  const wrong = async (...args: string[]): Promise<[number, string]> => {
    const all = [bin, 'serve', ...args, '--from', capture, '--certs', join(rig.dir, 'certs'), '--listen', '127.0.0.1:0'];
    const child = spawn(process.execPath, all, { stdio: ['ignore', 'ignore', 'pipe'] });
    let err = '';
    child.stderr.on('data', chunk => {
      err += String(chunk);
    });
    const [code] = (await once(child, 'close')) as [number];
    return [code, err];
  };
  expect(await wrong('r99')).toEqual([1, expect.stringMatching(/^stringtap: there is no run r99 in .*\nhint: /)]);
  expect(await wrong('--as', 'x.lab')).toEqual([1, expect.stringMatching(/^stringtap: --as with runs of 2 agents\nhint: /)]);
  expect(await wrong('r1', '--timing', 'slowly')).toEqual([2, expect.stringContaining('expected fast, recorded or x2')]);
  expect(await wrong('r1', '--missing', '200')).toEqual([2, expect.stringContaining('expected 404, 500 or close')]);
});

test('a run of what is no certname is not served: it would be in the command line that is printed', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'web1.lab').connect();
  await line.send('GET /puppet/v3/node/web1.lab?environment=production');
  line.close();
  await recorder.close();
  const db = new Database(file);
  db.exec("UPDATE run SET certname = 'x; id'");
  db.close();
  const { code, err } = await stringtap('serve', 'r1', file, '--listen', '127.0.0.1:0', '--certs', dir.file('certs'));
  expect([code, err[0]]).toEqual([1, 'stringtap: r1 is of "x; id", which is no certname']);
});
