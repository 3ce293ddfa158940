import type { Filter, Pattern, Subject, Term, TextTerm } from '../analysis/filter.ts';
import { allOf, anyOf, type Condition, lineIn, NEVER, textIn, textInOneOf, typeIn } from './filter-pattern-sql.ts';
import { WENT_WRONG } from './filter-schema.ts';

/*
 * Filters as SQL: the text of a filter is only ever bound. Conditions name the row they ask by an alias: `e` an exchange, `r` a run, `c` a
 * connection, `f` a finding. NULL is no match, and `!` makes a match of it.
 */

/** The names that conditions call the tables by; each table is named as its subject. */
export const ALIASES: Readonly<Record<Subject, string>> = { exchange: 'e', run: 'r', connection: 'c', finding: 'f' };

/**
 * What exchanges have in common with others, and filters ask about: their header lines, the Content-Type among these, their bodies, and the
 * name or the peer of their connections.
 */
export type Asked = 'line' | 'type' | 'body' | 'connection' | 'peer';

/** The table whose `id`s are those that answered yes, as far as that was worked out before (browse-known.ts); else `null`. */
export type Known = (asked: Asked, pattern: Pattern) => string | null;

export const NOTHING_KNOWN: Known = () => null;

/**
 * The condition of a filter on a row of a list. filter-functions.ts has the functions that it calls.
 *
 * @param subject also the table that the condition is about, by its alias
 */
export function conditionOf(filter: Filter, subject: Subject, known: Known = NOTHING_KNOWN): Condition {
  switch (filter.type) {
    case 'and':
      return allOf(cheapFirst(filter.terms).map(term => conditionOf(term, subject, known)));
    case 'or':
      return anyOf(cheapFirst(filter.terms).map(term => conditionOf(term, subject, known)));
    case 'not': {
      const { sql, values } = conditionOf(filter.term, subject, known);
      return { sql: `((${sql}) IS NOT TRUE)`, values };
    }
    default: {
      const { sql, values } = TERM_SQL[subject](filter, known);
      return { sql: `(${sql})`, values };
    }
  }
}

const TERM_SQL: Readonly<Record<Subject, (term: Term, known: Known) => Condition>> = {
  exchange: exchangeTerm,
  run: runTerm,
  connection: connectionTerm,
  finding: findingTerm,
};

/** SQLite asks the parts of AND and OR in the order in which they stand, and stops when it knows: bodies come last. */
function cheapFirst(terms: readonly Filter[]): readonly Filter[] {
  return terms.toSorted((a, b) => cost(a) - cost(b));
}

/** About how dear a question is to one row, in columns compared. */
function cost(filter: Filter): number {
  switch (filter.type) {
    case 'and':
    case 'or':
      return filter.terms.reduce((sum, term) => sum + cost(term), 0);
    case 'not':
      return cost(filter.term);
    case 'text':
      return (TEXT_COST[filter.on] ?? 2) * (filter.pattern.type === 'regex' ? 5 : 1);
    default:
      return 1;
  }
}

const TEXT_COST: Partial<Record<TextTerm, number>> = {
  d: 10,
  hq: 10,
  hs: 20,
  h: 30,
  tq: 12,
  ts: 24,
  t: 36,
  fact: 100,
  res: 200,
  bq: 10_000,
  bs: 20_000,
  b: 30_000,
};

const REQUEST_LINES = '(SELECT l.lines FROM fields l WHERE l.id = e.request_fields)';
const RESPONSE_LINES = '(SELECT l.lines FROM fields l WHERE l.id = e.response_fields)';

function plain(sql: string): Condition {
  return { sql, values: [] };
}

function between(column: string, { from, to }: { from: number; to: number }): Condition {
  return from === to ? { sql: `${column} = ?`, values: [from] } : { sql: `${column} BETWEEN ? AND ?`, values: [from, to] };
}

/** A condition on rows of another table: `from` ends where it has to be added. */
function exists(from: string, condition: Condition): Condition {
  return { sql: `EXISTS (SELECT 1 FROM ${from} AND ${condition.sql})`, values: condition.values };
}

/** Of the columns of `e`. Said of a 5xx, too, it lets SQLite use the index. */
const WRONG = WENT_WRONG.replace(/outcome|status/g, 'e.$&');

