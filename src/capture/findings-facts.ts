import type { Database, Statement } from 'better-sqlite3';
import type {
  EarlierCatalog,
  EventFact,
  ExchangeFact,
  FactCost,
  FactRows,
  FetchedAgain,
  Listing,
  LogFact,
  NamedValue,
  RunFacts,
} from '../analysis/findings/facts.ts';
import type { ExchangeId, Phase } from '../model.ts';
import { FACT_SQL } from './findings-statements.ts';
import type { ConnectionRow, ExchangeRow } from './shapes.ts';
import type { Store } from './store-shape.ts';

/** Of one run no more is looked at: an ordinary one has 9 exchanges, a first one some hundred. */
const EXCHANGES = 20_000;
const CONNECTIONS = 2_000;

/** How deep into a parameter that is a hash it is looked for names of secrets. */
const DEPTH = 4;

/** Runs of the node that are looked through for its earlier catalogs and reports: some have none. */
const HISTORY = 30;

interface NamedRow {
  n: number;
  type: string;
  title: string;
  parameters: string;
  sensitive: string;
  file: string | null;
  line: number | null;
}

/** Makes the function that tells rules what a capture knows of a run; everything is read when it is asked for, and once. */
export function factsReader(db: Database, store: Store): (run: number) => RunFacts | null {
  const durability = db.prepare<[number], string>(FACT_SQL.durability).pluck();
  const firstAnswers = db.prepare<[number, number], ExchangeId>(FACT_SQL.firstAnswers).pluck();
  const factCosts = db.prepare<[number], FactCost>(FACT_SQL.factCosts);
  const listed = db.prepare<[number, number], Listing>(FACT_SQL.listed);
  const inlined = db.prepare<[number, number], Listing>(FACT_SQL.inlined);
  const generated = db.prepare<[number, number], number>(FACT_SQL.generated).pluck();
  const events = db.prepare<[number, string], EventFact & { correctiveChange: number | null }>(FACT_SQL.events);
  const logs = db.prepare<[number, string], LogFact>(FACT_SQL.logs);
  const lastLog = db.prepare<[number], string | null>(FACT_SQL.lastLog).pluck();
  const catalogs = db.prepare<[string, number, number, number], EarlierCatalog>(FACT_SQL.catalogs);
  const reports = db.prepare<[string, number, number, number], number>(FACT_SQL.reports).pluck();
  const fetchedAgain = db.prepare<[string, number, number, number], FetchedAgain>(FACT_SQL.fetchedAgain);
  const csrs = db.prepare<[string, number], { keySha256: string; at: string }>(FACT_SQL.csrs);

  function eventsOf(exchange: number, statuses: readonly string[]): EventFact[] {
    return events
      .all(exchange, JSON.stringify(statuses))
      .map(row => ({ ...row, correctiveChange: row.correctiveChange === null ? null : row.correctiveChange === 1 }));
  }

  /** By how many words it looks for. */
  const named = new Map<number, Statement<unknown[], NamedRow>>();
  function namedStatement(words: number): Statement<unknown[], NamedRow> {
    const statement = named.get(words) ?? db.prepare<unknown[], NamedRow>(FACT_SQL.named(words));
    named.set(words, statement);
    return statement;
  }

  function namedIn(exchange: number, words: readonly string[]): NamedValue[] {
    // `_` is a wildcard of LIKE
    const patterns = [...words.map(word => `%${word.replaceAll('_', '\\_')}%`), '%(private key)%'];
    const rows = namedStatement(patterns.length).all(exchange, ...patterns);
    return rows.flatMap(row => {
      const hidden = new Set(JSON.parse(row.sensitive) as string[]);
      const { n, file, line } = row;
      const resource = `${row.type}[${row.title}]`;
      return entriesOf(JSON.parse(row.parameters) as unknown, '', 0)
        .filter(([name]) => !hidden.has(name.split('.', 1)[0] ?? ''))
        .map(([parameter, value]) => ({ exchange, n, resource, parameter, value, file, line }));
    });
  }

  return id => {
    const run = store.run(id);
    if (run === null) return null;
    const { certname } = run;
    const exchanges = once(() => [...store.exchanges({ run: id, limit: EXCHANGES })] satisfies ExchangeRow[]);
    const connections = once(() => [...store.connections({ run: id, limit: CONNECTIONS })] satisfies ConnectionRow[]);
    const phases = once((): ReadonlyMap<Phase, readonly ExchangeFact[]> => Map.groupBy(exchanges(), one => one.phase));
    const kinds = new Map<keyof FactRows, readonly unknown[]>();
    /** The last report, the last catalog that came. */
    const report = once(() => phases().get('report')?.at(-1)?.id ?? null);
    const catalog = once(
      () =>
        phases()
          .get('catalog')
          ?.findLast(one => one.status === 200)?.id ?? null,
    );

    function rows<K extends keyof FactRows>(kind: K): readonly FactRows[K][] {
      const known = kinds.get(kind) as readonly FactRows[K][] | undefined;
      if (known !== undefined) return known;
      const read: readonly FactRows[K][] = store.decoded.rows(kind, { run: id });
      kinds.set(kind, read);
      return read;
    }

    return {
      run,
      imported: durability.get(id) === 'import',
      get exchanges() {
        return exchanges();
      },
      get connections() {
        return connections();
      },
      phase: phase => phases().get(phase) ?? [],
      head(exchange) {
        const detail = store.exchange(exchange);
        if (detail === null) return null;
        const { indirection, key, environment, request, response, timing } = detail;
        return {
          indirection,
          key,
          environment,
          reason: response?.reason ?? null,
          requestFields: request.fields,
          responseFields: response?.fields ?? [],
          headMs: timing.responseHeadMono === null ? null : timing.responseHeadMono - timing.startMono,
        };
      },
      rows,
      firstAnswers: limit => firstAnswers.all(id, limit).flatMap(exchange => store.exchange(exchange) ?? []),
      factCosts() {
        const asked = phases().get('catalog')?.at(-1);
        return asked === undefined ? [] : factCosts.all(asked.id);
      },
      listings: over => [...listed.all(id, over), ...inlined.all(id, over)],
      generatedFiles() {
        const [told, compiled] = [report(), catalog()];
        return told === null || compiled === null ? 0 : (generated.get(told, compiled) ?? 0);
      },
      namedValues(words) {
        const compiled = catalog();
        return compiled === null ? [] : namedIn(compiled, words);
      },
      events(statuses) {
        const told = report();
        return told === null ? [] : eventsOf(told, statuses);
      },
      logs(containing) {
        const told = report();
        return told === null ? [] : logs.all(told, containing);
      },
      lastLogAt() {
        const told = report();
        return told === null ? null : (lastLog.get(told) ?? null);
      },
      earlierCatalogs: limit => catalogs.all(certname, id, HISTORY, limit),
      earlierEvents: (limit, statuses) => reports.all(certname, id, HISTORY, limit).map(exchange => eventsOf(exchange, statuses)),
      fetchedAgain: runs => fetchedAgain.all(certname, id, runs, id),
      earlierCsrs: () => csrs.all(certname, id),
    };
  };
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** The leaves of a parameter hash, `a.b` for what is in a hash within it. A value in rich data notation is none. */
function entriesOf(value: unknown, path: string, depth: number): [string, unknown][] {
  if (value === null || typeof value !== 'object') return [[path, value]];
  if (depth > DEPTH || Object.hasOwn(value, '__ptype')) return [];
  return Object.entries(value).flatMap(([name, item]) => {
    const of = Array.isArray(value) ? path : path === '' ? name : `${path}.${name}`;
    return entriesOf(item, of, depth + 1);
  });
}
