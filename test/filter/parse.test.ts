import { describe, expect, test } from 'vitest';
import { FILTER_LIMITS, type FilterProblem, SUBJECTS } from '../../src/analysis/filter.ts';
import { parseFilter } from '../../src/analysis/filter-parse.ts';
import { printFilter } from '../../src/analysis/filter-print.ts';
import { TERMS } from '../../src/analysis/filter-terms.ts';
import { fc } from '../rig/properties.ts';
import { bare, filters } from './arbitrary.ts';

function read(text: string): unknown {
  const parsed = parseFilter(text, 'exchange');
  if (parsed.type === 'wrong') throw new Error(parsed.problem.message);
  return parsed.filter === null ? null : bare(parsed.filter);
}

function problem(text: string, subject: (typeof SUBJECTS)[number] = 'exchange'): FilterProblem {
  const parsed = parseFilter(text, subject);
  if (parsed.type === 'filter') throw new Error(`${text} is a filter`);
  return parsed.problem;
}

const word = (on: string, ...pieces: string[]): unknown => ({ type: 'text', on, pattern: { type: 'text', pieces } });

describe('reading a filter', () => {
  const cases: Array<[text: string, filter: unknown]> = [
    ['', null],
    ['   ', null],
    ['motd', word('any', 'motd')],
    ['~u /puppet/v3/catalog', word('u', '/puppet/v3/catalog')],
    ['~u /puppet/v3/', word('u', '/puppet/v3/')],
    ['~u /cat(alog|x)/', { type: 'text', on: 'u', pattern: { type: 'regex', source: 'cat(alog|x)' } }],
    ['~c404', { type: 'status', from: 404, to: 404 }],
    ['~c 4xx', { type: 'status', from: 400, to: 499 }],
    ['~c >=400', { type: 'status', from: 400, to: 599 }],
    ['~c <300', { type: 'status', from: 100, to: 299 }],
    ['~c 400-404', { type: 'status', from: 400, to: 404 }],
    ['~run r3', { type: 'ids', of: 'run', from: 3, to: 3 }],
    ['~run 3-r5', { type: 'ids', of: 'run', from: 3, to: 5 }],
    ['~conn c7', { type: 'ids', of: 'conn', from: 7, to: 7 }],
    ['~conn 10.0.0.7', word('conn', '10.0.0.7')],
    ['~run 3f2a-77', word('run', '3f2a-77')],
    ['~phase CATALOG', { type: 'phase', phase: 'catalog' }],
    ['~certname web*.lab', word('certname', 'web', '.lab')],
    ['~certname web\\*', word('certname', 'web*')],
    ["~res File[/etc/it's]", word('res', "File[/etc/it's]")],
    ['~h "a \\"b\\" c"', word('h', 'a "b" c')],
    ['~h \'a "b"\'', word('h', 'a "b"')],
    ['~b C:\\windows', word('b', 'C:\\windows')],
    ['~u !x', word('u', '!x')],
    ['a b', { type: 'and', terms: [word('any', 'a'), word('any', 'b')] }],
    ['a & b|c', { type: 'or', terms: [{ type: 'and', terms: [word('any', 'a'), word('any', 'b')] }, word('any', 'c')] }],
    ['a && (b || c)', { type: 'and', terms: [word('any', 'a'), { type: 'or', terms: [word('any', 'b'), word('any', 'c')] }] }],
    [
      '!~q ~e',
      {
        type: 'and',
        terms: [
          { type: 'not', term: { type: 'flag', flag: 'q' } },
          { type: 'flag', flag: 'e' },
        ],
      },
    ],
    [
      '!(~q|~e)',
      {
        type: 'not',
        term: {
          type: 'or',
          terms: [
            { type: 'flag', flag: 'q' },
            { type: 'flag', flag: 'e' },
          ],
        },
      },
    ],
  ];
  test.each(cases)('%s', (text, filter) => {
    expect(read(text)).toEqual(filter);
  });

  test('in quotes a regex is text', () => {
    expect(read('~u "/catalog/"')).toEqual(word('u', '/catalog/'));
  });

  test('parts know their places', () => {
    const text = '~e  (~c 404 | "a b")';
    const parsed = parseFilter(text, 'exchange');
    if (parsed.type !== 'filter' || parsed.filter?.type !== 'and') throw new Error('no filter');
    const [first, second] = parsed.filter.terms;
    expect(text.slice(first!.at, first!.end)).toBe('~e');
    expect(text.slice(second!.at, second!.end)).toBe('(~c 404 | "a b")');
    if (second?.type !== 'or') throw new Error('no alternatives');
    expect(second.terms.map(({ at, end }) => text.slice(at, end))).toEqual(['~c 404', '"a b"']);
  });
});

