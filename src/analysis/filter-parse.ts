import { PHASES } from '../model.ts';
import { FILTER_LIMITS, type Filter, type Parsed, type Subject, TEXT_TERMS, type Term } from './filter.ts';
import { adviceOn, argumentValues, type TermInfo, termInfo } from './filter-terms.ts';
import { type Token, tokens, Wrong } from './filter-tokens.ts';

const SUBJECT_WORDS: Readonly<Record<Subject, string>> = {
  exchange: 'exchanges',
  run: 'runs',
  connection: 'connections',
  finding: 'findings',
};

/**
 * Reads a filter. Never throws: a text that is none comes back as the problem with its place.
 *
 * @param subject what the list shows; a term that is no question to it is a problem
 */
export function parseFilter(text: string, subject: Subject): Parsed {
  try {
    const found = [...tokens(text)];
    return { type: 'filter', filter: found.length === 0 ? null : parse(found, text.length, subject) };
  } catch (error) {
    if (error instanceof Wrong) return { type: 'wrong', problem: error.problem };
    throw error;
  }
}

function parse(found: readonly Token[], length: number, subject: Subject): Filter {
  let place = 0;
  let depth = 0;
  let count = 0;
  const peek = (): Token | undefined => found[place];

  function deeper(token: Token, read: () => Filter): Filter {
    if (++depth > FILTER_LIMITS.depth) {
      throw new Wrong(`more than ${FILTER_LIMITS.depth} parentheses and ! inside each other`, token.at, token.end);
    }
    const filter = read();
    depth--;
    return filter;
  }

  /** Terms with `|` between them. */
  function alternatives(): Filter {
    const terms = [conjunction()];
    while (peek()?.type === 'or') {
      place++;
      terms.push(conjunction());
    }
    return joined('or', terms);
  }

  /** Terms with `&`, or nothing, between them. */
  function conjunction(): Filter {
    const terms = [negation()];
    while (true) {
      const token = peek();
      if (token === undefined || token.type === 'or' || token.type === 'close') return joined('and', terms);
      if (token.type === 'and') place++;
      terms.push(negation());
    }
  }

  function negation(): Filter {
    const token = peek();
    if (token?.type !== 'not') return primary();
    place++;
    const term = deeper(token, negation);
    return { type: 'not', term, at: token.at, end: term.end };
  }

  function primary(): Filter {
    const token = peek();
    if (token === undefined) throw missing(found[place - 1], length);
    place++;
    switch (token.type) {
      case 'open': {
        const inner = deeper(token, alternatives);
        const close = peek();
        if (close === undefined) throw new Wrong('the ( is not closed', token.at, token.end, 'a ) is missing');
        place++;
        return { ...inner, at: token.at, end: close.end };
      }
      case 'close': {
        const before = found[place - 2];
        if (before?.type === 'open') throw new Wrong('nothing is in the parentheses', before.at, token.end);
        if (before !== undefined && before.type !== 'name' && before.type !== 'word') throw missing(before, token.at);
        throw new Wrong('this ) closes nothing', token.at, token.end, 'in quotes it is text: ")"');
      }
      case 'and':
      case 'or':
      case 'not': {
        const sign = token.type === 'and' ? '&' : '|';
        throw new Wrong(`something is missing before ${sign}`, token.at, token.end, `as in ~phase catalog ${sign} ~e`);
      }
      case 'word':
        return counted(token, { type: 'text', on: 'any', pattern: token.pattern });
      case 'name':
        return named(token);
    }
  }

  function counted(token: Token, term: Term, end = token.end): Filter {
    if (++count > FILTER_LIMITS.terms) throw new Wrong(`more than ${FILTER_LIMITS.terms} terms`, token.at, end);
    return { ...term, at: token.at, end };
  }

  function named(token: Token & { type: 'name' }): Filter {
    const { name } = token;
    const info = termInfo(name);
    if (info === null) {
      if (name === '') throw new Wrong('~ wants a name', token.at, token.end, adviceOn(name));
      throw new Wrong(`~${name} is not known`, token.at, token.end, adviceOn(name));
    }
    if (!info.subjects.includes(subject)) {
      const others = info.subjects.map(other => SUBJECT_WORDS[other]).join(', ');
      throw new Wrong(`~${name} is no question to ${SUBJECT_WORDS[subject]}`, token.at, token.end, `it is one to ${others}`);
    }
    if (info.argument === 'none') return counted(token, flagOf(name));
    const word = peek();
    if (word?.type !== 'word') {
      const wants = { text: 'a text', status: 'a status', phase: 'a phase', ids: 'a number' }[info.argument];
      throw new Wrong(`~${name} wants ${wants}, as in ${info.example}`, token.at, token.end, detail(info));
    }
    place++;
    return counted(token, termOf(info, word), word.end);
  }

  const filter = alternatives();
  const rest = peek();
  if (rest !== undefined) throw new Wrong('this ) closes nothing', rest.at, rest.end, 'in quotes it is text: ")"');
  return filter;
}