function exchangeTerm(term: Term, known: Known): Condition {
  switch (term.type) {
    case 'status': {
      const status = between('e.status', term);
      return term.from < 500 ? status : allOf([status, plain(`(${WRONG})`)]);
    }
    case 'phase':
      return { sql: 'e.phase = ?', values: [term.phase] };
    case 'flag':
      if (term.flag === 'e') return plain(WRONG);
      return plain(term.flag === 'q' ? 'e.status IS NULL' : 'e.status IS NOT NULL');
    case 'ids': {
      if (term.of === 'conn') return anyOf([between('e.agent_connection', term), between('e.primary_connection', term)]);
      const { sql, values } = between('m.run', term);
      return { sql: `e.id IN (SELECT m.exchange FROM run_exchange m WHERE ${sql})`, values };
    }
    case 'text':
      return exchangeText(term.on, term.pattern, known);
  }
}

const USED = 'connection c WHERE c.id IN (e.agent_connection, e.primary_connection)';

function exchangeText(on: TextTerm, pattern: Pattern, known: Known): Condition {
  switch (on) {
    case 'any':
      return textInOneOf(['e.target', 'e.certname', 'e.key'], pattern);
    case 'u':
      return textIn('e.target', pattern);
    case 'm':
      return textIn('e.method', pattern);
    case 'certname':
      return textIn('e.certname', pattern);
    case 'env':
      return textIn('e.environment', pattern);
    case 'd':
      return usedOne(known('connection', pattern)) ?? exists(USED, textInOneOf(['c.server_name', 'c.target'], pattern));
    case 'conn':
      return usedOne(known('peer', pattern)) ?? exists(USED, textIn('c.peer', pattern));
    case 'run':
      return exists('run_exchange m JOIN run r ON r.id = m.run WHERE m.exchange = e.id', textIn('r.transaction_uuid', pattern));
    case 'hq':
      return among('e.request_fields', known('line', pattern)) ?? lineIn(REQUEST_LINES, pattern);
    case 'hs':
      return among('e.response_fields', known('line', pattern)) ?? lineIn(RESPONSE_LINES, pattern);
    case 'tq':
      return among('e.request_fields', known('type', pattern)) ?? typeIn(REQUEST_LINES, pattern);
    case 'ts':
      return among('e.response_fields', known('type', pattern)) ?? typeIn(RESPONSE_LINES, pattern);
    case 'bq':
      return among('e.request_body', known('body', pattern)) ?? bodyIn('e.request_body', REQUEST_LINES, pattern);
    case 'bs':
      return among('e.response_body', known('body', pattern)) ?? bodyIn('e.response_body', RESPONSE_LINES, pattern);
    case 'h':
    case 't':
    case 'b':
      return anyOf([exchangeText(`${on}q`, pattern, known), exchangeText(`${on}s`, pattern, known)]);
    case 'res': {
      const catalog = exists('resource t WHERE t.exchange = e.id', textIn("t.type || '[' || t.title || ']'", pattern));
      const report = exists('resource_status t WHERE t.exchange = e.id', textIn('t.resource', pattern));
      return allOf([plain("e.phase IN ('catalog', 'report')"), anyOf([catalog, report])]);
    }
    case 'fact':
      return exists('fact t WHERE t.exchange = e.id', textIn("t.path || '=' || t.value", pattern));
    case 'fault':
      return exists('fault t WHERE t.exchange = e.id', textIn('t.rule', pattern));
    case 'find': {
      const { sql, values } = findingText(pattern);
      return { sql: `e.id IN (SELECT x.value FROM finding f, json_each(f.evidence, '$.exchanges') x WHERE ${sql})`, values };
    }
  }
}

function among(column: string, table: string | null): Condition | null {
  return table === null ? null : plain(`${column} IN ${table}`);
}

function usedOne(table: string | null): Condition | null {
  return table === null ? null : plain(`(e.agent_connection IN ${table} OR e.primary_connection IN ${table})`);
}

function bodyIn(column: string, lines: string, pattern: Pattern): Condition {
  return { sql: `(${column} IS NOT NULL AND filter_body(${column}, ${lines}, ?))`, values: [JSON.stringify(pattern)] };
}

/** A question to an exchange, put to a run, asks whether one of its exchanges is such. */
function someExchange(condition: Condition): Condition {
  return exists('run_exchange m JOIN exchange e ON e.id = m.exchange WHERE m.run = r.id', condition);
}

