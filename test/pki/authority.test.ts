import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Authority, openAuthority } from '../../src/pki/authority.ts';
import { readCsr } from '../../src/pki/csr.ts';
import { PkiError } from '../../src/pki/error.ts';
import { readCertificates } from '../../src/pki/x509.ts';
import {
  agentCsr,
  mode,
  openssl,
  type PrimaryCa,
  PUPPET_ATTRIBUTES,
  primaryCa,
  sharedDir,
  tempDir,
  verified,
  write,
} from './rig.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

let shared: string;
let caDir: string;
let authority: Authority;
let primary: PrimaryCa;

beforeAll(async () => {
  shared = sharedDir();
  caDir = join(shared, 'certs', 'ca');
  authority = await openAuthority(caDir);
  primary = primaryCa(join(shared, 'primary'));
});
afterAll(() => rmSync(shared, { recursive: true, force: true }));

describe('our CA', () => {
  test('is made once, 0600 in 0700, and is the same at the next start', async () => {
    expect((await openAuthority(caDir)).fingerprint).toBe(authority.fingerprint);
    expect(mode(caDir)).toBe('700');
    expect(mode(join(caDir, 'keys'))).toBe('700');
    for (const file of ['certs/ca.pem', 'keys/ca.private.key', 'keys/ca.public.key']) expect(mode(join(caDir, file))).toBe('600');
    expect(readdirSync(join(shared, 'certs'))).toEqual(['ca']); // nothing half made is left beside it
  });

  test('is one that openssl takes, with its own fingerprint and a CRL that it signed', () => {
    const file = write(shared, 'ca.pem', authority.caPem);
    expect(verified(shared, authority.caPem, authority.crl().pem, authority.caPem)).toBe('OK');
    expect(openssl('x509', '-in', file, '-noout', '-fingerprint', '-sha256')).toContain(`=${authority.fingerprint}\n`);
    const text = openssl('x509', '-in', file, '-noout', '-text');
    expect(text).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    expect(text).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign/);
    expect(text).toContain('(3072 bit)');
    const crl = write(shared, 'crl.pem', authority.crl().pem);
    expect(openssl('crl', '-in', crl, '-CAfile', file, '-noout')).toContain('verify OK');
  });

  test('is loaded by the CA class of http-mitm-proxy', async () => {
    interface MitmCa {
      getPem(): string;
      CAkeys: { publicKey: { n: { bitLength(): number } } };
    }
    const { CA } = createRequire(import.meta.url)('http-mitm-proxy/dist/lib/ca.js') as {
      CA: { create(folder: string, done: (error: Error | null, ca: MitmCa) => void): void };
    };
    const before = readdirSync(caDir, { recursive: true });
    const loaded = await new Promise<MitmCa>((resolve, reject) =>
      CA.create(caDir, (error, ca) => (error ? reject(error) : resolve(ca))),
    );
    expect(new X509Certificate(loaded.getPem()).fingerprint256).toBe(authority.fingerprint);
    expect(loaded.CAkeys.publicKey.n.bitLength()).toBe(3072);
    expect(readdirSync(caDir, { recursive: true })).toEqual(before);
  });

  test('two processes that start together end up with one CA', async () => {
    const dir = join(tempDir(), 'ca');
    const made = await Promise.all([openAuthority(dir), openAuthority(dir), openAuthority(dir)]);
    expect(new Set(made.map(({ fingerprint }) => fingerprint)).size).toBe(1);
  });

  test('half a CA is never completed, only refused', async () => {
    const dir = join(tempDir(), 'ca');
    await openAuthority(dir);
    rmSync(join(dir, 'keys', 'ca.private.key'));
    await expect(openAuthority(dir)).rejects.toThrow(/incomplete: .*ca\.private\.key is missing/);
  });

  test('a key that others may read is refused, with the remedy', async () => {
    const dir = join(tempDir(), 'ca');
    await openAuthority(dir);
    const key = join(dir, 'keys', 'ca.private.key');
    for (const bad of [0o640, 0o604]) {
      chmodSync(key, bad);
      await expect(openAuthority(dir)).rejects.toMatchObject({ name: 'PkiError', hint: `chmod 600 ${key}` });
    }
  });

  test('symbolic links in our folders are refused, and so is a folder that others may write', async () => {
    const dir = join(tempDir(), 'ca');
    await openAuthority(dir);
    const key = join(dir, 'keys', 'ca.private.key');
    renameSync(key, join(dir, 'elsewhere'));
    symlinkSync(join(dir, 'elsewhere'), key);
    await expect(openAuthority(dir)).rejects.toThrow('is a symbolic link');
    rmSync(key);
    renameSync(join(dir, 'elsewhere'), key);
    chmodSync(join(dir, 'keys'), 0o770);
    await expect(openAuthority(dir)).rejects.toMatchObject({ hint: `chmod 700 ${join(dir, 'keys')}` });
    chmodSync(join(dir, 'keys'), 0o700);
    const link = join(tempDir(), 'ca');
    symlinkSync(dir, link);
    await expect(openAuthority(link)).rejects.toThrow('is a symbolic link');
  });

  test('one that has ended, or whose key is of another, is refused', async () => {
    await expect(openAuthority(caDir, { now: () => Date.now() + 11 * 365 * DAY_MS })).rejects.toThrow(/the CA in .* ended on 20/);
    const dir = join(tempDir(), 'ca');
    await openAuthority(dir);
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(join(dir, 'keys', 'ca.private.key'), other);
    await expect(openAuthority(dir)).rejects.toThrow('is not the CA certificate of the key beside it');
  });

  test('a folder that cannot be made is one plain line', async () => {
    const file = write(tempDir(), 'file', '');
    await expect(openAuthority(join(file, 'ca'))).rejects.toThrow(PkiError);
  });
});

