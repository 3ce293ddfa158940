import { readFileSync, writeFileSync } from 'node:fs';
import { deflateSync, gzipSync } from 'node:zlib';
import Ajv from 'ajv';
import schemas from 'har-schema';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStore } from '../../src/capture/store.ts';
import { readHar } from '../../src/export/har-read.ts';
import { agent, noise, open } from '../capture/rig.ts';
import { stringtap } from '../commands/reuse-rig.ts';
import { fixture } from '../decode/rig.ts';
import { CHROMIUM, networkPanel } from './chromium.ts';
import { type Folder, folder, sample } from './rig.ts';

let dir: Folder;
let file: string;

beforeAll(() => {
  dir = folder();
  file = sample(dir);
});
afterAll(() => dir[Symbol.dispose]());

// draft 06 of the schema is of its own time
const ajv = new Ajv({ schemaId: 'auto', unknownFormats: 'ignore', allErrors: true });
ajv.addMetaSchema(
  JSON.parse(readFileSync(new URL('../../node_modules/ajv/lib/refs/json-schema-draft-06.json', import.meta.url), 'utf8')),
);
for (const schema of Object.values(schemas)) ajv.addSchema(schema);

interface Body {
  mimeType: string;
  text?: string;
  encoding?: string;
  _encoding?: string;
  _hidden?: boolean;
  comment?: string;
}

interface Entry {
  pageref?: string;
  startedDateTime: string;
  time: number;
  connection: string;
  request: { method: string; url: string; postData?: Body; headers: { name: string; value: string }[]; bodySize: number };
  response: { status: number; content: Body & { size: number; compression?: number }; bodySize: number };
  timings: Record<'blocked' | 'dns' | 'connect' | 'ssl' | 'send' | 'wait' | 'receive', number>;
  _id: string;
  _target: string;
  _agent: { connection: string; ordinal: number };
}

interface Har {
  log: { pages: { id: string; title: string }[]; entries: Entry[] };
}

async function har(capture: string, ...args: string[]): Promise<{ har: Har; path: string; text: string }> {
  const path = dir.path('out.har');
  const { code, err } = await stringtap('export', ...args, '--capture', capture, '--format', 'har', '-o', path);
  expect(err).toEqual([]);
  expect(code).toBe(0);
  const text = readFileSync(path, 'utf8');
  return { har: JSON.parse(text) as Har, path, text };
}

function valid(found: Har): void {
  ajv.validate('har.json#', found);
  expect(ajv.errors).toBeNull();
}

