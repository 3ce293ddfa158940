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

/** What was decoded of an exchange: rows by the name of their view in camel case, kinds without rows left out. */
export function decodedOf(store: Store, exchange: number, reveal: boolean): Record<string, readonly unknown[]> {
  const kinds = KINDS.flatMap(kind => {
    const rows = store.decoded.rows(kind, { exchange, reveal });
    return rows.length === 0 ? [] : [[kind.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()), rows] as const];
  });
  return Object.fromEntries(kinds);
}
