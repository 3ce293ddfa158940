import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli.ts';
import type { Io } from '../../src/commands/io.ts';
import { agent, open, type TempDir, tempDir } from '../capture/rig.ts';
import { fixture } from '../decode/rig.ts';

let dir: TempDir;
let file: string;

beforeAll(async () => {
  dir = tempDir();
  file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'agent.example').connect();
  const json = { fields: [['Content-Type', 'application/json']] as const };
  await line.send('PUT /puppet-ca/v1/certificate_request/agent.example', {
    certname: null,
    bodies: { request: fixture('csr-rsa.pem') },
    fields: [['Content-Type', 'text/plain']],
  });
  await line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
    bodies: { request: fixture('catalog-request.form'), response: fixture('catalog.rich.json') },
    fields: [['Content-Type', 'application/x-www-form-urlencoded']],
    responseFields: [['Content-Type', 'application/vnd.puppet.rich+json']],
  });
  await line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
    status: 500,
    bodies: { response: fixture('error-function.json') },
    responseFields: [['Content-Type', 'application/json']],
  });
  await line.send('PUT /puppet/v3/report/agent.example?environment=production', {
    ...json,
    bodies: { request: fixture('report.json') },
  });
  line.close();
  await recorder.close();
});

afterAll(() => dir[Symbol.dispose]());

/** The one escape sequence that is ours: words that were found are bold. */
const BOLD = new RegExp(`${String.fromCharCode(27)}\\[(?:1|22)m`, 'g');

interface Said {
  out: string[];
  err: string[];
  code: number;
}

/** Runs a command in this process, as if on a terminal of so many columns. */
async function said(args: readonly string[], columns: number | null = null): Promise<Said> {
  const out: string[] = [];
  const err: string[] = [];
  const io: Io = {
    out: text => void out.push(text),
    err: text => void err.push(text),
    chatter: text => void err.push(text),
    write: bytes => void out.push(Buffer.from(bytes).toString('latin1')),
    stdoutIsTerminal: columns !== null,
    columns: columns ?? 80,
    env: {},
    exitCode: 0,
  };
  await main(['node', 'stringtap', ...args], io);
  const code = io.exitCode;
  process.exitCode = 0;
  return { out, err, code };
}

const shown = async (...args: string[]): Promise<string> => (await said(args)).out.join('\n');

test('what a report says again and again is told once on the page of a run, and the last word with it', async () => {
  using own = tempDir();
  const recorder = await open(own.file('a.db'));
  const line = agent(recorder, 'agent.example').connect();
  const report = JSON.parse(Buffer.from(fixture('report.json')).toString()) as { logs: object[] };
  const log = (message: string) => ({ ...report.logs[0], level: 'err', message, source: 'Facter', file: null, line: null });
  const logs = [...Array.from({ length: 30 }, () => log('Permission denied')), log('Could not retrieve catalog')];
  await line.send('PUT /puppet/v3/report/agent.example?environment=production', {
    fields: [['Content-Type', 'application/json']],
    bodies: { request: Buffer.from(JSON.stringify({ ...report, logs })) },
  });
  line.close();
  await recorder.close();
  const page = await shown('show', 'r1', own.file('a.db'));
  expect(page).toContain('     err: Permission denied (Facter), 30 times\n     err: Could not retrieve catalog (Facter)');
  expect((await shown('show', 'e1', own.file('a.db'))).match(/Permission denied/g)).toHaveLength(30);
});

