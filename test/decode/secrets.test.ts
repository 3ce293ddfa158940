import { describe, expect, test } from 'vitest';
import { decodeCsr } from '../../src/decode/csr.ts';
import type { Data } from '../../src/decode/data.ts';
import { dataJson } from '../../src/decode/data-json.ts';
import { bodyOf } from '../../src/decode/format.ts';
import { DEFAULT_LIMITS } from '../../src/decode/limits.ts';
import { hideInBody } from '../../src/decode/secret-bodies.ts';
import {
  createHiding,
  hideInData,
  hideInFields,
  hideInTarget,
  hideInText,
  isSecretName,
  knownPattern,
  mayHoldSecrets,
  secretsIn,
} from '../../src/decode/secrets.ts';
import { fc } from '../rig/properties.ts';
import { contentType, fixture } from './rig.ts';

const hide = (data: Data): unknown => JSON.parse(dataJson(hideInData(data, createHiding())));

describe('names that hold secrets', () => {
  test.each([
    'password',
    'db_password',
    'rootPassword',
    'mysql::root_pw',
    'api_key',
    'apiKey',
    'AUTH_TOKEN',
    'passwords',
    'client.secret',
    'pp_preshared_key',
    'password_hash',
    'salt',
  ])('%s', name => expect(isSecretName(name)).toBe(true));
  test.each([
    'password_max_age',
    'token_file',
    'key',
    'path',
    'bypass',
    'passenger',
    'compass',
    'tokenizer',
    'secretary',
    'monkey',
    'public_key',
    'keyword',
  ])('not %s', name => expect(isSecretName(name)).toBe(false));
  test('a hostile name costs nothing', () => {
    expect(isSecretName(`${'password_'.repeat(100_000)}x`)).toBe(false);
  });
});

