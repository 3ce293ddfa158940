// The peer to beat: what one writes in ten minutes. node:https on both sides, a keep-alive https.Agent, pipes, no capture.
import { readFileSync } from 'node:fs';
import { Agent, createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import type { Material } from '../material.ts';

const material = JSON.parse(process.argv[2] ?? '{}') as Material;
const port = Number(process.argv[3]);
const files = { ca: readFileSync(material.ca), key: readFileSync(material.agentKey), cert: readFileSync(material.agentCert) };
const agent = new Agent({ keepAlive: true, ...files });

const server = createServer(
  {
    key: readFileSync(material.serverKey),
    cert: readFileSync(material.serverCert),
    ca: files.ca,
    requestCert: true,
    rejectUnauthorized: false,
  },
  (incoming, outgoing) => {
    const onward = request(
      { host: 'localhost', port, method: incoming.method, path: incoming.url, headers: incoming.headers, agent },
      answer => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        pipeline(answer, outgoing, () => undefined);
      },
    );
    onward.once('error', () => outgoing.destroy());
    pipeline(incoming, onward, () => undefined);
  },
);
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
