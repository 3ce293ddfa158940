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
const LETTERS = [
  ['exchange', 'e'],
  ['promisedBy', 'e'],
  ['run', 'r'],
] as const;

function withIds(row: object): object {
  const shown: Record<string, unknown> = { ...row };
  for (const [name, letter] of LETTERS) {
    const id = shown[name];
    if (id !== undefined && id !== null) shown[name] = `${letter}${id}`;
  }
  return shown;
}

/** What was decoded of some exchanges: by exchange, rows by the name of their view in camel case, kinds without rows left out. */
export function decodedOf(
  store: Store,
  exchanges: readonly number[],
  reveal: boolean,
): ReadonlyMap<number, Record<string, readonly object[]>> {
  const found = store.decoded.rowsOf(KINDS, exchanges, reveal);
  return new Map([...found].map(([exchange, rows]) => [exchange, Object.fromEntries([...rows].map(named))]));
}

function named([kind, rows]: readonly [DecodedKind, readonly object[]]): [string, readonly object[]] {
  return [kind.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()), rows.map(withIds)];
}
