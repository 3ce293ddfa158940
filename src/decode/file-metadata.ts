import { checksumOf } from './checksum.ts';
import { type Data, field, isList, isMapping, itemsOf, numberOf, SYMBOL, Tagged, textOf, unwrap } from './data.ts';
import { Malformed } from './limits.ts';

/** One entry of a `file_metadata(s)` answer, or of a static catalog (`lib/puppet/file_serving/metadata.rb`, to_data_hash). */
export interface FileMetadata {
  /** Where the search started: of a recursive answer the same in every entry. */
  path: string | null;
  /** Below `path`; `.` is the start itself. */
  relativePath: string | null;
  /** `file`, `directory`, `link`, `fifo`, `socket`. */
  type: string | null;
  /** Octal, four digits: `0644`. */
  mode: string | null;
  owner: string | null;
  group: string | null;
  checksumType: string | null;
  /** Without the `{type}` in front: hex, or a time. */
  checksum: string | null;
  /** Puppet does not send it; some file servers do. */
  sizeBytes: number | null;
  /** What to do with links: `manage` or `follow`. */
  links: string | null;
  /** Target of a link. */
  destination: string | null;
  source: string | null;
  /** Of static catalogs: `puppet:///modules/…`. */
  contentUri: string | null;
}

/** The entries of an answer: an array from `file_metadatas`, one hash from `file_metadata`. @throws Malformed */
export function fileMetadatas(data: Data): FileMetadata[] {
  const inner = unwrap(data);
  if (isMapping(inner)) return [fileMetadata(inner)];
  if (!isList(inner)) throw new Malformed('no file metadata');
  return itemsOf(inner).map(fileMetadata);
}

export function fileMetadata(entry: Data): FileMetadata {
  const data = unwrap(entry);
  const text = (key: string): string | null => textOf(field(data, key));
  const sum = field(data, 'checksum');
  const given = textOf(field(sum, 'type')) ?? text('checksum_type');
  const checksum = checksumOf(textOf(field(sum, 'value')) ?? scalarText(sum), given);
  return {
    path: text('path'),
    relativePath: text('relative_path'),
    type: text('type') ?? text('ftype'),
    mode: modeOf(field(data, 'mode')),
    owner: text('owner'),
    group: text('group'),
    checksumType: checksum?.type ?? given,
    checksum: checksum?.value ?? null,
    sizeBytes: numberOf(field(data, 'size')),
    links: text('links'),
    destination: text('destination'),
    source: text('source'),
    contentUri: text('content_uri'),
  };
}

function scalarText(data: Data): string | null {
  return typeof data === 'string' || (data instanceof Tagged && data.tag === SYMBOL) ? textOf(data) : null;
}

/** A number in Puppet's JSON; text is taken as octal already. */
function modeOf(data: Data): string | null {
  if (typeof data === 'number' && Number.isInteger(data) && data >= 0) return data.toString(8).padStart(4, '0');
  return textOf(data);
}
