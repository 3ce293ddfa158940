import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compareRuns } from '../../src/analysis/compare.ts';
import type { ExchangeComparison, RunComparison } from '../../src/analysis/compare-result.ts';
import { runData } from '../../src/capture/run-data.ts';
import { openStore } from '../../src/capture/store.ts';
import { main } from '../../src/cli.ts';
import type { Io } from '../../src/commands/io.ts';
import { type CatalogTold, catalogBody, requestBody } from '../analysis/compare-rig.ts';
import { agent, open, type TempDir, tempDir } from '../capture/rig.ts';

let dir: TempDir;
let file: string;
let other: string;

const JSON_TYPE = [['Content-Type', 'application/json']] as const;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

interface RunTold {
  catalog: CatalogTold;
  facts: Record<string, unknown>;
  motd: string;
  status: string;
  /** The agent asks for the file, not only for its metadata. */
  fetches?: boolean;
}

/** A run as an agent makes it: catalog, file, report. */
async function record(path: string, runs: readonly RunTold[]): Promise<void> {
  const recorder = await open(path);
  for (const { catalog, facts, motd, status, fetches = true } of runs) {
    const line = agent(recorder, 'agent.example').connect();
    await line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
      bodies: { request: bytes(requestBody(facts)), response: bytes(catalogBody(catalog)) },
      fields: [['Content-Type', 'application/x-www-form-urlencoded']],
      responseFields: [['Content-Type', 'application/vnd.puppet.rich+json']],
    });
    const sum = Buffer.from(await crypto.subtle.digest('SHA-256', bytes(motd))).toString('hex');
    const metadata = { path: '/x', type: 'file', mode: 420, checksum: { type: 'sha256', value: `{sha256}${sum}` } };
    await line.send('GET /puppet/v3/file_metadata/modules/motd/motd?environment=production', {
      bodies: { response: bytes(JSON.stringify(metadata)) },
      responseFields: JSON_TYPE,
    });
    if (fetches) {
      await line.send('GET /puppet/v3/file_content/modules/motd/motd?environment=production', {
        bodies: { response: bytes(motd) },
        responseFields: [['Content-Type', 'application/octet-stream']],
      });
    }
    await line.send('PUT /puppet/v3/report/agent.example?environment=production', {
      bodies: { request: bytes(JSON.stringify({ report_format: 12, status, logs: [], metrics: {}, resource_statuses: {} })) },
      fields: JSON_TYPE,
    });
    line.close();
  }
  await recorder.close();
}

const resources = (mode: string, password: string): CatalogTold => ({
  resources: [
    {
      type: 'File',
      title: '/etc/motd',
      parameters: { source: 'puppet:///modules/motd/motd', mode },
      file: '/code/motd.pp',
      line: 4,
    },
    { type: 'File', title: '/etc/key', parameters: { content: password }, sensitive: ['content'] },
    { type: 'Notify', title: '<script>alert(1)</script>\u001b[31m', parameters: { message: mode } },
  ],
});

const before: RunTold = {
  catalog: resources('0644', 'hunter2'),
  facts: { kernel: 'Linux', os: '12.4' },
  motd: 'hello\n',
  status: 'unchanged',
};
const after: RunTold = {
  catalog: resources('0600', 'hunter3'),
  facts: { kernel: 'Linux', os: '12.5' },
  motd: 'goodbye\n',
  status: 'changed',
};

beforeAll(async () => {
  dir = tempDir();
  file = dir.file('a.db');
  other = dir.file('b.db');
  // r1, r2 the same, the second one without a fetch; r3 differs
  await record(file, [before, { ...before, fetches: false }, after]);
  await record(other, [after]);
});

afterAll(() => dir[Symbol.dispose]());

interface Said {
  out: string[];
  err: string[];
  code: number;
}

async function said(args: readonly string[], terminal: { columns?: number; env?: Io['env'] } | null = null): Promise<Said> {
  const out: string[] = [];
  const err: string[] = [];
  const io: Io = {
    out: text => void out.push(text),
    err: text => void err.push(text),
    chatter: text => void err.push(text),
    write: () => undefined,
    stdoutIsTerminal: terminal !== null,
    columns: terminal?.columns ?? 80,
    env: terminal?.env ?? {},
    exitCode: 0,
  };
  await main(['node', 'stringtap', ...args], io);
  const code = io.exitCode;
  process.exitCode = 0;
  return { out, err, code };
}

async function json<T = RunComparison>(...args: string[]): Promise<T & { compared: string }> {
  const { out, err } = await said([...args, '--json']);
  if (out.length !== 1) throw new Error(err.join('\n'));
  return JSON.parse(out[0]!) as T & { compared: string };
}