function runTerm(term: Term, known: Known): Condition {
  if (term.type === 'flag' && term.flag === 'e') return plain('r.failed > 0');
  if (term.type === 'ids') {
    if (term.of === 'run') return between('r.id', term);
    return exists('run_connection k WHERE k.run = r.id', between('k.connection', term));
  }
  if (term.type !== 'text') return someExchange(anyOf([exchangeTerm(term, known)]));
  const { on, pattern } = term;
  const connections = 'run_connection k JOIN connection c ON c.id = k.connection WHERE k.run = r.id';
  switch (on) {
    case 'any':
      return textInOneOf(['r.certname', 'r.environment', 'r.transaction_uuid', 'r.puppet_version'], pattern);
    case 'certname':
      return textIn('r.certname', pattern);
    case 'env':
      return textIn('r.environment', pattern);
    case 'run':
      return textIn('r.transaction_uuid', pattern);
    case 'd':
      return exists(connections, textInOneOf(['c.server_name', 'c.target'], pattern));
    case 'conn':
      return exists(connections, textIn('c.peer', pattern));
    case 'find': {
      const { sql, values } = findingText(pattern);
      return { sql: `r.id IN (SELECT f.run FROM finding f WHERE f.run IS NOT NULL AND ${sql})`, values };
    }
    default:
      return someExchange(exchangeText(on, pattern, known));
  }
}

function connectionTerm(term: Term): Condition {
  switch (term.type) {
    case 'ids': {
      if (term.of === 'conn') return between('c.id', term);
      return exists('run_connection k WHERE k.connection = c.id', between('k.run', term));
    }
    case 'flag':
      return term.flag === 'e' ? plain('c.error IS NOT NULL OR c.refusal IS NOT NULL') : NEVER;
    case 'text':
      return connectionText(term.on, term.pattern);
    case 'status':
    case 'phase':
      return NEVER; // the parser takes them for no connection
  }
}

function connectionText(on: TextTerm, pattern: Pattern): Condition {
  switch (on) {
    case 'any':
      return textInOneOf(['c.peer', 'c.certname', 'c.peer_name', 'c.server_name', 'c.target', 'c.error', 'c.refusal'], pattern);
    case 'certname':
      return textIn('c.certname', pattern);
    case 'conn':
      return textIn('c.peer', pattern);
    case 'd':
      return textInOneOf(['c.server_name', 'c.target'], pattern);
    case 'run':
      return exists(
        'run_connection k JOIN run r ON r.id = k.run WHERE k.connection = c.id',
        textIn('r.transaction_uuid', pattern),
      );
    case 'find': {
      const { sql, values } = findingText(pattern);
      return { sql: `c.id IN (SELECT x.value FROM finding f, json_each(f.evidence, '$.connections') x WHERE ${sql})`, values };
    }
    default:
      return NEVER;
  }
}

/** A finding by its rule, its severity or its words. */
function findingText(pattern: Pattern): Condition {
  return textInOneOf(['f.rule', 'f.severity', 'f.summary'], pattern);
}

function findingTerm(term: Term): Condition {
  switch (term.type) {
    case 'ids': {
      if (term.of === 'run') return between('f.run', term);
      return exists("json_each(f.evidence, '$.connections') x WHERE 1", between('x.value', term));
    }
    case 'flag':
      return term.flag === 'e' ? plain("f.severity = 'error'") : NEVER;
    case 'text': {
      const { on, pattern } = term;
      if (on === 'any') return textInOneOf(['f.rule', 'f.severity', 'f.subject', 'f.summary', 'f.fix'], pattern);
      if (on === 'find') return findingText(pattern);
      const run = 'run r WHERE r.id = f.run';
      if (on === 'certname') return anyOf([textIn('f.subject', pattern), exists(run, textIn('r.certname', pattern))]);
      if (on === 'env') return exists(run, textIn('r.environment', pattern));
      if (on === 'run') return exists(run, textIn('r.transaction_uuid', pattern));
      if (on !== 'conn') return NEVER;
      const connection = "json_each(f.evidence, '$.connections') x JOIN connection c ON c.id = x.value WHERE 1";
      return exists(connection, textIn('c.peer', pattern));
    }
    case 'status':
    case 'phase':
      return NEVER;
  }
}
