import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Folder, folder, sample } from '../export/rig.ts';
import { stringtap } from './reuse-rig.ts';

let dir: Folder;
let file: string;

beforeAll(() => {
  dir = folder();
  file = sample(dir);
});
afterAll(() => dir[Symbol.dispose]());

/** What a command would not look at is refused: nobody is left to think that it was heeded. */
test.each([
  [['diff', 'r3', 'FILE', '--other', 'FILE'], 2, '--other is the capture that a second run or exchange is in'],
  [['export', 'r1', 'FILE', '--format', 'har', '--to', 'http://localhost:4318'], 2, '--to is of --format otlp'],
  [['export', 'r1', 'FILE', '--format', 'otlp', '--to', 'http://localhost:4318', '-o', 'x'], 2, '--to sends to a collector'],
  [['export', 'r1', 'FILE', '--format', 'har', '--ssldir', 'x'], 2, '--certs and --ssldir are of --format curl'],
  [['export', 'r1', 'FILE', '--format', 'jsonl', '--certs', 'x'], 2, '--certs and --ssldir are of --format curl'],
  [['export', 'r1', 'FILE', '--capture', 'FILE', '--format', 'har'], 2, 'two captures are named'],
  [['reuse', 'r1', 'FILE', '--capture', 'FILE'], 2, 'two captures are named'],
  [['serve', 'r1', 'FILE', '--from', 'FILE'], 2, 'two captures are named'],
  [['serve', 'r1', '--capture', 'FILE', '--from', 'FILE'], 2, '--capture and --from are the same'],
  [['note', 'r1', 'text', '--marked', '--capture', 'FILE'], 2, '--marked lists notes'],
  [['diff', 'r2', 'r7', 'FILE', '--json', '--format', 'html'], 2, '--json and --format html exclude each other'],
  [['note', 'r99', '--capture', 'FILE'], 1, 'there is no run r99'],
  [['note', 'e9999', '--capture', 'FILE', '--json'], 1, 'there is no exchange e9999'],
  [['proxy', '--primary', 'localhost:1', '--metrics-certname'], 2, '--metrics-certname is of --metrics'],
  [['show', 'e1', 'FILE', '--body', 'response', '--json'], 2, '--body is text, or bytes with --raw'],
  [['show', 'e1', 'FILE', '--body', 'response', '--headers'], 2, 'a table, --headers and --body exclude each other'],
  [['show', 'e1', 'resources', 'FILE', '--headers'], 2, 'a table, --headers and --body exclude each other'],
  [['doctor', '--ca-cert', 'FILE'], 2, '--ca-cert is the CA of a primary'],
  [['search', 'nginx', 'FILE', '--run', 'r99'], 1, 'there is no run r99'],
  [['exchanges', 'FILE', '--connection', 'c999'], 1, 'there is no connection c999'],
  [['redecode', 'nothing.db'], 1, 'there is no capture nothing.db'],
  [['help', 'nothing'], 2, "unknown command 'nothing'"],
] as const)('%j', async (args, code, words) => {
  const ended = await stringtap(...args.map(arg => (arg === 'FILE' ? file : arg)));
  expect(ended).toMatchObject({ code, out: [] });
  expect(existsSync('nothing.db')).toBe(false);
  expect(ended.err).toEqual([expect.stringContaining(`stringtap: ${words}`), expect.stringMatching(/^hint: ./)]);
});