function missing(before: Token | undefined, at: number): Wrong {
  const sign =
    before === undefined ? null : { and: '&', or: '|', not: '!', open: '(', close: ')', name: '~', word: '' }[before.type];
  return new Wrong(`something is missing after ${sign ?? 'the start'}`, before?.at ?? at, before?.end ?? at);
}

function joined(type: 'and' | 'or', terms: readonly Filter[]): Filter {
  return terms.length === 1 ? terms[0]! : { type, terms, at: terms[0]!.at, end: terms.at(-1)!.end };
}

function detail({ argument, about }: TermInfo): string {
  if (argument === 'status') return 'a status is 404, 4xx, 400-499, >=400';
  return argument === 'phase' ? `the phases are ${argumentValues('phase').join(', ')}` : about;
}

function flagOf(name: string): Term {
  return { type: 'flag', flag: name === 'q' || name === 's' ? name : 'e' };
}

function termOf(info: TermInfo, word: Token & { type: 'word' }): Term {
  const { name, argument, example } = info;
  const wrong = (what: string): Wrong =>
    new Wrong(`~${name} wants ${what}, as in ${example}, not ${word.text}`, word.at, word.end, detail(info));
  if (argument === 'status') {
    const range = statuses(word.text);
    if (range === null) throw wrong('a status');
    return { type: 'status', ...range };
  }
  if (argument === 'phase') {
    const phase = PHASES.find(known => known === word.text.toLowerCase());
    if (phase === undefined) throw wrong('a phase');
    return { type: 'phase', phase };
  }
  const ids = name === 'run' || name === 'conn' ? numbers(word.text, name) : null;
  if (ids === 'backwards') throw wrong('a range that goes up');
  if (ids !== null) return ids;
  const on = TEXT_TERMS.find(known => known === name);
  if (on === undefined) throw new Error(`~${name} has no meaning`);
  return { type: 'text', on, pattern: word.pattern };
}

/** The statuses that can come; a range of the language never says less than these. */
const STATUSES = { from: 100, to: 599 };

/** `404`, `4xx`, `400-499`, `>=400`, `>400`, `<400`, `<=400`. */
function statuses(text: string): { from: number; to: number } | null {
  const hundred = /^([1-5])xx$/i.exec(text);
  if (hundred) return { from: Number(hundred[1]) * 100, to: Number(hundred[1]) * 100 + 99 };
  const match = /^(>=|<=|>|<)?([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(text);
  if (!match) return null;
  const [, sign, first, second] = match;
  const status = Number(first);
  if (second !== undefined) return sign !== undefined || Number(second) < status ? null : { from: status, to: Number(second) };
  if (sign === undefined) return { from: status, to: status };
  const range = sign.startsWith('>') ? { ...STATUSES, from: status } : { ...STATUSES, to: status };
  if (sign === '>') range.from++;
  if (sign === '<') range.to--;
  return range.from > range.to ? null : range;
}

/** `r3`, `3`, `r3-r5`, `3-5` of runs, with c of connections; `null` for other text. */
function numbers(text: string, of: 'run' | 'conn'): Term | 'backwards' | null {
  const letter = of === 'run' ? 'r' : 'c';
  const match = new RegExp(`^${letter}?(\\d{1,15})(?:-${letter}?(\\d{1,15}))?$`, 'i').exec(text);
  if (!match) return null;
  const from = Number(match[1]);
  const to = match[2] === undefined ? from : Number(match[2]);
  return from > to ? 'backwards' : { type: 'ids', of, from, to };
}
