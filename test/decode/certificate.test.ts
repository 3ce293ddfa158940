import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type Certificate, decodeBundle } from '../../src/decode/certificate.ts';
import { decodeCsr } from '../../src/decode/csr.ts';
import { oidOf, readDer } from '../../src/decode/der.ts';
import { splitPem } from '../../src/decode/pem.ts';
import { decodeAs, expected, fixture, reason, value } from './rig.ts';

interface Expected {
  subject: string;
  issuer: string;
  serial: string;
  fingerprint: string;
  not_before: number;
  not_after: number;
}

const CA = '/puppet-ca/v1/certificate/ca';
const CRL = '/puppet-ca/v1/certificate_revocation_list/ca';
const NAME = '/puppet-ca/v1/certificate/agent.example';

/** `openssl` on a PEM, as a person would check us. */
function openssl(command: string, pem: Uint8Array, ...options: string[]): string {
  return execFileSync('openssl', [command, '-noout', ...options], { input: pem, encoding: 'utf8', stdio: 'pipe' });
}

function certificates(name: string): Certificate[] {
  return decodeBundle(fixture(name), []).certificates;
}

describe('certificates', () => {
  test('say what OpenSSL says', () => {
    const found = [...certificates('ca.pem'), ...certificates('certificate.pem')];
    const theirs = expected<Expected[]>('certificates');
    expect(
      found.map(certificate => ({
        subject: certificate.subject.text,
        issuer: certificate.issuer.text,
        serial: certificate.serial,
        fingerprint: certificate.fingerprint,
        not_before: certificate.notBeforeAt / 1000,
        not_after: certificate.notAfterAt / 1000,
      })),
    ).toEqual(
      theirs.map(({ subject, issuer, serial, fingerprint, not_before, not_after }) => ({
        subject,
        issuer,
        serial,
        fingerprint,
        not_before,
        not_after,
      })),
    );
  });

  test('keys, names and extensions of an agent', () => {
    const [agent] = certificates('certificate.pem');
    expect(agent).toMatchObject({
      subject: { commonName: 'agent.example' },
      key: { type: 'RSA', bits: 2048, curve: null },
      signatureAlgorithm: 'ECDSA-SHA256',
      alternativeNames: ['DNS:agent.example', 'DNS:alias.example', 'IP:192.0.2.1', 'IP:2001:db8:0:0:0:0:0:1'],
      authority: false,
    });
    const shown = agent!.extensions.map(extension => [extension.name ?? extension.oid, extension.value, extension.critical]);
    expect(shown).toContainEqual(['pp_role', 'wéb', false]);
    expect(shown).toContainEqual(['1.3.6.1.4.1.34380.1.2.1.1', 'private value', false]);
    expect(shown).toContainEqual(['pp_cli_auth', 'true', false]);
    expect(shown).toContainEqual(['nsComment', 'Puppet Server Internal Certificate', false]);
    expect(shown).toContainEqual(['basicConstraints', 'CA:FALSE', true]);
    expect(shown).toContainEqual(['extendedKeyUsage', 'serverAuth, clientAuth', true]);
    expect(shown).toContainEqual(['keyUsage', 'digitalSignature, keyEncipherment', true]);
    const keyId = /X509v3 Subject Key Identifier:\s+([0-9A-F:]+)/.exec(openssl('x509', fixture('ca.pem'), '-text'))![1];
    expect(shown).toContainEqual(['authorityKeyIdentifier', `keyid:${keyId}`, false]);
  });

  test('an authority is told from a leaf, an EC key from an RSA key', () => {
    const [intermediate, root] = certificates('ca.pem');
    expect(intermediate).toMatchObject({ authority: true, key: { type: 'EC', bits: 384, curve: 'secp384r1' } });
    expect(root).toMatchObject({ authority: true, key: { type: 'RSA', bits: 2048 } });
    expect(root!.subject.text).toBe('CN=Root CA: primary.example,O=Example\\, Inc.');
  });

  test('the fingerprint of the key is that of its SubjectPublicKeyInfo', () => {
    const spki = new X509Certificate(fixture('certificate.pem')).publicKey.export({ type: 'spki', format: 'der' });
    const digest = execFileSync('openssl', ['dgst', '-sha256', '-r'], { input: spki, encoding: 'utf8' }).slice(0, 64);
    expect(certificates('certificate.pem')[0]!.key.sha256).toBe(digest);
  });
});

