import { X509Certificate } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openAuthority } from '../../src/pki/authority.ts';
import { issuingCa, readBundle } from '../../src/pki/bundle.ts';
import { readCsr } from '../../src/pki/csr.ts';
import { PkiError } from '../../src/pki/error.ts';
import { openIdentities, removeIdentity } from '../../src/pki/identity.ts';
import { formatFile, identityOf } from '../../src/pki/identity-file.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';
import { agentCsr, certname, mode, openssl, type PrimaryCa, primaryCa, refusal, sharedDir, tempDir, write } from './rig.ts';

let shared: string;
let primary: PrimaryCa;
beforeAll(() => {
  shared = sharedDir();
  primary = primaryCa(join(shared, 'primary'));
});
afterAll(() => rmSync(shared, { recursive: true, force: true }));

const AGENT = certname('agent.lab');

function pair(subject = '/CN=agent.lab', type: 'rsa' | 'ec' = 'ec'): { key: string; cert: string } {
  const agent = agentCsr(shared, subject, type);
  return { key: agent.keyPem, cert: primary.sign(agent.csrPem) };
}

/** An ssldir as an agent has it; Puppet's own key files are 0640. */
function ssldir(...names: string[]): string {
  const dir = tempDir();
  for (const name of names) {
    const { key, cert } = pair(`/CN=${name}`);
    chmodSync(write(join(dir, 'private_keys'), `${name}.pem`, key), 0o640);
    write(join(dir, 'certs'), `${name}.pem`, cert);
  }
  write(join(dir, 'certs'), 'ca.pem', primary.caPem);
  return dir;
}

