import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deriveCsr, generateKeyLike, keyMaker, readCsr } from '../../src/pki/csr.ts';
import { encode, integer, oid, sequence, setOf, tagged, utf8, verbatim } from '../../src/pki/der.ts';
import { PkiError } from '../../src/pki/error.ts';
import { toPem } from '../../src/pki/pem.ts';
import { commonName, signed } from '../../src/pki/x509.ts';
import { agentCsr, openssl, PUPPET_ATTRIBUTES, refusal, sharedDir, write } from './rig.ts';

/** Made by Puppet 7.23 (Puppet::SSL::CertificateRequest) with csr_attributes and dns_alt_names. */
const PUPPET_CSR = `-----BEGIN CERTIFICATE REQUEST-----
MIIC8DCCAdgCAQAwETEPMA0GA1UEAwwGeDEubGFiMIIBIjANBgkqhkiG9w0BAQEF
AAOCAQ8AMIIBCgKCAQEAsisjpILuY+tZOomJWh4pLG8Lnzt3K+vHk3IVM3ju1qXq
IBBG0zagsk/EK8jjYOo8R1S8F0jLGcTlbaxFjtynEJkmGqfjhv4bqwEqa+7KkxfL
vVxbBlnhhar9iF6SrtXGMBzJdC9yFa0bHBEDvzjADnjQCAO2+Z4WsBsrADf0D9D4
acPBUtcZnqRzwm/F12Gl8xZ0rLNYWCEthY0bgAkWrl3+cpYUs1LpGC7bLNc7X6Bi
4ZSPP+a0dhMpHkBf0hbSaqqreviJGIJjH9WH1YsCYiHfRQLGioIcN6ObayekjeNj
wcqvss65etLOSA1G9cYwdsXa1Np7JW9vRSmaVk+xHQIDAQABoIGZMBgGDCsGAQQB
goxMAQIBATEIEwZjdXN0b20wGgYJKoZIhvcNAQkHMQ0TC2EtY2hhbGxlbmdlMGEG
CSqGSIb3DQEJDjFUMFIwFAYLKwYBBAGCjEwBAQ0EBQwDd2ViMBkGCysGAQQBgoxM
AQEBBAoMCEVEODAzNzUwMB8GA1UdEQQYMBaCBnB1cHBldIIGeDEubGFihwQKAAAB
MA0GCSqGSIb3DQEBCwUAA4IBAQApimxzM4mCL2/ua7a9EoXix/sKjNrsZfGo0Y1m
8VVdcKn9JI83i6PdfGguJM/tAlEZYHL8sfQGcYfcM1gYDDW0gW9dpUqiC7jKD/Ec
Fi2R5hgvIXheznnzHgV9xQUo+9f9mt4+OKgU3EXIvKUcwACCM0PMXoU5GqzpjoDu
redlpDVPXAlYDYQcWPnIyLTkGo1QzBLzbOzpN1AHPOqqT7IJBnk4baH9GhQa5BR9
wJfTZPU+B17cqxV55M3uoizQeOXMel8+IZlQhIkJyOgOkjkGWNltDCoix+fmpENR
me+/DSWwjFWzMPaIM3I6pdKq/bksLWm5ONR0QmHx7KdGGu4W
-----END CERTIFICATE REQUEST-----
`;
/** What Puppet::SSL::Digest printed for it. */
const PUPPET_FINGERPRINT = 'D9:20:74:0A:DA:B4:B3:03:B8:8E:82:2D:B6:60:67:D2:ED:47:ED:86:0B:D3:30:DD:2D:45:AE:90:05:7C:EE:C2';