describe('the phases of the CA', () => {
  test('ca: both sides', () => {
    const decoded = decodeAs('ca', { target: CA, response: fixture('ca.pem'), primaryResponse: fixture('certificate.pem') });
    expect(value(decoded.response).certificates.map(({ subject }) => subject.commonName)).toEqual([
      'Intermediate CA: primary.example',
      'Root CA: primary.example',
    ]);
    expect(value(decoded.primaryResponse).certificates.length).toBe(1);
    expect(decoded.responseBody).toMatchObject({ value: { format: 'pem' } });
  });

  test('crl: revoked serials, dates and reasons as OpenSSL prints them', () => {
    const { crls } = value(decodeAs('crl', { target: CRL, response: fixture('crl.pem') }).response);
    expect(crls.length).toBe(2);
    const revokedAt = Date.UTC(2024, 1, 3, 4, 5, 6);
    expect(crls[0]).toMatchObject({
      issuer: { commonName: 'Intermediate CA: primary.example' },
      thisUpdateAt: Date.UTC(2024, 0, 1),
      nextUpdateAt: Date.UTC(2029, 0, 1),
      number: '300',
      revoked: [
        { serial: '0F00BA', revokedAt, reason: 'keyCompromise' },
        { serial: 'FFFFFFFFFFFFFFFF', revokedAt, reason: null },
      ],
    });
    const text = openssl('crl', fixture('crl.pem'), '-text', '-fingerprint', '-sha256');
    expect(text).toContain('Serial Number: 0F00BA');
    expect(text).toContain('Serial Number: FFFFFFFFFFFFFFFF');
    expect(text.toUpperCase()).toContain(`FINGERPRINT=${crls[0]!.fingerprint}`);
  });

  test('certificate: whether both are for one key', () => {
    const same = { target: NAME, response: fixture('certificate.pem'), primaryResponse: fixture('certificate.pem') };
    expect(decodeAs('certificate', same).sameKey).toBe(true);
    expect(decodeAs('certificate', { ...same, primaryResponse: fixture('certificate-other-key.pem') }).sameKey).toBe(false);
    expect(decodeAs('certificate', { ...same, primaryResponse: null }).sameKey).toBeNull();
  });

  test('a broken block of a bundle is a note, the others are read', () => {
    const pem = Buffer.from(fixture('ca.pem')).toString('latin1');
    const broken = pem.replace(/(-----BEGIN CERTIFICATE-----\n)..../, '$1AAAA').concat('-----BEGIN CERTIFICATE-----\nMIIB');
    const { response } = decodeAs('ca', { target: CA, response: Buffer.from(broken, 'latin1') });
    expect(value(response).certificates.length).toBe(1);
    expect(response).toMatchObject({
      notes: ['the PEM block CERTIFICATE has no end', expect.stringMatching(/^PEM block 1 \(CERTIFICATE\): /)],
    });
  });

  test('a private key in a bundle is named and never read', () => {
    const key = '-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAK\n-----END RSA PRIVATE KEY-----\n';
    const { response } = decodeAs('ca', { target: CA, response: Buffer.concat([Buffer.from(key), fixture('ca.pem')]) });
    expect(value(response).certificates.length).toBe(2);
    expect(JSON.stringify(response)).not.toContain('MIIBOgIBAAJBAK');
    expect(response).toMatchObject({ notes: ['a RSA PRIVATE KEY, not shown'] });
    expect(splitPem(Buffer.from(key), [])).toEqual([{ label: 'RSA PRIVATE KEY', der: null }]);
  });

  test('what holds no PEM is an error', () => {
    expect(reason(decodeAs('ca', { target: CA, response: Buffer.from('hello') }).response)).toBe('no PEM block');
  });
});

