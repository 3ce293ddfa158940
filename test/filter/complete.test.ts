import { describe, expect, test } from 'vitest';
import { SUBJECTS } from '../../src/analysis/filter.ts';
import { completeFilter } from '../../src/analysis/filter-complete.ts';
import { parseFilter } from '../../src/analysis/filter-parse.ts';
import { fc } from '../rig/properties.ts';

const KNOWN = { certname: ['web01.lab', 'db01.lab', 'odd name'], env: ['production'] };

/** Texts after each suggestion was taken; `^` is the cursor. */
function taken(marked: string, subject: (typeof SUBJECTS)[number] = 'exchange'): string[] | null {
  const cursor = marked.indexOf('^');
  const text = marked.replace('^', '');
  const completion = completeFilter(text, cursor, subject, KNOWN);
  if (completion === null) return null;
  return completion.suggestions.map(suggestion => text.slice(0, completion.at) + suggestion.text + text.slice(completion.end));
}

describe('suggestions', () => {
  const cases: Array<[marked: string, texts: string[]]> = [
    ['~ph^', ['~phase ']],
    ['~ph^ x', ['~phase  x']],
    ['~e ~ce^', ['~e ~certname ']],
    ['~phase cat^', ['~phase catalog', '~phase certificate']],
    ['~phase re^ ~e', ['~phase report ~e']],
    ['~c 4^', ['~c 4xx', '~c 404']],
    ['~certname 01^', ['~certname web01.lab', '~certname db01.lab']],
    ['~certname web^01', ['~certname web01.lab']],
    ['~certname od^', ['~certname "odd name"']],
    ['~certname "odd n^', ['~certname "odd name"']],
    ['~certname "odd n^"', ['~certname "odd name"']],
    ['!(~env ^)', ['!(~env production)']],
  ];
  test.each(cases)('%s', (marked, texts) => {
    expect(taken(marked)).toEqual(texts);
  });
  test.each(['motd^', '(~e)^', '~nothing^', 'a~b^', '~u /x(/^', '~certname nobody^', '/)/"^'])('none for %s', marked => {
    expect(taken(marked)).toBeNull();
  });

  test('a new term may have any name that the list is asked by', () => {
    expect(taken('^')).toContain('~c ');
    expect(taken('~e ^')).toContain('~e ~res ');
    expect(taken('~e | ^')).toContain('~e | ~res ');
    expect(taken('!^', 'connection')).not.toContain('!~c ');
    expect(taken('~phase ^')).toHaveLength(11);
  });

  test('lead to filters, and nothing throws', () => {
    const parts = fc.array(
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
        '~env',
        '~certname',
        'p',
        'd',
        '4',
      ),
      {
        maxLength: 12,
      },
    );
    fc.assert(
      fc.property(parts, fc.nat(40), fc.constantFrom(...SUBJECTS), (words, place, subject) => {
        const text = words.join('');
        const completion = completeFilter(text, Math.min(place, text.length), subject, KNOWN);
        if (completion === null) return;
        const { at, end, suggestions } = completion;
        expect(0 <= at && at <= end && end <= text.length).toBe(true);
        for (const suggestion of suggestions) {
          if (suggestion.text.startsWith('~')) continue;
          expect(parseFilter(suggestion.text, subject).type).toBe('filter');
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
