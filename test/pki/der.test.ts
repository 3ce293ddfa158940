import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { readCrl, signCrl } from '../../src/pki/crl.ts';
import { readCsr } from '../../src/pki/csr.ts';
import {
  children,
  element,
  elements,
  encode,
  integer,
  oid,
  oidText,
  plainSerial,
  sequence,
  serialText,
  time,
  timeOf,
  verbatim,
} from '../../src/pki/der.ts';
import { PkiError } from '../../src/pki/error.ts';
import { isEncryptedKey, pemBlocks, toPem } from '../../src/pki/pem.ts';
import {
  basicConstraints,
  commonName,
  commonNameOf,
  readCertificate,
  signCertificate,
  subjectAltName,
} from '../../src/pki/x509.ts';
import { fc } from '../rig/properties.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

describe('DER', () => {
  test.each([
    ['nothing', ''],
    ['a tag alone', '30'],
    ['cut off', '300501'],
    ['bytes after the end', '300000'],
    ['indefinite length', '30800000'],
    ['a long form that is not needed', '30810100'],
    ['a long form with a zero in front', `30820080${'00'.repeat(128)}`],
    ['a length of five bytes', '30850000000001ff'],
    ['a tag number over 30', '3f810100'],
  ])('%s is refused', (_, bytes) => {
    expect(() => element(hex(bytes), 0x30)).toThrow(PkiError);
  });

  test('what was read is written again byte for byte', () => {
    const inner = sequence(oid('1.3.6.1.4.1.34380.1.1.1'), integer(Buffer.from('80ff', 'hex')), sequence());
    const der = encode(sequence(inner, verbatim(encode(inner)), sequence(verbatim(encode(sequence(inner))))));
    expect(encode(verbatim(der))).toEqual(der);
    expect(children(element(der, 0x30))).toHaveLength(3);
    const long = encode(sequence(...Array.from({ length: 20_000 }, () => sequence())));
    expect(encode(sequence(verbatim(long))).subarray(-long.length)).toEqual(long);
    expect([...elements(element(long, 0x30).body)]).toHaveLength(20_000);
  });

  test.each(['1.2.840.113549.1.9.7', '1.3.6.1.4.1.34380.1.2.1.1', '2.5.4.3', '2.999.1', '0.9.2342', '1.39.0', '2.5.4294967295'])(
    'OID %s',
    text => {
      expect(oidText(element(encode(oid(text)), 6))).toBe(text);
    },
  );

  test('an OID of 64 kB, one that ends inside an arc, and an empty one are refused', () => {
    for (const body of [Buffer.alloc(65_000, 0x81), Buffer.from([0x2a, 0x81]), Buffer.alloc(0)]) {
      expect(() => oidText({ tag: 6, der: body, body })).toThrow(PkiError);
    }
  });

  test('integers are positive and as short as can be', () => {
    expect(encode(integer(hex('00')))).toEqual(hex('020100'));
    expect(encode(integer(hex('7f')))).toEqual(hex('02017f'));
    expect(encode(integer(hex('80')))).toEqual(hex('02020080'));
    expect(encode(integer(hex('0180')))).toEqual(hex('02020180'));
  });

  test('times on both sides of 2050, to the second', () => {
    for (const text of [
      '1999-12-31T23:59:59Z',
      '2026-02-28T01:02:03Z',
      '2049-12-31T23:59:59Z',
      '2050-01-01T00:00:00Z',
      '2099-06-01T00:00:00Z',
    ]) {
      const der = encode(time(Date.parse(text)));
      expect(der[0]).toBe(text < '2050' ? 0x17 : 0x18);
      expect(timeOf(element(der, der[0]!))).toBe(Date.parse(text));
    }
    for (const [tag, text] of [
      [0x17, '2602290000Z'],
      [0x17, '261301000000Z'],
      [0x17, '260101000000+0100'],
      [0x18, '20500101000000.5Z'],
      [0x16, '260101000000Z'],
    ] as const) {
      const body = Buffer.from(text);
      expect(() => timeOf({ tag, der: body, body }), text).toThrow(PkiError);
    }
  });

  test('an INTEGER of no bytes is refused', () => {
    expect(() => serialText(element(hex('0200'), 2))).toThrow(PkiError);
  });

  test('serials compare whatever their zeros and case', () => {
    expect(plainSerial('00ab')).toBe('AB');
    expect(plainSerial('0aB')).toBe('AB');
    expect(plainSerial('0000A')).toBe('0A');
    expect(plainSerial('00')).toBe('00');
  });
});

