import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Authority, openAuthority } from '../../src/pki/authority.ts';
import { readBundle } from '../../src/pki/bundle.ts';
import { readCrls } from '../../src/pki/crl.ts';
import { fingerprintOf, toPem } from '../../src/pki/pem.ts';
import { openTrust, type Trust } from '../../src/pki/trust.ts';
import { readCertificates } from '../../src/pki/x509.ts';
import { agentCsr, mode, openssl, type PrimaryCa, primaryCa, refusal, sharedDir, tempDir, verified, write } from './rig.ts';

let shared: string;
let primary: PrimaryCa;
let stranger: PrimaryCa;
let authority: Authority;
beforeAll(async () => {
  shared = sharedDir();
  primary = primaryCa(join(shared, 'primary'));
  stranger = primaryCa(join(shared, 'stranger')); // the same names, other keys
  authority = await openAuthority(join(shared, 'ca'));
});
afterAll(() => rmSync(shared, { recursive: true, force: true }));

let dir: string;
let trust: Trust;
beforeEach(() => {
  dir = join(tempDir(), 'primaries', 'puppet.lab_8140');
  trust = openTrust(dir, authority);
});

const agentCert = (days = 1825): string => primary.sign(agentCsr(shared, '/CN=agent.lab').csrPem, { days });
const revokedIn = (pem: string): number => readCrls(pem).reduce((sum, crl) => sum + crl.revoked.size, 0);