describe('HAR 1.2', () => {
  test('real runs: valid, a page a run, connections, times that add up', async () => {
    const { har: found } = await har(file);
    valid(found);
    const { pages, entries } = found.log;
    expect(pages.map(page => page.id)).toEqual(['r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7']);
    expect(entries).toHaveLength(79);
    for (const entry of entries) {
      const { blocked, dns, connect, ssl, send, wait, receive } = entry.timings;
      const sum = [blocked, dns, connect, send, wait, receive].reduce((all, ms) => all + Math.max(0, ms), 0);
      expect(entry.time).toBeCloseTo(sum, 2);
      expect(dns).toBe(-1);
      if (entry._agent.ordinal === 1) expect(connect).toBeGreaterThanOrEqual(ssl);
      else expect([connect, ssl]).toEqual([-1, -1]);
      expect(entry.connection).toBe(entry._agent.connection.slice(1));
    }
    expect(entries.filter(entry => entry.timings.ssl > 0)).toHaveLength(13);
    const catalog = entries.find(entry => entry._target.includes('/catalog/'))!;
    expect(catalog.response.content.size).toBe(Buffer.byteLength(catalog.response.content.text!));
    expect(catalog.response.content.size - catalog.response.content.compression!).toBe(catalog.response.bodySize);
    expect(JSON.parse(catalog.response.content.text!)).toHaveProperty('resources');
    expect(catalog.request.postData!.text).toContain('facts=');
  });

  test('one run alone', async () => {
    const { har: found } = await har(file, 'r5');
    valid(found);
    expect(found.log.pages.map(page => page.id)).toEqual(['r5']);
    expect(found.log.entries.map(entry => entry.pageref)).toEqual(['r5', 'r5', 'r5', 'r5', 'r5']);
  });

  test('hostile targets, names and bodies: valid, and byte for byte in what is ours', async () => {
    const hostile = dir.path('hostile.db');
    const recorder = await open(hostile);
    const line = agent(recorder, 'agent.example').connect();
    const targets = [
      '/puppet/v3/file_content/m/a%20b+c&d.txt?environment=p',
      '/puppet/v3/file_bucket_file/sha256/x//etc/passwd',
      '/puppet/v3/file_content/m/"><script>alert(1)</script>|\\^`{}',
      '/puppet/v3/file_content/m/ünïcödé%zz%',
      '*',
      'http://other.example/x y',
      `/puppet/v3/file_content/${'a/'.repeat(5000)}`,
    ];
    for (const target of targets) {
      // blanks are between the parts of what this rig takes
      await line.send(`GET ${target.replace(' ', '\u00a0')}`, { bodies: { response: Buffer.from([0, 255, 10, 13]) } });
    }
    await line.send('GET /puppet/v3/report/agent.example', {
      bodies: { response: gzipSync('{"a":1}'), request: Buffer.from([0xff, 0, 1]) },
      responseFields: [
        ['Content-Type', 'application/json'],
        ['Content-Encoding', 'gzip'],
        ['X', 'a\u0000b'],
      ],
    });
    await line.send('GET /puppet/v3/file_content/m/bomb', {
      bodies: { response: Buffer.from('not gzip at all') },
      responseFields: [['Content-Encoding', 'gzip']],
    });
    await line.send('GET /none', { status: null, outcome: { type: 'abandoned' } });
    line.close();
    await recorder.close();
    const { har: found } = await har(hostile);
    valid(found);
    const { entries } = found.log;
    expect(entries.slice(0, targets.length).map(entry => entry._target)).toEqual(
      targets.map(target => target.replace(' ', '\u00a0')),
    );
    for (const entry of entries) expect(URL.canParse(entry.request.url), entry.request.url).toBe(true);
    expect(entries[0]!.response.content).toMatchObject({ encoding: 'base64', text: 'AP8KDQ==', size: 4 });
    expect(entries[7]!.response.content).toMatchObject({ text: '{"a":1}', size: 7 });
    expect(entries[7]!.request.postData).toMatchObject({ _encoding: 'base64', text: '/wAB' });
    expect(entries[8]!.response.content).toMatchObject({ comment: 'left out: the body is not gzip' });
    expect(entries[8]!.response.content).not.toHaveProperty('text');
    expect(entries[9]!.response).toMatchObject({ status: 0, bodySize: -1 });
  });

  test('secrets are hidden, and told elsewhere too; --reveal shows them', async () => {
    const secret = dir.path('secret.db');
    const recorder = await open(secret);
    const line = agent(recorder, 'agent.example').connect();
    const type = [['Content-Type', 'application/json']] as const;
    await line.send('PUT /puppet-ca/v1/certificate_request/agent.example', {
      bodies: { request: fixture('csr-rsa.pem') },
      fields: [['Content-Type', 'text/plain']],
    });
    const resource = { type: 'User', title: 'app', parameters: { password: 'hunter22-hunter22', uid: 1 }, tags: [] };
    const catalog = { name: 'agent.example', resources: [resource], edges: [], classes: [] };
    await line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
      bodies: { response: Buffer.from(JSON.stringify(catalog)) },
      fields: [['Authorization', 'Basic c2VjcmV0OnNlY3JldA==']],
      responseFields: type,
    });
    const report = { host: 'agent.example', logs: [{ level: 'err', message: 'cannot set hunter22-hunter22', source: 'Puppet' }] };
    await line.send('PUT /puppet/v3/report/agent.example?token=abcdefgh', {
      bodies: { request: Buffer.from(JSON.stringify(report)) },
      fields: type,
    });
    const key = '-----BEGIN RSA PRIVATE KEY-----\nTUlJRXBRSUJBQUtDQVFFQQ==\n-----END RSA PRIVATE KEY-----\n';
    await line.send('GET /puppet/v3/file_content/modules/x/key.pem', { bodies: { response: Buffer.from(`a\n${key}b\n`) } });
    await line.send('GET /puppet/v3/file_content/modules/x/broken', {
      bodies: { response: Buffer.from('{"password": "hunter22-hunter22"') },
      responseFields: type,
    });
    await line.send('GET /puppet/v3/file_content/modules/x/moved', {
      status: 302,
      fields: [['Referer', 'https://a.example/from?access_token=referer8']],
      responseFields: [['Location', 'https://a.example/next?access_token=nowhere8']],
      trailers: [['X-Auth-Token', 'trailer8']],
    });
    line.close();
    await recorder.close();
    const { text, har: found } = await har(secret);
    valid(found);
    const words = ['hunter22', 'TUlJRXBR', 'c2VjcmV0', 'abcdefgh', 'referer8', 'nowhere8', 'trailer8'];
    for (const word of words) expect(text, word).not.toContain(word);
    expect(found.log.entries[1]!.response.content._hidden).toBe(true);
    expect(found.log.entries[3]!.response.content.text).toBe('a\n(private key)\nb\n');
    expect(found.log.entries[4]!.response.content.comment).toMatch(/cannot be searched for secrets/);
    for (const format of ['jsonl', 'otlp', 'html', 'curl']) {
      const { code, err } = await stringtap('export', '--capture', secret, '--format', format, '-o', dir.path(`out.${format}`));
      expect([code, err.filter(line => !/there is no|^hint/.test(line))]).toEqual([0, []]);
      const written = readFileSync(dir.path(format === 'curl' ? 'out.curl/curl.sh' : `out.${format}`), 'utf8');
      for (const word of words) expect(written, `${format}: ${word}`).not.toContain(word);
    }
    for (const json of [[], ['--json']]) {
      const shown = (reveal: string[]) => stringtap('show', 'e6', secret, '--headers', ...json, ...reveal);
      for (const word of words.slice(4)) {
        expect((await shown([])).out.join('\n')).not.toContain(word);
        expect((await shown(['--reveal'])).out.join('\n')).toContain(word);
      }
    }
    const revealed = await har(secret, '--reveal');
    for (const word of words) expect(revealed.text, word).toContain(word);
  });

  test('a body over what is held whole passes in pieces, compressed or not', async () => {
    const large = dir.path('large.db');
    const recorder = await open(large);
    const line = agent(recorder, 'agent.example').connect();
    const bytes = noise(10 << 20, 7);
    await line.send('GET /puppet/v3/file_content/m/plain', { bodies: { response: bytes } });
    await line.send('GET /puppet/v3/file_content/m/packed', {
      bodies: { response: gzipSync(bytes, { level: 1 }) },
      responseFields: [['Content-Encoding', 'gzip']],
    });
    const text = Buffer.from('password: x\n'.repeat(1_000_000));
    await line.send('GET /puppet/v3/file_content/m/text', { bodies: { response: text } });
    line.close();
    await recorder.close();
    const { har: found } = await har(large);
    const [plain, packed, words] = found.log.entries.map(entry => entry.response.content);
    for (const content of [plain!, packed!]) expect(Buffer.from(content.text!, 'base64').equals(bytes)).toBe(true);
    expect(words!.comment).toContain('not searched for secrets');
  });
});

