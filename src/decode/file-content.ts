import { type Digests, digestsOf } from './checksum.ts';
import { type Body, isPrintable } from './format.ts';

/** Content of a file, from `file_content`, `static_file_content` or a file bucket. The bytes themselves are in the body. */
export interface FileContent {
  bytes: number;
  /** To be compared with the checksum that metadata promised: checksum.ts, checkDigests. */
  digests: Digests;
  /** Text that a person can read. */
  text: boolean;
  /** `false` when the body ended early: its digests are those of a part. */
  complete: boolean;
}

export function fileContent(body: Body): FileContent {
  return {
    bytes: body.bytes.length,
    digests: digestsOf(body.bytes),
    text: isPrintable(body.bytes),
    complete: body.truncated === null,
  };
}