describe('pinning', () => {
  test('keeps the bundle as it came, for the next start too', () => {
    expect(trust.pinned).toBe(false);
    expect(trust.caPem()).toBeNull();
    trust.pin(primary.caPem);
    expect(trust.pinned).toBe(true);
    expect(trust.caPem()).toBe(primary.caPem);
    expect(openTrust(dir, authority).caPem()).toBe(primary.caPem);
    expect(mode(dir)).toBe('700');
    expect(mode(join(dir, 'ca.pem'))).toBe('600');
  });

  test('another root is refused, one of the same name too, and one that comes beside the first', () => {
    trust.pin(primary.caPem);
    const error = refusal(() => trust.pin(stranger.caPem));
    expect(error.message).toContain('another CA than the one that is pinned');
    expect(error.message).toContain(new X509Certificate(stranger.rootPem).fingerprint256);
    expect(error.hint).toContain(`remove ${dir}`);
    expect(() => trust.pin(primary.caPem + stranger.rootPem)).toThrow('another CA');
    expect(trust.caPem()).toBe(primary.caPem);
    expect(readFileSync(join(dir, 'ca.pem'), 'utf8')).toBe(primary.caPem);
  });

  function renewedRoot(): string {
    const [root, key] = [join(primary.dir, 'root.pem'), join(primary.dir, 'root.key')];
    return openssl('x509', '-in', root, '-signkey', key, '-days', '7000').replace(/^(?!-----|[A-Za-z0-9+/=]+$).*\n/gm, '');
  }

  test('a bundle that the user gives takes the place of an older one of the same CA, where it lacks nothing of that', () => {
    trust.pin(primary.caPem);
    const renewed = renewedRoot();
    expect(openTrust(dir, authority, { caPem: renewed }).caPem()).toBe(primary.caPem); // no intermediate: the primary sends its leaf only
    const whole = primary.intermediatePem + renewed;
    expect(openTrust(dir, authority, { caPem: whole }).caPem()).toBe(whole);
    expect(openTrust(dir, authority, { caPem: primary.caPem }).caPem()).toBe(whole);
  });

  test('a chain that was renewed below the same root key is taken over, and its lists go on', () => {
    trust.pin(primary.caPem);
    trust.updateCrl(primary.crlPem());
    const before = trust.crlBundle().pem;
    const renewed = renewedRoot();
    expect(new X509Certificate(renewed).fingerprint256).not.toBe(new X509Certificate(primary.rootPem).fingerprint256);
    trust.pin(primary.intermediatePem + renewed);
    expect(trust.caPem()).toBe(primary.intermediatePem + renewed);
    expect(trust.crlBundle().pem).toBe(before);
  });

  test.each([
    ['nothing', (): string => '', 'no CA certificate'],
    ['HTML', (): string => '<html>404</html>', 'no CA certificate'],
    ['a damaged certificate', (): string => primary.caPem.replace('MII', 'MIJ'), 'malformed'],
    ['a chain without its root', (): string => primary.intermediatePem, 'no self-signed root'],
    ["an agent's certificate among them", (): string => primary.caPem + agentCert(), "no CA's"],
    ['a CA of another root', (): string => primary.rootPem + stranger.intermediatePem, 'of no root in it'],
    ['a server certificate that signed itself', (): string => selfSigned(), 'no self-signed root'],
    [
      'over 50 certificates',
      (): string => Array.from({ length: 51 }, (): string => '').reduce(all => all + primary.rootPem, ''),
      null,
    ],
  ] as const)('%s: never both trusted and wrong', (_, make, message) => {
    if (message === null) {
      trust.pin(make()); // the same certificate many times counts once
      expect(readBundle(make()).certificates).toHaveLength(1);
      return;
    }
    expect(refusal(() => trust.pin(make())).message).toContain(message);
    expect(trust.pinned).toBe(false);
  });

  function selfSigned(): string {
    const cert = join(shared, 'self.pem');
    const extensions = ['-addext', 'basicConstraints=critical,CA:FALSE'];
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      '/dev/null',
      '-out',
      cert,
      '-subj',
      '/CN=x',
      ...extensions,
    );
    return readFileSync(cert, 'utf8');
  }

  test('the single self-signed CA of a primary that was never set up works as well', () => {
    trust.pin(primary.rootPem);
    trust.updateCrl(primary.crlPem());
    expect(readCrls(trust.crlBundle().pem)).toHaveLength(2); // ours and the root's; the intermediate's is of nobody here
  });

  test('a bundle that the user gives is trusted instead of what was pinned', () => {
    trust.pin(primary.caPem);
    trust.updateCrl(primary.crlPem());
    const given = openTrust(dir, authority, { caPem: stranger.rootPem });
    expect(given.caPem()).toBe(stranger.rootPem);
    expect(readCrls(given.crlBundle().pem)).toHaveLength(1);
    given.pin(stranger.caPem); // fetched since: the same root, and more
    expect(openTrust(dir, authority, { caPem: stranger.rootPem }).caPem()).toBe(stranger.caPem);
    expect(() => openTrust(dir, authority, { caPem: 'rubbish' })).toThrow('no CA certificate');
  });

  test('a damaged file is named, with the remedy', () => {
    trust.pin(primary.caPem);
    writeFileSync(join(dir, 'ca.pem'), 'rubbish');
    expect(refusal(() => openTrust(dir, authority))).toMatchObject({
      message: expect.stringContaining('ca.pem is damaged'),
      hint: expect.stringContaining(`remove ${dir}`),
    });
  });
});

describe('a fingerprint', () => {
  test('vouches for the bundle by its text, by its root and by its intermediate', () => {
    trust.pin(primary.caPem);
    const [intermediate, root] = readCertificates(primary.caPem);
    expect(trust.matchesFingerprint(root!.fingerprint)).toBe(true);
    expect(trust.matchesFingerprint(intermediate!.fingerprint.toLowerCase().replaceAll(':', ''))).toBe(true);
    expect(trust.matchesFingerprint(fingerprintOf(primary.caPem))).toBe(true); // Puppet's ca_fingerprint
    for (const other of ['', 'AB:CD', fingerprintOf('x'), new X509Certificate(stranger.rootPem).fingerprint256]) {
      expect(trust.matchesFingerprint(other)).toBe(false);
    }
  });

  test("that is not the bundle's keeps it from being pinned at all", () => {
    const wanted = new X509Certificate(primary.rootPem).fingerprint256;
    expect(refusal(() => trust.pin(stranger.caPem, wanted)).message).toContain('has not the fingerprint');
    expect(openTrust(dir, authority).pinned).toBe(false);
    trust.pin(primary.caPem, wanted);
    expect(trust.pinned).toBe(true);
  });

  test('of the genuine CA does not vouch for another root beside it', () => {
    const wanted = new X509Certificate(primary.rootPem).fingerprint256;
    expect(() => trust.pin(primary.caPem + stranger.rootPem, wanted)).toThrow('has not the fingerprint');
    expect(trust.pinned).toBe(false);
  });
});

