import { createPrivateKey, createPublicKey } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { subjectAltName } from '../../src/pki/x509.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';

/** Files of one bench: a primary's CA, its certificate for localhost, and an agent's, RSA 2048 as Puppet makes them by default. */
export interface Material {
  ca: string;
  crl: string;
  serverKey: string;
  serverCert: string;
  agentKey: string;
  agentCert: string;
}

export async function makeMaterial(dir: string): Promise<Material> {
  const ca = await makeDemoCa('puppet.example.com', 'self', 'rsa');
  const file = (name: string, text: string): string => {
    const path = join(dir, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const server = await makeKey('rsa');
  const agent = await makeKey('rsa');
  return {
    ca: file('ca.pem', ca.caPem),
    crl: file('crl.pem', ca.crlPem),
    serverKey: file('server.key', server.pem),
    serverCert: file(
      'server.pem',
      ca.issue('puppet.example.com', server.publicKey, { extensions: [subjectAltName(['localhost', '127.0.0.1'])] }),
    ),
    agentKey: file('agent.key', agent.pem),
    agentCert: file('agent.pem', ca.issue('agent.example.com', createPublicKey(createPrivateKey(agent.pem)))),
  };
}
