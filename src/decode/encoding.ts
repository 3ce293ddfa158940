import type { Transform } from 'node:stream';
import {
  brotliDecompressSync,
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  type ZlibOptions,
  type ZstdOptions,
  zstdDecompressSync,
} from 'node:zlib';
import type { Fields } from '../model.ts';
import { DEFAULT_LIMITS, Malformed } from './limits.ts';

/** A body with its content codings undone. */
export interface Plain {
  bytes: Uint8Array;
  /** As listed in Content-Encoding (the order of encoding), `identity` left out. */
  codings: readonly string[];
  /** Why this is only the beginning, `null` when it is the whole body. */
  truncated: string | null;
}

/** More codings than this on one body are an attack, not a body. */
const MAX_CODINGS = 8;

/** Zstandard on HTTP never needs a window over 8 MiB (RFC 9659); a frame may ask for 128 MiB. */
const ZSTD_WINDOW = { [constants.ZSTD_d_windowLogMax]: 23 };

/** The values of a field, of all its lines in order, joined as RFC 9110 5.3 allows. */
export function fieldValue(fields: Fields, name: string): string | null {
  const values = fields.filter(line => line[0].toLowerCase() === name).map(line => line[1]);
  return values.length === 0 ? null : values.join(', ');
}

/** Content codings of a message in the order in which they were applied (RFC 9110 8.4). */
export function codingsOf(fields: Fields): string[] {
  return (fieldValue(fields, 'content-encoding') ?? '')
    .split(',')
    .map(name => name.trim().toLowerCase())
    .filter(name => name !== '' && name !== 'identity');
}

/**
 * Undoes content codings: gzip, x-gzip, deflate (with or without the zlib header), br, zstd, in any stack. Inflating stops as soon as
 * the output passes the limit, so that a bomb costs what the limit allows. Of input that ends early, what was decoded so far.
 *
 * @param limitBytes bytes of output; default 64 MiB
 * @throws Malformed for an unknown coding, corrupt input, and output over the limit
 */
export function decodeContent(body: Uint8Array, codings: readonly string[], limitBytes = DEFAULT_LIMITS.bodyBytes): Plain {
  if (codings.length > MAX_CODINGS) throw new Malformed(`${codings.length} content codings, limit ${MAX_CODINGS}`);
  let bytes = body;
  let truncated: string | null = null;
  for (const coding of [...codings].reverse()) {
    if (bytes.length === 0) break; // the body of a HEAD answer, or of a 304, has the fields of one that is not there
    const plain = inflate(coding, bytes, limitBytes);
    bytes = plain.bytes;
    truncated ??= plain.truncated;
  }
  if (bytes.length > limitBytes) throw new Malformed(tooLarge(limitBytes));
  return { bytes, codings, truncated };
}

function tooLarge(limitBytes: number): string {
  return `the decoded body is over ${limitBytes} bytes`;
}

interface Inflated {
  bytes: Uint8Array;
  truncated: string | null;
}

function inflate(coding: string, bytes: Uint8Array, limitBytes: number): Inflated {
  // Output of exactly the limit is allowed; zlib calls one byte more an overflow only when that byte comes.
  const limit = { maxOutputLength: Math.max(1, limitBytes) };
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return run(coding, limitBytes, options => gunzipSync(bytes, options), limit, constants.Z_SYNC_FLUSH);
    case 'deflate': {
      // RFC 9110 means zlib; some senders mean raw deflate. The zlib header is a checksum of itself (RFC 1950 2.2).
      const zlib = bytes.length > 1 && (bytes[0]! & 0x0f) === 8 && ((bytes[0]! << 8) | bytes[1]!) % 31 === 0;
      const decode = zlib ? inflateSync : inflateRawSync;
      return run(coding, limitBytes, options => decode(bytes, options), limit, constants.Z_SYNC_FLUSH);
    }
    case 'br':
      return run(coding, limitBytes, options => brotliDecompressSync(bytes, options), limit, constants.BROTLI_OPERATION_FLUSH);
    case 'zstd': {
      const zstd: ZstdOptions = { ...limit, params: ZSTD_WINDOW };
      return run(coding, limitBytes, options => zstdDecompressSync(bytes, options), zstd, constants.ZSTD_e_flush);
    }
    default:
      throw new Malformed(`content coding ${coding.slice(0, 40)} is not known`);
  }
}

function run<Options extends ZlibOptions | ZstdOptions>(
  coding: string,
  limitBytes: number,
  decode: (options: Options) => Buffer,
  options: Options,
  partialFlush: number,
): Inflated {
  try {
    return { bytes: decode(options), truncated: null };
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ERR_BUFFER_TOO_LARGE') throw new Malformed(tooLarge(limitBytes));
    if (code !== 'Z_BUF_ERROR') throw new Malformed(`the body is not ${coding}`);
  }
  try {
    // Z_BUF_ERROR is input that ended early; without the demand for an end the decoder gives what it has.
    return { bytes: decode({ ...options, finishFlush: partialFlush }), truncated: `the ${coding} data ends early` };
  } catch (error) {
    throw new Malformed(codeOf(error) === 'ERR_BUFFER_TOO_LARGE' ? tooLarge(limitBytes) : `the body is not ${coding}`);
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : null;
}

/** Undoes one content coding of a stream, without a limit of its own; `null` for a coding that is not known. */
export function decoderOf(coding: string): Transform | null {
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return createGunzip();
    case 'deflate':
      return createInflate();
    case 'br':
      return createBrotliDecompress();
    case 'zstd':
      return createZstdDecompress();
    default:
      return null;
  }
}