describe('the bundles for agents', () => {
  test("our CA first, then the primary's in its order; our list, then theirs: openssl verifies both issuers with them", async () => {
    trust.pin(primary.caPem);
    trust.updateCrl(primary.crlPem());
    const [ca, crl] = [trust.bundle(), trust.crlBundle()];
    expect(ca.pem).toBe(authority.caPem + primary.caPem);
    expect(readCrls(crl.pem).map(({ issuer }) => issuer)).toEqual(readCertificates(ca.pem).map(({ subject }) => subject));
    const { certPem } = await authority.leaf(['puppet.lab']);
    for (const pem of [certPem, agentCert()]) expect(verified(shared, ca.pem, crl.pem, pem, '-crl_check_all')).toBe('OK');
  });

  test("without the primary's part they are ours alone", () => {
    expect(trust.bundle()).toEqual({ pem: authority.caPem, modifiedAt: Math.ceil(authority.madeAt / 1000) * 1000 });
    expect(trust.crlBundle().pem).toBe(authority.crl().pem);
  });

  test('a bundle without a line break at its end is no reason to glue two certificates together', () => {
    trust.pin(primary.caPem.trimEnd());
    expect(readCertificates(trust.bundle().pem)).toHaveLength(3);
    expect(trust.bundle().pem.endsWith('-----\n')).toBe(true);
    expect(trust.caPem()).toBe(primary.caPem.trimEnd());
    expect(trust.matchesFingerprint(fingerprintOf(primary.caPem.trimEnd()))).toBe(true); // of the text as it came
  });

  test('modified when something changed, in whole seconds, the same at the next start within one', () => {
    let now = Date.now() + 3_600_000;
    const timed = openTrust(dir, authority, { now: () => now });
    timed.pin(primary.caPem);
    timed.updateCrl(primary.crlPem());
    const [ca, crl] = [timed.bundle().modifiedAt, timed.crlBundle().modifiedAt];
    expect([ca % 1000, crl % 1000]).toEqual([0, 0]);
    expect(ca).toBe(Math.ceil(now / 1000) * 1000);
    now += 60_000;
    timed.pin(primary.caPem);
    timed.updateCrl(timed.crlBundle().pem); // nothing new
    expect([timed.bundle().modifiedAt, timed.crlBundle().modifiedAt]).toEqual([ca, crl]);
    now += 60_000;
    timed.updateCrl(primary.crlPem());
    expect(timed.crlBundle().modifiedAt).toBe(Math.ceil(now / 1000) * 1000);
    expect(timed.bundle().modifiedAt).toBe(ca);
  });
});

