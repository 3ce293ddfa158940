import { describe, expect, test } from 'vitest';
import type { Report } from '../../src/decode/report.ts';
import { contentType, decodeAs, expected, fixture, reason, value } from './rig.ts';

const TARGET = '/puppet/v3/report/agent.example?environment=production';

const TYPES: Record<string, string> = {
  json: 'application/json',
  pson: 'text/pson',
  yaml: 'text/yaml',
  msgpack: 'application/x-msgpack',
};

function report(name: string): Report {
  const fields = contentType(TYPES[name.split('.').at(-1)!]!);
  return value(decodeAs('report', { method: 'PUT', target: TARGET, request: fixture(name), requestFields: fields }).request);
}

interface Theirs {
  status: string;
  format: number;
  resources: number;
  events: number;
  logs: number;
  failed: string[];
  metrics: Record<string, Record<string, number>>;
  messages: string[];
}

describe('the report of a real run', () => {
  test.each(['report.json', 'report.pson', 'report.yaml', 'report.msgpack'])('%s says what Puppet says', name => {
    const ours = report(name);
    const theirs = expected<Theirs>('report');
    expect(ours).toMatchObject({
      format: theirs.format,
      host: 'agent.example',
      status: theirs.status,
      noop: false,
      noopPending: true,
      correctiveChange: false,
      transactionCompleted: true,
      environment: 'production',
      puppetVersion: '7.23.0',
      serverUsed: 'primary.example:8140',
      codeId: 'urn:code:1',
    });
    expect(ours.transactionUuid).toMatch(/^[0-9a-f-]{36}$/);
    expect(ours.resources.length).toBe(theirs.resources);
    expect(
      ours.resources
        .filter(({ failed }) => failed)
        .map(({ resource }) => resource)
        .sort(),
    ).toEqual(theirs.failed);
    expect(ours.events.length).toBe(theirs.events);
    expect(ours.logs.map(({ message }) => message)).toEqual(theirs.messages);
    const metrics = Object.entries(theirs.metrics).flatMap(([category, values]) =>
      Object.entries(values).map(([key, number]) => [category, key, number]),
    );
    expect(ours.metrics.map(({ category, name: key, value: number }) => [category, key, number]).sort()).toEqual(metrics.sort());
  });

  test('events have old and new values', () => {
    const { events } = report('report.json');
    expect(events.find(({ resource }) => resource === 'Exec[/bin/false]')).toMatchObject({
      property: 'returns',
      name: 'executed_command',
      status: 'failure',
      previousValue: 'notrun',
      desiredValue: ['0'],
      audited: false,
      redacted: null,
    });
    expect(events.find(({ resource }) => resource === 'File[/tmp/work/secret]')).toMatchObject({
      previousValue: '[redacted]',
      redacted: true,
    });
    expect(events.find(({ resource }) => resource === 'File[/tmp/work/only-noop]')).toMatchObject({
      status: 'noop',
      previousValue: 'absent',
      desiredValue: 'file',
    });
  });

  test('statuses, logs and times', () => {
    const { resources, logs, time } = report('report.json');
    const made = resources.find(({ resource }) => resource === 'File[/tmp/work/made]')!;
    expect(made).toMatchObject({
      type: 'File',
      title: '/tmp/work/made',
      changed: true,
      failed: false,
      skipped: false,
      outOfSync: true,
      events: 1,
      changeCount: 1,
      line: 1,
      provider: 'posix',
    });
    expect(made.evaluationTime).toBeGreaterThan(0);
    expect(made.containmentPath).toEqual(['Stage[main]', 'Main', 'File[/tmp/work/made]']);
    expect(resources.find(({ title }) => title === 'after')).toMatchObject({ skipped: true });
    expect(logs.find(({ message }) => message?.startsWith('defined content'))).toMatchObject({
      level: 'notice',
      file: '/tmp/work/apply.pp',
      line: 1,
    });
    expect(time!.at).toBe(Math.trunc(Date.parse(time!.text.slice(0, 23).concat('Z'))) + Number(`0.${time!.text.slice(23, 29)}`));
  });
});

