import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { compareRuns } from '../../src/analysis/compare.ts';
import type { RunData } from '../../src/analysis/compare-data.ts';
import { compareExchanges } from '../../src/analysis/compare-exchange.ts';
import { fileKey } from '../../src/analysis/compare-files.ts';
import type { ExchangeRef, RunComparison } from '../../src/analysis/compare-result.ts';
import { fixture } from '../decode/rig.ts';
import { catalogExchange, exchangeOf, requestBody, runOf, type Told } from './compare-rig.ts';

const FILE = '/puppet/v3/file_content';
const METADATA = '/puppet/v3/file_metadata';
const sha = (text: string): string => createHash('sha256').update(text).digest('hex');

function metadata(content: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  const checksum = { type: 'sha256', value: `{sha256}${sha(content)}` };
  return { path: '/srv/x', relative_path: null, type: 'file', mode: 420, owner: 0, group: 0, checksum, ...more };
}

const described = (key: string, content: string, more: Record<string, unknown> = {}): Told => ({
  target: `${METADATA}/${key}?environment=production`,
  responseType: 'application/json',
  response: JSON.stringify(metadata(content, more)),
});

const fetched = (key: string, content: string | Uint8Array, indirection = 'file_content'): Told => ({
  target: `/puppet/v3/${indirection}/${key}?environment=production`,
  responseType: 'application/octet-stream',
  response: content,
});

const source = (title: string, from: string) => ({ type: 'File', title, parameters: { source: from } });
const refs = (list: readonly ExchangeRef[]): string[] => list.map(({ method, target }) => `${method} ${target}`);
const none: RunComparison['counts'] = {
  ...{ run: 0, node: 0, facts: 0, resources: 0, edges: 0 },
  ...{ files: 0, report: 0, exchanges: 0, unmatched: 0 },
};

describe('requests find each other', () => {
  const matched = (a: RunData, b: RunData) => {
    const { matched: pairs, onlyA, onlyB } = compareRuns(a, b).exchanges;
    return [pairs, refs(onlyA), refs(onlyB)];
  };

  test('by what they ask for: order of the query, transaction_uuid and the own certname apart', () => {
    const a = runOf([
      { target: '/puppet/v3/node/a.example?environment=production&configured_environment=x&transaction_uuid=1' },
      { target: `${METADATA}/m/f?links=manage&environment=production` },
    ]);
    const b = runOf(
      [
        { target: `${METADATA}/m/f?environment=production&links=manage` },
        { target: '/puppet/v3/node/b.example?transaction_uuid=2&environment=production' },
      ],
      { certname: 'b.example' },
    );
    expect(matched({ ...a, certname: 'a.example' }, b)).toEqual([2, [], []]);
    // the name of another agent is not the own one
    expect(matched({ ...a, certname: 'c.example' }, b)[0]).toBe(1);
  });

  test('n-th with n-th, and the last catalog with the last one', () => {
    const file = (n: number): Told => fetched('m/f', `${n}`);
    expect(matched(runOf([file(1), file(2), file(3)]), runOf([file(1), file(2)]))).toEqual([
      2,
      ['GET /puppet/v3/file_content/m/f?environment=production'],
      [],
    ]);
    const catalog = (mode: string): Told => catalogExchange({ resources: [{ type: 'File', title: '/x', parameters: { mode } }] });
    const twice = runOf([catalog('0600'), catalog('0644')]);
    expect(compareRuns(twice, runOf([catalog('0644')])).counts).toEqual({ ...none, unmatched: 1 });
  });

  test('the catalog that was asked for again in the environment of the classifier is the one that counts', () => {
    const told = (environment: string, resources: Parameters<typeof catalogExchange>[0]['resources']): Told => ({
      ...catalogExchange({ resources }),
      target: `/puppet/v3/catalog/agent.example?environment=${environment}`,
    });
    const notify = [{ type: 'Notify', title: 'x' }];
    const moved = runOf([told('production', []), told('canary', notify)]);
    const { counts, exchanges } = compareRuns(runOf([told('production', notify)]), moved);
    expect(counts).toEqual({ ...none, unmatched: 1 });
    expect(refs(exchanges.onlyB)).toEqual(['POST /puppet/v3/catalog/agent.example?environment=production']);
  });

  test('in another environment when there is none in the same; that it is another one is told once', () => {
    const asked = (environment: string): Told => ({ target: `${FILE}/m/f?environment=${environment}`, response: 'x' });
    const a = runOf([asked('production')]);
    const b = runOf([asked('canary')], { environment: 'canary' });
    const comparison = compareRuns(a, b);
    expect(comparison.counts).toEqual({ ...none, run: 1 });
    expect(comparison.run).toMatchObject([{ path: ['environment'], before: 'production', after: 'canary' }]);
  });
});