describe('CRLs', () => {
  test('newer ones take the place of older ones, never the other way', () => {
    trust.pin(primary.caPem);
    const old = primary.crlPem();
    primary.revoke(agentCert());
    const fresh = primary.crlPem();
    trust.updateCrl(fresh);
    expect(revokedIn(trust.crlBundle().pem)).toBeGreaterThan(revokedIn(old));
    const before = trust.crlBundle();
    trust.updateCrl(old);
    expect(trust.crlBundle()).toEqual(before);
    expect(readCrls(openTrust(dir, authority).crlBundle().pem)).toEqual(readCrls(before.pem));
  });

  test('one that cannot be written down counts all the same', () => {
    trust.pin(primary.caPem);
    primary.revoke(agentCert());
    const fresh = primary.crlPem();
    chmodSync(dir, 0o777); // nothing is written into such a folder
    trust.updateCrl(fresh);
    chmodSync(dir, 0o700);
    expect(revokedIn(trust.crlBundle().pem)).toBe(revokedIn(fresh));
    trust.updateCrl(`${fresh}\n`); // and is written at the next read
    expect(revokedIn(openTrust(dir, authority).crlBundle().pem)).toBe(revokedIn(fresh));
  });

  test('of others, forged, damaged and delta ones are dropped, and the good ones beside them kept', () => {
    trust.pin(primary.caPem);
    const good = primary.crlPem();
    const [intermediate, root] = readCrls(good);
    const pemOf = (der: Buffer): string => toPem('X509 CRL', der);
    const damaged = '-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n';
    const forged = (at: number): string => {
      const der = Buffer.from(intermediate!.der);
      der[at < 0 ? der.length + at : at]! ^= 1;
      return pemOf(der);
    };
    for (const bad of [stranger.crlPem(), 'rubbish', damaged, '-----BEGIN X509 CRL-----\n**\n-----END X509 CRL-----\n']) {
      trust.updateCrl(bad);
      expect(readCrls(trust.crlBundle().pem)).toHaveLength(1);
    }
    trust.updateCrl(damaged + pemOf(root!.der));
    expect(readCrls(trust.crlBundle().pem)).toHaveLength(2);
    const delta = join(primary.dir, 'delta.cnf');
    writeFileSync(
      delta,
      readFileSync(join(primary.dir, 'int.cnf'), 'utf8').replace('[crl]\n', '[crl]\n2.5.29.27=critical,DER:020101\n'),
    );
    const { stdout } = spawnSync('openssl', ['ca', '-config', delta, '-gencrl'], { encoding: 'utf8' });
    expect(readCrls(stdout)[0]?.partial).toBe(true);
    trust.updateCrl(stdout);
    expect(readCrls(trust.crlBundle().pem)).toHaveLength(2);
    // A changed signature, and a changed date in what was signed.
    for (const at of [-1, intermediate!.der.indexOf('Z') - 1]) {
      trust.updateCrl(forged(at));
      expect(readCrls(trust.crlBundle().pem)).toHaveLength(2);
    }
    trust.updateCrl(good);
    expect(readCrls(trust.crlBundle().pem)).toHaveLength(3);
  });

  test('before anything is pinned there is nobody to have signed them', () => {
    trust.updateCrl(primary.crlPem());
    expect(readCrls(trust.crlBundle().pem)).toHaveLength(1);
  });

  test('a list of 50,000 entries is read in time that grows with its length only', () => {
    const index = join(primary.dir, 'int.index');
    const saved = readFileSync(index, 'utf8');
    const line = (i: number): string =>
      `R\t361231235959Z\t260101000000Z\t${(0x5000000000 + i).toString(16).toUpperCase()}\tunknown\t/CN=n${i}\n`;
    writeFileSync(index, Array.from({ length: 50_000 }, (_, i) => line(i)).join(''));
    const large = primary.crlPem();
    writeFileSync(index, saved);
    trust.pin(primary.caPem);
    const start = performance.now();
    trust.updateCrl(large);
    expect(performance.now() - start).toBeLessThan(15_000);
    expect(revokedIn(trust.crlBundle().pem)).toBe(50_000);
  });
});

test('the certificates in the bundle are read as openssl reads them', () => {
  for (const certificate of readCertificates(primary.caPem + agentCert())) {
    const file = write(shared, 'c.pem', certificate.x509.toString());
    const text = openssl('x509', '-in', file, '-noout', '-serial', '-fingerprint', '-sha256', '-dates');
    expect(text).toContain(`serial=${certificate.serial}\n`);
    expect(text).toContain(certificate.fingerprint);
    expect(Date.parse(/notBefore=(.*)/.exec(text)![1]!)).toBe(certificate.notBefore);
    expect(Date.parse(/notAfter=(.*)/.exec(text)![1]!)).toBe(certificate.notAfter);
  }
});
