import type { Data } from '../decode/data.ts';
import { createHiding, type Hiding, hideInData, hideInFields, hideInTarget, knownPattern, secretsIn } from '../decode/secrets.ts';
import type { DecodedKind, DecodedRows } from './decoded-shapes.ts';
import type { ExchangeDetail } from './shapes.ts';
import type { Store } from './store-shape.ts';

/** Runs whose known secrets are remembered. */
const REMEMBERED = 16;

/**
 * What hides the secrets of a run's bodies for a reader: by name and type, and wherever a value is told again that the run's catalogs
 * call Sensitive or name as a secret.
 *
 * @param run `null` for exchanges of no run
 */
export function hidingFor(store: Store): (run: number | null) => Hiding & { count: number } {
  const known = new Map<number, Known>();
  return run => {
    if (run === null) return createHiding();
    const version = store.version();
    const before = known.get(run);
    if (before?.version === version) return createHiding(before.pattern);
    // The capture has grown, and with it perhaps the run: a catalog may have come with secrets of its own.
    const exchanges = store.run(run)?.exchanges ?? 0;
    const decoded = exchanges - store.decoded.behind({ run });
    const pattern = before?.decoded === decoded ? before.pattern : patternOf(store, run);
    if (known.size >= REMEMBERED) known.clear();
    known.set(run, { pattern, version, decoded });
    return createHiding(pattern);
  };
}

interface Known {
  readonly pattern: RegExp | null;
  /** Of the capture, when it was looked at. */
  readonly version: number;
  /** Exchanges of the run that were decoded then. */
  readonly decoded: number;
}

function patternOf(store: Store, run: number): RegExp | null {
  const rows = store.decoded.rows('resource', { run, reveal: true });
  return knownPattern(rows.flatMap(row => secretsIn(row.parameters as Data)));
}

/**
 * A store whose heads, decoded rows and search hits show no secrets, unless rows are asked for with `reveal`. Bodies it gives as they were
 * on the wire.
 */
export function withoutSecrets(store: Store): Store {
  const hiding = hidingFor(store);
  const inHeads = createHiding();
  const { decoded } = store;
  return {
    ...store,
    *exchanges(filter) {
      for (const row of store.exchanges(filter)) yield { ...row, target: hideInTarget(row.target, inHeads) };
    },
    exchange(id) {
      const exchange = store.exchange(id);
      return exchange === null ? null : headsWithout(exchange, inHeads);
    },
    decoded: {
      ...decoded,
      rows<K extends DecodedKind>(kind: K, filter: Parameters<Store['decoded']['rows']>[1]): DecodedRows[K][] {
        const rows = decoded.rows(kind, filter);
        if (filter.reveal === true) return rows;
        const ofRun = new Map<number | null, Hiding>();
        const hidingOf = (run: number | null): Hiding => {
          const one = ofRun.get(run) ?? hiding(run);
          ofRun.set(run, one);
          return one;
        };
        return rows.map(row => hideInData(row as unknown as Data, hidingOf(row.run)) as unknown as DecodedRows[K]);
      },
      search: (terms, filter) => decoded.search(terms, filter, hiding),
    },
  };
}

function headsWithout(exchange: ExchangeDetail, hiding: Hiding): ExchangeDetail {
  const { request, response, trailers } = exchange;
  const target = hideInTarget(exchange.target, hiding);
  return {
    ...exchange,
    target,
    request: { ...request, target, fields: hideInFields(request.fields, hiding) },
    response: response && { ...response, fields: hideInFields(response.fields, hiding) },
    trailers: hideInFields(trailers, hiding),
  };
}
