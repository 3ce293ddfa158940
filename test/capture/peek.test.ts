import { encode } from '@msgpack/msgpack';
import { describe, expect, test } from 'vitest';
import { peek, peekHead } from '../../src/capture/peek.ts';

const UUID = '11111111-2222-3333-4444-555555555555';

/** A catalog request's form, as an agent sends it: the facts come first, and are escaped twice. */
function form(facts: string): Buffer {
  const twice = encodeURIComponent(encodeURIComponent(facts));
  return Buffer.from(
    `facts_format=application%2Fjson&facts=${twice}&environment=canary&configured_environment=production&check_environment=true` +
      `&transaction_uuid=${UUID}&job_uuid=&static_catalog=true&checksum_type=sha256.md5`,
  );
}

function pieces(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

describe('a catalog request', () => {
  test.each([7, 100, 1_000, 262_144])('cut into pieces of %d bytes', size => {
    expect(peek('catalog', pieces(form('{"os":"x"}'.repeat(30)), size))).toEqual({
      transactionUuid: UUID,
      environment: 'canary',
    });
  });

  test('cut anywhere', () => {
    const body = form('{"os":"x"}');
    for (let at = 1; at < body.length; at += 1) {
      const cut = [body.subarray(0, at), body.subarray(at)];
      expect(peek('catalog', cut), `${at}`).toEqual({ transactionUuid: UUID, environment: 'canary' });
    }
    expect(peek('catalog', pieces(Buffer.from('a=1&environment=last'), 18)).environment).toBe('last');
    // the end of what is looked at again begins with another field's name
    const other = Buffer.from(`facts=x&configured_environment=production&${'a'.repeat(511 - 'environment=production&'.length)}&`);
    expect(peek('catalog', [other, Buffer.from('&environment=canary')]).environment).toBe('canary');
  });

  test('facts that hold the same names do not matter', () => {
    const facts = '{"a":"&environment=wrong&transaction_uuid=99999999-9999-9999-9999-999999999999"}';
    expect(peek('catalog', [form(facts)])).toEqual({ transactionUuid: UUID, environment: 'canary' });
  });

  test('is read to its end when facts are large, and not beyond a bound', () => {
    const facts = Buffer.concat([Buffer.from('facts='), Buffer.alloc(3 << 20, 'x')]);
    expect(peek('catalog', pieces(Buffer.concat([facts, form('{}').subarray(20)]), 262_144)).transactionUuid).toBe(UUID);
    let read = 0;
    const endless = (function* () {
      for (; read < 10_000; read++) yield Buffer.alloc(262_144, 'x');
    })();
    expect(peek('catalog', endless)).toEqual({ transactionUuid: null, environment: null });
    expect(read).toBeLessThan(100);
  });
});

describe('a catalog request of /puppet/v4/catalog', () => {
  const facts = { values: { environment: 'wrong', transaction_uuid: '99999999-9999-9999-9999-999999999999' } };
  const asked = { certname: 'web1', environment: 'canary', transaction_uuid: UUID, job_id: null };
  test.each([
    ['facts last', JSON.stringify({ ...asked, facts }), 'canary'],
    ['facts first', JSON.stringify({ facts, ...asked }, null, 2), 'canary'],
    ['no environment', JSON.stringify({ facts, transaction_uuid: UUID }), null],
    ['an environment that is none', JSON.stringify({ ...asked, environment: { name: 'x' } }), null],
  ])('%s', (_, text, environment) => {
    for (const size of [9, 100_000]) {
      expect(peek('catalog', pieces(Buffer.from(text), size))).toEqual({ transactionUuid: UUID, environment });
    }
  });

  test('that ends early says nothing', () => {
    const text = JSON.stringify({ ...asked, facts });
    expect(peek('catalog', [Buffer.from(text.slice(0, -1))])).toEqual({ transactionUuid: null, environment: null });
  });
});

describe('a report', () => {
  const report = { host: 'web1', report_format: 12, transaction_uuid: UUID, environment: 'canary', logs: [] };
  test.each([
    ['JSON', Buffer.from(JSON.stringify(report)), 'canary'],
    ['JSON with blanks', Buffer.from(JSON.stringify(report, null, 2)), 'canary'],
    [
      'YAML',
      Buffer.from(
        `--- !ruby/object:Puppet::Transaction::Report\nhost: web1\ntransaction_uuid: ${UUID}\nenvironment: canary\nlogs: []\n`,
      ),
      'canary',
    ],
    ['YAML with quotes', Buffer.from(`---\ntransaction_uuid: "${UUID}"\nenvironment: 'canary'\n`), 'canary'],
    ['MessagePack', Buffer.from(encode(report)), null],
    ['one without (Puppet 2)', Buffer.from('{"host":"web1","logs":[]}'), null],
    ['bytes', Buffer.alloc(1_000, 0xff), null],
    ['nothing', Buffer.alloc(0), null],
  ])('as %s', (name, body, environment) => {
    const uuid = /without|bytes|nothing/.test(name) ? null : UUID;
    expect(peek('report', [body])).toEqual({ transactionUuid: uuid, environment });
  });

  test('what a log line quotes is not the report', () => {
    const quoting = {
      first: [{ message: '"transaction_uuid":"99999999-9999-9999-9999-999999999999","environment":"wrong"' }],
      ...report,
    };
    expect(peek('report', [Buffer.from(JSON.stringify(quoting))]).environment).toBe('canary');
  });
});

test('header fields are found whatever their case', () => {
  const lines = (name: string, value: string): string =>
    JSON.stringify([
      ['Host', 'x'],
      [name, value],
      ['Accept', '*/*'],
    ]);
  expect(peekHead(lines('X-Puppet-Version', '7.23.0'))).toEqual({ puppetVersion: '7.23.0', conditional: false });
  expect(peekHead(lines('x-puppet-version', '8.10.0')).puppetVersion).toBe('8.10.0');
  expect(peekHead(lines('If-modified-since', 'x'))).toEqual({ puppetVersion: null, conditional: true });
  expect(peekHead(lines('X-Other', '"],["If-Modified-Since","x'))).toEqual({ puppetVersion: null, conditional: false });
});