describe('show', () => {
  test('a run is a page: who, how it went, each phase with its requests and facts', async () => {
    const text = await shown('show', 'r1', file);
    expect(text).toMatch(/^run r1 {7}agent\.example, Puppet/);
    expect(text).toContain('CSR  1 request');
    expect(text).toMatch(/of the agent: CN=.*, RSA 2048, signature valid/);
    expect(text).toMatch(/SHA-256 (?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/m);
    expect(text).toContain('20 resources, 19 edges, 3 classes');
    expect(text).toContain('sensitive: File[/tmp/secret]');
    expect(text).toMatch(/e3 500: .+/);
    expect(text).not.toContain('s3cret');
  });

  test.each([80, 160])('no line is wider than a terminal of %d columns, and none steers it', async width => {
    for (const args of [
      ['show', 'r1'],
      ['show', 'e2'],
      ['show', 'r1', 'resources'],
      ['show', 'e4', 'logs'],
      ['search', 'tmp'],
    ]) {
      const { out } = await said([...args, file], width);
      const lines = out.flatMap(text => text.split('\n')).map(text => text.replaceAll(BOLD, ''));
      expect(lines.length).toBeGreaterThan(1);
      for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(width);
      expect(lines.join('')).not.toMatch(/\p{Cc}/u);
    }
  });

  test('an exchange: its body decoded, or as it was; field lines', async () => {
    expect(await shown('show', 'e4', '--headers', file)).toContain('Content-Type: application/json');
    const request = await shown('show', 'e2', '--body', 'request', file);
    expect(request).toContain('facts = {');
    expect(request).toContain('"family": "Debian"');
    const body = ['show', 'e2', '--body', 'response', file];
    const response = await shown(...body);
    expect(response).toContain('"content": "(sensitive)"');
    expect(response).not.toContain('s3cret');
    expect(JSON.parse(response)).toMatchObject({ name: 'agent.example' });
    expect(await shown(...body, '--reveal')).toContain('"content": "s3cret"');
    expect(await shown(...body, '--raw')).toBe(Buffer.from(fixture('catalog.rich.json')).toString('latin1'));
  });

  test('one table with a filter, as text and as rows', async () => {
    expect(await shown('show', 'r1', 'resources', '/tmp/secret', file)).toMatch(/content => \(sensitive\)/);
    expect(await shown('show', 'r1', 'resources', '/tmp/secret', file, '--reveal')).toContain('s3cret');
    const rows = (await said(['show', 'r1', 'facts', 'OS.Release', file, '--json'])).out.map(
      line => JSON.parse(line) as { path: string; exchange: string; run: string },
    );
    expect(rows.map(row => row.path)).toEqual(['os.release.major', 'os.release.full']);
    expect(rows[0]).toMatchObject({ exchange: 'e2', run: 'r1' });
    for (const name of ['resources', 'facts', 'events', 'logs', 'metadata', 'metrics', 'certificates']) {
      expect((await said(['show', 'r1', name, file])).code, name).toBe(0);
    }
  });

  test('--json has what was decoded of an exchange', async () => {
    const [line] = (await said(['show', 'e2', file, '--json'])).out;
    const row = JSON.parse(line!) as { id: string; decoded: { resource: unknown[]; catalog: { resources: number }[] } };
    expect(row.id).toBe('e2');
    expect(row.decoded.catalog[0]!.resources).toBe(20);
    expect(row.decoded.resource).toHaveLength(20);
    expect(line).not.toContain('s3cret');
  });

  test.each([
    [['show', 'r9'], 1, 'there is no run r9'],
    [['show', 'e9'], 1, 'there is no exchange e9'],
    [['show', 'x'], 2, 'show takes a run, an exchange or a connection'],
    [['show', 'r1', 'nothing'], 2, 'there is no table "nothing"'],
    [['show', 'r1', '--body', 'request'], 2, '--headers, --body and --raw are of an exchange'],
    [['show', 'e1', '--body', 'answer'], 2, '--body is one of'],
    [['show', 'e1', '--body', 'response'], 1, 'has no response body'],
  ])('%j: one line and a hint', async (args, code, words) => {
    const { err, code: ended } = await said([...args, ...(args.includes('nothing') ? [] : [file])]);
    expect(ended).toBe(code);
    expect(err.join('\n')).toContain(words);
  });
});

describe('search', () => {
  test('finds words in what was decoded: exchange, place, snippet', async () => {
    const rows = (await said(['search', 'pattern', file, '--in', 'resources', '--json'])).out.map(
      line => JSON.parse(line) as Record<string, unknown>,
    );
    expect(rows).toMatchObject([{ exchange: 'e2', in: 'resources', place: 'Notify[pattern]' }]);
    expect((await said(['search', 's3cret', file])).out).toEqual([]);
    expect(await shown('search', 'ünïcode', file)).toContain('File[/tmp/ünïcode');
    expect(await shown('search', 'debian', file, '--in', 'facts')).toContain('os.family');
  });

  test.each(['"', 'a OR', 'NEAR(', 'x* y"', '-x', 'a:b', "'"])('no word is syntax: %s', async terms => {
    const { code, err } = await said(['search', '--', terms, file]);
    expect([0, 2]).toContain(code);
    expect(err.join()).not.toContain('defect');
  });
});

describe('redecode', () => {
  test('builds everything again', async () => {
    const before = await shown('show', 'r1', file);
    expect((await said(['redecode', 'r1', file])).code).toBe(0);
    expect((await said(['redecode', file])).code).toBe(0);
    expect(await shown('show', 'r1', file)).toBe(before);
    expect((await said(['redecode', 'r99', file])).code).toBe(1);
  });
});
