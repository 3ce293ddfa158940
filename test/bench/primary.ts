// The origin of a bench, a process of its own: answers of two sizes, or of any size that is asked for, over mutual TLS, and the CA and CRL that a proxy asks for.
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import type { Material } from './material.ts';

const material = JSON.parse(process.argv[2] ?? '{}') as Material;
const small = Buffer.from(JSON.stringify({ path: '/etc/motd', checksum: { type: 'sha256', value: 'f'.repeat(64) }, mode: 420 }));
const large = Buffer.alloc(1_000_000);
// Random enough not to compress, always the same.
for (let i = 0, x = 1; i < large.length; i += 1) {
  x = (x * 1_103_515_245 + 12_345) & 0x7fffffff;
  large[i] = x >> 16;
}

/** A whole answer, ready to be written. */
function whole(body: Buffer, type: string): Buffer {
  const head = `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nDate: ${new Date().toUTCString()}\r\nContent-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

const answers = {
  small: whole(small, 'application/json;charset=utf-8'),
  large: whole(large, 'application/octet-stream'),
};

function answer(socket: TLSSocket, target: string): void {
  const bytes = Number(/&bytes=(\d+)/.exec(target)?.[1] ?? 0);
  if (bytes > 0) void sendMuch(socket, bytes);
  else if (target.startsWith('/puppet-ca/')) {
    socket.write(whole(readFileSync(target.includes('/certificate/ca') ? material.ca : material.crl), 'text/plain'));
  } else socket.write(target.includes('/file_content/') ? answers.large : answers.small);
}

/** As much as is asked for, each MB another one. */
async function sendMuch(socket: TLSSocket, bytes: number): Promise<void> {
  socket.write(`HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: ${bytes}\r\n\r\n`);
  const closed = new Promise<void>(resolve => void socket.once('close', () => resolve()));
  let n = 0;
  for (let left = bytes; left > 0 && !socket.destroyed; left -= large.length) {
    const chunk = Buffer.from(large.subarray(0, left));
    chunk.writeUInt32LE(++n);
    if (!socket.write(chunk)) await Promise.race([new Promise<void>(resolve => void socket.once('drain', resolve)), closed]);
  }
}

/** Reads heads, and passes over bodies: a server of Node's would take more of the machine than some of what is measured. */
function serve(socket: TLSSocket): void {
  let held: Buffer = Buffer.alloc(0);
  let skip = 0;
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (;;) {
      const passed = Math.min(skip, held.length);
      skip -= passed;
      held = held.subarray(passed);
      const end = held.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = held.toString('latin1', 0, end);
      held = held.subarray(end + 4);
      skip = Number(/\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      answer(socket, head.split(' ', 2)[1] ?? '');
    }
  });
}

const server = createServer(
  {
    key: readFileSync(material.serverKey),
    cert: readFileSync(material.serverCert),
    ca: readFileSync(material.ca),
    requestCert: true,
    rejectUnauthorized: false,
  },
  socket => {
    socket.setNoDelay(true);
    serve(socket);
  },
);
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
