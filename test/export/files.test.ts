import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest';
import { openStore } from '../../src/capture/store.ts';
import { shellWord } from '../../src/export/curl.ts';
import { createNames, safePath, safeSegment } from '../../src/export/names.ts';
import { agent, open } from '../capture/rig.ts';
import { stringtap } from '../commands/reuse-rig.ts';
import { fixture } from '../decode/rig.ts';
import { newAgentState } from '../peers/options.ts';
import { fc } from '../rig/properties.ts';
import { type Folder, folder, sample, scene } from './rig.ts';

let dir: Folder;
let file: string;

beforeAll(() => {
  dir = folder();
  file = sample(dir);
});
afterAll(() => dir[Symbol.dispose]());

/** The primary is in this process, so nothing may hold it up. */
const run = promisify(execFile);

/** Without the program a test is skipped, unless this machine has to have it. */
function needs(context: TestContext, program: string): void {
  if (process.env.STRINGTAP_REQUIRE_PUPPET === '1' || spawnSync(program, ['--version']).status === 0) return;
  context.skip(`${program} is not installed`);
}

function all(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

async function files(capture: string, name: string, ...args: string[]): Promise<string> {
  const out = dir.path(name);
  const { code, err } = await stringtap('export', ...args, '--capture', capture, '--format', 'files', '-o', out);
  expect(err.filter(line => !line.includes('secrets are hidden'))).toEqual([]);
  expect(code).toBe(0);
  return out;
}

describe('files', () => {
  test('of real runs: what a run was made of, each with its exchange', async () => {
    const out = await files(file, 'real');
    const run = readdirSync(out).find(name => name.startsWith('r1-'))!;
    expect(run).toBe('r1-web01.lab');
    const found = all(join(out, run));
    for (const name of [
      'catalog.json',
      'facts.yaml',
      'report.yaml',
      'node.json',
      'csr.pem',
      'certificate.pem',
      'ca.pem',
      'crl.pem',
      'run.json',
    ]) {
      expect(found).toContain(name);
    }
    expect(found).toContain('files/plugins/facter/datacenter.rb');
    const index = JSON.parse(readFileSync(join(out, run, 'index.json'), 'utf8')) as { file: string; exchange: string }[];
    expect(index.map(entry => entry.file).sort()).toEqual(found.filter(name => name !== 'run.json' && name !== 'index.json'));
    expect(index.find(entry => entry.file === 'catalog.json')?.exchange).toBe('e14');
    for (const name of found) expect(statSync(join(out, run, name)).mode & 0o077, name).toBe(0);
    expect(JSON.parse(readFileSync(join(out, run, 'catalog.json'), 'utf8'))).toMatchObject({ name: 'web01.lab' });
    expect(
      readFileSync(join(out, readdirSync(out).find(name => name.startsWith('r5-'))!, 'catalog-error-e61.txt'), 'utf8'),
    ).toContain('role::webb');
  });

  test('facts.yaml and report.yaml are read by Ruby as they were sent', async context => {
    needs(context, 'ruby');
    const out = await files(file, 'ruby', 'r1');
    const script =
      'p YAML.safe_load_file("facts.yaml")["values"]["os"]["release"]["major"], YAML.safe_load_file("report.yaml").values_at("status", "report_format")';
    const said = execFileSync('ruby', ['-ryaml', '-e', script], { cwd: join(out, 'r1-web01.lab'), encoding: 'utf8' });
    expect(said).toBe('"12"\n["changed", 12]\n');
  });

  test('puppet apply takes the catalog', async context => {
    needs(context, 'puppet');
    const own = dir.path('apply.db');
    const recorder = await open(own);
    const line = agent(recorder, 'agent.example').connect();
    const target = dir.path('made-by-puppet');
    const resource = (type: string, title: string, parameters: object, kind = 'compilable_type') => {
      return { type, title, kind, parameters, tags: [], exported: false };
    };
    const catalog = {
      name: 'agent.example',
      version: 1,
      environment: 'production',
      catalog_format: 2,
      resources: [
        resource('Stage', 'main', { name: 'main' }),
        resource('Class', 'main', { name: 'main' }, 'unknown'),
        resource('File', target, { ensure: 'file', content: 'yes\n' }),
      ],
      edges: [
        { source: 'Stage[main]', target: 'Class[main]' },
        { source: 'Class[main]', target: `File[${target}]` },
      ],
      classes: [],
    };
    await line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
      bodies: { response: Buffer.from(JSON.stringify(catalog)) },
      responseFields: [['Content-Type', 'application/json']],
    });
    line.close();
    await recorder.close();
    const out = await files(own, 'apply');
    const args = [
      'apply',
      '--catalog',
      join(out, 'r1-agent.example', 'catalog.json'),
      '--confdir',
      dir.path('conf'),
      '--vardir',
      dir.path('var'),
    ];
    const { status, stderr, stdout } = spawnSync('puppet', args, { encoding: 'utf8', timeout: 50_000 });
    expect(status, `${stdout}${stderr}`).toBe(0);
    expect(readFileSync(target, 'utf8')).toBe('yes\n');
  });

  test('MessagePack and PSON catalogs become JSON; hostile keys stay below the folder, each in a file of its own', async () => {
    const own = dir.path('hostile.db');
    const recorder = await open(own);
    const line = agent(recorder, 'agent.example').connect();
    const catalog = (body: string, type: string) =>
      line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
        bodies: { response: fixture(body) },
        responseFields: [['Content-Type', type]],
      });
    await catalog('catalog.pson', 'text/pson');
    await catalog('catalog.rich.msgpack', 'application/vnd.puppet.rich+msgpack');
    const keys = [
      '../../../etc/passwd',
      '/etc/shadow',
      'a/../../b',
      '..',
      '.',
      'x'.repeat(4000),
      `${'d/'.repeat(300)}deep`,
      'A',
      'a',
      'a/b',
      'con.txt',
      '%2e%2e%2fup',
      '~root',
      '-rf',
      'nul\u0000l',
      'new\nline',
      '\u202egnp.exe',
      'e\u0301',
      '\u00e9',
    ];
    for (const key of keys) {
      await line.send(`GET /puppet/v3/file_content/modules/${encodeURIComponent(key)}`, {
        bodies: { response: Buffer.from(key) },
      });
    }
    line.close();
    await recorder.close();
    const out = await files(own, 'hostile');
    expect(readdirSync(dir.dir)).not.toContain('etc');
    const run = join(out, 'r1-agent.example');
    const contents = all(join(run, 'files')).map(name => readFileSync(join(run, 'files', name), 'utf8'));
    expect(contents.sort()).toEqual([...keys].sort());
    for (const name of all(out)) {
      expect(name).not.toMatch(/(?:^|\/)\.\.?(?:\/|$)|\p{Cc}|\p{Cf}/u);
      for (const part of name.split('/')) expect(Buffer.byteLength(part)).toBeLessThan(200);
    }
    expect(JSON.parse(readFileSync(join(run, 'catalog.json'), 'utf8'))).toHaveProperty('resources');
    expect(JSON.parse(readFileSync(join(run, 'catalog-e1.json'), 'utf8'))).toHaveProperty('resources');
  });

  test('a body that no decoder takes is left out before it is read', async () => {
    const own = dir.path('huge.db');
    const recorder = await open(own);
    const line = agent(recorder, 'agent.example').connect();
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      for (let n = 0; n < 65; n++) {
        await new Promise<void>(go => void (recorder.ready(go) && go()));
        yield Buffer.alloc(1 << 20, ' ');
      }
    };
    await line.sendStream('POST /puppet/v3/catalog/agent.example?environment=production', pieces());
    line.close();
    await recorder.close();
    const index = readFileSync(join(await files(own, 'huge'), 'r1-agent.example', 'index.json'), 'utf8');
    const omitted = `a body of ${65 << 20} bytes is too large to decode`;
    expect(JSON.parse(index)).toEqual([{ file: null, exchange: 'e1', what: 'catalog response', omitted }]);
  });

  test('needs a folder', async () => {
    expect((await stringtap('export', 'r1', '--capture', file, '--format', 'files')).code).toBe(2);
    writeFileSync(dir.path('a-file'), '');
    const { code, err } = await stringtap('export', 'r1', '--capture', file, '--format', 'files', '-o', dir.path('a-file'));
    expect([code, err[0]]).toEqual([1, expect.stringMatching(/^stringtap: cannot write /)]);
  });
});

