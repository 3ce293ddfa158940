import type { Connection, Exchange } from '../model.ts';
import type { Filter, FilterProblem, Pattern, TextTerm } from './filter.ts';
import { type Matches, matcher } from './filter-match.ts';
import { parseFilter } from './filter-parse.ts';

/** What is known of an exchange when its request head is there, with the agent's connection. */
export type Asked = Pick<Exchange, 'certname' | 'route' | 'request'>;
export type AskedOn = Pick<Connection, 'peer' | 'target' | 'tls'>;

/** A filter as a question to a request. */
export type AsksRequest = (asked: Asked, on: AskedOn) => boolean;

/** `asks` is `null` when the text is empty: every request is meant. */
export type RequestFilter =
  | { type: 'asks'; filter: Filter | null; asks: AsksRequest }
  | { type: 'wrong'; problem: FilterProblem };

const KNOWN = '~certname ~phase ~env ~u ~m ~d ~hq ~tq ~conn ADDRESS, a text without a name';

/** What the names that ask about both sides are for the request alone. */
const ON_REQUEST: Readonly<Record<string, string>> = { h: 'hq', t: 'tq' };

/**
 * Reads a filter of docs/filter.md that is put to a request before there is an answer to it. Means what it means of the exchange in a capture.
 * Never throws: a text that is none, or that asks what is not known so early, comes back as the problem with its place.
 */
export function requestFilter(text: string): RequestFilter {
  const parsed = parseFilter(text, 'exchange');
  if (parsed.type === 'wrong') return parsed;
  const { filter } = parsed;
  const late = filter === null ? null : tooLate(filter);
  if (late !== null) return { type: 'wrong', problem: late };
  return { type: 'asks', filter, asks: filter === null ? () => true : compiled(filter) };
}

/** The first question that cannot be answered from a request's head. */
function tooLate(filter: Filter): FilterProblem | null {
  const { at, end } = filter;
  switch (filter.type) {
    case 'and':
    case 'or':
      return filter.terms.map(tooLate).find(problem => problem !== null) ?? null;
    case 'not':
      return tooLate(filter.term);
    case 'phase':
      return null;
    case 'text': {
      if (textOf(filter.on) !== null) return null;
      const instead = ON_REQUEST[filter.on];
      return problem(`~${filter.on}`, instead === undefined ? null : `of the request alone it is ~${instead}`);
    }
    case 'status':
      return problem('~c', null);
    case 'flag':
      return problem(`~${filter.flag}`, null);
    case 'ids':
      return problem(`~${filter.of} with a number`, filter.of === 'conn' ? 'an address is ~conn 10.0.0.7' : null);
  }
  function problem(name: string, hint: string | null): FilterProblem {
    return { message: `${name} is not known when a request comes`, at, end, hint: hint ?? `what is known: ${KNOWN}` };
  }
}

function compiled(filter: Filter): AsksRequest {
  switch (filter.type) {
    case 'and': {
      const terms = filter.terms.map(compiled);
      return (asked, on) => terms.every(term => term(asked, on));
    }
    case 'or': {
      const terms = filter.terms.map(compiled);
      return (asked, on) => terms.some(term => term(asked, on));
    }
    case 'not': {
      const term = compiled(filter.term);
      return (asked, on) => !term(asked, on);
    }
    case 'phase':
      return ({ route }) => route.phase === filter.phase;
    case 'text':
      return textTerm(filter.on, filter.pattern);
    case 'status':
    case 'flag':
    case 'ids':
      return () => false; // tooLate has refused it
  }
}

function textTerm(on: TextTerm, pattern: Pattern): AsksRequest {
  const texts = textOf(on);
  const matches = matcher(pattern);
  return (asked, connection) => texts?.(asked, connection, matches) ?? false;
}

type Texts = (asked: Asked, on: AskedOn, matches: Matches) => boolean;

/** Where a text is looked for; `null`: nowhere that is known. What has no value is no match. */
function textOf(on: TextTerm): Texts | null {
  const some = (matches: Matches, ...texts: readonly (string | null | undefined)[]): boolean =>
    texts.some(text => typeof text === 'string' && matches(text));
  switch (on) {
    case 'any':
      return ({ request, certname, route }, _, matches) => some(matches, request.target, certname, route.key);
    case 'u':
      return ({ request }, _, matches) => matches(request.target);
    case 'm':
      return ({ request }, _, matches) => matches(request.method);
    case 'certname':
      return ({ certname }, _, matches) => some(matches, certname);
    case 'env':
      return ({ route }, _, matches) => some(matches, route.environment);
    case 'd':
      return (_, { tls, target }, matches) => some(matches, tls?.serverName, target);
    case 'conn':
      return (_, { peer }, matches) => matches(peer);
    case 'hq':
      return ({ request }, _, matches) => request.fields.some(([name, value]) => matches(`${name}: ${value}`));
    case 'tq':
      return ({ request }, _, matches) =>
        request.fields.some(([name, value]) => name.toLowerCase() === 'content-type' && matches(value));
    case 'h':
    case 'hs':
    case 't':
    case 'ts':
    case 'b':
    case 'bq':
    case 'bs':
    case 'res':
    case 'fact':
    case 'find':
    case 'fault':
    case 'run':
      return null;
  }
}