describe('hostile bytes', () => {
  const readers: ReadonlyArray<(der: Buffer) => unknown> = [
    readCertificate,
    readCrl,
    der => readCsr(toPem('CERTIFICATE REQUEST', der)),
    commonNameOf,
  ];
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const name = commonName('a.lab');
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const real: readonly Buffer[] = [
    signCertificate(
      {
        serial: hex('4201'),
        issuer: name,
        subject: name,
        notBefore: 0,
        notAfter: 1e12,
        spki,
        extensions: [basicConstraints(true), subjectAltName(['a.lab', '::1'])],
      },
      privateKey,
    ),
    signCrl(
      { issuer: name, issuerKey: hex('00'), thisUpdate: 0, nextUpdate: 1e12, number: 7, revoked: [{ serial: '4201', at: 0 }] },
      privateKey,
    ),
  ].map(pem => pemBlocks(pem)[0]!.der);

  /** Reads with all readers; anything but a value or a PkiError fails the test. */
  function readAll(der: Buffer): void {
    for (const read of readers) {
      try {
        read(der);
      } catch (error) {
        if (!(error instanceof PkiError)) throw error;
      }
    }
  }

  test('at random are refused with a PkiError', () => {
    const der = fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes));
    const framed = der.map(body => Buffer.concat([hex('3082'), Buffer.from([body.length >> 8, body.length & 255]), body]));
    fc.assert(fc.property(fc.oneof(der, framed), readAll), { numRuns: 300 });
  });

  test('real ones with some changed, or cut off, are read or refused with a PkiError', () => {
    for (const der of real) {
      const changes = fc.array(fc.tuple(fc.nat(der.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
      const property = fc.property(changes, fc.nat(der.length), (list, length) => {
        const changed = Buffer.from(der);
        for (const [at, value] of list) changed[at] = value;
        readAll(changed);
        readAll(changed.subarray(0, length));
      });
      fc.assert(property, { numRuns: 500 });
    }
    expect(readCertificate(real[0]!).serial).toBe('4201');
    expect(readCrl(real[1]!)).toMatchObject({ number: 7n, revoked: new Set(['4201']), partial: false });
  });

  test('nested deep, or of many empty values, cost no more than their length', () => {
    let deep = hex('3000');
    while (deep.length < 60_000) deep = Buffer.concat([hex('3082'), Buffer.from([deep.length >> 8, deep.length & 255]), deep]);
    const wide = encode(sequence(...Array.from({ length: 30_000 }, () => sequence())));
    const start = performance.now();
    for (const der of [deep, wide]) for (const read of readers) expect(() => read(der)).toThrow(PkiError);
    pemBlocks('-----BEGIN CERTIFICATE-----'.repeat(100_000));
    pemBlocks(`-----BEGIN CERTIFICATE-----\n${'A'.repeat(1_000_000)}`);
    expect(performance.now() - start).toBeLessThan(20_000);
  });

  test('more PEM blocks than any bundle has are refused', () => {
    expect(() => pemBlocks(toPem('X509 CRL', hex('3000')).repeat(1001))).toThrow('over 1000 PEM blocks');
  });
});

test('encrypted keys are told apart in both forms', () => {
  expect(isEncryptedKey('-----BEGIN ENCRYPTED PRIVATE KEY-----')).toBe(true);
  expect(isEncryptedKey('-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00')).toBe(true);
  expect(isEncryptedKey('-----BEGIN PRIVATE KEY-----')).toBe(false);
});
