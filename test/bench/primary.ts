// The origin of a bench, a process of its own: answers of two sizes, or of any size that is asked for, over mutual TLS, and the CA and CRL that a proxy asks for.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pipeline, Readable } from 'node:stream';
import type { Material } from './material.ts';

const material = JSON.parse(process.argv[2] ?? '{}') as Material;
const small = Buffer.from(JSON.stringify({ path: '/etc/motd', checksum: { type: 'sha256', value: 'f'.repeat(64) }, mode: 420 }));
const large = Buffer.alloc(1_000_000);
// Random enough not to compress, always the same.
for (let i = 0, x = 1; i < large.length; i += 1) {
  x = (x * 1_103_515_245 + 12_345) & 0x7fffffff;
  large[i] = x >> 16;
}

const server = createServer(
  {
    key: readFileSync(material.serverKey),
    cert: readFileSync(material.serverCert),
    ca: readFileSync(material.ca),
    requestCert: true,
    rejectUnauthorized: false,
    keepAliveTimeout: 30_000,
  },
  (request, response) => {
    const target = request.url ?? '';
    request.resume();
    const bytes = Number(/&bytes=(\d+)/.exec(target)?.[1] ?? 0);
    if (bytes > 0) {
      // As much as is asked for, each MB another one.
      response.writeHead(200, { 'Content-Length': bytes });
      let n = 0;
      pipeline(
        Readable.from(
          (function* () {
            for (let left = bytes; left > 0; left -= large.length) {
              const chunk = Buffer.from(large.subarray(0, left));
              chunk.writeUInt32LE(++n);
              yield chunk;
            }
          })(),
        ),
        response,
        () => undefined,
      );
      return;
    }
    const body = target.startsWith('/puppet-ca/v1/certificate/ca')
      ? readFileSync(material.ca)
      : target.startsWith('/puppet-ca/')
        ? readFileSync(material.crl)
        : target.includes('/file_content/')
          ? large
          : small;
    const type = body === small ? 'application/json;charset=utf-8' : 'application/octet-stream';
    response.writeHead(200, { 'Content-Type': type, 'Content-Length': body.length });
    response.end(body);
  },
);
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