describe('requests for certificates', () => {
  const TARGET = '/puppet-ca/v1/certificate_request/agent.example';

  test.each([
    ['csr-rsa', { type: 'RSA', bits: 2048, curve: null }, 'RSA-SHA256'],
    ['csr-ec', { type: 'EC', bits: 256, curve: 'prime256v1' }, 'ECDSA-SHA256'],
  ])('%s says what Puppet says', (name, key, signatureAlgorithm) => {
    const theirs = expected<{ fingerprint: string; names: string[]; extensions: { oid: string; value: string }[] }>(name);
    const decoded = decodeAs('csr', {
      method: 'PUT',
      target: TARGET,
      request: fixture(`${name}.pem`),
      primaryRequest: fixture('csr-rsa.pem'),
    });
    const csr = value(decoded.request);
    expect(csr).toMatchObject({
      subject: { text: 'CN=agent.example', commonName: 'agent.example' },
      key,
      signatureAlgorithm,
      signatureValid: true,
      fingerprint: theirs.fingerprint,
      challengePassword: true,
      attributes: [{ oid: '1.3.6.1.4.1.34380.1.2.1', name: null, value: 'custom attribute' }],
    });
    expect([...csr.alternativeNames].sort()).toEqual(theirs.names.map(text => text.replace('IP Address', 'IP')).sort());
    const shown = csr.extensions
      .filter(({ oid }) => oid.startsWith('1.3.6.1.4.1.34380'))
      .map(({ oid, name: short, value: text }) => [short ?? oid, text]);
    expect(shown).toEqual([
      ['pp_role', 'web'],
      ['pp_uuid', 'ED803750'],
      ['pp_auth_role', 'auth'],
      ['1.3.6.1.4.1.34380.1.2.7', 'private'],
    ]);
    expect(openssl('req', fixture(`${name}.pem`), '-verify', '-pubkey')).toContain('PUBLIC KEY');
    expect(value(decoded.primaryRequest).key.type).toBe('RSA');
  });

  test('the challenge password itself is nowhere', () => {
    const csr = decodeCsr(fixture('csr-rsa.pem'), []);
    expect(JSON.stringify(csr)).not.toContain('autosign-secret');
    expect(JSON.stringify(csr)).not.toContain(Buffer.from('autosign-secret').toString('hex'));
  });

  test('a request that was tampered with has no valid signature', () => {
    const [block] = splitPem(fixture('csr-rsa.pem'), []);
    const der = Buffer.from(block!.der!);
    der[der.indexOf('agent.example')] = 0x62;
    const pem = `-----BEGIN NEW CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END NEW CERTIFICATE REQUEST-----\n`;
    expect(decodeCsr(Buffer.from(pem), [])).toMatchObject({ subject: { commonName: 'bgent.example' }, signatureValid: false });
  });
});

describe('DER', () => {
  test.each([
    ['2a8648ce3d040302', '1.2.840.10045.4.3.2'],
    ['55040a', '2.5.4.10'],
    ['883703', '2.999.3'],
    ['00', '0.0'],
    ['7f', '2.47'],
  ])('%s is the OID %s', (hex, dotted) => {
    const content = Buffer.from(hex, 'hex');
    expect(oidOf(readDer(Buffer.concat([Buffer.of(6, content.length), content])), 'it')).toBe(dotted);
  });

  test.each([
    ['', 'DER ends early'],
    ['30', 'DER ends early'],
    ['3080', 'DER of indefinite length'],
    ['308500', 'DER length of more than 4 bytes'],
    ['3084ffffffff', 'DER claims 4294967295 bytes, 0 are left'],
    ['1f8100', 'DER with a tag number over 30'],
  ])('%s is refused', (hex, why) => {
    expect(() => readDer(Buffer.from(hex, 'hex'))).toThrow(why);
  });
});
