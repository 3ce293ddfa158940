import type { Data } from '../decode/data.ts';
import { createHiding, type Hiding, hideInData, hideInFields, hideInTarget, knownPattern } from '../decode/secrets.ts';
import type { DecodedKind, DecodedRows, OfExchange, RowsByKind } from './decoded-shapes.ts';
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
    const pattern = before?.decoded === decoded ? before.pattern : knownPattern(store.decoded.secrets(run));
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

/**
 * A store whose heads, decoded rows and search hits show no secrets, unless rows are asked for with `reveal`. Bodies it gives as they were
 * on the wire.
 */
export function withoutSecrets(store: Store, hiding: (run: number | null) => Hiding = hidingFor(store)): Store {
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
    *details(filter) {
      for (const exchange of store.details(filter)) yield headsWithout(exchange, inHeads);
    },
    decoded: {
      ...decoded,
      rows<K extends DecodedKind>(kind: K, filter: Parameters<Store['decoded']['rows']>[1]): DecodedRows[K][] {
        const rows = decoded.rows(kind, filter);
        if (filter.reveal === true) return rows;
        const hidden = createHidden(hiding);
        return rows.map(hidden);
      },
      rowsOf(kinds, exchanges, reveal) {
        const rows = decoded.rowsOf(kinds, exchanges, reveal);
        if (reveal) return rows;
        const hidden = createHidden(hiding);
        const hiddenIn = (byKind: RowsByKind): RowsByKind => new Map([...byKind].map(([kind, some]) => [kind, some.map(hidden)]));
        return new Map([...rows].map(([exchange, byKind]) => [exchange, hiddenIn(byKind)]));
      },
      search: (terms, filter) => decoded.search(terms, filter, hiding),
    },
  };
}

/** Makes the function that hides the secrets of rows: those of a run are looked up once. */
function createHidden(hiding: (run: number | null) => Hiding): <Row extends OfExchange>(row: Row) => Row {
  const ofRun = new Map<number | null, Hiding>();
  return row => {
    const one = ofRun.get(row.run) ?? hiding(row.run);
    ofRun.set(row.run, one);
    return hideInData(row as unknown as Data, one) as unknown as typeof row;
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