describe('data', () => {
  test('a resource: what it calls sensitive, what is Sensitive, what is named so, wherever it is', () => {
    const resource = {
      type: 'User',
      title: 'app',
      parameters: {
        password: '$6$hash',
        content: 'whole file',
        uid: 1000,
        options: { nested: [{ api_key: 'k-12345' }], plain: 'x' },
        pin: { __ptype: 'Sensitive', __pvalue: 4711 },
        older: { __pcore_type__: 'Sensitive', __pcore_value__: 'of Puppet 5' },
        pass: 2,
        purge_ssh_keys: true,
      },
      sensitive_parameters: ['content'],
    };
    expect(hide(resource)).toEqual({
      ...resource,
      parameters: {
        password: '(hidden)',
        content: '(sensitive)',
        uid: 1000,
        options: { nested: [{ api_key: '(hidden)' }], plain: 'x' },
        pin: '(sensitive)',
        older: '(sensitive)',
        pass: 2,
        purge_ssh_keys: true,
      },
    });
    expect(secretsIn({ parameters: { o: { a: ['in a list'] } }, sensitive_parameters: ['o'] })).toContain('in a list');
    expect(secretsIn(resource).sort()).toEqual(['$6$hash', '4711', 'k-12345', 'of Puppet 5', 'whole file']);
  });

  test('events, log lines, facts and extensions of secret names', () => {
    expect(
      hide({ property: 'password', previous_value: 'a1', desired_value: 'b2', message: 'a1 to b2', status: 'success' }),
    ).toEqual({
      property: 'password',
      previous_value: '(hidden)',
      desired_value: '(hidden)',
      message: '(hidden)',
      status: 'success',
    });
    expect(hide({ source: '/Stage[main]/User[x]/password', message: 'changed x', level: 'notice' })).toMatchObject({
      message: '(hidden)',
    });
    expect(hide({ path: 'app.token.prod', type: 'String', value: 'abc' })).toMatchObject({ value: '(hidden)' });
    expect(hide({ oid: '1.3.6.1.4.1.34380.1.1.4', name: 'pp_preshared_key', value: 'abc' })).toMatchObject({ value: '(hidden)' });
  });

  test('keys of prototypes are keys', () => {
    const data = JSON.parse('{"__proto__":{"password":"x"},"constructor":1}') as Data;
    expect(dataJson(hideInData(data, createHiding()))).toBe('{"__proto__":{"password":"(hidden)"},"constructor":1}');
  });

  test('where a resource holds a secret, its JSON says so', () => {
    const names = fc.constantFrom(
      'apiKey',
      'db_PW',
      'x',
      'auth_string',
      'pwdhash',
      'api_\u212aey',
      'Salt',
      'my.Passwords',
      'tokens',
      'credential',
    );
    const value = fc.oneof(
      fc.string({ minLength: 8 }),
      fc.constant('ftp://a:b@c'),
      fc.constant({ __ptype: 'Sensitive', __pvalue: 's3' }),
    );
    const leaf = fc.dictionary(fc.oneof(names, fc.string()), fc.oneof(value, fc.dictionary(names, value)));
    let held = 0;
    fc.assert(
      fc.property(leaf, data => {
        const found = secretsIn(data as Data);
        held += found.length;
        expect(found.length === 0 || mayHoldSecrets(dataJson(data as Data))).toBe(true);
      }),
    );
    expect(held).toBeGreaterThan(50);
    expect(mayHoldSecrets('{"ensure":"file","owner":"root","mode":"0644"}')).toBe(false);
  });

  test('what is not a secret stays as it is, whatever it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        const hiding = createHiding();
        const shown = dataJson(hideInData(value as Data, hiding));
        if (hiding.count === 0) expect(JSON.parse(shown)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

describe('text', () => {
  const text = (value: string, known: RegExp | null = null): string => hideInText(value, createHiding(known));

  test('private keys, eyaml, passwords in URLs, what is known', () => {
    const key = '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----';
    expect(text(`a\n${key}\nb`)).toBe('a\n(private key)\nb');
    expect(text('x: ENC[PKCS7,MIIBeQYJKoZIhvcNAQcDoIIBajCC\n AWYCAQAx=] y')).toBe('x: (hidden) y');
    expect(text('see https://bob:hunter2@git.example/x')).toBe('see https://bob:(hidden)@git.example/x');
    expect(text('it is correct horse, really', knownPattern(['correct horse', 'it']))).toBe('it is (hidden), really');
  });

  test('targets and fields', () => {
    expect(hideInTarget('/a?token=abc&environment=p', createHiding())).toBe('/a?token=(hidden)&environment=p');
    const known = (target: string) => hideInTarget(target, createHiding(knownPattern(['cor rect/horse', 'c=mc squared'])));
    expect(known('/a/cor%20rect%2Fhorse/b?x=cor+rect/horse&cor%20rect%2fhorse&c=mc squared&d=1%2B1')).toBe(
      '/a/(hidden)/b?x=(hidden)&(hidden)&(hidden)&d=1%2B1',
    );
    expect(
      hideInFields(
        [
          ['Authorization', 'Basic x'],
          ['X-Api-Key', 'k'],
          ['Accept', '*/*'],
        ],
        createHiding(),
      ),
    ).toEqual([
      ['Authorization', '(hidden)'],
      ['X-Api-Key', '(hidden)'],
      ['Accept', '*/*'],
    ]);
  });

  test('searching is linear', () => {
    const started = performance.now();
    for (const part of ['-----BEGIN PRIVATE KEY-----', 'ENC[A,', 'a://', 'https://u:']) text(part.repeat(50_000));
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe('bodies', () => {
  const shown = (name: string, type: string): ReturnType<typeof hideInBody> =>
    hideInBody(bodyOf(fixture(name), contentType(type), DEFAULT_LIMITS), createHiding(), DEFAULT_LIMITS);

  test.each([
    ['catalog.rich.json', 'application/vnd.puppet.rich+json'],
    ['catalog.rich.msgpack', 'application/vnd.puppet.rich+msgpack'],
  ])('%s: the Sensitive value is gone, the rest is there as JSON', (name, type) => {
    const body = shown(name, type);
    if (body.type !== 'changed') throw new Error(body.type);
    const text = Buffer.from(body.bytes).toString();
    expect(text).not.toContain('s3cret');
    expect(JSON.parse(text)).toMatchObject({ name: 'agent.example' });
  });

  test('a body without a secret stays byte for byte', () => {
    expect(shown('file_metadatas.json', 'application/json')).toEqual({ type: 'same' });
    expect(shown('catalog-request.form', 'application/x-www-form-urlencoded')).toEqual({ type: 'same' });
  });

  test('a structured body that cannot be read is not shown', () => {
    const cut = fixture('catalog.rich.json').subarray(0, 2000);
    const body = hideInBody(bodyOf(cut, contentType('application/json'), DEFAULT_LIMITS), createHiding(), DEFAULT_LIMITS);
    expect(body.type).toBe('unreadable');
  });

  test('facts with a password within the form', () => {
    const facts = encodeURIComponent(JSON.stringify({ name: 'a', values: { db: { password: 'hunter22' }, os: 'x y' } }));
    const form = `facts_format=application%2Fjson&facts=${encodeURIComponent(facts)}&environment=production`;
    const raw = bodyOf(Buffer.from(form), contentType('application/x-www-form-urlencoded'), DEFAULT_LIMITS);
    const body = hideInBody(raw, createHiding(), DEFAULT_LIMITS);
    if (body.type !== 'changed') throw new Error(body.type);
    const text = Buffer.from(body.bytes).toString();
    expect(text).toMatch(/^facts_format=application%2Fjson&facts=%257B.*&environment=production$/);
    expect(decodeURIComponent(decodeURIComponent(text))).toContain('"password":"(hidden)"},"os":"x y"');
  });

  test('the challenge password of a CSR becomes stars, and the CSR can still be read', () => {
    const pem = Buffer.from(fixture('csr-rsa.pem'));
    const der = (text: string): Buffer => Buffer.from(text.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    const before = decodeCsr(pem, []);
    expect(before.challengePassword).toBe(true);
    const body = shown('csr-rsa.pem', 'text/plain');
    if (body.type !== 'changed') throw new Error(body.type);
    const after = decodeCsr(Buffer.from(body.bytes), []);
    expect(after.subject).toEqual(before.subject);
    expect(after.key.sha256).toBe(before.key.sha256);
    expect(der(Buffer.from(body.bytes).toString()).length).toBe(der(pem.toString()).length);
    expect(der(Buffer.from(body.bytes).toString()).toString('latin1')).toContain('****');
  });
});
