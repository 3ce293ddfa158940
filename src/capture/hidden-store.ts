import type { Data } from '../decode/data.ts';
import { createHiding, type Hiding, hideInData, hideInText, knownPattern, secretsIn } from '../decode/secrets.ts';
import type { DecodedKind, DecodedRows } from './decoded-shapes.ts';
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
  const known = new Map<number, RegExp | null>();
  return run => {
    if (run === null) return createHiding();
    let pattern = known.get(run);
    if (pattern === undefined) {
      const rows = store.decoded.rows('resource', { run, reveal: true });
      pattern = knownPattern(rows.flatMap(row => secretsIn(row.parameters as Data)));
      if (known.size >= REMEMBERED) known.clear();
      known.set(run, pattern);
    }
    return createHiding(pattern);
  };
}

/**
 * A store whose decoded rows and search hits show no secrets, unless they are asked for with `reveal`. What was on the wire (heads,
 * bodies) it gives as it is.
 */
export function withoutSecrets(store: Store): Store {
  const hiding = hidingFor(store);
  const { decoded } = store;
  return {
    ...store,
    decoded: {
      ...decoded,
      rows<K extends DecodedKind>(kind: K, filter: Parameters<Store['decoded']['rows']>[1]): DecodedRows[K][] {
        const rows = decoded.rows(kind, filter);
        if (filter.reveal === true) return rows;
        return rows.map(row => hideInData(row as unknown as Data, hiding(row.run)) as unknown as DecodedRows[K]);
      },
      search: (terms, filter) =>
        decoded.search(terms, filter).map(hit => ({ ...hit, snippet: hideInText(hit.snippet, hiding(hit.run)) })),
    },
  };
}
