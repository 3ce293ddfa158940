import Database, { type Statement } from 'better-sqlite3';
import type { Data } from '../decode/data.ts';
import { dataJson } from '../decode/data-json.ts';
import { isStructured } from '../decode/format.ts';
import { parseJson } from '../decode/json.ts';
import { attempt, DEFAULT_LIMITS } from '../decode/limits.ts';
import { type Hiding, hideInData, hideInTarget, hideInText, isSecretName } from '../decode/secrets.ts';
import { type DecodedStore, SEARCHED, type Searched, type SearchFilter } from './decoded-shapes.ts';
import { LIST_TABLES, type ListName, N_BITS, N_MASK } from './list-schema.ts';

/** Control characters that no snippet of a text has unescaped when it is printed. */
const MARKS = "char(1), char(2), '…', 16";

interface Place {
  fts: string;
  from: string;
  /** The name of what was found. */
  place: string;
  exchange: string;
  /** What tells whether a hit is one of a run's, where many exchanges may have it. */
  ofBody: string | null;
  /** The texts that are searched, by the id of their row. */
  texts: string;
}

/** What is searched. A row of a list is a hit in each exchange whose list it is in. */
const PLACES: Record<Searched, Place> = {
  resources: inLists('resource', "coalesce(t.type, b.type) || '[' || coalesce(t.title, b.title) || ']'"),
  facts: inLists('fact', 'coalesce(t.path, b.path)'),
  logs: inLists('log_line', "coalesce(t.source, '')"),
  metadata: {
    ...inLists('file_metadata', "coalesce(t.resource, nullif(t.relative_path, '.'), t.path, '')"),
    exchange: '(SELECT d.exchange FROM decoded_body d WHERE d.body = l.owner)',
    ofBody: 'l.owner',
  },
  bodies: {
    fts: 'body_text_fts',
    from: 'JOIN body_text t ON t.body = body_text_fts.rowid',
    place: '(SELECT e.target FROM decoded_body d JOIN exchange e ON e.id = d.exchange WHERE d.body = t.body)',
    exchange: '(SELECT d.exchange FROM decoded_body d WHERE d.body = t.body)',
    ofBody: 't.body',
    texts:
      'SELECT t.text, (SELECT d.format FROM decoded_body d WHERE d.body = t.body) AS format FROM body_text t WHERE t.body = ?',
  },
};

function inLists(name: ListName, place: string): Place {
  const id = `${name}_fts.rowid`;
  const from = `JOIN list l ON l.id = ${id} >> ${N_BITS} OR l.base = ${id} >> ${N_BITS} AND ${id} & ${N_MASK} <= l.count
    AND NOT EXISTS (SELECT 1 FROM ${name}_row o WHERE o.id = (l.id << ${N_BITS}) + (${id} & ${N_MASK}))
    JOIN ${name}_row t ON t.id = ${id} LEFT JOIN ${name}_row b ON b.id = (l.base << ${N_BITS}) + (${id} & ${N_MASK})`;
  const texts = `SELECT ${LIST_TABLES[name].text.map(column => `"${column}"`).join(', ')} FROM ${name}_text WHERE id = ?`;
  return { fts: `${name}_fts`, from, place, exchange: 'l.owner', ofBody: null, texts };
}

const DEFAULT_HITS = 50;

/** A hit before its snippet is cut. */
interface Found {
  in: Searched;
  id: number;
  exchange: number;
  run: number | null;
  place: string;
  rank: number;
}

type Texts = Readonly<Record<string, string | null>>;

/** Full-text search over an open capture. */
export function createSearch(db: Database.Database): DecodedStore['search'] {
  const statements = new Map<string, Statement<unknown[], unknown>>();
  const prepared = (sql: string): Statement<unknown[], unknown> => {
    const statement = statements.get(sql) ?? db.prepare<unknown[], unknown>(sql);
    statements.set(sql, statement);
    return statement;
  };

  function find(where: Searched, match: string, run: number | undefined, limit: number): Found[] {
    const { fts, from, place, exchange, ofBody } = PLACES[where];
    // A body that came in several runs is found in the first one, or in the one that was asked for.
    const inRun = `SELECT min(e.id) FROM exchange e JOIN run_exchange r ON r.exchange = e.id WHERE r.run = ? AND
      ${ofBody === null ? `e.id = ${exchange}` : `${ofBody} IN (e.request_body, e.response_body)`}`;
    const sql = `SELECT f.id, f.exchange, m.run, f.place, f.rank FROM (
        SELECT ${fts}.rowid AS id, ${run === undefined ? exchange : `(${inRun})`} AS exchange, ${place} AS place, bm25(${fts}) AS rank
        FROM ${fts} ${from} WHERE ${fts} MATCH ?
      ) f LEFT JOIN run_exchange m ON m.exchange = f.exchange WHERE f.exchange IS NOT NULL ORDER BY f.rank, f.exchange LIMIT ?`;
    const values = run === undefined ? [match, limit] : [run, match, limit];
    const rows = prepared(sql).all(...values) as Omit<Found, 'in'>[];
    return rows.map(row => ({ ...row, in: where }));
  }

  return (terms, filter: SearchFilter = {}, hiding = undefined) => {
    const match = matching(terms);
    if (match === null) return [];
    const limit = filter.limit ?? DEFAULT_HITS;
    const places = filter.in === undefined ? SEARCHED : [filter.in];
    const found = places.flatMap(where => find(where, match, filter.run, limit)).sort((a, b) => a.rank - b.rank);
    using cutter = createCutter(match);
    return found.slice(0, limit).map(({ id, rank: _, ...hit }) => {
      const { format, ...texts } = prepared(PLACES[hit.in].texts).get(id) as Texts;
      const hides = hiding?.(hit.run);
      if (hides === undefined) return { ...hit, snippet: cutter.cut(texts) };
      const shown =
        hit.in === 'bodies' ? { text: bodyText(Object.values(texts)[0] ?? '', format ?? null, hides) } : rowTexts(texts, hides);
      const place = hit.in === 'bodies' ? hideInTarget(hit.place, hides) : hideInText(hit.place, hides);
      return { ...hit, place, snippet: cutter.cut(shown) };
    });
  };
}

