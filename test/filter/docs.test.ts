import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { SUBJECTS, type Subject } from '../../src/analysis/filter.ts';
import { parseFilter } from '../../src/analysis/filter-parse.ts';
import { TERMS } from '../../src/analysis/filter-terms.ts';

const docs = readFileSync(fileURLToPath(new URL('../../docs/filter.md', import.meta.url)), 'utf8');
const [commands, examples] = [...docs.matchAll(/```\n([\s\S]*?)```/g)].map(match => match[1]!.trim().split('\n'));

describe('docs/filter.md', () => {
  test.each(examples!.map(line => line.split(/ {4,}/)[0]!.trim()))('example: %s', example => {
    expect(parseFilter(example, 'exchange')).toMatchObject({ type: 'filter', filter: {} });
  });

  test.each(commands!)('%s', line => {
    const [, list, filter] = /^stringtap (\w+)s (?:\S+\.db )?'(.*)'$/.exec(line)!;
    expect(parseFilter(filter!, list as Subject)).toMatchObject({ type: 'filter', filter: {} });
  });

  test('names what the language has, of the lists that it can be asked of', () => {
    const rows = docs.split('\n').filter(line => line.startsWith('| `~'));
    const named = new Map<string, string>();
    for (const row of rows) {
      const [, names, , of] = row.split('|');
      for (const [, name] of names!.matchAll(/~([a-z]+)/g)) named.set(name!, of!.trim());
    }
    expect([...named.keys()].sort()).toEqual(TERMS.map(({ name }) => name).sort());
    for (const { name, subjects } of TERMS) {
      const all = SUBJECTS.filter(subject => subjects.includes(subject)).map(subject => `${subject}s`);
      const words =
        all.length === 4 ? 'all' : all.length === 3 && !all.includes('connections') ? 'all but connections' : all.join(', ');
      expect(`${name} of ${named.get(name)}`).toBe(`${name} of ${words}`);
    }
  });
});
