import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type Checksum, checkContent, checkDigests, checksumOf, digestsOf } from '../../src/decode/checksum.ts';
import { contentType, decodeAs, expected, fixture, reason, value } from './rig.ts';

const METADATAS = '/puppet/v3/file_metadatas/plugins?recurse=true';

const hex = (algorithm: string, bytes: Uint8Array): string => createHash(algorithm).update(bytes).digest('hex');

describe('file metadata', () => {
  interface Theirs {
    relative: string | null;
    type: string;
    mode: string;
    checksum: string;
    destination: string | null;
  }

  test.each([
    ['file_metadatas.json', 'application/json'],
    ['file_metadatas.pson', 'text/pson'],
    ['file_metadatas.yaml', 'text/yaml'],
    ['file_metadatas.msgpack', 'application/x-msgpack'],
  ])('%s says what Puppet says', (name, type) => {
    const answer = value(
      decodeAs('pluginsync', { target: METADATAS, response: fixture(name), responseFields: contentType(type) }).response,
    );
    if (answer.type !== 'metadata') throw new Error(answer.type);
    const theirs = expected<Theirs[]>('metadata');
    expect(
      answer.entries.map(entry => ({
        relative: entry.relativePath,
        type: entry.type,
        mode: entry.mode,
        destination: entry.destination,
      })),
    ).toEqual(theirs.map(({ relative, type: kind, mode, destination }) => ({ relative, type: kind, mode, destination })));
    expect(answer.entries.map(entry => `{${entry.checksumType}}${entry.checksum}`)).toEqual(
      theirs.map(({ checksum }) => checksum),
    );
    expect(answer.entries[1]).toMatchObject({
      path: expect.stringMatching(/^\/.*$/),
      owner: '0',
      group: '0',
      links: 'manage',
      sizeBytes: null,
    });
  });

  test('one entry, in the envelope of Puppet 3', () => {
    const body =
      '{"document_type":"FileMetadata","data":{"path":"/a","mode":493,"type":"file","checksum":{"type":"md5","value":"{md5}ab"},"source":"puppet:///m/a"}}';
    const target = '/puppet/v3/file_metadata/m/a';
    const { response } = decodeAs('file', { target, response: Buffer.from(body), responseFields: contentType('text/pson') });
    expect(value(response)).toMatchObject({
      type: 'metadata',
      entries: [{ path: '/a', mode: '0755', checksumType: 'md5', checksum: 'ab', source: 'puppet:///m/a' }],
    });
  });

  test('anything but entries is an error', () => {
    expect(
      reason(
        decodeAs('pluginsync', { target: METADATAS, response: Buffer.from('3'), responseFields: contentType('application/json') })
          .response,
      ),
    ).toBe('no file metadata');
  });
});

describe('file content', () => {
  const BYTES = Buffer.concat([Buffer.from('binary \0 content '), Buffer.alloc(2000, 7)]);

  test('has digests, gzip undone', () => {
    const target = '/puppet/v3/file_content/plugins/a.rb?environment=production';
    const gzip = [...contentType('application/octet-stream'), ['Content-Encoding', 'gzip'] as const];
    const decoded = decodeAs('pluginsync', { target, response: gzipSync(BYTES), responseFields: gzip });
    expect(value(decoded.response)).toEqual({
      type: 'content',
      bytes: BYTES.length,
      text: false,
      complete: true,
      digests: {
        sha256: hex('sha256', BYTES),
        sha256lite: hex('sha256', BYTES.subarray(0, 512)),
        md5: hex('md5', BYTES),
        md5lite: hex('md5', BYTES.subarray(0, 512)),
      },
    });
    expect(decoded.responseBody).toMatchObject({
      value: { codings: ['gzip'], format: 'binary', bytes: BYTES.length, sha256: hex('sha256', BYTES) },
    });
  });

  test('that is cut says so', () => {
    const gzip: [string, string][] = [['Content-Encoding', 'gzip']];
    const cut = gzipSync(createHash('sha256').update('x').digest().toString('hex').repeat(3000)).subarray(0, 300);
    const decoded = decodeAs('file', {
      target: '/puppet/v3/static_file_content/modules/m/files/a',
      response: cut,
      responseFields: gzip,
    });
    expect(value(decoded.response)).toMatchObject({ type: 'content', complete: false, text: true });
    expect(decoded.response).toMatchObject({ notes: ['the gzip data ends early'] });
  });

  test('what looks like JSON is content all the same', () => {
    const decoded = decodeAs('file', {
      target: '/puppet/v3/file_content/m/a.json',
      response: Buffer.from('{"a":'),
      responseFields: contentType('application/octet-stream'),
    });
    expect(value(decoded.response)).toMatchObject({ type: 'content', bytes: 5 });
  });

  test.each([
    ['sha256', hex('sha256', BYTES), 'match'],
    ['sha256', hex('sha256', BYTES).toUpperCase(), 'match'],
    ['sha256', hex('md5', BYTES), 'mismatch'],
    ['sha256lite', hex('sha256', BYTES.subarray(0, 512)), 'match'],
    ['md5lite', hex('md5', BYTES), 'mismatch'],
    ['mtime', '2024-01-01 00:00:00 UTC', 'unchecked'],
    ['none', '', 'unchecked'],
    ['constructor', '', 'unchecked'],
  ])('%s %s is a %s', (type, sum, verdict) => {
    expect(checkContent(BYTES, { type, value: sum })).toBe(verdict);
    expect(checkDigests(digestsOf(BYTES), { type, value: sum })).toBe(verdict);
  });

  test.each(['sha1', 'sha224', 'sha384', 'sha512'])('%s is checked against the bytes', type => {
    const promised: Checksum = { type, value: hex(type, BYTES) };
    expect(checkContent(BYTES, promised)).toBe('match');
    expect(checkContent(BYTES.subarray(1), promised)).toBe('mismatch');
    expect(checkDigests(digestsOf(BYTES), promised)).toBe('unchecked');
  });

  test.each([
    ['{sha256}ab', null, { type: 'sha256', value: 'ab' }],
    ['{mtime}2024-01-01 00:00:00 UTC', 'md5', { type: 'mtime', value: '2024-01-01 00:00:00 UTC' }],
    ['ab', 'MD5', { type: 'md5', value: 'ab' }],
    ['ab', null, null],
    [null, 'md5', null],
  ])('%s (%s) as a promise', (text, type, checksum) => {
    expect(checksumOf(text, type)).toEqual(checksum);
  });
});

