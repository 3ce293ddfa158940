import { describe, expect, test } from 'vitest';
import { type Catalog, resourceRef } from '../../src/decode/catalog.ts';
import type { Facts } from '../../src/decode/facts.ts';
import { richText } from '../../src/decode/rich-text.ts';
import { contentType, decodeAs, expected, fixture, reason, value } from './rig.ts';

const TARGET = '/puppet/v3/catalog/agent.example?environment=production';
const FORM = contentType('application/x-www-form-urlencoded');

function catalog(name: string, type: string): Catalog {
  return value(
    decodeAs('catalog', { method: 'POST', target: TARGET, response: fixture(name), responseFields: contentType(type) }).response,
  );
}

describe('catalogs', () => {
  interface Theirs {
    resources: number;
    edges: number;
    version: number;
    uuid: string;
    classes: string[];
    refs: string[];
  }

  test.each([
    ['catalog.rich.json', 'application/vnd.puppet.rich+json; charset=utf-8'],
    ['catalog.rich.msgpack', 'application/vnd.puppet.rich+msgpack'],
  ])('%s says what Puppet says', (name, type) => {
    const ours = catalog(name, type);
    const theirs = expected<Theirs>('catalog');
    expect(ours.resources.map(resourceRef)).toEqual(theirs.refs);
    expect(ours).toMatchObject({
      name: 'agent.example',
      version: String(theirs.version),
      codeId: 'urn:code:1',
      catalogUuid: theirs.uuid,
      catalogFormat: 2,
      environment: 'production',
      classes: theirs.classes,
    });
    expect(ours.edges.length).toBe(theirs.edges);
    expect(ours.edges).toContainEqual({ source: 'Class[Role::Web]', target: 'File[/tmp/secret]' });
  });

  test('both formats hold the same', () => {
    expect(catalog('catalog.rich.msgpack', 'application/vnd.puppet.rich+msgpack')).toEqual(
      catalog('catalog.rich.json', 'application/json'),
    );
  });

  test('parameters that are sensitive by name are marked', () => {
    const { resources } = catalog('catalog.rich.json', 'application/json');
    const secret = resources.find(({ title }) => title === '/tmp/secret')!;
    expect(secret).toMatchObject({ sensitiveParameters: ['content'], kind: 'compilable_type', line: 2, exported: false });
    expect(secret.parameters.get('content')).toEqual({ type: 'Sensitive', value: 's3cret' });
    expect(secret.parameters.get('mode')).toBe('0600');
    expect(resources.find(({ title }) => title === 'exported')).toMatchObject({ exported: true });
    const unicode = resources.find(({ title }) => title === '/tmp/ünïcode 😀')!;
    expect(unicode.parameters.get('content')).toBe('Grüße\n');
    expect(unicode.tags).toContain('role::web');
    expect(resources.find(({ title }) => title === '/tmp/binary')!.parameters.get('content')).toEqual({
      type: 'Binary',
      base64: 'AAH/gP4=',
    });
  });

  test('a static catalog carries metadata', () => {
    const { metadata, recursiveMetadata } = catalog('catalog.rich.json', 'application/json');
    const entry = {
      type: 'file',
      mode: '0644',
      checksumType: 'sha256',
      checksum: 'ab'.repeat(32),
      contentUri: 'puppet:///modules/web/files/a.conf',
    };
    expect(metadata).toMatchObject([{ resource: '/etc/a.conf', source: null, metadata: entry }]);
    const recursive = { resource: '/etc/conf.d', source: 'puppet:///modules/web/conf.d', metadata: entry };
    expect(recursiveMetadata).toMatchObject([recursive, recursive]);
  });

  test.each([
    ['catalog.json', 'application/json'],
    ['catalog.pson', 'text/pson'],
    ['catalog.msgpack', 'application/x-msgpack'],
    ['catalog.yaml', 'text/yaml'],
  ])('%s is read', (name, type) => {
    const { resources, edges } = catalog(name, type);
    expect(resources.find(({ title }) => title === 'plain')!.parameters.get('message')).toBe('x');
    expect(edges).toContainEqual({ source: 'Class[main]', target: 'Notify[plain]' });
  });

  test('binary content of PSON survives', () => {
    const { resources } = catalog('catalog-binary.pson', 'text/pson');
    const bytes = Buffer.from('bytes \xff\0\x80 end', 'latin1').toString('base64');
    expect(resources.find(({ title }) => title === 'plain')!.parameters.get('message')).toEqual({
      type: 'Binary',
      base64: bytes,
    });
  });

  test('a catalog of Puppet 3, in its envelope', () => {
    const old = catalog('old-catalog.pson', 'text/pson');
    expect(old).toMatchObject({
      version: '1367402400',
      codeId: null,
      catalogFormat: null,
      edges: [{ target: 'File[/tmp/a]' }, { source: 'Stage[main]', target: 'Class[main]' }],
    });
    expect(old.resources[0]).toMatchObject({ type: 'File', title: '/tmp/a', virtual: true, line: 1 });
  });

  test('the answer of /puppet/v4/catalog', () => {
    const body = Buffer.from(`{"catalog":${Buffer.from(fixture('catalog.json'))}}`);
    const decoded = decodeAs('catalog', {
      method: 'POST',
      target: '/puppet/v4/catalog',
      response: body,
      responseFields: contentType('application/json'),
    });
    expect(value(decoded.response).name).toBe('agent.example');
  });

  test.each([
    ['{"resources":[', 'application/json', 'the JSON ends early'],
    ['{"name":"x"}', 'application/json', 'a catalog without resources'],
    ['hello', 'text/plain', 'a body of format text, not of JSON, PSON, MessagePack or YAML'],
  ])('%s is no catalog', (text, type, why) => {
    const decoded = decodeAs('catalog', {
      method: 'POST',
      target: TARGET,
      response: Buffer.from(text),
      responseFields: contentType(type),
    });
    expect(reason(decoded.response)).toBe(why);
  });
});