describe('leaves', () => {
  test('carry DNS names and addresses, verify for servers, and not for clients', async () => {
    const { certPem, keyPem } = await authority.leaf([
      'Puppet.lab',
      '127.0.0.1',
      '::1',
      'fe80::1:2',
      '::ffff:10.1.2.3',
      'x.lab.',
    ]);
    const verify = (...options: string[]): string => verified(shared, authority.caPem, authority.crl().pem, certPem, ...options);
    for (const name of ['puppet.lab', 'x.lab']) expect(verify('-purpose', 'sslserver', '-verify_hostname', name)).toBe('OK');
    for (const ip of ['127.0.0.1', '::1', 'fe80::1:2', '::ffff:10.1.2.3']) expect(verify('-verify_ip', ip)).toBe('OK');
    expect(verify('-verify_hostname', 'other.lab')).toContain('hostname mismatch');
    expect(verify('-purpose', 'sslclient')).toContain('purpose');
    const cert = new X509Certificate(certPem);
    expect(cert.checkPrivateKey(createPrivateKey(keyPem))).toBe(true);
    expect(cert.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(cert.serialNumber).toMatch(/^5A[0-9A-F]{32}$/);
  });

  test('are kept by the set of names, and agents that come together share one', async () => {
    const [one, two] = await Promise.all([authority.leaf(['a.lab', 'b.lab']), authority.leaf(['B.lab', 'a.lab', 'a.lab'])]);
    expect(two).toBe(one);
    expect(await authority.leaf(['a.lab'])).not.toBe(one);
  });

  test('are made anew before they end', async () => {
    let now = Date.now();
    const ours = await openAuthority(join(tempDir(), 'ca'), { now: () => now });
    const first = await ours.leaf(['a.lab']);
    now += 50 * DAY_MS;
    expect(await ours.leaf(['a.lab'])).toBe(first);
    now += 20 * DAY_MS;
    const second = await ours.leaf(['a.lab']);
    expect(second).not.toBe(first);
    expect(new X509Certificate(second.certPem).validToDate.getTime()).toBeGreaterThan(now + 80 * DAY_MS);
    expect(new X509Certificate(first.certPem).validToDate.getTime()).toBeGreaterThan(now);
  });

  test('the least recently used of 256 goes', async () => {
    const first = await authority.leaf(['n0.many.lab']);
    const second = await authority.leaf(['n1.many.lab']);
    for (let i = 2; i < 256; i++) await authority.leaf([`n${i}.many.lab`]);
    expect(await authority.leaf(['n0.many.lab'])).toBe(first);
    await authority.leaf(['one-more.many.lab']);
    expect(await authority.leaf(['n0.many.lab'])).toBe(first);
    expect(await authority.leaf(['n1.many.lab'])).not.toBe(second);
  });

  test.each([
    ['an empty name', ['']],
    ['no name', []],
    ['a blank', ['a b']],
    ['a label that starts with a hyphen', ['-a.lab']],
    ['NUL', ['a\0.lab']],
    ['an empty label', ['a..lab']],
    ['a second entry', ['evil.lab, DNS:other.lab']],
    ['a label of 64', ['x'.repeat(64)]],
    ['over 253 characters', ['x.'.repeat(128)]],
    ['other letters', ['ü.lab']],
    ['a port', ['1.2.3.4:80']],
    ['101 names', Array.from({ length: 101 }, (_, i) => `n${i}.lab`)],
  ])('%s is refused', async (_, names) => {
    await expect(authority.leaf(names)).rejects.toThrow(PkiError);
  });
});

describe('certificates for agents', () => {
  test('have the subject and extensions that the primary signed, our key ids, and a lifetime within both', async () => {
    const agent = agentCsr(shared, '/CN=agent.lab', 'rsa', PUPPET_ATTRIBUTES);
    const like = primary.sign(agent.csrPem);
    const pem = await authority.issue({ publicKey: readCsr(agent.csrPem).publicKey, like });
    const [ours, theirs] = readCertificates(pem + like);
    expect(ours!.subject).toEqual(theirs!.subject);
    expect(ours!.spki).toEqual(theirs!.spki);
    const oids = theirs!.extensions.map(({ oid }) => oid);
    for (const oid of [
      '2.5.29.17',
      '1.3.6.1.4.1.34380.1.1.1',
      '1.3.6.1.4.1.34380.1.1.13',
      '1.3.6.1.4.1.34380.1.3.1',
      '2.16.840.1.113730.1.13',
    ]) {
      expect(oids).toContain(oid);
      expect(ours!.extensions.find(e => e.oid === oid)?.der).toEqual(theirs!.extensions.find(e => e.oid === oid)?.der);
    }
    const text = openssl('x509', '-noout', '-text', '-in', write(shared, 'agent.pem', pem));
    expect(text).not.toContain('puppet.lab/crl.pem');
    expect(text).not.toContain('puppet.lab/ocsp');
    expect(oids).toContain('2.5.29.31');
    expect(ours!.notBefore).toBeGreaterThanOrEqual(theirs!.notBefore);
    expect(ours!.notAfter).toBe(theirs!.notAfter);
    expect(verified(shared, authority.caPem, authority.crl().pem, pem, '-purpose', 'sslclient')).toBe('OK');
  });

  test('EC keys get theirs too, and never outlive our CA', async () => {
    for (const type of ['ec', 'p384'] as const) {
      const agent = agentCsr(shared, '/CN=ec.lab', type);
      const pem = await authority.issue({
        publicKey: readCsr(agent.csrPem).publicKey,
        like: primary.sign(agent.csrPem, { days: 9000 }),
      });
      expect(verified(shared, authority.caPem, authority.crl().pem, pem, '-purpose', 'sslclient')).toBe('OK');
      expect(createPublicKey(pem).equals(createPublicKey(agent.keyPem))).toBe(true);
      expect(readCertificates(pem)[0]!.notAfter).toBe(authority.certificate.notAfter);
    }
  });

  test('a CA and garbage are not taken as a model', async () => {
    const { publicKey } = readCsr(agentCsr(shared, '/CN=x.lab').csrPem);
    await expect(authority.issue({ publicKey, like: primary.intermediatePem })).rejects.toThrow("is a CA's");
    await expect(authority.issue({ publicKey, like: 'nothing' })).rejects.toThrow(PkiError);
  });
});

describe('revocation', () => {
  test('is in the next CRL, for openssl too, and survives a restart', async () => {
    const dir = join(tempDir(), 'ca');
    const ours = await openAuthority(dir);
    const agent = agentCsr(shared, '/CN=r.lab');
    const request = { publicKey: readCsr(agent.csrPem).publicKey, like: primary.sign(agent.csrPem) };
    const [bad, good] = [await ours.issue(request), await ours.issue(request)];
    const before = ours.crl();
    const serial = new X509Certificate(bad).serialNumber;
    expect(ours.isRevoked(serial)).toBe(false);
    await ours.revoke(bad);
    expect(ours.isRevoked(serial)).toBe(true);
    expect(ours.isRevoked(`00${serial.toLowerCase()}`)).toBe(true);
    const after = ours.crl();
    expect(after.modifiedAt).toBeGreaterThanOrEqual(before.modifiedAt);
    expect(after.modifiedAt % 1000).toBe(0);
    expect(verified(shared, ours.caPem, after.pem, bad)).toContain('certificate revoked');
    expect(verified(shared, ours.caPem, after.pem, good)).toBe('OK');
    const number = (pem: string): bigint =>
      BigInt(/CRL Number:\s+(\d+)/.exec(openssl('crl', '-noout', '-text', '-in', write(shared, 'n.pem', pem)))![1]!);
    expect(number(after.pem)).toBeGreaterThan(number(before.pem));
    const again = await openAuthority(dir);
    expect(again.isRevoked(serial)).toBe(true);
    expect(again.crl()).toEqual(after); // the very same list: agents need not fetch it again
  });

  test('by another process is seen within a second', async () => {
    const dir = join(tempDir(), 'ca');
    const [running, command] = [await openAuthority(dir), await openAuthority(dir)];
    const agent = agentCsr(shared, '/CN=r.lab');
    const pem = await command.issue({ publicKey: readCsr(agent.csrPem).publicKey, like: primary.sign(agent.csrPem) });
    expect(running.isRevoked(new X509Certificate(pem).serialNumber)).toBe(false);
    await command.revoke(pem);
    await expect.poll(() => running.isRevoked(new X509Certificate(pem).serialNumber), { timeout: 2000 }).toBe(true);
    expect(verified(shared, running.caPem, running.crl().pem, pem)).toContain('certificate revoked');
  });

  test('of a certificate that is not ours is refused', async () => {
    const like = primary.sign(agentCsr(shared, '/CN=r.lab').csrPem);
    await expect(authority.revoke(like)).rejects.toThrow('only certificates of our own CA');
    await expect(authority.revoke('')).rejects.toThrow(PkiError);
  });

  test('the list is signed anew long before it ends, and keeps the dates of its entries', async () => {
    let now = Date.now();
    const ours = await openAuthority(join(tempDir(), 'ca'), { now: () => now });
    const agent = agentCsr(shared, '/CN=r.lab');
    await ours.revoke(await ours.issue({ publicKey: readCsr(agent.csrPem).publicKey, like: primary.sign(agent.csrPem) }));
    const text = (pem: string): string => openssl('crl', '-noout', '-text', '-in', write(shared, 't.pem', pem));
    const first = ours.crl();
    const revokedOn = /Revocation Date: .*/.exec(text(first.pem))![0];
    now += 2 * 365 * DAY_MS;
    expect(ours.crl()).toEqual(first);
    now += 365 * DAY_MS;
    const second = ours.crl();
    expect(second.modifiedAt).toBe(Math.ceil(now / 1000) * 1000);
    expect(text(second.pem)).toContain(revokedOn);
    const next = Date.parse(/Next Update: (.*)/.exec(text(second.pem))![1]!);
    expect(next).toBeGreaterThan(now + 4 * 365 * DAY_MS);
    expect(next).toBeLessThanOrEqual(ours.certificate.notAfter);
  });

  test('a list on disk that is damaged or of another CA is made anew; a folder that cannot be written only loses the copy', async () => {
    const dir = join(tempDir(), 'ca');
    const first = (await openAuthority(dir)).crl();
    writeFileSync(join(dir, 'crl.pem'), authority.crl().pem);
    const ours = await openAuthority(dir);
    expect(verified(shared, ours.caPem, ours.crl().pem, ours.caPem)).toBe('OK');
    expect(ours.crl().pem).not.toBe(first.pem);
    rmSync(join(dir, 'crl.pem'));
    mkdirSync(join(dir, 'crl.pem'));
    await expect(openAuthority(dir)).rejects.toThrow('is not a plain file');
  });
});
