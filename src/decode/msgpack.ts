import { isUtf8 } from 'node:buffer';
import { type Data, type DataMap, FLOAT, Tagged } from './data.ts';
import { type Limits, Malformed } from './limits.ts';

/**
 * Reads MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md). A reader of our own, as the published decoder allocates
 * an array of the length that a header claims before any item is there, nests without limit and refuses keys that Puppet may send.
 * Here a container's claim is checked against the bytes that are left (an item takes at least one), for all open containers
 * together, so that memory grows with the body and never with what it says.
 *
 * Maps become Maps. Text that is no UTF-8 (Ruby's msgpack marks binary strings as text when told so) stays bytes. Integers
 * beyond 2^53 stay exact. Extensions become {@link Tagged} bytes.
 *
 * @param floats whole numbers that are written as floats stay that: see FLOAT in data.ts
 * @throws Malformed
 */
export function parseMessagePack(bytes: Uint8Array, limits: Limits, floats = false): Data {
  const reader: Reader = {
    buffer: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    at: 0,
    items: limits.items,
    promised: 1,
    limits,
    floats,
  };
  const value = readAll(reader);
  if (reader.at < bytes.length) throw new Malformed(`MessagePack ends at byte ${reader.at} of ${bytes.length}`);
  return value;
}

interface Reader {
  buffer: Buffer;
  at: number;
  /** Values that may still be made. */
  items: number;
  /** Values that open containers still claim; each needs a byte at least. */
  promised: number;
  limits: Limits;
  floats: boolean;
}

/** An open container; `key` waits for its value. */
type Open = { array: Data[]; left: number } | { map: DataMap; left: number; key: Data | undefined };

/** What a header says: a value, or a container to fill. */
type Read = { value: Data } | { open: Open };

function readAll(reader: Reader): Data {
  const stack: Open[] = [];
  for (;;) {
    const read = readOne(reader);
    if ('open' in read) {
      if (stack.length >= reader.limits.depth) throw new Malformed(`MessagePack nested deeper than ${reader.limits.depth}`);
      stack.push(read.open);
      continue;
    }
    let value: Data = read.value;
    for (;;) {
      const top = stack.at(-1);
      if (top === undefined) return value;
      put(top, value);
      if (top.left > 0) break;
      value = 'array' in top ? top.array : top.map;
      stack.pop();
    }
  }
}

function put(open: Open, value: Data): void {
  if ('array' in open) open.array.push(value);
  else if (open.key === undefined) {
    open.key = value;
    return;
  } else {
    open.map.set(open.key, value);
    open.key = undefined;
  }
  open.left -= 1;
}

function readOne(reader: Reader): Read {
  reader.items -= 1;
  if (reader.items < 0) throw new Malformed(`MessagePack with more than ${reader.limits.items} values`);
  reader.promised -= 1;
  const head = unsigned(reader, 1);
  if (head < 0x80) return { value: head };
  if (head < 0x90) return map(reader, head - 0x80);
  if (head < 0xa0) return array(reader, head - 0x90);
  if (head < 0xc0) return { value: text(reader, head - 0xa0) };
  if (head >= 0xe0) return { value: head - 0x100 };
  return readTyped(reader, head);
}

function readTyped(reader: Reader, head: number): Read {
  switch (head) {
    case 0xc0:
      return { value: null };
    case 0xc2:
      return { value: false };
    case 0xc3:
      return { value: true };
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return { value: take(reader, unsigned(reader, 1 << (head - 0xc4))) };
    case 0xc7:
    case 0xc8:
    case 0xc9:
      return { value: extension(reader, unsigned(reader, 1 << (head - 0xc7))) };
    case 0xca:
      return { value: float(reader, take(reader, 4).readFloatBE()) };
    case 0xcb:
      return { value: float(reader, take(reader, 8).readDoubleBE()) };
    case 0xcc:
    case 0xcd:
    case 0xce:
      return { value: unsigned(reader, 1 << (head - 0xcc)) };
    case 0xcf:
      return { value: exact(take(reader, 8).readBigUInt64BE()) };
    case 0xd0:
    case 0xd1:
    case 0xd2: {
      const size = 1 << (head - 0xd0);
      return { value: take(reader, size).readIntBE(0, size) };
    }
    case 0xd3:
      return { value: exact(take(reader, 8).readBigInt64BE()) };
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return { value: extension(reader, 1 << (head - 0xd4)) };
    case 0xd9:
    case 0xda:
    case 0xdb:
      return { value: text(reader, unsigned(reader, 1 << (head - 0xd9))) };
    case 0xdc:
    case 0xdd:
      return array(reader, unsigned(reader, head === 0xdc ? 2 : 4));
    case 0xde:
    case 0xdf:
      return map(reader, unsigned(reader, head === 0xde ? 2 : 4));
    default:
      throw new Malformed(`not MessagePack at byte ${reader.at - 1}`);
  }
}

function float({ floats }: Reader, value: number): Data {
  return floats && Number.isInteger(value) ? new Tagged(FLOAT, value) : value;
}

function take(reader: Reader, length: number): Buffer {
  const end = reader.at + length;
  if (end > reader.buffer.length) {
    throw new Malformed(`MessagePack claims ${length} bytes at byte ${reader.at}, ${reader.buffer.length - reader.at} are left`);
  }
  const part = reader.buffer.subarray(reader.at, end);
  reader.at = end;
  return part;
}

function unsigned(reader: Reader, size: number): number {
  return take(reader, size).readUIntBE(0, size);
}

function exact(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

function text(reader: Reader, length: number): Data {
  const bytes = take(reader, length);
  return isUtf8(bytes) ? bytes.toString('utf8') : bytes;
}

function extension(reader: Reader, length: number): Data {
  const type = take(reader, 1).readInt8();
  return new Tagged(`MessagePack extension ${type}`, take(reader, length));
}

function claim(reader: Reader, items: number): void {
  reader.promised += items;
  const left = reader.buffer.length - reader.at;
  if (reader.promised > left)
    throw new Malformed(`MessagePack claims ${items} values at byte ${reader.at}, ${left} bytes are left`);
}

function array(reader: Reader, length: number): Read {
  claim(reader, length);
  return length === 0 ? { value: [] } : { open: { array: [], left: length } };
}

function map(reader: Reader, length: number): Read {
  claim(reader, length * 2);
  return length === 0 ? { value: new Map() } : { open: { map: new Map(), left: length, key: undefined } };
}
