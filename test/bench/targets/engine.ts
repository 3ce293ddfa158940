// http-mitm-proxy as shipped, reached by CONNECT; the client certificate is given by its https.Agent.
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { Proxy as Engine } from 'http-mitm-proxy';
import type { Material } from '../material.ts';

const material = JSON.parse(process.argv[2] ?? '{}') as Material;
const dir = `${process.argv[4]}/engine`;
// It prints each host that it meets, and each reset.
Object.assign(globalThis.console, { debug: () => undefined, info: () => undefined, error: () => undefined });
const proxy = new Engine();
proxy.onRequest((_context, callback) => callback());
proxy.listen(
  {
    host: '127.0.0.1',
    port: 0,
    keepAlive: true,
    sslCaDir: dir,
    httpsAgent: new Agent({
      keepAlive: true,
      ca: readFileSync(material.ca),
      key: readFileSync(material.agentKey),
      cert: readFileSync(material.agentCert),
    }),
  },
  () => process.stdout.write(`${proxy.httpPort}\n`),
);
