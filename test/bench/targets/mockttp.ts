// mockttp's passthrough, reached by CONNECT, with the agent's certificate for the primary.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateCACertificate, getLocal } from 'mockttp';
import type { Material } from '../material.ts';

const material = JSON.parse(process.argv[2] ?? '{}') as Material;
const primary = `localhost:${process.argv[3]}`;
const dir = process.argv[4] ?? '';
const own = await generateCACertificate({ subject: { commonName: 'bench' } });
writeFileSync(join(dir, 'mockttp-ca.pem'), own.cert);
const pair = join(dir, 'agent.pfx');
const files = ['-inkey', material.agentKey, '-in', material.agentCert];
execFileSync('openssl', ['pkcs12', '-export', '-passout', 'pass:', ...files, '-out', pair]);
const server = getLocal({ https: own, http2: false, recordTraffic: false });
await server.start();
await server.forAnyRequest().thenPassThrough({
  additionalTrustedCAs: [{ cert: readFileSync(material.ca, 'utf8') }],
  clientCertificateHostMap: { [primary]: { pfx: readFileSync(pair), passphrase: '' } },
});
process.stdout.write(`${server.port}\n`);
