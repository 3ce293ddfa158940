import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { CHUNK_BYTES } from './holding.ts';

/** Below this zstd does not pay: a call costs some 40 µs, and saves a few bytes. */
const COMPRESS_FROM_BYTES = 256;

/** From this size on the output is memory of its own, and not a slice of Buffer's pool. */
const OWN_BYTES = 64 << 10;

const params = { [constants.ZSTD_c_compressionLevel]: 1 };

/**
 * Room for the largest output (ZSTD_compressBound), so that zlib makes one buffer: one that it fills and replaces is out of
 * reach, and stays until a garbage collection that V8 puts off while tens of megabytes pile up.
 */
const SMALL = { params, chunkSize: OWN_BYTES + (1 << 10) };
const LARGE = { params, chunkSize: CHUNK_BYTES + (4 << 10) };

/**
 * Gives `use` the zstd of the bytes, or the bytes themselves when that is not smaller (most answers are gzip already). What `use`
 * gets is valid during the call.
 */
export function withCompressed<T>(bytes: Uint8Array, use: (stored: Uint8Array, coding: 'zstd' | 'identity') => T): T {
  if (bytes.length < COMPRESS_FROM_BYTES || (bytes[0] === 0x1f && bytes[1] === 0x8b)) return use(bytes, 'identity');
  const packed = zstdCompressSync(bytes, bytes.length <= OWN_BYTES ? SMALL : LARGE);
  try {
    return packed.length < bytes.length ? use(packed, 'zstd') : use(bytes, 'identity');
  } finally {
    // Its memory is given back now: see above.
    if (packed.buffer instanceof ArrayBuffer && packed.buffer.byteLength > OWN_BYTES) packed.buffer.transfer(0);
  }
}

/** The most that a piece of a body, or the content of a gzip body, has. */
export const MAX_FORM_BYTES = 4 << 20;

/**
 * What is packed for good is packed once, and beside the traffic: some 3 ms for a report of 25 kB, and as much for larger bodies. What waits for others to be
 * packed with takes a tenth of that, and a sixth more room.
 */
const PACKED_LEVEL = 15;
const WAITING_LEVEL = 7;
const LARGE_BYTES = 64 << 10;
const LARGE_LEVEL = 5;

/** Bodies up to this size are packed some at a time: to read one, all are unpacked. */
export const TOGETHER_BYTES = LARGE_BYTES;

/** Bytes that begin a dictionary in zstd's own format, and not plain content. */
const FORMATTED = Buffer.from([0x37, 0xa4, 0x30, 0xec]);

/** Whether bytes can be the dictionary of others. */
export function isDictionary(bytes: Uint8Array): boolean {
  return bytes.length >= 64 && Buffer.compare(bytes.subarray(0, 4), FORMATTED) !== 0;
}

/** zstd, with other bytes as the dictionary; with a check sum, for a dictionary that changed would else give other bytes. */
export function packedWith(bytes: Uint8Array, dictionary: Buffer | null): Buffer {
  if (bytes.length > LARGE_BYTES) return packedAt(LARGE_LEVEL, bytes, dictionary);
  return packedAt(dictionary === null ? PACKED_LEVEL : WAITING_LEVEL, bytes, dictionary);
}

/** zstd of some bodies, one behind the other. */
export function packedTogether(bodies: readonly Uint8Array[], dictionary: Buffer): Buffer {
  return packedAt(PACKED_LEVEL, Buffer.concat(bodies), dictionary);
}

function packedAt(level: number, bytes: Uint8Array, dictionary: Buffer | null): Buffer {
  const { ZSTD_c_compressionLevel, ZSTD_c_checksumFlag } = constants;
  return zstdCompressSync(bytes, {
    params: { [ZSTD_c_compressionLevel]: level, [ZSTD_c_checksumFlag]: dictionary === null ? 0 : 1 },
    pledgedSrcSize: bytes.length,
    ...(dictionary === null ? {} : { dictionary }),
  });
}

/** @throws Error when it was packed with another dictionary, or the bytes are damaged */
export function unpacked(bytes: Uint8Array, dictionary: Buffer): Buffer {
  return zstdDecompressSync(bytes, { maxOutputLength: MAX_FORM_BYTES, dictionary });
}