describe('what is wrong is said in words, with its place', () => {
  const cases: Array<[text: string, message: string, place: string]> = [
    ['~c', '~c wants a status, as in ~c 4xx', '~c'],
    ['~c & ~e', '~c wants a status, as in ~c 4xx', '~c'],
    ['a ~c motd', '~c wants a status, as in ~c 4xx, not motd', 'motd'],
    ['~c 404-400', '~c wants a status, as in ~c 4xx, not 404-400', '404-400'],
    ['~phase catalogue', '~phase wants a phase, as in ~phase catalog, not catalogue', 'catalogue'],
    ['~run r5-r3', '~run wants a range that goes up, as in ~run r3, not r5-r3', 'r5-r3'],
    ['~src x', '~src is not known', '~src'],
    ['~', '~ wants a name', '~'],
    ['~u ~c 404', '~u wants a text, as in ~u /puppet/v3/file_content', '~u'],
    ['a &', 'something is missing after &', '&'],
    ['a |', 'something is missing after |', '|'],
    ['!', 'something is missing after !', '!'],
    ['& a', 'something is missing before &', '&'],
    ['a | | b', 'something is missing before |', '|'],
    ['(a', 'the ( is not closed', '('],
    ['a)', 'this ) closes nothing', ')'],
    ['(a &)', 'something is missing after &', '&'],
    ['()', 'nothing is in the parentheses', '()'],
    ['~u "a', 'the quote is not closed', '"a'],
    ['~u ""', 'the text is empty', '""'],
    ['~u /a(/', 'the regex a( cannot be used: unterminated group', '/a(/'],
    [
      '~u /(a)\\1/',
      'the regex (a)\\1 cannot be used: back references, look-around and repeat counts over 16 are not taken',
      '/(a)\\1/',
    ],
    ['a\u0007b', 'a control character cannot be asked for', '\u0007'],
  ];
  test.each(cases)('%s', (text, message, place) => {
    const found = problem(text);
    expect(found.message).toBe(message);
    expect(text.slice(found.at, found.end)).toBe(place);
  });

  test('a term that is no question to the list', () => {
    expect(problem('~c 404', 'connection')).toMatchObject({
      message: '~c is no question to connections',
      hint: 'it is one to exchanges, runs',
    });
  });

  test('mitmproxy users are told what it is here', () => {
    expect(problem('~src 10.0.0.1').hint).toBe('an agent is ~certname NAME, an address ~conn ADDRESS');
    expect(problem('~cert x').hint).toContain('~certname');
  });
});

describe('hostile input', () => {
  test('is bounded in length, depth, terms, texts and wildcards', () => {
    expect(problem('a'.repeat(FILTER_LIMITS.chars + 1)).message).toContain('longer than');
    expect(problem('a'.repeat(FILTER_LIMITS.textChars + 1)).message).toContain('the text is longer');
    expect(problem(`/${'a'.repeat(FILTER_LIMITS.regexChars + 1)}/`).message).toContain('the regex is longer');
    expect(problem(`${'('.repeat(1_000)}a`).message).toContain('inside each other');
    expect(problem(`${'!'.repeat(1_000)}a`).message).toContain('inside each other');
    expect(problem('a '.repeat(FILTER_LIMITS.terms + 1)).message).toContain('terms');
    expect(problem('*a'.repeat(FILTER_LIMITS.wildcards + 1)).message).toContain('wildcards');
    expect(read(`${'('.repeat(FILTER_LIMITS.depth)}a${')'.repeat(FILTER_LIMITS.depth)}`)).toEqual(word('any', 'a'));
  });

  test('no text throws', () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc
        .array(
          fc.constantFrom(
            '~',
            '(',
            ')',
            '!',
            '&',
            '|',
            '"',
            "'",
            '\\',
            '/',
            '*',
            ' ',
            'c',
            'run',
            'constructor',
            '__proto__',
            '4',
            'a',
          ),
          { maxLength: 40 },
        )
        .map(parts => parts.join('')),
    );
    fc.assert(
      fc.property(hostile, fc.constantFrom(...SUBJECTS), (text, subject) => {
        const parsed = parseFilter(text, subject);
        if (parsed.type === 'filter') return;
        const { at, end, message } = parsed.problem;
        expect(message).not.toBe('');
        expect(at >= 0 && at <= end && end <= text.length).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });
});

test('what is printed is read as the same filter', () => {
  fc.assert(
    fc.property(filters([]), filter => {
      if (filter.type === 'text' && (filter.on === 'run' || filter.on === 'conn')) return;
      const text = printFilter(filter);
      const parsed = parseFilter(text, 'exchange');
      if (parsed.type === 'wrong' && /more than|longer than/.test(parsed.problem.message)) return;
      if (parsed.type === 'wrong') throw new Error(`${text}: ${parsed.problem.message}`);
      expect(parsed.filter === null ? null : bare(parsed.filter)).toEqual(bare(filter));
    }),
    { numRuns: 3_000 },
  );
});

test('every name has an example that is a filter', () => {
  for (const { name, example, subjects } of TERMS) {
    for (const subject of subjects) expect(parseFilter(example, subject)).toMatchObject({ type: 'filter' });
    expect(example.startsWith(`~${name}`)).toBe(true);
  }
});