describe('names', () => {
  test('any text is one segment that leads nowhere', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), text => {
        const name = safeSegment(text);
        expect(name).not.toMatch(/^$|^\.|[/\\:*?"<>|\p{Cc}\p{Cf}\p{Z}]|\.$/u);
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(130);
      }),
    );
  });

  test('no two paths fall on each other, and no file is a folder', () => {
    const part = fc.constantFrom('a', 'A', 'b', 'a~2', 'x.tar.gz', '..', 'é', 'e\u0301', '');
    fc.assert(
      fc.property(fc.array(fc.array(part, { minLength: 1, maxLength: 4 }), { maxLength: 40 }), paths => {
        const names = createNames();
        const given = paths.map(parts =>
          names(safePath(parts.join('/')))
            .toLowerCase()
            .normalize('NFKC'),
        );
        expect(new Set(given).size).toBe(given.length);
        for (const one of given) for (const other of given) expect(other.startsWith(`${one}/`)).toBe(false);
      }),
    );
  });
});

describe('curl', () => {
  test('a word of a shell is what it was, whatever it was', () => {
    const words = fc.sample(
      fc.string({ unit: 'binary', maxLength: 40 }).filter(text => !text.includes('\0') && text.isWellFormed()),
      300,
    );
    const script = words.map(word => `printf '%s\\0' ${shellWord(word)}`).join('\n');
    expect(execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1)).toEqual(words);
  });

  test('20 random exchanges: the command gives the recorded status', { timeout: 120_000 }, async context => {
    needs(context, 'curl');
    using own = folder();
    await using stage = await scene(own);
    const state = newAgentState();
    await stage.run('agent1.example', state);
    stage.primary.failing.add('agent1.example');
    await stage.run('agent1.example', state);
    await stage.run('agent2.example');
    await stage.end();
    // stringtap as a user has it: the commands read bodies with it
    mkdirSync(own.path('bin'));
    const bin = fileURLToPath(new URL('../../src/bin.ts', import.meta.url));
    writeFileSync(own.path('bin/stringtap'), `#!/bin/sh\nexec '${process.execPath}' '${bin}' "$@"\n`);
    chmodSync(own.path('bin/stringtap'), 0o755);
    stage.primary.failing.clear();
    const { code, err } = await stringtap(
      'export',
      '--capture',
      stage.file,
      '--format',
      'curl',
      '--certs',
      stage.certs,
      '-o',
      own.path('curl'),
    );
    expect([code, err]).toEqual([0, []]);
    const lines = readFileSync(own.path('curl/curl.sh'), 'utf8').trimEnd().split('\n');
    const commands = lines.flatMap((line, n) =>
      line.startsWith('# e') ? [{ id: Number(/^# e(\d+)/.exec(line)![1]), line: lines[n + 1]! }] : [],
    );
    const store = openStore(stage.file);
    // what the CA did once it refuses the second time, and the catalog compiles now
    const again = commands.filter(({ id }) => {
      const row = store.exchange(id)!;
      return row.phase !== 'csr' && (row.status ?? 0) < 500;
    });
    const picked = fc.sample(fc.shuffledSubarray(again, { minLength: 20, maxLength: 20 }), 1)[0]!;
    const env = { ...process.env, PATH: `${own.path('bin')}:${process.env.PATH}` };
    const statuses: number[] = [];
    for (const { line } of picked) {
      const words = `${line} --max-time 10 --output /dev/null --write-out '%{http_code}'`;
      statuses.push(Number((await run('sh', ['-c', words], { env })).stdout));
    }
    expect(statuses).toEqual(picked.map(({ id }) => store.exchange(id)!.primaryStatus ?? store.exchange(id)!.status));
    store.close();
    // bodies without secrets lie beside the script
    expect(commands.some(({ line }) => line.includes('.request'))).toBe(true);
    expect(existsSync(own.path('curl'))).toBe(true);
  });

  test('hostile fields and targets are words, or left out', async () => {
    const own = dir.path('curl.db');
    const recorder = await open(own);
    const line = agent(recorder, 'agent.example').connect();
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell's
    const target = "/puppet/v3/file_content/m/$(touch${IFS}x)';`id`&|!";
    await line.send(`GET ${target}`, {
      fields: [
        ['X-A', "it's $HOME `id`"],
        ['@/etc/passwd', 'x'],
        ['X-B', 'a\nX-C: b'],
        ['Content-Length', '5'],
        ['Cookie', 'secret'],
      ],
    });
    line.close();
    await recorder.close();
    const { code, err } = await stringtap('export', '--capture', own, '--format', 'curl', '-o', dir.path('odd-curl'));
    expect(code).toBe(0);
    expect(err.join('\n')).toMatch(/there is no .*ca\.pem, nor 1 more files.*\n.*--ssldir/);
    const command = readFileSync(dir.path('odd-curl/curl.sh'), 'utf8')
      .split('\n')
      .find(text => text.startsWith('curl '))!;
    const words = execFileSync('sh', ['-c', `curl() { printf '%s\\n' "$@"; }\n${command}`], {
      encoding: 'utf8',
    }).split('\n');
    expect(words).toContain("X-A: it's $HOME `id`");
    expect(words).toContain(`https://puppet.lab:8140${target}`);
    expect(words.join('\n')).not.toMatch(/passwd|X-C|Content-Length|secret/);
  });
});