let dir: string;
beforeAll(() => {
  dir = sharedDir();
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const text = (pem: string): string => openssl('req', '-noout', '-text', '-verify', '-in', write(dir, 'x.csr', pem));
/** Attributes and extensions as openssl prints them: all between the key and the signature. */
const attributes = (pem: string): string => /Attributes:.*?Signature Algorithm/s.exec(text(pem))![0];

describe('reading', () => {
  test('a CSR that Puppet made: name, fingerprint, attributes, extension requests', () => {
    const csr = readCsr(PUPPET_CSR);
    expect(csr).toMatchObject({ commonName: 'x1.lab', signatureValid: true, fingerprint: PUPPET_FINGERPRINT });
    expect(csr.attributes.map(({ oid }) => oid)).toEqual([
      '1.3.6.1.4.1.34380.1.2.1.1',
      '1.2.840.113549.1.9.7',
      '1.2.840.113549.1.9.14',
    ]);
    expect(csr.extensions.map(({ oid, value }) => [oid, value.subarray(2).toString()])).toEqual([
      ['1.3.6.1.4.1.34380.1.1.13', 'web'],
      ['1.3.6.1.4.1.34380.1.1.1', 'ED803750'],
      ['2.5.29.17', expect.stringContaining('puppet')],
    ]);
  });

  test.each(['rsa', 'ec', 'p384'] as const)('one with a %s key', type => {
    const agent = agentCsr(dir, '/CN=agent.lab', type);
    const csr = readCsr(agent.csrPem);
    expect(csr).toMatchObject({ commonName: 'agent.lab', signatureValid: true });
    expect(csr.publicKey.equals(createPublicKey(agent.keyPem))).toBe(true);
  });

  test('a changed byte makes the signature invalid, or the request unreadable', () => {
    const { der } = readCsr(PUPPET_CSR);
    for (let at = 0; at < der.length; at += 7) {
      const changed = Buffer.from(der);
      changed[at]! ^= 0x01;
      let valid = false;
      try {
        valid = readCsr(toPem('CERTIFICATE REQUEST', changed)).signatureValid;
      } catch (error) {
        expect(error).toBeInstanceOf(PkiError);
      }
      // The one byte that may differ: NULL parameters and the like in the outer AlgorithmIdentifier are not signed.
      expect(valid, `byte ${at}`).toBe(false);
    }
  });

  test('cut off anywhere, it is garbage and nothing else', () => {
    const { der } = readCsr(PUPPET_CSR);
    for (let length = 0; length < der.length; length += 11) {
      expect(() => readCsr(toPem('CERTIFICATE REQUEST', der.subarray(0, length)))).toThrow(PkiError);
    }
  });

  test.each([
    ['nothing', ''],
    ['a certificate', toPem('CERTIFICATE', Buffer.from('3000', 'hex'))],
    ['no Base64', '-----BEGIN CERTIFICATE REQUEST-----\n*****\n-----END CERTIFICATE REQUEST-----'],
    ['over 64 KiB', PUPPET_CSR + ' '.repeat(64 * 1024)],
    ['indefinite length', toPem('CERTIFICATE REQUEST', Buffer.from('30803000000000', 'hex'))],
    ['a length of 4 GB', toPem('CERTIFICATE REQUEST', Buffer.from('3084ffffffff00', 'hex'))],
    ['an overlong length', toPem('CERTIFICATE REQUEST', Buffer.from('3081020500', 'hex'))],
  ])('%s is refused', (_, pem) => {
    expect(() => readCsr(pem)).toThrow(PkiError);
  });
});

describe('the common name', () => {
  /** A CSR with a Name of one's own; `parts` are the bytes of its RDNs. */
  function withName(...rdns: ReadonlyArray<readonly [type: string, value: Parameters<typeof setOf>[0]]>[]): string | null {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const name = sequence(...rdns.map(rdn => setOf(...rdn.map(([type, value]) => sequence(oid(type), value)))));
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    const info = sequence(integer(Buffer.from([0])), name, verbatim(spki), tagged(0));
    const csr = readCsr(toPem('CERTIFICATE REQUEST', signed(encode(info), privateKey)));
    expect(csr.signatureValid).toBe(true);
    return csr.commonName;
  }
  const CN = '2.5.4.3';
  const O = '2.5.4.10';
  const string = (type: number, text: Buffer) => ({ ...utf8(text.toString('latin1')), type, value: text.toString('latin1') });

  test('is read when there is one, with other RDNs beside it', () => {
    expect(withName([[CN, utf8('a.lab')]])).toBe('a.lab');
    expect(withName([[O, utf8('Example')]], [[CN, utf8('a.lab')]])).toBe('a.lab');
    expect(withName([[CN, string(19, Buffer.from('a.lab'))]])).toBe('a.lab');
  });

  test('is none when there are several, when it is in a multi-valued RDN, or of a type that is read in more ways than one', () => {
    expect(withName([[CN, utf8('a.lab')]], [[CN, utf8('b.lab')]])).toBeNull();
    expect(withName([[CN, utf8('a.lab')]], [[CN, utf8('a.lab')]])).toBeNull();
    expect(
      withName([
        [CN, utf8('a.lab')],
        [O, utf8('Example')],
      ]),
    ).toBeNull();
    expect(
      withName([
        [CN, utf8('a.lab')],
        [CN, utf8('b.lab')],
      ]),
    ).toBeNull();
    expect(withName([[O, utf8('Example')]])).toBeNull();
    expect(withName()).toBeNull();
    for (const type of [20, 22, 28]) expect(withName([[CN, string(type, Buffer.from('a.lab'))]])).toBeNull(); // T61, IA5, Universal
    expect(withName([[CN, sequence(utf8('a.lab'))]])).toBeNull();
  });

  test('keeps what a comparison must see: NUL, blanks, case', () => {
    for (const text of ['a.lab\0.evil', ' a.lab', 'A.lab', '../a', '']) expect(withName([[CN, utf8(text)]])).toBe(text);
  });
});

describe("our CSR in the place of an agent's", () => {
  test.each([
    ['one that Puppet made', () => PUPPET_CSR],
    ['RSA', () => agentCsr(dir, '/CN=agent.lab', 'rsa', PUPPET_ATTRIBUTES).csrPem],
    ['EC', () => agentCsr(dir, '/CN=agent.lab', 'ec', PUPPET_ATTRIBUTES).csrPem],
    ['P-384, no attributes', () => agentCsr(dir, '/CN=agent.lab', 'p384').csrPem],
    ['several RDNs', () => agentCsr(dir, '/O=Exämple/CN=agent.lab', 'ec').csrPem],
  ])('%s: the same subject and attributes, another key, a valid signature', async (_, make) => {
    const agent = readCsr(make());
    const key = await generateKeyLike(agent.publicKey);
    const pem = deriveCsr(agent, key);
    const ours = readCsr(pem);
    expect(ours.subject).toEqual(agent.subject);
    expect(ours.attributesDer).toEqual(agent.attributesDer);
    expect(ours.publicKey.equals(key.publicKey)).toBe(true);
    expect(ours.publicKey.equals(agent.publicKey)).toBe(false);
    expect(ours.signatureValid).toBe(true);
    expect(text(pem)).toContain('verify OK');
    expect(attributes(pem)).toBe(attributes(toPem('CERTIFICATE REQUEST', agent.der)));
  });

  test("carries challenge password, custom attributes and extension requests for the primary's policy", async () => {
    const agent = readCsr(PUPPET_CSR);
    const shown = attributes(deriveCsr(agent, await generateKeyLike(agent.publicKey)));
    expect(shown).toMatch(/challengePassword\s*:a-challenge/);
    expect(shown).toContain('1.3.6.1.4.1.34380.1.2.1.1:custom');
    expect(shown).toContain('..ED803750');
    expect(shown).toContain('DNS:puppet, DNS:x1.lab, IP Address:10.0.0.1');
  });
});

describe('keys', () => {
  test("are of the agent's kind", async () => {
    for (const [type, expected] of [
      ['rsa', { modulusLength: 2048, publicExponent: 65537n }],
      ['ec', { namedCurve: 'prime256v1' }],
      ['p384', { namedCurve: 'secp384r1' }],
    ] as const) {
      const { publicKey } = readCsr(agentCsr(dir, '/CN=a', type).csrPem);
      expect((await generateKeyLike(publicKey)).publicKey.asymmetricKeyDetails).toEqual(expected);
    }
  });

  test('of other kinds are refused', async () => {
    await expect(generateKeyLike(generateKeyPairSync('ed25519').publicKey)).rejects.toThrow('an agent key of the type ed25519');
  });

  test('are made one at a time, and who comes to a long queue is told so', async () => {
    const make = keyMaker();
    const { publicKey } = readCsr(agentCsr(dir, '/CN=a', 'ec').csrPem);
    const results = await Promise.allSettled(Array.from({ length: 305 }, () => make(publicKey)));
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(5);
    expect(results.at(-1)).toMatchObject({ reason: { name: 'PkiError', message: 'too many certificate requests at once' } });
    await expect(make(publicKey)).resolves.toHaveProperty('privateKey');
  });

  test('one is in stock after the first, and none is given twice', async () => {
    const make = keyMaker();
    const { publicKey } = readCsr(PUPPET_CSR);
    const keys = await Promise.all([make(publicKey), make(publicKey), make(publicKey)]);
    const spkis = keys.map(key => key.publicKey.export({ type: 'spki', format: 'der' }).toString('hex'));
    expect(new Set(spkis).size).toBe(3);
    // Given time, the next one is there at once: before a timer of 5 ms, which is far less than making one takes.
    const asked = async (): Promise<unknown> => {
      await new Promise(resolve => setTimeout(resolve, 1000));
      return Promise.race([make(publicKey), new Promise(resolve => setTimeout(resolve, 5, 'late'))]);
    };
    await expect.poll(asked, { timeout: 20_000, interval: 1 }).toHaveProperty('privateKey');
  });
});

test('a malformed request says what is wrong in plain words', () => {
  expect(refusal(() => readCsr('x')).message).toBe('there is no certificate request in PEM');
  const noKey = sequence(sequence(integer(Buffer.from([0])), verbatim(commonName('a')), sequence()), sequence());
  expect(refusal(() => readCsr(toPem('CERTIFICATE REQUEST', encode(noKey)))).message).toBe(
    'a public key that OpenSSL cannot read',
  );
});
