import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Credentials } from './tls-client.ts';

/** Certificates that nobody should have, made with openssl. */

function openssl(args: readonly string[], cwd: string): void {
  execFileSync('openssl', args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
}

function makeKey(dir: string, name: string): void {
  openssl(['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', `${name}.key`], dir);
}

/** A certificate of `certname` by a CA that has the name of `caPem`, and another key. */
export function forged(dir: string, certname: string, caPem: string): Credentials {
  mkdirSync(dir, { recursive: true });
  const subject = new X509Certificate(caPem).subject
    .split('\n')
    .map(part => `/${part.replaceAll('/', '\\/')}`)
    .join('');
  makeKey(dir, 'ca');
  makeKey(dir, 'agent');
  openssl(['req', '-x509', '-new', '-key', 'ca.key', '-subj', subject, '-days', '30', '-out', 'ca.pem'], dir);
  openssl(['req', '-new', '-key', 'agent.key', '-subj', `/CN=${certname}`, '-out', 'agent.csr'], dir);
  const sign = ['x509', '-req', '-in', 'agent.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '30'];
  openssl([...sign, '-out', 'agent.pem'], dir);
  return credentials(dir, 'agent');
}

/** A certificate of `certname` by nobody but itself. */
export function selfSigned(dir: string, certname: string): Credentials {
  mkdirSync(dir, { recursive: true });
  makeKey(dir, 'agent');
  openssl(['req', '-x509', '-new', '-key', 'agent.key', '-subj', `/CN=${certname}`, '-days', '30', '-out', 'agent.pem'], dir);
  return credentials(dir, 'agent');
}

const CA_CONFIG = `[ca]
default_ca = lab
[lab]
database = index.txt
serial = serial
new_certs_dir = .
policy = any
default_md = sha256
[any]
commonName = supplied
`;

/** A certificate of `certname` that the CA itself signed, and that ended yesterday. */
export function expired(dir: string, certname: string, ca: { certFile: string; keyFile: string }): Credentials {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'ca.cnf'), CA_CONFIG);
  writeFileSync(join(dir, 'index.txt'), '');
  // Far from the numbers that the CA gives out.
  writeFileSync(join(dir, 'serial'), '7FFFFF01\n');
  makeKey(dir, 'agent');
  openssl(['req', '-new', '-key', 'agent.key', '-subj', `/CN=${certname}`, '-out', 'agent.csr'], dir);
  const stamp = (daysAgo: number) =>
    new Date(Date.now() - daysAgo * 86_400_000).toISOString().replace(/[-:T]/g, '').slice(2, 14).concat('Z');
  // `openssl ca` takes the first certificate of a bundle: the one that signs.
  const sign = ['ca', '-batch', '-notext', '-config', 'ca.cnf', '-in', 'agent.csr', '-cert', ca.certFile, '-keyfile', ca.keyFile];
  openssl([...sign, '-startdate', stamp(30), '-enddate', stamp(1), '-out', 'agent.pem'], dir);
  return credentials(dir, 'agent', readFileSync(ca.certFile, 'utf8'));
}

function credentials(dir: string, name: string, chain = ''): Credentials {
  const text = (file: string) => readFileSync(join(dir, file), 'utf8');
  return { cert: text(`${name}.pem`) + chain, key: text(`${name}.key`) };
}