describe('import', () => {
  test.each(['rsa', 'ec'] as const)('of a %s pair is on disk, 0600 in 0700, and there again at the next start', type => {
    const dir = join(tempDir(), 'identities');
    const { key, cert } = pair('/CN=agent.lab', type);
    const identity = openIdentities(dir).importPair(key, cert + primary.intermediatePem);
    expect(identity).toMatchObject({ certname: 'agent.lab', kind: 'imported', agentCertPem: null });
    expect(identity.fingerprint).toBe(new X509Certificate(cert).fingerprint256);
    expect(identity.notAfter).toBe(new X509Certificate(cert).validToDate.getTime());
    expect(identity.certPem.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(openIdentities(dir).get(AGENT)).toEqual(identity);
    expect(mode(dir)).toBe('700');
    expect(readdirSync(dir)).toEqual(['agent.lab.pem']);
    expect(mode(join(dir, 'agent.lab.pem'))).toBe('600');
    expect(openssl('x509', '-noout', '-subject', '-in', join(dir, 'agent.lab.pem'))).toContain('CN = agent.lab');
    expect(openssl('pkey', '-noout', '-check', '-in', join(dir, 'agent.lab.pem'))).toContain('valid');
  });

  test('takes the certificate of the key from a file of several, in any order', () => {
    const { key, cert } = pair();
    const identity = openIdentities(tempDir()).importPair(key, primary.caPem + cert);
    expect(new X509Certificate(identity.certPem).subject).toBe('CN=agent.lab');
  });

  test('replaces an earlier import: the agent was enrolled anew', () => {
    const identities = openIdentities(tempDir());
    const [old, now] = [pair(), pair()];
    identities.importPair(old.key, old.cert);
    identities.importPair(now.key, now.cert);
    expect(identities.get(AGENT)?.fingerprint).toBe(new X509Certificate(now.cert).fingerprint256);
  });

  test.each([
    ['another key', () => [pair().key, pair().cert], 'does not belong to the certificate'],
    ['no key', () => ['', pair().cert], 'there is no private key in PEM'],
    ['no certificate', () => [pair().key, 'x'], 'there is no certificate in PEM'],
    ['a damaged certificate', () => [pair().key, pair().cert.replace(/MII/, 'MIJ')], 'malformed'],
    ['an upper-case CN', () => Object.values(pair('/CN=Agent.lab')), 'names no Puppet certname'],
    ['a CN that is a path', () => Object.values(pair('/CN=..\\/..\\/etc')), 'names no Puppet certname'],
    ['a CN of two dots', () => Object.values(pair('/CN=..')), 'names no Puppet certname'],
    ['two CNs', () => Object.values(pair('/CN=a.lab/CN=b.lab')), 'names no Puppet certname'],
  ] as const)('with %s is refused, and nothing is written', (_, make, message) => {
    const dir = tempDir();
    const [key = '', cert = ''] = make();
    expect(refusal(() => openIdentities(dir).importPair(key, cert)).message).toContain(message);
    expect(readdirSync(dir)).toEqual([]);
  });

  test('of a certificate that has ended is refused', () => {
    const { key, cert } = pair();
    const identities = openIdentities(tempDir(), { now: () => Date.now() + 6 * 365 * 24 * 3600 * 1000 });
    expect(refusal(() => identities.importPair(key, cert)).message).toMatch(/the certificate of agent.lab ended on 20\d\d-/);
  });

  test('of an encrypted key is refused, with the command that decrypts it', () => {
    const { key, cert } = pair('/CN=agent.lab', 'rsa');
    const plain = write(shared, 'plain.pem', key);
    for (const command of [
      ['pkcs8', '-topk8'],
      ['rsa', '-aes256', '-traditional'],
    ]) {
      const encrypted = openssl(...command, '-in', plain, '-passout', 'pass:secret');
      const error = refusal(() => openIdentities(tempDir()).importPair(encrypted, cert));
      expect(error.message).toBe('the private key is encrypted');
      expect(error.hint).toContain('openssl pkey');
    }
  });

  test('of what our own CA issued is refused: to a primary it is nothing', async () => {
    const authority = await openAuthority(join(tempDir(), 'ca'));
    const agent = agentCsr(shared, '/CN=agent.lab');
    const cert = await authority.issue({ publicKey: readCsr(agent.csrPem).publicKey, like: primary.sign(agent.csrPem) });
    const identities = openIdentities(tempDir(), { authority });
    expect(refusal(() => identities.importPair(agent.keyPem, cert)).message).toContain("this proxy's own CA");
  });

  test('over an enrolled identity is refused: its agent would be locked out without a word', async () => {
    const identities = openIdentities(tempDir());
    const { key, cert } = pair();
    identities.store({ certname: AGENT, keyPem: key, certPem: cert, agentCertPem: cert });
    const other = pair();
    const error = refusal(() => identities.importPair(other.key, other.cert));
    expect(error.message).toBe('agent.lab is enrolled through this proxy already');
    expect(error.hint).toContain('stringtap identity remove agent.lab');
  });
});

describe('an ssldir', () => {
  test('with one agent needs no certname', () => {
    expect(openIdentities(tempDir()).importSsldir(ssldir('agent.lab')).certname).toBe('agent.lab');
  });

  test('with several needs one', () => {
    const identities = openIdentities(tempDir());
    const dir = ssldir('b.lab', 'a.lab');
    expect(refusal(() => identities.importSsldir(dir))).toMatchObject({
      message: `${dir} has certificates of a.lab, b.lab`,
      hint: 'name one with --certname',
    });
    expect(identities.importSsldir(dir, 'b.lab').certname).toBe('b.lab');
  });

  test.each([
    ['empty', (): string => tempDir(), undefined, 'has no certificate with its private key'],
    ['not there', (): string => '/nonexistent', undefined, 'has no certificate with its private key'],
    ['without that name', (): string => ssldir('a.lab'), 'b.lab', 'there is no '],
    ['asked for a path', (): string => ssldir('a.lab'), '../a.lab', 'is no Puppet certname'],
    ['asked for another case', (): string => ssldir('a.lab'), 'A.lab', 'is no Puppet certname'],
  ] as const)('%s is refused', (_, make, name, message) => {
    expect(refusal(() => openIdentities(tempDir()).importSsldir(make(), name)).message).toContain(message);
  });

  test('whose certificate is of another name than its file is refused, and nothing is written', () => {
    const dir = ssldir('a.lab');
    for (const folder of ['certs', 'private_keys']) renameSync(join(dir, folder, 'a.lab.pem'), join(dir, folder, 'b.lab.pem'));
    const folder = tempDir();
    expect(refusal(() => openIdentities(folder).importSsldir(dir)).message).toContain('is the certificate of a.lab');
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('the folder', () => {
  test('is looked at again: what another process imports, replaces and removes is seen within a second', async () => {
    const dir = tempDir();
    const [running, command] = [openIdentities(dir), openIdentities(dir)];
    expect(running.get(AGENT)).toBeNull();
    const [first, second] = [pair(), pair()];
    const one = command.importPair(first.key, first.cert);
    expect(running.get(AGENT)).toEqual(one); // an unknown name is looked for each time
    const two = command.importPair(second.key, second.cert);
    await expect.poll(() => running.get(AGENT), { timeout: 2000 }).toEqual(two);
    command.remove(AGENT);
    await expect.poll(() => running.get(AGENT), { timeout: 2000 }).toBeNull();
  });

  test('lists by certname, and tells of files that cannot be used', () => {
    const dir = tempDir();
    const identities = openIdentities(dir);
    for (const name of ['b.lab', 'a.lab']) {
      const { key, cert } = pair(`/CN=${name}`);
      identities.importPair(key, cert);
    }
    writeFileSync(join(dir, 'c.lab.pem'), 'rubbish', { mode: 0o600 });
    writeFileSync(join(dir, 'Upper.pem'), 'not ours', { mode: 0o600 });
    expect(identities.list().map(identity => identity.certname)).toEqual(['a.lab', 'b.lab']);
    expect(identities.damaged()).toHaveLength(1);
    expect(identities.damaged()[0]).toMatchObject({
      message: expect.stringContaining('c.lab.pem is damaged'),
      hint: expect.stringContaining('stringtap identity remove c.lab'),
    });
    expect(() => identities.get(certname('c.lab'))).toThrow(PkiError);
    identities.remove(certname('c.lab'));
    expect(identities.damaged()).toEqual([]);
  });

  test('a file under the name of another is not taken: an identity is only ever its own certname', () => {
    const dir = tempDir();
    const { key, cert } = pair();
    openIdentities(dir).importPair(key, cert);
    renameSync(join(dir, 'agent.lab.pem'), join(dir, 'other.lab.pem'));
    expect(refusal(() => openIdentities(dir).get(certname('other.lab'))).message).toContain(
      'has the certificate of "CN=agent.lab"',
    );
  });

  test('a file that others may read, a symbolic link and a FIFO are refused', () => {
    const dir = tempDir();
    const { key, cert } = pair();
    openIdentities(dir).importPair(key, cert);
    const file = join(dir, 'agent.lab.pem');
    chmodSync(file, 0o644);
    expect(refusal(() => openIdentities(dir).get(AGENT))).toMatchObject({ hint: `chmod 600 ${file}` });
    chmodSync(file, 0o600);
    renameSync(file, join(dir, 'elsewhere'));
    symlinkSync(join(dir, 'elsewhere'), file);
    expect(refusal(() => openIdentities(dir).get(AGENT)).message).toContain('is a symbolic link');
    expect(() => openIdentities(dir).importPair(key, cert)).toThrow('symbolic link');
    rmSync(file);
    mkdirSync(file);
    expect(refusal(() => openIdentities(dir).get(AGENT)).message).toContain('is not a plain file');
  });

  test('nothing half written stays behind', () => {
    const dir = tempDir();
    const identities = openIdentities(dir);
    const { key, cert } = pair();
    mkdirSync(join(dir, 'agent.lab.pem'));
    expect(() => identities.importPair(key, cert)).toThrow(PkiError);
    expect(readdirSync(dir)).toEqual(['agent.lab.pem']);
    expect(existsSync(join(dir, 'agent.lab.pem'))).toBe(true);
  });
});

test('of a large fleet the identities of those that came last are held in memory', async () => {
  const dir = tempDir();
  const ca = await makeDemoCa('puppet.lab', 'self', 'ec');
  const key = await makeKey('ec');
  const names = Array.from({ length: 1500 }, (_, n) => certname(`agent${n}.lab`));
  for (const name of names) {
    const parts = { certname: name, keyPem: key.pem, certPem: ca.issue(name, key.publicKey), agentCertPem: null };
    write(dir, `${name}.pem`, formatFile(identityOf(parts)));
  }
  const identities = openIdentities(dir).of({ ca: issuingCa(readBundle(ca.caPem)) });
  const all = names.map(name => identities.get(name));
  expect(identities.get(names.at(-1)!)).toBe(all.at(-1));
  const again = identities.get(names[0]!);
  expect(again).not.toBe(all[0]);
  expect(again).toEqual(all[0]);
});

test('removing an enrolled identity revokes what its agent got; removing none is none', async () => {
  const authority = await openAuthority(join(tempDir(), 'ca'));
  const dir = tempDir();
  const identities = openIdentities(dir);
  const agent = agentCsr(shared, '/CN=agent.lab');
  const ours = pair();
  const agentCertPem = await authority.issue({ publicKey: readCsr(agent.csrPem).publicKey, like: ours.cert });
  identities.store({ certname: AGENT, keyPem: ours.key, certPem: ours.cert, agentCertPem });
  expect(openIdentities(dir).get(AGENT)?.agentCertPem).toBe(agentCertPem); // byte for byte, from the file
  expect(readFileSync(join(dir, 'agent.lab.pem'), 'utf8').match(/BEGIN CERTIFICATE/g)).toHaveLength(1); // for curl and openssl: one
  const removed = await removeIdentity(identities, authority, AGENT);
  expect(removed.map(({ kind }) => kind)).toEqual(['enrolled']);
  expect(identities.get(AGENT)).toBeNull();
  expect(authority.isRevoked(new X509Certificate(agentCertPem).serialNumber)).toBe(true);
  expect(await removeIdentity(identities, authority, AGENT)).toEqual([]);
});
