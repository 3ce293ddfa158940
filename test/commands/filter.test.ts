import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli.ts';
import type { Io } from '../../src/commands/io.ts';
import { tempDir } from '../capture/rig.ts';

const dir = tempDir();
const capture = dir.file('sample.db');
const here = process.cwd();

interface Ran {
  out: string[];
  err: string[];
  code: number;
}

async function stringtap(...args: string[]): Promise<Ran> {
  const ran: Ran = { out: [], err: [], code: 0 };
  const io: Io = {
    out: line => void ran.out.push(line),
    err: line => void ran.err.push(line),
    chatter: () => {},
    write: () => {},
    stdoutIsTerminal: false,
    columns: 80,
    env: {},
    exitCode: 0,
  };
  await main(['node', 'stringtap', ...args], io);
  ran.code = io.exitCode;
  process.exitCode = 0;
  return ran;
}

beforeAll(() => {
  copyFileSync(fileURLToPath(new URL('../../captures/sample.db', import.meta.url)), capture);
  return () => dir[Symbol.dispose]();
});

const count = async (...args: string[]): Promise<number> => (await stringtap(...args, '--json')).out.length;

describe('a filter on the command line', () => {
  test('chooses rows of each list', async () => {
    const all = await count('exchanges', capture);
    const reports = await count('exchanges', capture, '~phase report');
    expect(reports).toBeGreaterThan(0);
    expect(await count('exchanges', capture, '!~phase report')).toBe(all - reports);
    expect(await count('runs', capture, '~phase report')).toBe(reports);
    expect(await count('connections', capture, '~conn c1-c3')).toBe(3);
    expect(await count('findings', capture, '~find error')).toBe(await count('findings', capture, '--severity', 'error'));
    expect(await count('runs', capture, '~fact kernel=Linux')).toBe(reports);
  });

  test('goes with options, and may be several words', async () => {
    const rows = await stringtap('exchanges', capture, '--run', 'r3', '~phase', 'file', '--limit', '2', '--json');
    expect(rows.out.map(line => JSON.parse(line) as object)).toMatchObject([
      { run: 'r3', phase: 'file' },
      { run: 'r3', phase: 'file' },
    ]);
  });

  test('stands before the capture as well', async () => {
    expect(await count('exchanges', '~phase', 'report', capture)).toBe(await count('exchanges', capture, '~phase report'));
    expect(await count('findings', '~find error', capture)).toBe(await count('findings', capture, '~find error'));
    expect(await stringtap('runs', '~e', 'nowhere.db')).toMatchObject({
      code: 1,
      err: ['stringtap: there is no capture nowhere.db', expect.any(String)],
    });
    // The last word belongs to what asks for one.
    expect(await count('exchanges', capture, '~u', capture)).toBe(0);
    expect(await stringtap('exchanges', '~u', capture, '--json')).toMatchObject({ code: 0, out: [] });
  });

  test('stands alone when it is no file, and asks the newest capture', async () => {
    const folder = tempDir();
    mkdirSync(folder.file('captures'));
    copyFileSync(capture, join(folder.file('captures'), 'a.db'));
    process.chdir(folder.file('.'));
    try {
      expect(await count('runs', '~certname web*')).toBe(await count('runs', capture, '~certname web*'));
      expect(await count('exchanges', 'motd')).toBe(await count('exchanges', capture, 'motd'));
    } finally {
      process.chdir(here);
      folder[Symbol.dispose]();
    }
  });

  test('--since chooses by the moment, with a filter and a limit', async () => {
    const all = (await stringtap('exchanges', capture, '--json')).out.map(
      line => JSON.parse(line) as { id: string; startedAt: string },
    );
    const from = all[60]!.startedAt;
    const ids = async (...args: string[]): Promise<string[]> =>
      (await stringtap('exchanges', capture, '--since', from, '--json', ...args)).out.map(
        line => (JSON.parse(line) as { id: string }).id,
      );
    expect(await ids()).toEqual(all.slice(60).map(row => row.id));
    expect(await ids('--limit', '2')).toEqual(all.slice(-2).map(row => row.id));
    expect(await ids('~phase report')).toHaveLength(3);
    expect(await count('runs', capture, '--since', '2026-11-23T01:11:18Z')).toBe(4);
    expect(await count('connections', capture, '--since', '2026-11-23T01:11:20Z', '~conn c1-c17')).toBe(2);
    expect(await count('findings', capture, '--since', '2026-11-23T01:11:18Z')).toBe(2);
    expect(await count('runs', capture, '--since', '1s')).toBe(0);
    expect(await stringtap('findings', capture, '--since', '1s', '--fail-on', 'error')).toMatchObject({ code: 0, out: [] });
    expect((await stringtap('runs', capture, '--since', 'yesterday')).err[0]).toBe(
      "stringtap: --since 'yesterday' is invalid: expected a time as in 2026-03-01T10:00:00Z, or an age as in 30m, 2h, 7d",
    );
  });

  test('a second capture is no filter that finds nothing', async () => {
    const refused = {
      code: 2,
      out: [],
      err: [`stringtap: two captures are named, ${capture} and b.db`, 'hint: leave one of them out'],
    };
    expect(await stringtap('runs', capture, 'b.db')).toEqual(refused);
    expect(await stringtap('exchanges', capture, '~phase report', 'b.db')).toEqual(refused);
    expect(await count('exchanges', capture, '~u', 'b.db')).toBe(0);
  });

  test('a capture that is not there is no filter', async () => {
    expect(await stringtap('runs', 'nowhere.db')).toMatchObject({
      code: 1,
      out: [],
      err: ['stringtap: there is no capture nowhere.db', expect.any(String)],
    });
    expect(await stringtap('runs', './nowhere', '~e')).toMatchObject({
      code: 1,
      err: ['stringtap: there is no capture ./nowhere', expect.any(String)],
    });
  });

  test('a wrong one is said in one line, with its place and a hint', async () => {
    expect(await stringtap('exchanges', capture, '~e | ~c motd')).toEqual({
      code: 2,
      out: [],
      err: [
        'stringtap: wrong filter at character 9 (motd): ~c wants a status, as in ~c 4xx, not motd',
        'hint: a status is 404, 4xx, 400-499, >=400',
      ],
    });
    const { err } = await stringtap('connections', capture, '~u \u202eevil\u0007');
    expect(err.join('')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});
