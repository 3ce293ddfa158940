import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { lasting } from '../../src/analysis/findings/finding.ts';
import { explainTls } from '../../src/analysis/tls-failures.ts';
import { sized } from '../../src/analysis/words.ts';
import type { Io } from '../../src/commands/io.ts';
import { duration } from '../../src/commands/present.ts';
import { requireTerminal, takesColour } from '../../src/commands/terminal.ts';
import { rows, stringtap } from './stringtap.ts';

const SAMPLE = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));

let dir: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-words-'));
  copyFileSync(SAMPLE, join(dir, 'a.db'));
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('figures', () => {
  test.each([
    [9.94, '9.9 ms'],
    [9.96, '10 ms'],
    [999.4, '999 ms'],
    [999.6, '1.00 s'],
    [59_994, '59.99 s'],
    [59_996, '1 min 00 s'],
    [3_599_499, '59 min 59 s'],
    [3_599_500, '1 h 00 min'],
    [86_369_000, '23 h 59 min'],
    [86_370_000, '1 d 00 h'],
    [100 * 3_600_000, '4 d 04 h'],
  ])('a time of %d ms is %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });

  test.each([
    [999, '999 B'],
    [9949, '9.9 kB'],
    [9951, '10 kB'],
    [999_600, '1.0 MB'],
  ])('%d bytes are %s, for the rules too', (count, text) => {
    expect([sized(count), sized(count)]).toEqual([text, text]);
  });

  test('a rule says 1.0 s and 10 s as they are', () => {
    expect([994, 996, 9940, 9960, 59_600].map(lasting)).toEqual(['0.99 s', '1.0 s', '9.9 s', '10 s', '1 min 0 s']);
  });

  test('an empty NO_COLOR forbids nothing', () => {
    const at = (env: Io['env'], stdoutIsTerminal = true) => takesColour({ stdoutIsTerminal, env } as unknown as Io);
    expect([at({}), at({ NO_COLOR: '' }), at({ NO_COLOR: '0' }), at({ TERM: 'dumb' }), at({}, false)]).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});

describe('how a run went', () => {
  const RESULTS = ['changed', 'unchanged', 'changed', 'failed', 'compile error', 'unchanged', 'changed'];

  test('is a column of the list, and of each object', async () => {
    const { stdout } = await stringtap(dir, 'runs', 'a.db');
    const [head, ...lines] = stdout.trimEnd().split('\n');
    const at = head!.indexOf('RESULT');
    expect(at).toBeGreaterThan(0);
    expect(lines.map(line => line.slice(at).split('  ')[0])).toEqual(RESULTS);
    expect((await rows(dir, 'runs', 'a.db')).map(row => row.outcome)).toEqual(RESULTS);
    expect((await rows(dir, 'show', 'r5', 'a.db'))[0]).toMatchObject({ outcome: 'compile error' });
  });
});

test('a resource is found by its name as Puppet writes it', async () => {
  for (const [terms, place] of [
    ['File[/srv/web/motd]', 'File[/srv/web/motd]'],
    ['File[/srv/web/mo*', 'File[/srv/web/motd]'],
    ['Exec[reload nginx]', 'Exec[reload nginx]'],
    ['Profile::Base', 'Class[Profile::Base]'],
  ] as const) {
    const hits = await rows(dir, 'search', terms, '--in', 'resources', 'a.db');
    expect(hits.map(hit => hit.place)).toContain(place);
  }
  expect(await rows(dir, 'search', 'Exec[/srv/web/motd]', '--in', 'resources', 'a.db')).toEqual([]);
  expect((await rows(dir, 'search', 'File[/srv/web/motd]', '--in', 'logs', 'a.db')).length).toBeGreaterThan(0);
});

test('help goes as deep as the commands', async () => {
  for (const words of [
    ['identity', 'import'],
    ['ca', 'export'],
  ]) {
    const { code, stdout, stderr } = await stringtap(dir, 'help', ...words);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toBe((await stringtap(dir, ...words, '--help')).stdout);
  }
});

describe('times', () => {
  test('are local, the day as well as the hour, and those of a page for others UTC', async () => {
    vi.stubEnv('TZ', 'America/New_York');
    try {
      const said = async (...args: string[]): Promise<string> => (await stringtap(dir, ...args, 'a.db')).stdout;
      expect(await said('runs')).toContain('r1   2026-11-22 20:11:10  web01.lab');
      expect(await said('show', 'r1')).toContain('time         2026-11-22 20:11:10.830, ');
      expect(await said('findings')).toContain('r1  web01.lab  2026-11-22 20:11:12');
      copyFileSync(SAMPLE, join(dir, 'noted.db'));
      await stringtap(dir, 'note', 'r1', 'slow', '--capture', 'noted.db');
      const [note] = await rows(dir, 'note', '--capture', 'noted.db');
      const noted = new Date(Date.parse(String(note?.at)) - 5 * 3_600_000).toISOString().replace('T', ' ').slice(0, 16);
      vi.stubEnv('TZ', 'Etc/GMT+5');
      expect((await stringtap(dir, 'note', '--capture', 'noted.db')).stdout).toBe(`n1   r1        ${noted}  slow\n`);
      const page = await said('export', 'r1', '--format', 'html');
      expect(page).toContain('Times of day are UTC');
      expect(page).toContain('<td class="id">e1</td><td class="id">01:11:10.830</td>');
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe('which capture', () => {
  test.each([
    ['reuse', ['reuse', 'r1', 'a.db']],
    ['reuse of everything', ['reuse', 'a.db']],
    ['export', ['export', 'r1', '--format', 'jsonl', 'a.db']],
    ['share', ['share', 'r1', 'a.db', '-o', 'shared.db']],
  ])('%s takes it as the last word', async (_name, args) => {
    expect(await stringtap(dir, ...args)).toMatchObject({ code: 0, stderr: '' });
  });

  test('replay takes it as the last word, and a run as often as it is named', async () => {
    const plan = await rows(dir, 'replay', 'r2', 'r2', 'a.db', '--to', 'localhost:1', '--dry-run');
    expect(plan[0]).toMatchObject({ requests: 12, agents: [{ run: 'r2' }, { run: 'r2' }] });
    expect(await rows(dir, 'replay', 'r2', '--from', 'a.db', '--to', 'localhost:1', '--dry-run')).toMatchObject([
      { requests: 6 },
    ]);
    expect(await stringtap(dir, 'replay', 'a.db', '--to', 'localhost:1')).toMatchObject({
      code: 2,
      stderr: 'stringtap: the run is missing\nhint: as in: stringtap replay r3 a.db\n',
    });
    expect((await stringtap(dir, 'replay', 'r2', 'a.db', '--from', 'a.db', '--to', 'localhost:1')).stderr).toContain(
      'two captures are named, a.db and a.db',
    );
  });

  test('a folder stands for the newest capture in it', async () => {
    const folder = join(dir, 'old');
    mkdirSync(folder);
    copyFileSync(SAMPLE, join(folder, 'one.db'));
    expect(await rows(dir, 'runs', './old')).toHaveLength(7);
    expect(await rows(dir, 'runs', folder, '~certname db01')).toHaveLength(2);
  });

  test('a folder with captures is one by its bare name as well, and any other word is a filter', async () => {
    mkdirSync(join(dir, 'caps'));
    copyFileSync(SAMPLE, join(dir, 'caps', 'one.db'));
    mkdirSync(join(dir, 'web01'));
    expect(await rows(dir, 'runs', 'caps')).toHaveLength(7);
    expect(await rows(dir, 'runs', '~certname db01', 'caps')).toHaveLength(2);
    expect(await stringtap(dir, 'reuse', 'r1', 'caps')).toMatchObject({ code: 0, stderr: '' });
    expect(await stringtap(dir, 'export', 'caps', '--format', 'jsonl')).toMatchObject({ code: 0, stderr: '' });
    expect(await rows(dir, 'runs', 'web01', 'a.db')).toHaveLength(5);
    expect(await stringtap(dir, 'reuse', 'web01')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('stringtap: there is no capture in web01/\nhint: ') as string,
    });
  });

  test('a word that is neither run nor file is told as one', async () => {
    const { code, stderr } = await stringtap(dir, 'reuse', 'r1', 'nothing');
    expect(code).toBe(2);
    expect(stderr).toBe(
      'stringtap: "nothing" is no number of a run, and no file\nhint: as in: stringtap reuse r3, or stringtap reuse r3 FILE.db\n',
    );
  });
});

describe('what is wrong is said in one line, and what to do in another', () => {
  test.each([
    [['exchanges', '--run', 'r99', 'a.db'], 1, 'there is no run r99 in a.db', 'stringtap runs a.db lists them'],
    [['connections', '--run', 'r99', 'a.db'], 1, 'there is no run r99 in a.db', 'stringtap runs a.db lists them'],
    [['export', 'r99', '--format', 'har', 'a.db'], 1, 'there is no run r99 in a.db', 'stringtap runs a.db lists them'],
    [
      ['connections', '--leg', 'left', 'a.db'],
      2,
      "--leg 'left' is invalid: expected agent, primary",
      'stringtap help connections shows how it is used',
    ],
    [
      ['exchanges', '--run', 'e1'],
      2,
      "--run 'e1' is invalid: expected the number of a run, as in r3",
      'stringtap help exchanges',
    ],
    [['reuse', '--certname', 'nobody', 'a.db'], 1, 'no such run in a.db', 'stringtap runs a.db lists them'],
    [['note', 'r99', 'x', '--capture', 'a.db'], 1, 'there is no run r99 in a.db', 'stringtap runs a.db lists them'],
    [['note', 'e999', 'x', '--capture', 'a.db'], 1, 'there is no exchange e999 in a.db', 'stringtap exchanges a.db lists them'],
    [['note', '--delete', 'n9', '--capture', 'a.db'], 1, 'there is no note n9 in a.db', 'stringtap note --capture a.db lists'],
    [
      ['proxy', '--primary', 'localhost:1', '--ca-fingerprint', '0F:20:15'],
      2,
      "--ca-fingerprint '0F:20:15' is invalid: expected SHA-256 in hex, as openssl x509 -noout -fingerprint -sha256 prints it",
      'stringtap help proxy shows how it is used',
    ],
    [
      ['replay', 'r1', 'a.db', '--to', 'localhost:1', '--ca-fingerprint', `${'AB:'.repeat(19)}AB`],
      2,
      '--ca-fingerprint ',
      'stringtap help replay shows how it is used',
    ],
    [['export', 'r1'], 2, '--format <FORMAT> is missing', 'stringtap help export shows how it is used'],
    [['import', 'nothing.har'], 1, 'cannot read nothing.har: ENOENT', 'give the path of a HAR that you may read'],
    [
      ['serve', 'r1', 'a.db', '--listen', 'no-such-host.invalid'],
      1,
      'cannot listen on no-such-host.invalid:8140: ENOTFOUND',
      '--listen HOST:PORT must name an address of this machine',
    ],
    [
      ['serve', 'r1', 'a.db', '--listen', ':8140'],
      2,
      "--listen ':8140' is invalid: expected HOST:PORT, as in 127.0.0.1:8140",
      '',
    ],
  ])('%j', async (args, code, what, hint) => {
    const result = await stringtap(dir, ...args);
    expect(result.code).toBe(code);
    const lines = result.stderr.split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toContain(`stringtap: ${what}`);
    expect(lines[1]).toContain(`hint: ${hint}`);
  });

  test('a CA that is made because somebody asked for it is said', async () => {
    const first = await stringtap(dir, 'ca', 'show', '--certs', 'fresh');
    expect(first.code).toBe(0);
    expect(first.stderr).toContain('there was no CA: a new one was made in ');
    expect(existsSync(join(dir, 'fresh', 'ca'))).toBe(true);
    expect((await stringtap(dir, 'ca', 'show', '--certs', 'fresh')).stderr).toBe('');
  });

  test('help shows defaults as they are typed', async () => {
    const { stdout } = await stringtap(dir, 'proxy', '--help');
    expect(stdout).toContain('127.0.0.1:8140');
    expect(stdout).not.toContain('{"host"');
  });
});

test('screens are not drawn on a terminal that cannot move its cursor', () => {
  const io = { stdoutIsTerminal: true, env: { TERM: 'dumb' } } as unknown as Io;
  expect(() => requireTerminal(io, 'stringtap runs prints the same')).toThrow(/TERM is dumb/);
});

describe('a certificate that is refused', () => {
  test.each([
    ['revoked by the primary', 'puppetserver ca clean --certname NAME'],
    ['expired', 'the certificate has ended'],
    ['issued by an unknown CA', 'another primary than this one signed it'],
    ['not valid yet', 'compare the clocks'],
    ['another key has been enrolled since', 'puppet ssl clean'],
  ])('%s has a remedy of its own', (refusal, remedy) => {
    expect(explainTls({ leg: 'agent', error: null, refusal })?.remedy).toContain(remedy);
  });
});

describe('what only looks leaves no folder behind', () => {
  test.each([
    [['identity', 'list', '--certs', 'mistyped'], 0, 'stringtap: there are no identities in mistyped\n'],
    [['identity', 'remove', 'web01.lab', '--certs', 'mistyped'], 1, 'stringtap: there is no identity of web01.lab\n'],
  ])('%j', async (args, code, err) => {
    const ended = await stringtap(dir, ...args);
    expect([ended.code, ended.stderr.slice(0, err.length)]).toEqual([code, err]);
    expect(existsSync(join(dir, 'mistyped'))).toBe(false);
  });
});

describe('an export that fails leaves no part of itself', () => {
  /** With a limit in place of a full disk. */
  function exported(format: string, to: string): string {
    const bin = fileURLToPath(new URL('../../dist/src/bin.js', import.meta.url));
    const args = [process.execPath, bin, 'export', '--format', format, 'a.db', '-o', to];
    const command = `trap '' XFSZ; ulimit -f 8; exec "$0" "$@"`;
    const { status, stderr } = spawnSync('sh', ['-c', command, ...args], { cwd: dir, encoding: 'utf8' });
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/^stringtap: cannot write [^\n]+: EFBIG\nhint: -o names another place\n$/),
    ]);
    return stderr;
  }

  describe.skipIf(process.platform === 'win32')('as', () => {
    test('har', () => {
      expect(exported('har', 'part.har')).toContain('cannot write part.har: EFBIG');
      expect(existsSync(join(dir, 'part.har'))).toBe(false);
    });

    test.each(['files', 'curl'])('%s: the folders that it made go, too', format => {
      mkdirSync(join(dir, `of-${format}`));
      exported(format, `of-${format}/new/deep`);
      expect(readdirSync(join(dir, `of-${format}`))).toEqual([]);
    });

    test('files, over those of an earlier one: what was there stays', () => {
      const run = join(dir, 'earlier', 'r1-web01.lab');
      mkdirSync(join(run, 'files', 'mine'), { recursive: true });
      const mine = { 'notes.txt': 'mine', 'files/mine/a': 'a', 'run.json': 'old' };
      for (const [name, text] of Object.entries(mine)) writeFileSync(join(run, name), text);
      symlinkSync('run.json', join(run, 'node.json'));
      exported('files', 'earlier');
      expect(all(join(dir, 'earlier'))).toEqual(
        ['files/mine/a', 'node.json', 'notes.txt', 'run.json'].map(name => `r1-web01.lab/${name}`),
      );
      expect(readFileSync(join(run, 'notes.txt'), 'utf8')).toBe('mine');
    });

    test('curl, into a folder with other things', () => {
      mkdirSync(join(dir, 'other'));
      writeFileSync(join(dir, 'other', 'mine.sh'), 'mine');
      exported('curl', 'other');
      expect(all(join(dir, 'other'))).toEqual(['mine.sh']);
    });
  });
});

/** Files, and links, below a folder. */
function all(root: string): string[] {
  const found = readdirSync(root, { recursive: true, withFileTypes: true }).filter(entry => !entry.isDirectory());
  return found.map(({ parentPath, name }) => join(parentPath, name).slice(root.length + 1)).sort();
}
