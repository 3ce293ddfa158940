import type { ExchangeRow, Store } from '../capture/store.ts';
import { percentDecode } from '../decode/route.ts';
import type { Phase } from '../model.ts';
import { printable } from './io.ts';
import { certificates, crls, csrs, keyMatches } from './show-authority.ts';
import { buckets, catalogs, files, nodes, refusals, reports } from './show-catalog.ts';
import type { Page } from './show-text.ts';

/**
 * The few facts that matter of a phase: of all its exchanges on the page of a run, of one on its own.
 *
 * @param detail everything that was decoded, in place of the few facts
 */
export function phaseFacts(page: Page, store: Store, phase: Phase, exchanges: readonly ExchangeRow[], detail: boolean): void {
  const ids = new Set<number>(exchanges.map(({ id }) => id));
  const only = <Row extends { exchange: number }>(rows: readonly Row[]): Row[] => rows.filter(row => ids.has(row.exchange));
  const [first] = exchanges;
  if (first === undefined) return;
  const which = exchanges.length === 1 || first.run === null ? { exchange: first.id } : { run: first.run };
  const refused = only(store.decoded.rows('refusal', which));
  // A 404 is how a source that is not there, and a file that no bucket has yet, are told.
  refusals(page, detail ? refused : refused.filter(row => row.status !== 404 || (phase !== 'file' && phase !== 'filebucket')));
  switch (phase) {
    case 'ca':
      certificates(page, answered(only(store.decoded.rows('certificate', which)), detail), detail);
      break;
    case 'crl':
      crls(page, store, which, detail);
      break;
    case 'csr':
      csrs(page, only(store.decoded.rows('csr', which)));
      break;
    case 'certificate': {
      const issued = only(store.decoded.rows('certificate', which));
      certificates(page, issued, detail);
      if (first.run !== null) keyMatches(page, issued, store.decoded.rows('csr', { run: first.run }));
      break;
    }
    case 'node':
      nodes(page, store, which, detail);
      break;
    case 'pluginsync':
    case 'file':
      files(page, store, which, new Map(exchanges.map(({ id, target }) => [id as number, keyOf(target)])), detail);
      break;
    case 'catalog':
      catalogs(page, store, which, detail);
      break;
    case 'filebucket':
      buckets(page, store, which);
      break;
    case 'report':
      reports(page, store, which, detail);
      break;
    case 'other':
      break;
    default:
      phase satisfies never;
  }
  for (const note of only(store.decoded.rows('decode_note', which))) {
    page.text('     ', printable(`e${note.exchange} ${note.side}: ${note.error ? 'not decoded: ' : ''}${note.text}`));
  }
}

/** A bundle of ours holds the primary's, too: on the page of a run once is enough. */
function answered<Row extends { side: string }>(rows: Row[], detail: boolean): Row[] {
  return detail ? rows : rows.filter(row => row.side === 'response');
}

/** `modules/motd/motd` of a target. */
function keyOf(target: string): string {
  const path = target.split('?', 1)[0] ?? '';
  return percentDecode(path.replace(/^\/puppet\/v3\/[^/]+\//, ''));
}
