import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type Certname, toCertname } from '../../src/model.ts';
import { PkiError } from '../../src/pki/error.ts';

/** A folder of its own for a test, removed after it. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-pki-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A folder for all tests of a file; the caller removes it in `afterAll`. */
export function sharedDir(): string {
  return mkdtempSync(join(tmpdir(), 'stringtap-pki-'));
}

/** The real openssl; throws with what it printed. */
export function openssl(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${status}\n${stdout}${stderr}`);
  return stdout + stderr;
}

export function certname(text: string): Certname {
  const name = toCertname(text);
  if (name === null) throw new Error(text);
  return name;
}

export function write(dir: string, name: string, text: string | Buffer): string {
  mkdirSync(dir, { recursive: true });
  const path = join(dir, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

export function mode(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

export const KEYS = {
  rsa: ['-newkey', 'rsa:2048'],
  ec: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
  p384: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp384r1'],
  ed25519: ['-newkey', 'ed25519'],
} as const;

/** An agent's key and CSR as openssl makes them; `config` adds sections, as for csr_attributes.yaml. */
export interface AgentFiles {
  key: string;
  keyPem: string;
  csrPem: string;
}

export function agentCsr(dir: string, subject: string, type: keyof typeof KEYS = 'ec', config = ''): AgentFiles {
  const key = join(dir, `${Math.random()}.key`);
  const csr = join(dir, `${Math.random()}.csr`);
  const file = write(dir, `${Math.random()}.cnf`, `[req]\ndistinguished_name=dn\n[dn]\n${config}`);
  openssl('req', '-new', ...KEYS[type], '-nodes', '-keyout', key, '-out', csr, '-subj', subject, '-config', file, '-utf8');
  return { key, keyPem: readFileSync(key, 'utf8'), csrPem: readFileSync(csr, 'utf8') };
}

/** The attributes that Puppet's csr_attributes.yaml and dns_alt_names make, in an openssl configuration. */
export const PUPPET_ATTRIBUTES = `
[req]
prompt=no
distinguished_name=dn
attributes=attrs
req_extensions=exts
oid_section=oids
[oids]
custom=1.3.6.1.4.1.34380.1.2.1.1
[dn]
[attrs]
challengePassword=a-challenge-password
custom=a private custom attribute
[exts]
subjectAltName=DNS:puppet,DNS:agent.lab,IP:10.0.0.1
1.3.6.1.4.1.34380.1.1.1=ASN1:UTF8String:ED803750-E3C7-44F5-BB08-41A04433FE2E
1.3.6.1.4.1.34380.1.1.13=ASN1:UTF8String:webserver
1.3.6.1.4.1.34380.1.3.1=ASN1:UTF8String:lab_auth
`;

/** A primary's CA as `puppetserver ca setup` makes it, root and intermediate, run with the real openssl. */
export interface PrimaryCa {
  dir: string;
  /** Intermediate first, then the root, as the primary sends it. */
  caPem: string;
  intermediatePem: string;
  rootPem: string;
  /** Signs as puppetserver does: EKU of client and server, what the CSR asks for, and its own extensions. */
  sign(csrPem: string, options?: { days?: number; subject?: string }): string;
  revoke(certPem: string): void;
  /** Both lists, the intermediate's first. */
  crlPem(): string;
}

const LEAF = `[leaf]
basicConstraints=critical,CA:FALSE
extendedKeyUsage=serverAuth,clientAuth
keyUsage=critical,digitalSignature,keyEncipherment
nsComment=Puppet Server Internal Certificate
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
crlDistributionPoints=URI:http://puppet.lab/crl.pem
authorityInfoAccess=OCSP;URI:http://puppet.lab/ocsp
`;

export function primaryCa(dir: string, name = 'Puppet CA: puppet.lab'): PrimaryCa {
  mkdirSync(dir, { recursive: true });
  const path = (file: string): string => join(dir, file);
  const v3 = 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n';
  const config = (which: string): string => {
    write(dir, `${which}.index`, '');
    write(dir, `${which}.number`, '01\n');
    return write(
      dir,
      `${which}.cnf`,
      `[ca]\ndefault_ca=d\n[d]\ndatabase=${path(`${which}.index`)}\ncrlnumber=${path(`${which}.number`)}\ndefault_md=sha256\ndefault_crl_days=1825\ncertificate=${path(`${which}.pem`)}\nprivate_key=${path(`${which}.key`)}\ncrl_extensions=crl\n[crl]\nauthorityKeyIdentifier=keyid\n`,
    );
  };
  const root = config('root');
  const intermediate = config('int');
  write(dir, 'req.cnf', `[req]\ndistinguished_name=dn\nx509_extensions=v3\n[dn]\n[v3]\n${v3}authorityKeyIdentifier=keyid\n`);
  openssl(
    ...['req', '-x509', ...KEYS.rsa, '-nodes', '-keyout', path('root.key'), '-out', path('root.pem'), '-days', '5475'],
    ...['-subj', `/CN=Root ${name}`, '-config', path('req.cnf')],
  );
  openssl('req', '-new', ...KEYS.rsa, '-nodes', '-keyout', path('int.key'), '-out', path('int.csr'), '-subj', `/CN=${name}`);
  write(dir, 'v3.cnf', `${v3}authorityKeyIdentifier=keyid\n`);
  openssl(
    ...['x509', '-req', '-in', path('int.csr'), '-CA', path('root.pem'), '-CAkey', path('root.key'), '-out', path('int.pem')],
    ...['-days', '5000', '-extfile', path('v3.cnf'), '-CAcreateserial'],
  );
  const rootPem = readFileSync(path('root.pem'), 'utf8');
  const intermediatePem = readFileSync(path('int.pem'), 'utf8');
  return {
    dir,
    rootPem,
    intermediatePem,
    caPem: intermediatePem + rootPem,
    sign(csrPem, options = {}) {
      const csr = write(dir, 'agent.csr', csrPem);
      const ext = write(dir, 'leaf.cnf', LEAF);
      const made = ['x509', '-req', '-in', csr, '-CA', path('int.pem'), '-CAkey', path('int.key'), '-CAcreateserial'];
      const subject = options.subject === undefined ? [] : ['-subj', options.subject];
      const rest = ['-days', String(options.days ?? 1825), '-copy_extensions', 'copyall', '-extfile', ext, '-extensions', 'leaf'];
      return execFileSync('openssl', [...made, ...rest, ...subject], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    },
    revoke(certPem) {
      openssl('ca', '-config', intermediate, '-revoke', write(dir, 'revoke.pem', certPem));
    },
    crlPem() {
      return [intermediate, root]
        .map(file =>
          execFileSync('openssl', ['ca', '-config', file, '-gencrl'], { encoding: 'utf8', stdio: 'pipe', maxBuffer: 2 ** 26 }),
        )
        .join('');
    },
  };
}

/** The PkiError that something throws. */
export function refusal(work: () => unknown): PkiError {
  try {
    work();
  } catch (error) {
    if (error instanceof PkiError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** `openssl verify` of a certificate with a CA and a CRL file, CRL checked; `OK` or what it says. */
export function verified(dir: string, caPem: string, crlPem: string, certPem: string, ...options: string[]): string {
  const ca = write(dir, 'v-ca.pem', caPem);
  const crl = write(dir, 'v-crl.pem', crlPem);
  const cert = write(dir, 'v-cert.pem', certPem);
  const { stdout, stderr } = spawnSync(
    'openssl',
    ['verify', '-x509_strict', '-crl_check', ...options, '-CAfile', ca, '-CRLfile', crl, cert],
    { encoding: 'utf8' },
  );
  return (stdout + stderr).replaceAll(`${cert}: `, '').trim();
}
