import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openIdentities } from '../../src/pki/identity.ts';
import { certsLayout } from '../../src/pki/layout.ts';
import { tempDir } from '../capture/rig.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';
import { rows, stringtap } from './stringtap.ts';

const dir = tempDir();
const here = dir.file('.');
const doc = readFileSync(new URL('../../docs/json.md', import.meta.url), 'utf8');

beforeAll(async () => {
  copyFileSync(fileURLToPath(new URL('../../captures/sample.db', import.meta.url)), dir.file('a.db'));
  const key = await makeKey('ec');
  const certPem = (await makeDemoCa('ca.example', 'self', 'ec')).issue('agent.example', key.publicKey);
  openIdentities(certsLayout(dir.file('certs')).identities).importPair(key.pem, certPem);
  await stringtap(here, 'export', 'r2', 'a.db', '--format', 'har', '-o', 'a.har');
});
test('ids have their letter wherever they stand', async () => {
  const [e14] = await rows(here, 'show', 'e14', 'a.db');
  const ended = new Date(Date.parse(String(e14?.startedAt)) + Number(e14?.durationMs)).toISOString();
  const line = `192.0.2.1 - - [23/Nov/2026:${ended.slice(11, 19)} +0000] "POST ${String(e14?.target)} HTTP/1.1" 200 100 "-" "Puppet" 1 - 1`;
  writeFileSync(dir.file('access.log'), `${line}\n`);
  const [joined] = await rows(here, 'join', 'access.log', 'a.db');
  expect(joined).toMatchObject({ matched: 1 });
  expect((await rows(here, 'show', 'e14', 'a.db'))[0]?.primaryTime).toMatchObject({ exchange: 'e14', tookMs: 1 });
  const texts = await Promise.all(
    [
      ['show', 'r1', '--json'],
      ['show', 'e14', '--json'],
      ['show', 'e23', '--json'],
      ['export', 'r1', '--format', 'jsonl'],
    ].map(async args => (await stringtap(here, ...args, 'a.db')).stdout),
  );
  for (const text of texts) expect(text).not.toMatch(/"(?:exchange|run|promisedBy|agentConnection|primaryConnection)":\d/);
});

afterAll(() => dir[Symbol.dispose]());

/** The members that the paragraph below a heading of docs/json.md names. */
function documented(heading: string): string[] {
  const [, section = ''] = doc.split(`\n## ${heading}\n`);
  const text = section.split('\n## ')[0]!.trim();
  const [first = ''] = (heading === 'show r3 resources' ? text.slice(text.indexOf('one row a line:')) : text).split('\n\n');
  const same = /^All of `(\w+)`/.exec(first);
  const own = [...(same === null ? first : first.slice(same[0].length)).matchAll(/`(\w+)`/g)].map(([, name]) => name!);
  return [...(same === null ? [] : documented(same[1]!)), ...own];
}

describe('docs/json.md names every member', () => {
  test.each([
    ['runs', ['runs', 'a.db']],
    ['exchanges', ['exchanges', 'a.db']],
    ['connections', ['connections', 'a.db']],
    ['connections', ['show', 'c1', 'a.db']],
    ['show r3', ['show', 'r3', 'a.db']],
    ['show e17', ['show', 'e17', 'a.db']],
    ['show r3 resources', ['show', 'r3', 'resources', 'a.db']],
    ['search', ['search', 'motd', 'a.db']],
    ['reuse', ['reuse', 'a.db']],
    ['identity list', ['identity', 'list']],
    ['ca show', ['ca', 'show']],
    ['import', ['import', 'a.har', '--capture', 'imported.db']],
  ])('of %s', async (heading, args) => {
    const printed = await rows(here, ...args);
    expect(printed.length).toBeGreaterThan(0);
    for (const row of printed) expect(Object.keys(row).sort()).toEqual(documented(heading).sort());
  });

  test('of export --format jsonl: those of the commands, notes on lines of their own', async () => {
    const { stdout } = await stringtap(here, 'export', '--format', 'jsonl', 'a.db');
    const lines = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>);
    const shapes = { run: 'runs', connection: 'connections', exchange: 'show e17' };
    for (const [type, heading] of Object.entries(shapes)) {
      const members = ['type', ...documented(heading)].filter(name => name !== 'notes').sort();
      for (const row of lines.filter(one => one.type === type)) expect(Object.keys(row).sort()).toEqual(members);
    }
  });

  test('of doctor', async () => {
    const { stdout } = await stringtap(here, 'doctor', '--json');
    for (const line of stdout.trim().split('\n'))
      expect(Object.keys(JSON.parse(line) as object).sort()).toEqual(documented('doctor').sort());
  });
});