const UUID = '0f8fad5b-d9cb-469f-a165-70867728950e';

describe('import', () => {
  const rows = async (command: string[], capture: string): Promise<unknown> =>
    (await stringtap(...command, '--json', ...(command[0] === 'reuse' ? ['--capture', capture] : [capture]))).out.map(line => {
      const { capture: _, ...row } = JSON.parse(line) as Record<string, unknown>;
      return row;
    });

  test('of what was exported gives the same runs, exchanges, connections and reuse, and bodies that decode', async () => {
    const { path } = await har(file);
    const again = dir.path('again.db');
    const { code, err, out } = await stringtap('import', path, '--capture', again);
    expect(err).toEqual([]);
    expect(code).toBe(0);
    expect(out.at(-1)).toContain('imported 79 exchanges on 18 connections');
    for (const command of [['runs'], ['exchanges'], ['connections'], ['reuse']]) {
      expect(await rows(command, again), command[0]).toEqual(await rows(command, file));
    }
    const shown = async (capture: string, ...what: string[]) => (await stringtap('show', ...what, capture)).out;
    for (const what of [
      ['r1', 'resources'],
      ['r1', 'facts'],
      ['r7', 'events'],
      ['r1', 'certificates'],
    ]) {
      const had = await shown(file, ...what);
      expect(had.length).toBeGreaterThan(1);
      expect(await shown(again, ...what), what.join(' ')).toEqual(had);
    }
    const store = openStore(again);
    expect(store.recordings()).toMatchObject([{ imported: true, version: `import: out.har of stringtap 0.1.0`, pool: 'pooled' }]);
    store.close();
    // what is imported can be exported again
    const second = await har(again);
    valid(second.har);
    expect(second.har.log.entries).toHaveLength(79);
  });

  /** As mitmproxy's `.zhar` is, and as people keep files. */
  const packed = (text: string, n: number): Buffer | string => [deflateSync(text), gzipSync(text)][n] ?? text;

  /** What mitmproxy writes: no connections, no pages; bodies decoded, their Content-Encoding field still there. */
  const foreign = (extra: (n: number) => object): string => {
    const at = Date.parse('2026-03-01T10:00:00Z');
    const asked: [string, string, string][] = [
      ['GET', '/puppet/v3/file_metadatas/plugins?environment=production', '[]'],
      [
        'POST',
        '/puppet/v3/catalog/web1.example.com?environment=production',
        '{"name":"web1.example.com","resources":[],"edges":[],"classes":[]}',
      ],
      ['PUT', '/puppet/v3/report/web1.example.com?environment=production', '["store"]'],
    ];
    const entries = asked.map(([method, target, text], n) => ({
      startedDateTime: new Date(at + n * 1000).toISOString(),
      time: 120,
      request: {
        method,
        url: `https://puppet.example.com:8140${target}`,
        httpVersion: 'HTTP/1.1',
        cookies: [],
        headers: [{ name: 'X-Puppet-Version', value: '8.10.0' }],
        queryString: [],
        headersSize: -1,
        bodySize: 0,
        ...(method === 'POST' && {
          postData: {
            mimeType: 'application/x-www-form-urlencoded',
            params: [
              { name: 'transaction_uuid', value: UUID },
              { name: 'environment', value: 'production' },
            ],
          },
        }),
      },
      response: {
        status: 200,
        statusText: 'OK',
        httpVersion: 'HTTP/1.1',
        cookies: [],
        headers: [
          { name: 'Content-Type', value: 'application/json' },
          { name: 'Content-Encoding', value: 'gzip' },
        ],
        content: { size: text.length, mimeType: 'application/json', text },
        redirectURL: '',
        headersSize: -1,
        bodySize: 30,
      },
      cache: {},
      timings: { blocked: -1, dns: -1, connect: n === 0 ? 20 : -1, ssl: n === 0 ? 15 : -1, send: 10, wait: 80, receive: 10 },
      ...extra(n),
    }));
    const connect = { ...entries[0]!, request: { ...entries[0]!.request, method: 'CONNECT' } };
    return JSON.stringify({
      log: { version: '1.2', creator: { name: 'mitmproxy', version: '12.0' }, entries: [connect, ...entries] },
    });
  };

  test.each([
    ['mitmproxy', () => ({}), 1],
    ['Fiddler', (n: number) => ({ connection: n < 2 ? 'ClientPort:5210;EgressPort:5211' : 'ClientPort:5300' }), 2],
  ] as const)('a HAR of %s: one run, its catalog decoded, what is not told is said', async (name, extra, connections) => {
    const path = dir.path(`${name}.har`);
    const capture = dir.path(`${name}.db`);
    writeFileSync(path, packed(foreign(extra), connections - 1));
    const { code, err } = await stringtap('import', path, '--capture', capture);
    expect(code).toBe(0);
    expect(err.join('\n')).toContain('a CONNECT was left out');
    expect(await rows(['runs'], capture)).toMatchObject([
      {
        certname: 'web1.example.com',
        exchanges: 3,
        agentConnections: connections,
        puppetVersion: '8.10.0',
        end: 'report',
        environment: 'production',
        transactionUuid: UUID,
      },
    ]);
    const [catalog] = (await stringtap('show', 'e2', capture, '--json')).out;
    expect(JSON.parse(catalog!)).toMatchObject({
      phase: 'catalog',
      agentConnection: 'c1',
      decoded: { catalog: [{ name: 'web1.example.com' }] },
    });
    const [first] = (await rows(['connections'], capture)) as { handshakeMs: number; connectMs: number }[];
    expect(first).toMatchObject({ handshakeMs: 15, connectMs: 5 });
  });

  test.each([
    ['nothing', ''],
    ['no JSON', 'hello'],
    ['no HAR', '{"a":1}'],
    ['no entries', '{"log":{"entries":[]}}'],
    ['entries that are none', '{"log":{"entries":[null,1,"x",{},[],{"request":{"method":"GET"}}]}}'],
    ['too deep', `{"log":${'['.repeat(5000)}${']'.repeat(5000)}}`],
    ['cut', '{"log":{"entries":[{"startedDateTime":"2026'],
  ])('%s is one clear line, and no capture is left', async (_, text) => {
    const path = dir.path('bad.har');
    writeFileSync(path, text);
    const capture = dir.path('bad.db');
    const { code, err } = await stringtap('import', path, '--capture', capture);
    expect(code).toBe(1);
    expect(err[0]).toMatch(/^stringtap: cannot read .*bad\.har: /);
    expect(err.join()).not.toContain('defect');
    expect(() => readFileSync(capture)).toThrow();
  });

  test('hostile values become nothing, or something harmless', async () => {
    const entry = {
      startedDateTime: '2026-03-01T10:00:00Z',
      time: '1e999',
      request: {
        method: 'GET',
        url: 'https://x/puppet/v3/node/../../etc',
        headers: [{ name: '__proto__', value: { a: 1 } }, null, { name: 'A', value: 'x'.repeat(1e6) }],
      },
      response: { status: 1e300, headers: 'none', content: { text: { a: 1 }, encoding: 5 } },
      timings: { send: -5, wait: 1e308, receive: 'x', connect: 1e308 },
      _certname: '../../etc/passwd',
      _agent: { connection: 'constructor', ordinal: -3 },
      _primary: { connection: '__proto__', ordinal: 1e30 },
      _outcome: 'failed',
      _failure: { reason: 'toString' },
      _timing: { startMono: 'a', endMono: null },
      _recording: 1e308,
    };
    const log = {
      entries: [entry, { ...entry, _failure: { reason: 'primary-timeout', afterMs: 'x' }, response: { status: 0 } }],
      _stringtap: {
        connections: [{ id: 'constructor', leg: 'agent', openedAt: '2026', openedMono: {} }, 5],
        recordings: { id: 1 },
      },
    };
    const path = dir.path('odd.har');
    writeFileSync(path, JSON.stringify({ log }));
    const { code, err } = await stringtap('import', path, '--capture', dir.path('odd.db'));
    expect([code, err]).toEqual([0, []]);
    expect(await rows(['exchanges'], dir.path('odd.db'))).toMatchObject([
      {
        certname: null,
        failure: { reason: 'internal', detail: 'as the HAR says: toString' },
        outcome: 'failed',
        primaryConnection: null,
        status: null,
      },
      { failure: { reason: 'primary-timeout', afterMs: 0 }, outcome: 'failed', status: null },
    ]);
    expect((await stringtap('show', 'e1', '--headers', dir.path('odd.db'))).code).toBe(0);
  });

  test('times and counts that nobody can have measured cost no row beside them', async () => {
    const request = { method: 'POST', url: 'https://p:8140/puppet/v3/catalog/a.example?environment=x' };
    const entry = { startedDateTime: '2026-01-01T00:00:00Z', request, response: { status: 200 } };
    const entries = [
      { ...entry, _timing: { startMono: -1e308, endMono: 1e308 } },
      { ...entry, timings: { send: 1e300, wait: 1e308, receive: 1e308 } },
      { ...entry, time: 1e308 },
      { ...entry, startedDateTime: '9999-12-31T23:59:59Z' },
      { ...entry, _agent: { connection: 'c1', ordinal: 1 } },
    ];
    const c1 = { id: 'c1', leg: 'agent', openedAt: '2026-01-01T00:00:00Z', openedMono: 0, connectMs: 1e308, bytesRead: 1e300 };
    const path = dir.path('measured.har');
    writeFileSync(
      path,
      JSON.stringify({ log: { entries, _stringtap: { connections: [c1, { ...c1, id: 'c2', openedMono: 1e308 }] } } }),
    );
    const into = dir.path('measured.db');
    const { code, err } = await stringtap('import', path, '--capture', into);
    expect([code, err]).toEqual([0, ['stringtap: an entry without a time was left out (1)']]);
    expect(await rows(['exchanges'], into)).toHaveLength(4);
    expect(await rows(['connections'], into)).toHaveLength(2);
    for (const format of ['har', 'jsonl', 'otlp', 'html']) {
      const { code: ended, err: said } = await stringtap('export', into, '--format', format, '-o', dir.path('measured.out'));
      expect([ended, said]).toEqual([0, []]);
    }
  });

  test('more connections than a call takes arguments', () => {
    const entries = [{ request: { method: 'GET', url: 'https://x/' }, startedDateTime: '2026-01-01T00:00:01Z' }];
    const one = { leg: 'agent', openedAt: '2026-01-01T00:00:00Z', openedMono: 0 };
    const connections = Array.from({ length: 150_000 }, (_, n) => ({ id: `c${n}`, ...one }));
    const read = readHar(Buffer.from(JSON.stringify({ log: { entries, _stringtap: { connections } } })));
    expect(read.recordings[0]).toMatchObject({ startedAt: Date.parse('2026-01-01T00:00:00Z') });
    expect(read.recordings[0]!.connections.size).toBe(150_001);
  });

  test('reading keeps no entry without a time', () => {
    const read = readHar(
      Buffer.from(
        '{"log":{"entries":[{"request":{"method":"GET","url":"https://x/"},"startedDateTime":"2026-01-01"},{"request":{"method":"GET","url":"https://x/"},"startedDateTime":"soon"}]}}',
      ),
    );
    expect(read.recordings[0]!.exchanges).toHaveLength(1);
    expect(read.notes).toEqual(['an entry without a time was left out (1)']);
  });
});

test("Chromium's network panel reads it", { timeout: 60_000 }, async context => {
  if (CHROMIUM === null) return context.skip('Chromium is not installed');
  const { path, har: found } = await har(file, 'r1');
  const rows = await networkPanel(path, CHROMIUM);
  expect(rows.map(({ method, url, status }) => [method, url, status])).toEqual(
    found.log.entries.map(entry => [entry.request.method, entry.request.url, entry.response.status]),
  );
  for (const [n, row] of rows.entries()) {
    const entry = found.log.entries[n]!;
    expect(row.duration * 1000).toBeCloseTo(entry.time, 0);
    expect(row.characters).toBe(entry.response.content.text?.length ?? 0);
    expect(row.connection).toBe(entry.connection);
  }
});