describe('catalog requests', () => {
  const request = value(
    decodeAs('catalog', { method: 'POST', target: TARGET, request: fixture('catalog-request.form'), requestFields: FORM })
      .request,
  );
  const facts: Facts = value(request.facts);
  const fact = (path: string) => facts.rows.find(row => row.path === path);

  test('every field of the form', () => {
    expect(request).toMatchObject({
      environment: 'production',
      configuredEnvironment: 'production',
      checkEnvironment: true,
      transactionUuid: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
      jobUuid: null,
      staticCatalog: true,
      checksumTypes: ['sha256', 'sha384', 'sha512', 'sha224', 'md5'],
      factsFormat: 'application/json',
    });
    expect(request.fields.map(([name]) => name)).toEqual([
      'facts_format',
      'environment',
      'configured_environment',
      'check_environment',
      'transaction_uuid',
      'job_uuid',
      'static_catalog',
      'checksum_type',
    ]);
  });

  test('facts as rows', () => {
    expect(facts).toMatchObject({ name: 'agent.example', timestamp: '2024-05-01T12:00:00.000000000Z' });
    expect(fact('os.release.major')).toEqual({ path: 'os.release.major', type: 'String', value: '12', bytes: 2 });
    expect(fact('processors.models.1')).toMatchObject({ type: 'String', value: 'Xeon' });
    expect(fact('load')).toMatchObject({ type: 'Float', value: '0.25' });
    expect(fact('memory')).toMatchObject({ type: 'Integer', value: '9007199254740993' });
    expect(fact('is_virtual')).toMatchObject({ type: 'Boolean', value: 'true' });
    expect(fact('greeting')).toMatchObject({ value: 'Grüße & a+b=100% 😀', bytes: Buffer.byteLength('Grüße & a+b=100% 😀') });
    expect(fact('"dotted.name"')).toMatchObject({ value: 'x' });
    expect(fact('__proto__.polluted')).toMatchObject({ value: 'true' });
    expect(fact('undef')).toMatchObject({ type: 'Undef' });
    expect(fact('empty')).toMatchObject({ type: 'Hash', value: '{}' });
    expect(fact('none')).toMatchObject({ type: 'Array', value: '[]' });
  });

  test('counts and soft limits are those of the agent', () => {
    const theirs = expected<{ leaves: number; keys: number; top: number; payload: number }>('facts');
    expect(facts.rows.length).toBe(theirs.leaves);
    expect(facts.softLimits).toEqual([
      { setting: 'number_of_facts_soft_limit', limit: 2048, actual: theirs.keys, path: null, exceeded: false },
      { setting: 'top_level_facts_soft_limit', limit: 512, actual: theirs.top, path: null, exceeded: false },
      {
        setting: 'fact_name_length_soft_limit',
        limit: 2560,
        actual: 8 + 3 * 2 + 'processorsmodels0'.length,
        path: 'processors.models.0',
        exceeded: false,
      },
      { setting: 'fact_value_length_soft_limit', limit: 4096, actual: 5000, path: 'long', exceeded: true },
      { setting: 'payload_soft_limit', limit: 16 * 1024 * 1024, actual: theirs.payload, path: null, exceeded: false },
    ]);
  });

  test('facts in PSON keep bytes that are no UTF-8', () => {
    const decoded = decodeAs('catalog', {
      method: 'POST',
      target: TARGET,
      request: fixture('catalog-request-binary.form'),
      requestFields: FORM,
    });
    const { values } = value(value(decoded.request).facts);
    expect(values.get('blob')).toEqual({ type: 'Binary', base64: Buffer.from('a\xffb', 'latin1').toString('base64') });
    expect(values.get('text')).toBe('é');
  });

  test.each([
    ['application/json', fixture('facts.json')],
    ['yaml', fixture('facts.yaml')],
  ])('facts in %s of a GET', (format, body) => {
    const encoded = encodeURIComponent(encodeURIComponent(Buffer.from(body).toString()));
    const decoded = decodeAs('catalog', { target: `${TARGET}&facts_format=${format}&facts=${encoded}` });
    const { values } = value(value(decoded.request).facts);
    expect(richText(values.get('os')!, 'hide')).toBe("{'family' => 'Debian', 'release' => {'major' => '12', 'full' => '12.5'}}");
  });

  test('facts that do not parse leave the fields', () => {
    const decoded = decodeAs('catalog', {
      method: 'POST',
      target: TARGET,
      request: Buffer.from('environment=e&facts=%257B&facts_format=pson'),
      requestFields: FORM,
    });
    const half = value(decoded.request);
    expect(half.environment).toBe('e');
    expect(reason(half.facts)).toBe('the JSON ends early');
  });

  test('a POST to /puppet/v4/catalog is JSON', () => {
    const body = Buffer.from(
      '{"certname":"a","environment":"e","transaction_uuid":"u","job_id":"7","facts":{"values":{"x":1}},"trusted_facts":{"values":{}}}',
    );
    const decoded = decodeAs('catalog', {
      method: 'POST',
      target: '/puppet/v4/catalog',
      request: body,
      requestFields: contentType('application/json'),
    });
    expect(value(decoded.request)).toMatchObject({ environment: 'e', transactionUuid: 'u', jobUuid: '7' });
    expect(value(value(decoded.request).facts).rows).toEqual([{ path: 'x', type: 'Integer', value: '1', bytes: 1 }]);
  });
});
