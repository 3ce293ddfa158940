import type { Filter, Pattern } from './filter.ts';
import { regexEnd } from './filter-tokens.ts';

/** A filter as text that is read as the same filter. */
export function printFilter(filter: Filter): string {
  switch (filter.type) {
    case 'and':
    case 'or':
      return filter.terms
        .map(term => (binds(term) <= binds(filter) ? `(${printFilter(term)})` : printFilter(term)))
        .join(filter.type === 'and' ? ' & ' : ' | ');
    case 'not':
      return binds(filter.term) < binds(filter) ? `!(${printFilter(filter.term)})` : `!${printFilter(filter.term)}`;
    case 'text':
      return filter.on === 'any' ? printPattern(filter.pattern) : `~${filter.on} ${printPattern(filter.pattern)}`;
    case 'status':
      return `~c ${filter.from === filter.to ? filter.from : `${filter.from}-${filter.to}`}`;
    case 'ids': {
      const letter = filter.of === 'run' ? 'r' : 'c';
      return `~${filter.of} ${letter}${filter.from}${filter.from === filter.to ? '' : `-${letter}${filter.to}`}`;
    }
    case 'phase':
      return `~phase ${filter.phase}`;
    case 'flag':
      return `~${filter.flag}`;
  }
}

function binds({ type }: Filter): number {
  return type === 'or' ? 1 : type === 'and' ? 2 : type === 'not' ? 3 : 4;
}

function printPattern(pattern: Pattern): string {
  if (pattern.type === 'regex') return `/${pattern.source}/`;
  const bare = pattern.pieces.map(piece => piece.replace(/[\\*]/g, '\\$&')).join('*');
  if (!/[\s()|&"]|^[!~']/.test(bare) && regexEnd(bare, 0) === null) return bare;
  return `"${pattern.pieces.map(piece => piece.replace(/[\\*"]/g, '\\$&')).join('*')}"`;
}

/** A text as it is written in a filter, quoted where it has to be. */
export function printText(text: string): string {
  return printPattern({ type: 'text', pieces: [text] });
}
