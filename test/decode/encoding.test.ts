import { createHash } from 'node:crypto';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { codingsOf, decodeContent } from '../../src/decode/encoding.ts';

const TEXT = Buffer.from('a body that repeats itself, itself, itself. '.repeat(2000));
/** Nothing to compress: a chain of digests. */
const NOISE = Buffer.concat(Array.from({ length: 10_000 }, (_, at) => createHash('sha256').update(`${at}`).digest()));

const decoded = (body: Uint8Array, ...codings: string[]): Buffer => Buffer.from(decodeContent(body, codings).bytes);

describe('content codings', () => {
  test.each([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const)('%s is undone', (coding, encode) => {
    expect(decoded(encode(TEXT), coding).equals(TEXT)).toBe(true);
    expect(decoded(encode(NOISE), coding).equals(NOISE)).toBe(true);
    expect(decodeContent(encode(TEXT), [coding]).truncated).toBeNull();
  });

  test('a stack is undone last coding first', () => {
    expect(decoded(brotliCompressSync(gzipSync(TEXT)), 'gzip', 'br').equals(TEXT)).toBe(true);
  });

  test('names are read from every line, without case, identity left out', () => {
    const lines = [
      ['content-encoding', 'GZIP, identity'],
      ['Content-Encoding', ' br '],
    ] as const;
    expect(codingsOf(lines)).toEqual(['gzip', 'br']);
  });

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const)('%s that ends early gives its beginning and says so', (coding, encode) => {
    const whole = encode(NOISE);
    const { bytes, truncated } = decodeContent(whole.subarray(0, Math.floor(whole.length * 0.9)), [coding]);
    expect(truncated).toBe(`the ${coding} data ends early`);
    expect(bytes.length).toBeGreaterThan(100_000);
    expect(NOISE.subarray(0, bytes.length).equals(Buffer.from(bytes))).toBe(true);
  });

  test.each(['gzip', 'deflate', 'br', 'zstd'])('what is no %s is an error', coding => {
    expect(() => decodeContent(Buffer.from([0xff, 0x3f, 1, 2, 3, 4, 5, 6, 7, 8]), [coding])).toThrow(`the body is not ${coding}`);
  });

  test('an unknown coding and an endless stack are errors', () => {
    expect(() => decodeContent(TEXT, ['compress'])).toThrow('content coding compress is not known');
    expect(() =>
      decodeContent(
        TEXT,
        Array.from({ length: 9 }, () => 'gzip'),
      ),
    ).toThrow('9 content codings, limit 8');
  });

  test('an empty body needs no decoding', () => {
    expect(decodeContent(new Uint8Array(), ['gzip']).bytes.length).toBe(0);
  });

  test('output up to the limit is given, one byte more is not', () => {
    const body = gzipSync(Buffer.alloc(1000));
    expect(decodeContent(body, ['gzip'], 1000).bytes.length).toBe(1000);
    expect(() => decodeContent(body, ['gzip'], 999)).toThrow('the decoded body is over 999 bytes');
    expect(() => decodeContent(Buffer.alloc(1000), [], 999)).toThrow('the decoded body is over 999 bytes');
  });
});
