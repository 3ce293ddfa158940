import type { FileMetadataRow } from '../../src/capture/decoded-shapes.ts';
import { percentDecode } from '../../src/decode/route.ts';

/** `modules/motd/motd` of `/puppet/v3/file_content/modules/motd/motd?…`. */
export function keyOf(target: string): string {
  return percentDecode((target.split('?', 1)[0] ?? '').replace(/^\/puppet\/v3\//, ''));
}

/** The key of the content request that an agent makes for an entry. @param base key of the metadata request, without its indirection */
export function contentKey(row: FileMetadataRow, base: string): string {
  if (row.contentUri !== null) return percentDecode(row.contentUri.replace(/^puppet:\/\/[^/]*\//, ''));
  const relative = row.relativePath === null || row.relativePath === '.' ? '' : `/${row.relativePath}`;
  return `${base}${relative}`;
}
