import { crc32, gunzipSync } from 'node:zlib';
import { deflate } from './deflate.ts';

/*
 * gzip answers do not get any smaller, and two that differ in one byte of their content are different from there on. So what is stored of one is its
 * content, if our own deflate makes the very same bytes of it again: that is tried before anything is stored so.
 */

/** Header without options: magic, method, flags, time, extra flags, system. */
const HEADER_BYTES = 10;
const TRAILER_BYTES = 8;

/** Content that is larger is left as it is: making it again takes some 50 ms a megabyte. */
const MAX_CONTENT_BYTES = 2 << 20;

/** Header and content of one gzip member; `null` when it cannot be made of them again. */
export function contentForm(bytes: Uint8Array): Buffer | null {
  if (bytes.length < HEADER_BYTES + TRAILER_BYTES || bytes[0] !== 0x1f || bytes[1] !== 0x8b || bytes[2] !== 8 || bytes[3] !== 0) {
    return null;
  }
  let content: Buffer;
  try {
    content = gunzipSync(bytes, { maxOutputLength: MAX_CONTENT_BYTES });
  } catch {
    return null;
  }
  const form = Buffer.concat([bytes.subarray(0, HEADER_BYTES), content]);
  return Buffer.compare(gzipOf(form), bytes) === 0 ? form : null;
}

/** What the gzip body of a form holds: nothing has to be inflated for it. */
export function contentOf(form: Uint8Array): Uint8Array {
  return form.subarray(HEADER_BYTES);
}

/** The bytes that a form was made of. */
export function gzipOf(form: Uint8Array): Buffer {
  const content = contentOf(form);
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.writeUInt32LE(crc32(content));
  trailer.writeUInt32LE(content.length >>> 0, 4);
  return Buffer.concat([form.subarray(0, HEADER_BYTES), deflate(content), trailer]);
}