/** The texts of a row as a reader sees them: what stands beside a value may make it a secret. */
function rowTexts({ parameters = null, ...texts }: Texts, hiding: Hiding): Texts {
  const row: Record<string, Data> = { ...texts, parameters: parameters === null ? null : (parsed(parameters) ?? parameters) };
  const shown = Object.entries(hideInData(row, hiding) as Record<string, Data>);
  return Object.fromEntries(
    shown.map(([name, value]) => [name, value === null || typeof value === 'string' ? value : dataJson(value)]),
  );
}

/** The text of a body, as it was indexed, without its secrets: they are where the format has them. */
function bodyText(text: string, format: string | null, hiding: Hiding): string {
  if (format === 'form')
    return text
      .split('\n')
      .map(line => hiddenPair(line, hiding))
      .join('\n');
  if (format === null || !isStructured(format as Parameters<typeof isStructured>[0])) return hideInText(text, hiding);
  const data = parsed(text);
  // a long one is there as far as it is kept, and a refusal as its message alone
  return data === null ? hideInText(hideMembers(text, hiding), hiding) : dataJson(hideInData(data, hiding));
}

function hiddenPair(line: string, hiding: Hiding): string {
  const equals = line.indexOf('=');
  const name = line.slice(0, Math.max(0, equals));
  return isSecretName(name) ? `${name}=${hiding.replace(line.slice(equals + 1), 'named')}` : hideInText(line, hiding);
}

/** Texts of secret names in JSON that has no end. */
function hideMembers(text: string, hiding: Hiding): string {
  return text.replace(/"((?:[^"\\]|\\.){1,300})":"((?:[^"\\]|\\.)*)/g, (member, name: string, value: string) =>
    isSecretName(name) ? `"${name}":"${hiding.replace(value, 'named')}` : member,
  );
}

function parsed(text: string): Data {
  const data = attempt(() => parseJson(Buffer.from(text), DEFAULT_LIMITS, true));
  return 'value' in data ? data.value : null;
}

/** No more of a text is in the capture's indexes. */
const CUT_CHARS = 2 * 16_384;

/** What stands in the place of secrets. */
const HIDDEN_MATCH = '"hidden" OR "sensitive" OR "private key"';

/**
 * Cuts snippets out of whole texts, as the index of the capture would: they are indexed once more, alone, as they may be seen. The tokens are
 * those of the capture's own indexes.
 */
function createCutter(match: string): Disposable & { cut(texts: Texts): string } {
  const db = new Database(':memory:');
  db.exec("CREATE VIRTUAL TABLE shown USING fts5(a, b, c, d, tokenize = 'unicode61 remove_diacritics 2')");
  const insert = db.prepare('INSERT INTO shown VALUES (?, ?, ?, ?)');
  const remove = db.prepare('DELETE FROM shown');
  const snippet = db.prepare<[string], string>(`SELECT snippet(shown, -1, ${MARKS}) FROM shown WHERE shown MATCH ?`).pluck();
  return {
    cut(texts) {
      const [a = null, b = null, c = null, d = null] = Object.values(texts).map(text => text?.slice(0, CUT_CHARS) ?? null);
      insert.run(a, b, c, d);
      // the terms were in a secret: what is around it is shown
      const cut = snippet.get(match) ?? snippet.get(HIDDEN_MATCH)?.replaceAll('\u0001', '').replaceAll('\u0002', '') ?? '';
      remove.run();
      return cut;
    },
    [Symbol.dispose]: () => void db.close(),
  };
}

/**
 * Words as FTS5 takes them: each a phrase, so that no sign of `profile::base` or `/etc/motd` is syntax; of `File[/etc/motd]` type and title are
 * one each, as they are in the index. `null` when nothing is left.
 */
function matching(terms: string): string | null {
  const phrases = terms
    .replace(/(?<!\S)([A-Z][\w:]*)\[/g, '$1 ')
    .split(/\s+/)
    .filter(term => /[\p{L}\p{N}]/u.test(term))
    .map(term => (term.endsWith('*') ? `"${term.slice(0, -1).replaceAll('"', '""')}"*` : `"${term.replaceAll('"', '""')}"`));
  return phrases.length === 0 ? null : phrases.join(' ');
}