describe('two exchanges', () => {
  test('status, who answered, and the header fields that matter', () => {
    const a = exchangeOf({
      target: '/puppet/v3/x',
      responseFields: [
        ['Date', 'now'],
        ['X-Puppet-Version', '7.23.0'],
        ['Set-Cookie', 'secret=1'],
        ['Content-Type', 'application/json;charset=utf-8'],
      ],
    });
    const b = exchangeOf({
      target: '/puppet/v3/x',
      responseFields: [
        ['date', 'later'],
        ['content-type', 'application/json; charset=utf-8'],
        ['x-puppet-version', '8.7.0'],
        ['set-cookie', 'secret=2'],
        ['X-Puppet-Compiler-Name', 'p8'],
      ],
      more: { answeredBy: 'proxy' },
    });
    const { fields, outcome, same } = compareExchanges(a, b);
    expect(same).toBe(false);
    expect(outcome).toMatchObject([{ path: ['answered_by'], before: 'primary', after: 'proxy' }]);
    expect(fields).toEqual([
      { side: 'response', name: 'x-puppet-version', before: '7.23.0', after: '8.7.0' },
      { side: 'response', name: 'set-cookie', before: '(hidden)', after: '(hidden)' },
      { side: 'response', name: 'x-puppet-compiler-name', before: null, after: 'p8' },
    ]);
    expect(compareExchanges(a, a).same).toBe(true);
  });

  test('a body in another coding, or in another format, says the same', () => {
    const told = (response: Uint8Array, fields: Told['responseFields'] = []): Told => ({
      target: '/puppet/v3/catalog/agent.example',
      method: 'POST',
      response,
      responseFields: fields,
    });
    const rich = fixture('catalog.rich.json');
    const json = exchangeOf({ ...told(rich), responseType: 'application/vnd.puppet.rich+json' });
    const gzip = exchangeOf({
      ...told(gzipSync(rich), [['Content-Encoding', 'gzip']]),
      responseType: 'application/vnd.puppet.rich+json',
    });
    const msgpack = exchangeOf({ ...told(fixture('catalog.rich.msgpack')), responseType: 'application/vnd.puppet.rich+msgpack' });
    expect(compareExchanges(json, gzip)).toMatchObject({ same: true });
    expect(compareExchanges(json, msgpack).parts).toEqual([]);
  });

  test('a refusal is told by its words', () => {
    const a = exchangeOf({ ...catalogExchange({ resources: [] }) });
    const b = exchangeOf({
      ...catalogExchange({ resources: [] }),
      status: 500,
      response: fixture('error-function.json'),
      responseType: 'application/json',
    });
    const { outcome, parts, fields } = compareExchanges(a, b);
    expect(outcome).toMatchObject([{ path: ['status'], before: 200, after: 500 }]);
    expect(fields).toEqual([]);
    expect(parts).toMatchObject([{ type: 'values', of: 'refusal' }]);
    expect(JSON.stringify(parts)).toContain('manifests/function.pp');
  });

  test('bodies that cannot be decoded: the reason, and only when they differ', () => {
    const broken = (response: string) => exchangeOf({ ...catalogExchange({ resources: [] }), request: null, response });
    expect(compareExchanges(broken('{'), broken('{')).same).toBe(true);
    expect(compareExchanges(broken('{'), broken('[')).parts).toMatchObject([{ type: 'undecoded', side: 'response' }]);
  });

  test('bodies that were too large to read are told apart by their digests', () => {
    const large = (sha256: string) =>
      exchangeOf({ target: `${FILE}/m/f`, more: { response: { sha256, sizeBytes: 1e9, complete: true, bytes: null } } });
    expect(compareExchanges(large('a'), large('a')).same).toBe(true);
    expect(compareExchanges(large('a'), large('b')).parts).toMatchObject([{ type: 'content', content: { type: 'unknown' } }]);
  });
});

