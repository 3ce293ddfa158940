import { FILTER_LIMITS, type Filter, type Pattern, TEXT_TERMS, type Term } from '../../src/analysis/filter.ts';
import { PHASES } from '../../src/model.ts';
import { fc } from '../rig/properties.ts';

/** A filter without the places of its parts. */
export function bare(filter: Filter): unknown {
  const { at: _, end: __, ...rest } = filter;
  if (rest.type === 'and' || rest.type === 'or') return { ...rest, terms: rest.terms.map(bare) };
  return rest.type === 'not' ? { ...rest, term: bare(rest.term) } : rest;
}

const placed = <T extends object>(made: T): T & { at: number; end: number } => ({ ...made, at: 0, end: 0 });

const anyText: fc.Arbitrary<Pattern> = fc
  .array(
    fc.string({ unit: 'binary', maxLength: 12 }).map(text => text.replace(/\p{Cc}/gu, '')),
    { minLength: 1, maxLength: 4 },
  )
  .filter(pieces => pieces.join('*') !== '' && pieces.length <= FILTER_LIMITS.wildcards)
  .map(pieces => ({ type: 'text', pieces }));

const regex: fc.Arbitrary<Pattern> = fc
  .constantFrom('a', 'x+y', '(a|b)c', 'puppet\\/v3', '^\\/p', '[a-f0-9]{4}', 'a.*b$', '\\S\\s', 'File\\[')
  .map(source => ({ type: 'regex', source }));

/** Words that occur in what the tests ask, so that filters are not always empty. */
export const termsOf = (words: readonly string[]): fc.Arbitrary<Term> => {
  const text: fc.Arbitrary<Pattern> =
    words.length === 0
      ? anyText
      : fc.oneof(
          fc.constantFrom(...words).map((word): Pattern => ({ type: 'text', pieces: [word] })),
          fc.tuple(fc.constantFrom(...words), fc.nat(3), fc.nat(3)).map(
            ([word, from, to]): Pattern => ({
              type: 'text',
              pieces: ['', word.slice(from, word.length - to), ''].slice(from % 2),
            }),
          ),
          { weight: 1, arbitrary: regex },
        );
  const range = (max: number): fc.Arbitrary<{ from: number; to: number }> =>
    fc.tuple(fc.integer({ min: 1, max }), fc.nat(3)).map(([from, more]) => ({ from, to: from + more }));
  return fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .tuple(fc.constantFrom(...TEXT_TERMS), fc.oneof(text, regex))
        .map(([on, pattern]): Term => ({ type: 'text', on, pattern })),
    },
    fc
      .tuple(fc.constantFrom(200, 304, 400, 404, 500), fc.nat(99))
      .map(([from, more]): Term => ({ type: 'status', from, to: from + more })),
    fc.tuple(fc.constantFrom('run', 'conn'), range(12)).map(([of, ids]): Term => ({ type: 'ids', of, ...ids })),
    fc.constantFrom(...PHASES).map((phase): Term => ({ type: 'phase', phase })),
    fc.constantFrom('q', 's', 'e').map((flag): Term => ({ type: 'flag', flag })),
  );
};

export function filters(words: readonly string[], wanted: (term: Term) => boolean = () => true): fc.Arbitrary<Filter> {
  const term: fc.Arbitrary<Filter> = termsOf(words).filter(wanted).map(placed);
  const { filter } = fc.letrec<{ filter: Filter }>(tie => ({
    filter: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      term,
      tie('filter').map((inner): Filter => placed({ type: 'not', term: inner })),
      fc.array(tie('filter'), { minLength: 2, maxLength: 4 }).map((terms): Filter => placed({ type: 'and', terms })),
      fc.array(tie('filter'), { minLength: 2, maxLength: 4 }).map((terms): Filter => placed({ type: 'or', terms })),
    ),
  }));
  return filter;
}