describe('reports of every format', () => {
  test('0: logs and metrics only', () => {
    expect(report('old-report-0.yaml')).toMatchObject({
      format: 0,
      host: 'agent.example',
      status: null,
      puppetVersion: null,
      resources: [],
      events: [],
      time: { text: '2010-02-03 04:05:07.654321 -08:00', at: Date.UTC(2010, 1, 3, 12, 5, 7) + 654.321 },
      logs: [
        { level: 'notice', file: '/etc/puppet/manifests/site.pp', line: 2, tags: ['file', 'notice'] },
        { level: 'info', source: 'Puppet', tags: ['info'] },
      ],
      metrics: [
        { category: 'time', name: 'file', label: 'File', value: 0.00128507614135742 },
        { category: 'time', name: 'total', label: 'Total' },
        { category: 'changes', name: 'total', label: 'Total', value: 1 },
      ],
    });
  });

  test('1: statuses without a type, symbols and aliases', () => {
    expect(report('old-report-1.yaml')).toMatchObject({
      format: 1,
      resources: [
        {
          resource: 'File[/tmp/a]',
          type: 'File',
          title: '/tmp/a',
          file: '/etc/puppet/manifests/site.pp',
          line: 3,
          failed: null,
          tags: ['file', 'notice'],
        },
      ],
      events: [
        {
          resource: 'File[/tmp/a]',
          name: 'mode_changed',
          previousValue: '644',
          desiredValue: { type: 'Scalar', ptype: 'Symbol', text: '600' },
          status: 'success',
        },
      ],
    });
  });

  test('2: a status of its own', () => {
    expect(report('old-report-2.yaml')).toMatchObject({
      format: 2,
      status: 'failed',
      kind: 'apply',
      puppetVersion: '2.6.7',
      configurationVersion: '1303000000',
      environment: null,
      events: [{ status: 'failure', property: 'ensure', audited: false, time: { at: Date.UTC(2011, 3, 17, 1, 2, 3) + 0.004 } }],
    });
  });

  test('3: tag sets, an environment, a title of two lines', () => {
    expect(report('old-report-3.yaml')).toMatchObject({
      format: 3,
      status: 'unchanged',
      environment: 'production',
      resources: [
        {
          resource: 'Notify[two\nlines]',
          title: 'two\nlines',
          skipped: true,
          tags: ['notify', 'class'],
          containmentPath: ['Stage[main]', 'Main'],
        },
      ],
      logs: [{ tags: ['notice'] }],
    });
  });

  test.each([
    ['old-report-4.pson', 4, { transactionUuid: 'u-4', kind: 'apply', catalogUuid: null, noop: null, correctiveChange: null }],
    ['old-report-5.json', 5, { catalogUuid: 'c-5', cachedCatalogStatus: 'not_used', codeId: null, jobId: null }],
    ['old-report-6.json', 6, { noop: false, noopPending: false, jobId: '42', correctiveChange: null }],
    ['old-report-7.json', 7, { correctiveChange: true, kind: 'apply' }],
    ['old-report-8.json', 8, { serverUsed: 'primary.example:8140', kind: null }],
    ['old-report-9.json', 9, { transactionCompleted: null }],
    ['old-report-10.json', 10, { transactionCompleted: true, serverUsed: 'primary.example:8140' }],
    ['old-report-11.json', 11, { serverUsed: 'primary.example:8140' }],
  ])('%s', (name, format, more) => {
    const ours = report(name);
    expect(ours).toMatchObject({ format, status: 'changed', ...more });
    expect(ours.events).toMatchObject([
      {
        resource: 'File[/tmp/a]',
        property: 'ensure',
        previousValue: 'absent',
        desiredValue: 'present',
        correctiveChange: format >= 7 ? true : null,
      },
    ]);
    expect(ours.resources).toMatchObject([{ evaluationTime: 0.25, provider: format >= 9 ? 'posix' : null }]);
    expect(ours.logs.length).toBe(1);
    expect(ours.metrics).toEqual([{ category: 'resources', name: 'total', label: 'Total', value: 1 }]);
  });
});

describe('around a report', () => {
  test('the answer names the processors', () => {
    const decoded = decodeAs('report', {
      method: 'PUT',
      target: TARGET,
      response: Buffer.from('["store","puppetdb"]'),
      responseFields: contentType('application/json'),
    });
    expect(value(decoded.response)).toEqual(['store', 'puppetdb']);
    expect(decoded.request).toBeNull();
  });

  test('what is no report says so', () => {
    const decoded = decodeAs('report', {
      method: 'PUT',
      target: TARGET,
      request: Buffer.from('{"a":1}'),
      requestFields: contentType('application/json'),
    });
    expect(reason(decoded.request)).toBe('no report');
  });

  test('statuses that are an array, or empty', () => {
    const body = '{"logs":[],"resource_statuses":[{"resource":"A[b]","events":[{"status":"audit"}]},{},null]}';
    const decoded = decodeAs('report', {
      method: 'PUT',
      target: TARGET,
      request: Buffer.from(body),
      requestFields: contentType('application/json'),
    });
    expect(value(decoded.request)).toMatchObject({
      resources: [{ resource: 'A[b]' }, { resource: '' }],
      events: [{ resource: 'A[b]', status: 'audit' }],
    });
  });
});