describe('files', () => {
  const catalog = (...resources: ReturnType<typeof source>[]): Told => catalogExchange({ resources });
  const resource = source('/etc/motd', 'puppet:///modules/motd/motd');

  test('content that changed, as a text difference, with the resources that use it; and told nowhere else', () => {
    const run = (content: string): RunData =>
      runOf([catalog(resource), described('modules/motd/motd', content), fetched('modules/motd/motd', content)]);
    const comparison = compareRuns(run('a\nb\n'), run('a\nc\n'));
    expect(comparison.counts).toEqual({ ...none, files: 1 });
    expect(comparison.files).toMatchObject([
      {
        kind: 'changed',
        path: 'modules/motd/motd',
        resources: ['File[/etc/motd]'],
        metadata: [],
        content: { type: 'text', text: { addedLines: 1, removedLines: 1 }, before: { checksum: `{sha256}${sha('a\nb\n')}` } },
      },
    ]);
  });

  test('a run that did not fetch what the agent had: the content is looked up by its checksum', () => {
    const steady = runOf([catalog(resource), described('modules/motd/motd', 'old\n')]);
    const changed = runOf([catalog(resource), described('modules/motd/motd', 'new\n'), fetched('modules/motd/motd', 'new\n')]);
    expect(compareRuns(steady, changed).files[0]!.content).toMatchObject({ type: 'unknown', after: { bytes: 4 } });
    const contents = new Map([[`{sha256}${sha('old\n')}`, new TextEncoder().encode('old\n')]]);
    const known = compareRuns({ ...steady, contents }, changed).files[0]!.content;
    expect(known).toMatchObject({ type: 'text', text: { hunks: [{ lines: ['-old', '+new'] }] } });
  });

  test('of a static catalog the metadata is inside, and the content has another name', () => {
    const run = (content: string): RunData => {
      const inline = {
        metadata: {
          '/etc/motd': {
            ...metadata(content),
            source: 'puppet:///modules/motd/motd',
            content_uri: 'puppet:///modules/motd/files/motd',
          },
        },
      };
      return runOf([
        catalogExchange({ resources: [resource], more: inline }),
        fetched('modules/motd/files/motd', content, 'static_file_content'),
      ]);
    };
    expect(compareRuns(run('x\n'), run('y\n')).files).toMatchObject([
      { path: 'modules/motd/motd', resources: ['File[/etc/motd]'], content: { type: 'text' } },
    ]);
    // one primary with static catalogs, one without
    const plain = runOf([catalog(resource), described('modules/motd/motd', 'x\n'), fetched('modules/motd/motd', 'x\n')]);
    expect(compareRuns(run('x\n'), plain).files).toEqual([]);
  });

  test('a directory: files that came and went, another mode; a time is no difference', () => {
    const listing = (entries: Record<string, unknown>[]): Told => ({
      target: '/puppet/v3/file_metadatas/modules/m/tree?recurse=true&environment=production',
      responseType: 'application/json',
      response: JSON.stringify([
        { relative_path: '.', type: 'directory', mode: 493, checksum: { type: 'ctime', value: `{ctime}${Math.random()}` } },
        ...entries,
      ]),
    });
    const a = listing([metadata('1', { relative_path: 'gone' }), metadata('2', { relative_path: 'mode' })]);
    const b = listing([metadata('2', { relative_path: 'mode', mode: 384 }), metadata('3', { relative_path: 'new' })]);
    const { files } = compareRuns(runOf([catalog(source('/t', 'puppet:///modules/m/tree')), a]), runOf([catalog(), b]));
    expect(files.map(({ kind, path, resources }) => [kind, path, ...resources])).toEqual([
      ['removed', 'modules/m/tree/gone', 'File[/t]'],
      ['changed', 'modules/m/tree/mode', 'File[/t]'],
      ['added', 'modules/m/tree/new', 'File[/t]'],
    ]);
    expect(files[1]!.metadata).toMatchObject([{ path: ['mode'], before: '0644', after: '0600' }]);
  });

  test('binary content by its checksum, Sensitive sources hidden', () => {
    const bytes = (n: number): Uint8Array => new Uint8Array([0, 1, 2, n]);
    const run = (n: number): RunData => runOf([catalog(), fetched('m/bin', bytes(n))]);
    expect(compareRuns(run(1), run(2)).files).toMatchObject([{ content: { type: 'binary', before: { bytes: 4 } } }]);
    const secret = (content: string): RunData =>
      runOf([
        catalogExchange({ resources: [{ ...source('/k', 'puppet:///m/key'), sensitive: ['source'] }] }),
        fetched('m/key', content),
      ]);
    expect(compareRuns(secret('hunter2'), secret('hunter3')).files).toMatchObject([{ content: { type: 'hidden' } }]);
    expect(compareRuns(secret('hunter2'), secret('hunter3'), { reveal: true }).files).toMatchObject([
      { content: { type: 'text' } },
    ]);
  });

  test('the place of a file of a static catalog is that of its mount', () => {
    expect(fileKey('modules/m/files/a/files/b', true)).toBe('modules/m/a/files/b');
    expect(fileKey('site/modules/m/files/a', true)).toBe('modules/m/a');
    expect(fileKey('modules/m/files/a')).toBe('modules/m/files/a');
  });
});

