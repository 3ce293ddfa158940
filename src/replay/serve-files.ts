import type { ExchangeDetail, Store } from '../capture/store.ts';
import { type Checksum, checkContent, isWholeDigest } from '../decode/checksum.ts';
import type { Route, RunId, Side } from '../model.ts';
import { madeByFault } from './faulted.ts';

/** Where in the capture the content of a file is; `null` as exchange: it is empty. */
export interface Content {
  exchange: number | null;
  side: Side;
  checksum: Checksum;
}

/** What the metadata and the static catalogs of the served runs promise of each file, and the content for it from anywhere in the capture. */
export interface ServedFiles {
  /** @param runs of which the promises count, the first one most */
  find(route: Route, runs: readonly RunId[]): Content | null;
}

/** Of no bytes: such a body is not stored. */
const NOTHING = new Uint8Array(0);

/** A run's promises are read when a file is missed in it, and remembered for so many runs. */
const MAX_RUNS = 64;

export function openServedFiles(store: Store): ServedFiles {
  const promised = new Map<RunId, ReadonlyMap<string, Checksum>>();

  function promisesIn(run: RunId): ReadonlyMap<string, Checksum> {
    const known = promised.get(run) ?? promisesOf(store, run);
    promised.delete(run);
    promised.set(run, known); // newest last
    for (const oldest of promised.keys()) {
      if (promised.size <= MAX_RUNS) break;
      promised.delete(oldest);
    }
    return known;
  }

  function contentOf(checksum: Checksum): Content | null {
    if (!isWholeDigest(checksum.type)) return null;
    if (checkContent(NOTHING, checksum) === 'match') return { exchange: null, side: 'response', checksum };
    const found = store.decoded.content(checksum.type, checksum.value);
    return found === null ? null : { ...found, checksum };
  }

  return {
    find({ indirection, key }, wanted) {
      if (key === null) return null;
      if (indirection === 'file_bucket_file') {
        const [type = '', value = ''] = key.split('/', 2);
        return contentOf({ type, value });
      }
      if (indirection !== 'file_content' && indirection !== 'static_file_content') return null;
      for (const run of wanted) {
        const checksum = promisesIn(run).get(key);
        const content = checksum === undefined ? null : contentOf(checksum);
        if (content !== null) return content;
      }
      return null;
    },
  };
}

/** Checksums of one run's files, by each key that an agent may ask for the content with. */
function promisesOf(store: Store, run: RunId): Map<string, Checksum> {
  const promises = new Map<string, Checksum>();
  /** `undefined`: no promise of the primary's. */
  const keys = new Map<number, string | null | undefined>();
  for (const row of store.decoded.rows('file_metadata', { run })) {
    if (row.checksumType === null || row.checksum === null || row.side !== 'response') continue;
    if (!keys.has(row.exchange)) keys.set(row.exchange, keyIn(store.exchange(row.exchange)));
    const asked = keys.get(row.exchange);
    if (asked === undefined) continue;
    const checksum = { type: row.checksumType, value: row.checksum };
    for (const key of keysOf(row, asked)) promises.set(key, checksum);
  }
  return promises;
}

function keyIn(exchange: ExchangeDetail | null): string | null | undefined {
  return exchange !== null && madeByFault(exchange) ? undefined : (exchange?.key ?? null);
}

function keysOf(
  row: { relativePath: string | null; contentUri: string | null; resource: string | null },
  asked: string | null,
): string[] {
  const uri = row.contentUri?.replace(/^puppet:\/\/[^/]*\//, '') ?? null;
  if (uri !== null) return [uri, ...moduleKey(uri)];
  // Of a static catalog the key is the certname, and an entry without a URI has no content.
  if (row.resource !== null || asked === null) return [];
  const key = row.relativePath === null || row.relativePath === '.' ? asked : `${asked}/${row.relativePath}`;
  const [mount, module, ...rest] = key.split('/');
  return mount === 'modules' && rest.length > 0 ? [key, `modules/${module}/files/${rest.join('/')}`] : [key];
}

/** `static_file_content/modules/NAME/files/PATH` is `file_content/modules/NAME/PATH` (`indirector/catalog/compiler.rb`, get_content_uri). */
function moduleKey(uri: string): string[] {
  const [, module, path] = /^modules\/([^/]+)\/files\/(.+)$/s.exec(uri) ?? [];
  return module === undefined ? [] : [`modules/${module}/${path}`];
}
