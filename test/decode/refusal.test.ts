import { describe, expect, test } from 'vitest';
import { compileErrorOf } from '../../src/decode/compile-error.ts';
import type { Refusal } from '../../src/decode/refusal.ts';
import { contentType, decodeAs, expected, fixture } from './rig.ts';

const TARGET = '/puppet/v3/catalog/agent.example?environment=production';
const MANIFESTS = '/etc/puppetlabs/code/environments/production/manifests';

function refusal(status: number, type: string, body: Uint8Array): Refusal {
  const decoded = decodeAs('catalog', {
    method: 'POST',
    target: TARGET,
    status,
    response: body,
    responseFields: contentType(type),
  });
  expect(decoded.response).toBeNull();
  return decoded.refusal!;
}

describe('failed compilations, in the compiler’s own words', () => {
  test.each([
    ['unknown-class', 'Could not find class ::nosuch::thing for agent.example', null],
    ['function', 'Evaluation Error: Error while evaluating a Function Call, boom', null],
    ['syntax', "Syntax error at 'message'", null],
    ['duplicate', 'Duplicate declaration: Notify[a] is already declared at', 'Notify[a]'],
    ['type', "Class[C]: parameter 'x' expects an Integer value, got String", 'Class[C]'],
    ['resource', "no parameter named 'nosuch'", 'File[/tmp/a]'],
    ['unknown-type', "Unknown resource type: 'nosuchtype'", null],
  ])('%s', (name, message, resource) => {
    const theirs = expected<Record<string, { line: number | null; column: number | null }>>('errors')[name]!;
    const found = refusal(500, 'application/json', fixture(`error-${name}.json`));
    expect(found).toMatchObject({ status: 500, issueKind: 'RUNTIME_ERROR', compile: { resource, node: 'agent.example' } });
    expect(found.message).toMatch(/^Server Error: /);
    expect(found.compile!.message).toContain(message);
    expect(found.compile!.message).not.toMatch(/^Server Error|on node|column/);
    // the resource type's own validation knows no column, and its exception no place at all
    expect(found.compile!.location).toEqual({ file: `${MANIFESTS}/${name}.pp`, line: theirs.line ?? 1, column: theirs.column });
    expect(found.compile!.environment).toBe(name === 'syntax' ? 'production' : null);
  });
});

describe('places in messages', () => {
  test.each([
    ['boom at /etc/puppet/manifests/site.pp:12:3 on node a.b', { file: '/etc/puppet/manifests/site.pp', line: 12, column: 3 }],
    [
      'Error 400 on SERVER: Could not find class x for a.b at /m/site.pp:3 on node a.b',
      { file: '/m/site.pp', line: 3, column: null },
    ],
    ['boom at C:/code/site.pp:3:1', { file: 'C:/code/site.pp', line: 3, column: 1 }],
    ['inner (file: /a.pp, line: 2, column: 5) (file: /b.pp, line: 9) on node x', { file: '/a.pp', line: 2, column: 5 }],
    ['boom (file: /a.pp)', { file: '/a.pp', line: null, column: null }],
    ['boom (line: 4, column: 2)', { file: null, line: 4, column: 2 }],
    ['said (file: /a.pp, line: 1) and went on', { file: '/a.pp', line: 1, column: null }],
    ['no place at all', null],
  ])('%s', (text, location) => {
    expect(compileErrorOf(text).location).toEqual(location);
  });

  test('a message is what is left', () => {
    expect(compileErrorOf('Error 400 on SERVER: boom at /m/site.pp:3 on node a.b')).toMatchObject({
      message: 'boom',
      node: 'a.b',
    });
  });
});

describe('refusals of other makers', () => {
  test('plain text of the CA', () => {
    const text = 'agent.example already has a requested certificate; ignoring certificate request';
    const target = '/puppet-ca/v1/certificate_request/agent.example';
    const decoded = decodeAs('csr', {
      method: 'PUT',
      target,
      status: 400,
      response: Buffer.from(text),
      responseFields: contentType('text/plain'),
    });
    expect(decoded.refusal).toEqual({ status: 400, message: text, issueKind: null, compile: null });
  });

  test('HTML of Jetty', () => {
    const html = Buffer.from('<html><head><title>Error 404 Not Found</title></head><body>…</body></html>');
    expect(refusal(404, 'text/html;charset=iso-8859-1', html).message).toBe('Error 404 Not Found');
  });

  test('JSON without a content type, and text that is labelled as PSON', () => {
    expect(refusal(403, '', Buffer.from('{"message":"no","issue_kind":"STRINGTAP_NO_IDENTITY"}'))).toMatchObject({
      message: 'no',
      issueKind: 'STRINGTAP_NO_IDENTITY',
    });
    expect(refusal(400, 'text/pson', Buffer.from('Error 400 on SERVER: no')).message).toBe('Error 400 on SERVER: no');
  });

  test('no body, and a body that does not decode', () => {
    const target = '/puppet/v3/file_bucket_file/sha256/aa';
    expect(decodeAs('filebucket', { method: 'HEAD', target, status: 404 }).refusal).toEqual({
      status: 404,
      message: null,
      issueKind: null,
      compile: null,
    });
    const gzip: [string, string][] = [['Content-Encoding', 'gzip']];
    const decoded = decodeAs('filebucket', { target, status: 500, response: Buffer.from('no gzip'), responseFields: gzip });
    expect(decoded.refusal).toMatchObject({ message: null });
    expect(decoded.responseBody).toEqual({ error: 'the body is not gzip' });
  });
});
