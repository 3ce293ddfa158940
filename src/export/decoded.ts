import type { DecodedKind } from '../capture/decoded-shapes.ts';
import type { Store } from '../capture/store.ts';

/** Kinds of rows that are an exchange's own, in the order in which they are shown. */
const KINDS: readonly DecodedKind[] = [
  'body',
  'decode_note',
  'csr',
  'certificate',
  'crl',
  'revoked',
  'node',
  'file_metadata',
  'file_content',
  'filebucket',
  'catalog_request',
  'soft_limit',
  'fact',
  'catalog',
  'class',
  'resource',
  'edge',
  'refusal',
  'report',
  'event',
  'resource_status',
  'log_line',
  'metric',
];

/** Ids of other rows, as they are shown. */
const LETTERS: Readonly<Record<string, string>> = { exchange: 'e', promisedBy: 'e', run: 'r' };

function withIds(row: object): object {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => {
      const letter = LETTERS[name];
      return [name, letter === undefined || value === null ? value : `${letter}${value}`];
    }),
  );
}

/** What was decoded of an exchange: rows by the name of their view in camel case, kinds without rows left out. */
export function decodedOf(store: Store, exchange: number, reveal: boolean): Record<string, readonly object[]> {
  const kinds = KINDS.flatMap(kind => {
    const rows = store.decoded.rows(kind, { exchange, reveal });
    return rows.length === 0
      ? []
      : [[kind.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()), rows.map(withIds)] as const];
  });
  return Object.fromEntries(kinds);
}
