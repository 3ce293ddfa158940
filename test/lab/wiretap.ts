import { writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';

/** Bytes that went one way over one connection at one moment. */
interface Piece {
  connection: number;
  at: number;
  /** To the server, or from it. */
  up: boolean;
  bytes: Buffer;
}

/** A TCP relay in front of a port of this machine, which keeps every byte: a packet capture that needs no privileges. */
export interface Wiretap extends AsyncDisposable {
  readonly port: number;
  readonly connections: number;
  /** Writes a capture file (pcap, LINKTYPE_RAW) in which this relay's connections are TCP connections of their own. */
  write(file: string): void;
}

export async function startWiretap(target: number): Promise<Wiretap> {
  const pieces: Piece[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer({ allowHalfOpen: true }, near => {
    const connection = ++connections;
    const far = connect({ host: '127.0.0.1', port: target, allowHalfOpen: true });
    for (const [from, to, up] of [
      [near, far, true],
      [far, near, false],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('data', (bytes: Buffer) => {
        pieces.push({ connection, at: Date.now(), up, bytes });
        to.write(bytes);
      });
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.once('close', () => {
        sockets.delete(from);
        to.end();
      });
    }
  });
  await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  const port = bound !== null && typeof bound === 'object' ? bound.port : 0;
  return {
    port,
    get connections() {
      return connections;
    },
    write: file => writeFileSync(file, pcap(pieces, port)),
    [Symbol.asyncDispose]: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Below 64 KiB with both headers (RFC 791: total length has 16 bits). */
const MAX_SEGMENT = 60_000;
const SYN = 0x02;
const ACK = 0x10;
const PSH_ACK = 0x18;

/** pcap of the classic kind (draft-ietf-opsawg-pcap), link type 101: packets begin with their IPv4 header. */
function pcap(pieces: readonly Piece[], serverPort: number): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(0xffff, 16);
  head.writeUInt32LE(101, 20);
  const parts: Buffer[] = [head];
  /** Next sequence number of each direction. */
  const sent = new Map<number, { up: number; down: number }>();

  function packet({ connection, at, up }: Omit<Piece, 'bytes'>, flags: number, payload: Buffer): void {
    const next = sent.get(connection)!;
    const ports = [10_000 + connection, serverPort];
    const bytes = Buffer.alloc(40);
    bytes[0] = 0x45;
    bytes.writeUInt16BE(40 + payload.length, 2);
    bytes[8] = 64;
    bytes[9] = 6;
    bytes.writeUInt32BE(up ? 0x7f000002 : 0x7f000001, 12);
    bytes.writeUInt32BE(up ? 0x7f000001 : 0x7f000002, 16);
    bytes.writeUInt16BE(ports[up ? 0 : 1]!, 20);
    bytes.writeUInt16BE(ports[up ? 1 : 0]!, 22);
    bytes.writeUInt32BE(up ? next.up : next.down, 24);
    bytes.writeUInt32BE(flags === SYN ? 0 : up ? next.down : next.up, 28);
    bytes[32] = 0x50;
    bytes[33] = flags;
    bytes.writeUInt16BE(0xffff, 34);
    const record = Buffer.alloc(16);
    record.writeUInt32LE(Math.floor(at / 1000), 0);
    record.writeUInt32LE((at % 1000) * 1000, 4);
    record.writeUInt32LE(40 + payload.length, 8);
    record.writeUInt32LE(40 + payload.length, 12);
    parts.push(record, bytes, payload);
    const length = flags & SYN ? 1 : payload.length;
    if (up) next.up += length;
    else next.down += length;
  }

  for (const piece of pieces) {
    if (!sent.has(piece.connection)) {
      sent.set(piece.connection, { up: 1000, down: 2000 });
      packet({ ...piece, up: true }, SYN, Buffer.alloc(0));
      packet({ ...piece, up: false }, SYN | ACK, Buffer.alloc(0));
    }
    for (let from = 0; from < piece.bytes.length; from += MAX_SEGMENT) {
      packet(piece, PSH_ACK, piece.bytes.subarray(from, from + MAX_SEGMENT));
    }
  }
  return Buffer.concat(parts);
}