describe('facts and node', () => {
  test('facts path by path; those that change by themselves only when asked for', () => {
    const run = (facts: Record<string, unknown>): RunData => runOf([catalogExchange({ resources: [] }, facts)]);
    const a = run({
      kernel: 'Linux',
      uptime_seconds: 1,
      memory: { system: { total: 8, used_bytes: 1 } },
      mountpoints: { '/': { available: 1 } },
    });
    const b = run({
      kernel: 'Linux',
      uptime_seconds: 2,
      memory: { system: { total: 9, used_bytes: 2 } },
      mountpoints: { '/': { available: 2 } },
      x: [1],
    });
    const { facts, counts } = compareRuns(a, b);
    expect(counts).toEqual({ ...none, facts: 2 });
    expect(facts).toMatchObject({
      volatile: 3,
      changes: [{ path: ['memory', 'system', 'total'] }, { path: ['x'], kind: 'added', after: [1] }],
    });
    expect(compareRuns(a, b, { allFacts: true }).counts.facts).toBe(5);
  });

  test('what the classifier said', () => {
    const node = (environment: string, more: Record<string, unknown>): Told => ({
      target: '/puppet/v3/node/agent.example?environment=production',
      responseType: 'application/json',
      response: JSON.stringify({
        name: 'agent.example',
        environment,
        parameters: { role: 'web', uptime: Math.random(), ...more },
      }),
    });
    const { node: changes, counts } = compareRuns(runOf([node('production', {})]), runOf([node('canary', { tier: 2 })]));
    expect(counts).toEqual({ ...none, node: 2 });
    expect(changes).toMatchObject([
      { path: ['environment'], after: 'canary' },
      { path: ['parameters', 'tier'], kind: 'added' },
    ]);
  });
});