describe('diff', () => {
  test('exit 0: no difference; 3: there is one', async () => {
    const same = await said(['diff', 'r1', 'r1', file]);
    expect(same).toMatchObject({ code: 0, err: [] });
    expect(same.out).toContain('no difference');
    const differs = await said(['diff', 'r1', 'r3', file]);
    expect(differs.code).toBe(3);
    const text = differs.out.join('\n');
    expect(text).toContain('~ File[/etc/motd]  /code/motd.pp:4\n      ~ mode: 0644 → 0600');
    expect(text).toContain('facts that changed as well: os');
    expect(text).toContain('~ modules/motd/motd  (File[/etc/motd])');
    expect(text).toMatch(/-hello\n +\+goodbye/);
    expect(text).toContain('~ status: unchanged → changed');
    expect(text).not.toMatch(/hunter/);
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  });

  test('Sensitive values are told to differ, and shown with --reveal', async () => {
    const hidden = (await said(['diff', 'r1', 'r3', file])).out.join('\n');
    expect(hidden).toContain('~ content: differs, and is not shown: --reveal');
    expect((await said(['diff', 'r1', 'r3', file, '--reveal'])).out.join('\n')).toContain('hunter2 → hunter3');
    for (const format of ['html', 'json']) {
      expect((await said(['diff', 'r1', 'r3', file, '--format', format])).out.join('\n')).not.toContain('hunter');
    }
  });

  test('runs of two captures, by --other or FILE:r1; and one run alone against the one before it', async () => {
    const one = await json('diff', 'r1', 'r1', file, '--other', other);
    expect(one).toMatchObject({ compared: 'runs', same: false, a: { id: 'r1', capture: file }, b: { id: 'r1', capture: other } });
    const named = await json('diff', `${file}:r3`, `${other}:1`);
    expect(named).toMatchObject({ same: true, a: { id: 'r3', capture: file }, b: { capture: other } });
    const alone = await json('diff', 'r3', file);
    expect(alone).toMatchObject({ a: { id: 'r2' }, b: { id: 'r3' } });
    // r2 fetched nothing: what the agent had is in the body that r1 got
    expect(alone.files).toMatchObject([{ path: 'modules/motd/motd', content: { type: 'text' } }]);
    expect(alone.exchanges.onlyB.map(({ id }) => id)).toEqual(['e10']);
  });

  test('two exchanges', async () => {
    const comparison = await json<ExchangeComparison>('diff', 'e1', 'e8', file);
    expect(comparison).toMatchObject({ compared: 'exchanges', same: false, a: { id: 'e1', phase: 'catalog' }, b: { id: 'e8' } });
    expect(comparison.parts.map(({ type }) => type)).toEqual(['facts', 'catalog']);
    expect((await said(['diff', 'e1', 'e5', file])).code).toBe(0);
    expect((await said(['diff', 'e1', 'e8', file])).out.join('\n')).toContain('~ File[/etc/motd]');
  });

  test('rules leave out what nobody wants to see', async () => {
    const rules = ['--ignore', 'File[/etc/*]::parameters::mode,Notify[*]', '--ignore-attr', 'content'];
    const comparison = await json('diff', 'r1', 'r3', file, ...rules);
    expect(comparison.catalog).toMatchObject({ resources: [], ignored: 3 });
    expect(await said(['diff', 'r1', 'r3', file, '--ignore', 'File'])).toMatchObject({ code: 2, out: [] });
  });

  test('colours on a terminal, unless NO_COLOR; no line is wider than it; text of the wire never steers it', async () => {
    const esc = String.fromCharCode(27);
    const colour = await said(['diff', 'r1', 'r3', file], { columns: 60 });
    expect(colour.out.join('\n')).toContain(`${esc}[32m`);
    const codes = new RegExp(`${esc}\\[\\d*m`, 'g');
    for (const line of colour.out.map(text => text.replaceAll(codes, ''))) {
      expect(line.length, line).toBeLessThanOrEqual(60);
      expect(line).not.toMatch(/\p{Cc}/u);
    }
    for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
      expect((await said(['diff', 'r1', 'r3', file], { env })).out.join('')).not.toContain(esc);
    }
  });

  test('an HTML page that needs nothing else and holds no markup of the wire', async () => {
    const { out, code } = await said(['diff', 'r1', 'r3', file, '--format', 'html']);
    expect(code).toBe(3);
    const html = out.join('\n');
    expect(html).toMatch(/^<!doctype html>/);
    expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m');
    expect(html).not.toMatch(/<script|<link|<img|(?:src|href)="(?!#)|url\(|@import/);
    expect(html.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    expect(html).toContain('default-src &#39;none&#39;');
    // every element that is opened is closed
    for (const name of ['div', 'details', 'table', 'tr', 'td', 'th', 'pre', 'span', 'section', 'ul', 'li', 'code']) {
      const count = (pattern: string): number => html.match(new RegExp(pattern, 'g'))?.length ?? 0;
      expect([name, count(`<${name}[ >]`)]).toEqual([name, count(`</${name}>`)]);
    }
    expect((await said(['diff', 'e1', 'e8', file, '--format', 'html'])).out.join('\n')).toContain('File[/etc/motd]');
  });

  test.each([
    [['r1', 'e1'], 2, /a run and an exchange cannot be compared/],
    [['x1', 'r1'], 2, /diff takes runs or exchanges, not "x1"/],
    [['e1'], 2, /two exchanges/],
    [['r1', 'r99'], 1, /there is no run r99/],
    [['e1', 'e99'], 1, /there is no exchange e99/],
  ])('%j is refused with a word on what to do', async (args, code, message) => {
    const result = await said(['diff', ...args, ...(args.length > 1 ? [file] : [])]);
    expect(result.code).toBe(code);
    expect(result.err[0]).toMatch(message);
    expect(result.err[1]).toMatch(/^hint: /);
  });
});

describe('runs of a real agent and a real primary', () => {
  const sample = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));

  test('none differs from itself, and every two of them can be compared from both sides', () => {
    const copy = dir.file('sample.db');
    copyFileSync(sample, copy);
    const store = openStore(copy, 'bodies');
    try {
      const runs = [...store.runs()].map(run => runData(store, run));
      expect(runs.length).toBeGreaterThan(2);
      for (const [n, one] of runs.entries()) {
        expect(compareRuns(one, one)).toMatchObject({ same: true, files: [], run: [] });
        const other = runs[(n + 1) % runs.length]!;
        const [there, back] = [compareRuns(one, other), compareRuns(other, one)];
        expect(back.counts).toEqual(there.counts);
        expect(back.exchanges.onlyA).toEqual(there.exchanges.onlyB);
      }
    } finally {
      store.close();
    }
  });
});