describe('file bucket', () => {
  const CONTENT = Buffer.from('old content\n');

  test.each([
    [hex('sha256', CONTENT), 'match'],
    ['0'.repeat(64), 'mismatch'],
  ])('a PUT of %s is a %s', (sum, verdict) => {
    const target = `/puppet/v3/file_bucket_file/sha256/${sum}//etc/motd?environment=production`;
    const decoded = decodeAs('filebucket', {
      method: 'PUT',
      target,
      request: CONTENT,
      requestFields: contentType('application/octet-stream'),
    });
    expect(decoded.key).toEqual({ checksum: { type: 'sha256', value: sum }, path: '/etc/motd', diffWith: null });
    expect(value(decoded.request)).toMatchObject({ verdict, bytes: CONTENT.length, text: true });
    expect(decoded.response).toBeNull();
  });

  test('a GET gives content or a difference', () => {
    const target = `/puppet/v3/file_bucket_file/md5/${hex('md5', CONTENT)}?diff_with=aa`;
    const decoded = decodeAs('filebucket', { target, response: CONTENT });
    expect(decoded.key).toMatchObject({ path: null, diffWith: 'aa' });
    expect(value(decoded.response)).toMatchObject({ verdict: 'match' });
  });

  test('a key that names nothing', () => {
    expect(decodeAs('filebucket', { method: 'HEAD', target: '/puppet/v3/file_bucket_file/' }).key.checksum).toBeNull();
  });
});

describe('node', () => {
  const target = '/puppet/v3/node/agent.example?environment=production&configured_environment=dev&transaction_uuid=u';

  test.each([
    ['node.json', 'application/json'],
    ['node.pson', 'text/pson'],
  ])('%s', (name, type) => {
    const decoded = decodeAs('node', { target, response: fixture(name), responseFields: contentType(type) });
    expect(decoded.request).toEqual({ environment: 'production', configuredEnvironment: 'dev', transactionUuid: 'u' });
    const node = value(decoded.response);
    expect(node).toMatchObject({
      name: 'agent.example',
      environment: 'canary',
      classes: ['role::web', 'profile::base'],
      serverFacts: null,
    });
    expect(node.parameters.get('site')).toBe('berlin');
    expect(node.trusted).toEqual(new Map([['certname', 'agent.example']]));
  });

  test('classes with parameters', () => {
    const body = Buffer.from('{"name":"a","classes":{"ntp":{"servers":["x"]},"base":null}}');
    const node = value(decodeAs('node', { target, response: body, responseFields: contentType('application/json') }).response);
    expect(node.classes).toEqual(['ntp', 'base']);
    expect(node.classParameters.get('ntp')).toEqual(new Map([['servers', ['x']]]));
  });

  test('anything else is an error', () => {
    expect(
      reason(decodeAs('node', { target, response: Buffer.from('[]'), responseFields: contentType('application/json') }).response),
    ).toBe('a node without a name');
  });
});

describe('other', () => {
  test.each([
    [
      '{"environments":{"production":{}}}',
      'application/json',
      { type: 'data', value: new Map([['environments', new Map([['production', new Map()]])]]) },
    ],
    [
      'a=1&a=2',
      'application/x-www-form-urlencoded',
      {
        type: 'form',
        pairs: [
          ['a', '1'],
          ['a', '2'],
        ],
      },
    ],
    ['running', 'text/plain', { type: 'text', text: 'running' }],
    ['\0\x01', 'application/octet-stream', { type: 'binary' }],
  ])('%s', (text, type, other) => {
    const decoded = decodeAs('other', {
      method: 'PUT',
      target: '/puppet/v3/facts/a',
      request: Buffer.from(text),
      requestFields: contentType(type),
    });
    expect(value(decoded.request)).toEqual(other);
    expect(decoded.requestBody).toMatchObject({ value: { mime: type, bytes: text.length } });
    expect(decoded.response).toBeNull();
  });
});