describe('reports', () => {
  const report = (told: { status?: string; events?: object[]; logs?: object[]; more?: object; flags?: object }): Told => ({
    method: 'PUT',
    target: '/puppet/v3/report/agent.example?environment=production',
    requestType: 'application/json',
    request: JSON.stringify({
      ...{ report_format: 12, host: 'agent.example', status: told.status ?? 'unchanged', metrics: {}, logs: told.logs ?? [] },
      resource_statuses: {
        'File[/x]': { resource: 'File[/x]', changed: (told.events ?? []).length > 0, ...told.flags, events: told.events ?? [] },
      },
      ...told.more,
    }),
  });
  const event = { property: 'mode', status: 'success', previous_value: '0644', desired_value: '0600', message: 'mode changed' };
  const log = (message: string, level = 'notice') => ({ level, message, source: 'Puppet', tags: [] });

  test('status, events, log lines', () => {
    const a = runOf([report({ logs: [log('same'), log('gone', 'err')] })]);
    const b = runOf([report({ status: 'changed', events: [event], logs: [log('same'), log('same')] })]);
    const { report: found, exchanges } = compareRuns(a, b);
    expect(found).toMatchObject({
      fields: [{ path: ['status'], before: 'unchanged', after: 'changed' }],
      resources: [{ path: ['File[/x]'], kind: 'added' }],
      events: [{ kind: 'added', resource: 'File[/x]', property: 'mode', before: null, after: { desired: '0600' } }],
      logs: [
        { kind: 'removed', level: 'err', message: 'gone', count: 1 },
        { kind: 'added', message: 'same', count: 1 },
      ],
    });
    expect(exchanges.different).toEqual([]);
  });

  test('times, durations and ids of a run are no difference; Puppet 8 leaves unchanged resources out', () => {
    const times = (n: number) => [
      log(`Applied catalog in 0.${n} seconds`),
      log(`Applying configuration version '17000000${n}'`),
      log(`--- /x\t2026-01-0${n} 10:00:00.123 +0000`),
      log(`+++ /tmp/puppet-file20260101-${n}-abc${n}`),
    ];
    const more = (n: number) => ({ configuration_version: `17000000${n}`, transaction_uuid: `uuid-${n}-xxxx`, time: `${n}` });
    const a = runOf([report({ logs: times(1), more: more(1) })]);
    const b = runOf([report({ logs: times(2), more: { ...more(2), resource_statuses: {} } })]);
    expect(compareRuns(a, b).counts).toEqual(none);
  });

  test('an event of a property that is a secret is hidden', () => {
    const secret = (value: string) =>
      runOf([report({ events: [{ ...event, property: 'password', desired_value: value, message: value }] })]);
    const { report: found, same } = compareRuns(secret('hunter2'), secret('hunter3'));
    expect(same).toBe(false);
    expect(JSON.stringify(found)).not.toContain('hunter');
  });
});

test('time and connections are shown, and make no difference', () => {
  const tls = (resumed: boolean) => ({ leg: 'agent' as const, tlsVersion: 'TLSv1.3', resumed });
  const a = runOf([fetched('m/f', 'x')], { connections: [tls(false), tls(true)] });
  const slow = { ...a, exchanges: a.exchanges.map(one => ({ ...one, durationMs: 9000 })), connections: [tls(false)] };
  const { same, timing, connections } = compareRuns(a, slow);
  expect(same).toBe(true);
  expect(timing).toMatchObject([{ phase: 'file', a: { exchanges: 1, ms: 1 }, b: { ms: 9000 } }]);
  expect(connections[0]).toEqual({
    leg: 'agent',
    a: { connections: 2, full: 1, resumed: 1 },
    b: { connections: 1, full: 1, resumed: 0 },
  });
});

test('a run without a catalog: what could not be compared is said', () => {
  const failed: Told = { ...catalogExchange({ resources: [] }), status: 500, response: 'no', responseType: 'text/plain' };
  const { catalog, notes } = compareRuns(runOf([catalogExchange({ resources: [] })]), runOf([failed]));
  expect(catalog).toBeNull();
  expect(notes[0]).toBe('catalogs not compared: none in the second run that can be read');
  expect(requestBody({})).toContain('facts=');
});
