import { afterAll, beforeAll, expect, test } from 'vitest';
import { main } from '../../src/cli.ts';
import { toCertname } from '../../src/model.ts';
import { openBook, questionOf } from '../../src/replay/match.ts';
import { notRecorded } from '../../src/replay/serve-own.ts';
import { agent, open, type TempDir, tempDir } from '../capture/rig.ts';

const TARGET = '/site/v1/thing?token=hunter2-of-the-query&environment=production';
const HIDDEN = '/site/v1/thing?token=(hidden)&environment=production';

let dir: TempDir;
let file: string;

beforeAll(async () => {
  dir = tempDir();
  file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'agent.example').connect();
  await line.send(`GET ${TARGET}`, { fields: [['Referer', `https://puppet.lab${TARGET}`]] });
  line.close();
  await recorder.close();
});

afterAll(() => dir[Symbol.dispose]());

async function shown(...args: string[]): Promise<string> {
  const out: string[] = [];
  const io = {
    out: (text: string) => void out.push(text),
    err: () => undefined,
    chatter: () => undefined,
    write: () => undefined,
  };
  await main(['node', 'stringtap', ...args], { ...io, stdoutIsTerminal: false, columns: 80, env: {}, exitCode: 0 });
  process.exitCode = 0;
  return out.join('\n');
}

test.each([
  [['exchanges']],
  [['exchanges', '--json']],
  [['show', 'e1']],
  [['show', 'e1', '--json']],
  [['show', 'e1', '--headers']],
  [['show', 'e1', '--headers', '--json']],
  [['show', 'r1', '--json']],
  [['replay', 'r1', '--to', 'puppet.lab', '--dry-run']],
  [['replay', 'r1', '--to', 'puppet.lab', '--dry-run', '--json']],
])('secrets of a query are hidden: %j', async args => {
  const text = await shown(...args, ...(args[0] === 'replay' ? ['--from'] : []), file);
  expect(text).not.toBe('');
  expect(text).not.toContain('hunter2');
  if (args[0] !== 'show' || args[1] !== 'r1') expect(text).toContain(HIDDEN);
});

test('and shown when they are asked for', async () => {
  expect(await shown('show', 'e1', '--reveal', file)).toContain(TARGET);
  expect(await shown('show', 'e1', '--reveal', '--headers', '--json', file)).toContain(`https://puppet.lab${TARGET}`);
});

test('what a recorded request differs in does not tell its secrets', () => {
  const certname = toCertname('agent.example');
  const asking = { method: 'GET', certname, conditional: false, mime: null };
  const entry = { exchange: 1, run: 1, method: 'GET', target: TARGET, unmodified: false } as const;
  const book = openBook([{ ...entry, question: questionOf({ ...asking, target: TARGET }) } as never]);
  const near = book.near(questionOf({ ...asking, target: TARGET.replace('hunter2', 'hunter3') }));
  expect(near).toMatchObject([{ target: HIDDEN, differs: [{ field: 'query token', asked: '(hidden)', recorded: '(hidden)' }] }]);
  expect(String(notRecorded(404, 'GET', '/x', near).body)).not.toContain('hunter2');
});
