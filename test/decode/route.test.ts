import { describe, expect, test } from 'vitest';
import { all, first, formPairs, path, percentDecode, query, routeOf } from '../../src/decode/route.ts';
import { PHASES } from '../../src/model.ts';
import { fc } from '../rig/properties.ts';

const HEX = 'a'.repeat(64);

describe('routeOf', () => {
  // method, target, phase, indirection, key, environment
  test.each([
    ['GET', '/puppet-ca/v1/certificate/ca', 'ca', 'certificate', 'ca', null],
    ['PUT', '/puppet-ca/v1/certificate/ca', 'other', 'certificate', 'ca', null],
    ['GET', '/puppet-ca/v1/certificate_revocation_list/ca', 'crl', 'certificate_revocation_list', 'ca', null],
    ['PUT', '/puppet-ca/v1/certificate_request/a.lab', 'csr', 'certificate_request', 'a.lab', null],
    ['GET', '/puppet-ca/v1/certificate/a.lab', 'certificate', 'certificate', 'a.lab', null],
    ['POST', '/puppet-ca/v1/certificate_renewal', 'certificate', 'certificate_renewal', null, null],
    ['GET', '/puppet-ca/v1/certificate/../../puppet/v3/node/a', 'other', 'certificate', '../../puppet/v3/node/a', null],
    ['GET', '/puppet-ca/v1/certificate/%2e%2e%2fx', 'other', 'certificate', '../x', null],
    ['GET', '/puppet-ca/v1/certificate_statuses/any', 'other', 'certificate_statuses', 'any', null],
    ['GET', '/puppet/v3/node/a.lab?environment=production', 'node', 'node', 'a.lab', 'production'],
    ['GET', '/puppet/v3/file_metadatas/plugins?recurse=true&environment=dev', 'pluginsync', 'file_metadatas', 'plugins', 'dev'],
    ['GET', '/puppet/v3/file_metadata/pluginfacts/x', 'pluginsync', 'file_metadata', 'pluginfacts/x', null],
    ['GET', '/puppet/v3/file_content/locales/de.po', 'pluginsync', 'file_content', 'locales/de.po', null],
    ['GET', '/puppet/v3/file_content/pluginsx/de.po', 'file', 'file_content', 'pluginsx/de.po', null],
    ['GET', '/puppet/v3/file_metadatas/modules/m/d', 'file', 'file_metadatas', 'modules/m/d', null],
    [
      'GET',
      '/puppet/v3/static_file_content/modules/m/files/f?code_id=1',
      'file',
      'static_file_content',
      'modules/m/files/f',
      null,
    ],
    ['POST', '/puppet/v3/catalog/a.lab?environment=production', 'catalog', 'catalog', 'a.lab', 'production'],
    ['POST', '/puppet/v4/catalog', 'catalog', 'catalog', null, null],
    ['GET', '/puppet/v4/node/a', 'other', 'node', 'a', null],
    ['PUT', '/puppet/v3/report/a.lab?environment=', 'report', 'report', 'a.lab', null],
    ['PUT', '/puppet/v3/facts/a.lab', 'other', 'facts', 'a.lab', null],
    ['GET', '/puppet/v3/environments', 'other', 'environments', null, null],
    ['GET', '/status/v1/simple/server', 'other', null, null, null],
    ['GET', '//puppet/v3/node/a', 'other', null, null, null],
    ['CONNECT', 'puppet.lab:8140', 'other', null, null, null],
    ['OPTIONS', '*', 'other', null, null, null],
    ['GET', '', 'other', null, null, null],
  ] as const)('%s %s is %s', (method, target, phase, indirection, key, environment) => {
    expect(routeOf(method, target)).toEqual({ phase, indirection, key, environment, transactionUuid: null });
  });

  test('a file bucket key keeps its double slash', () => {
    const route = routeOf('HEAD', `/puppet/v3/file_bucket_file/sha256/${HEX}//etc/motd?environment=production`);
    expect(route).toMatchObject({ phase: 'filebucket', key: `sha256/${HEX}//etc/motd` });
  });

  test('a raw plus and ampersand in a path are themselves', () => {
    const route = routeOf('GET', '/puppet/v3/file_content/site_files/tree/a%20b+c&d.txt?environment=production');
    expect(route).toMatchObject({ phase: 'file', key: 'site_files/tree/a b+c&d.txt', environment: 'production' });
  });

  test('the transaction_uuid is read from a node request only', () => {
    expect(routeOf('GET', '/puppet/v3/node/a?transaction_uuid=u-1').transactionUuid).toBe('u-1');
    expect(routeOf('GET', '/puppet/v3/file_metadata/m/a?transaction_uuid=u-1').transactionUuid).toBeNull();
  });

  test('an absolute-form target counts by its path', () => {
    expect(routeOf('GET', 'http://puppet.lab:8140/puppet/v3/node/a?environment=x')).toMatchObject({
      phase: 'node',
      key: 'a',
      environment: 'x',
    });
  });

  test('a key with a line break is still a key', () => {
    expect(routeOf('GET', '/puppet/v3/file_content/m/a%0Ab').key).toBe('m/a\nb');
  });

  test('is total', () => {
    const piece = fc.constantFrom(
      '/',
      'puppet',
      'v3',
      'puppet-ca',
      'v1',
      'certificate',
      '?',
      '&',
      '=',
      '%',
      '%zz',
      '%ff',
      '%c3%a9',
      '#',
      '+',
      '\n',
      '..',
      '://',
    );
    const target = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(piece, { maxLength: 20 }).map(parts => parts.join('')),
    );
    fc.assert(fc.property(fc.string(), target, (method, text) => PHASES.includes(routeOf(method, text).phase)));
  });

  test('a target of a megabyte takes no time worth noticing', () => {
    const started = performance.now();
    for (const unit of ['%', '/', '?', '&', '%e2', '%f0%90', 'a://', '%41']) {
      routeOf('GET', `/puppet/v3/file_content/${unit.repeat(1_000_000 / unit.length)}`);
      routeOf('GET', `/puppet/v3/node/a?${unit.repeat(1_000_000 / unit.length)}`);
    }
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});

describe('percent-decoding', () => {
  test.each([
    ['a%20b', 'a b'],
    ['caf%C3%A9', 'café'],
    ['%f0%9f%98%80', '😀'],
    ['%ff%41', '%ffA'],
    ['%C3', '%C3'],
    ['%c0%af', '%c0%af'],
    ['%ed%a0%80', '%ed%a0%80'],
    ['100%', '100%'],
    ['%2', '%2'],
    ['%zz', '%zz'],
    ['a+b', 'a+b'],
  ])('%s is %s', (text, decoded) => {
    expect(percentDecode(text)).toBe(decoded);
  });
});

describe('query', () => {
  test('keeps repeats and order, and reads + as a space', () => {
    const pairs = query('/x?ignore=.svn&ignore=CVS&a=1+2&flag&=v&e=a=b#frag?z=1');
    expect(pairs).toEqual([
      ['ignore', '.svn'],
      ['ignore', 'CVS'],
      ['a', '1 2'],
      ['flag', ''],
      ['', 'v'],
      ['e', 'a=b'],
    ]);
    expect(all(pairs, 'ignore')).toEqual(['.svn', 'CVS']);
    expect(first(pairs, 'ignore')).toBe('.svn');
    expect(first(pairs, 'flag')).toBeNull();
    expect(first(pairs, 'missing')).toBeNull();
  });

  test('path and formPairs', () => {
    expect(path('/a//b?c#d')).toBe('/a//b');
    expect(path('https://h:1/a')).toBe('/a');
    expect(formPairs('')).toEqual([]);
    expect(formPairs('__proto__=1')).toEqual([['__proto__', '1']]);
  });
});
