import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { agent, open } from '../capture/rig.ts';
import { type Folder, folder } from '../export/rig.ts';
import { stringtap } from './reuse-rig.ts';

/*
 * A Float that is whole is no Integer of Puppet's: catalogs and reports tell it so in rows, pages and comparisons, whatever format they came in.
 */

let dir: Folder;
let file: string;

const rich = (x: string): string =>
  `{"retries":${x},"list":[2.0,3,{"deep":-0.0}],"hidden":{"__ptype":"Sensitive","__pvalue":5.0},"big":1e20,
    "later":{"__ptype":"Deferred","name":"f","arguments":[6.0]},"hash":{"__ptype":"Hash","__pvalue":[7.0,8.0]},"version":"1.0"}`;

const catalog = (x: string): Buffer =>
  Buffer.from(
    `{"name":"agent.example","version":1,"resources":[{"type":"Exec","title":"t","tags":[],"parameters":${rich(x)}}],"edges":[],"classes":[]}`,
  );

/** `{resources: [{type: "Exec", title: "t", parameters: {retries: 1.0}}]}` */
const MSGPACK = Buffer.from(
  '81a97265736f75726365739183a474797065a445786563a57469746c65a174aa706172616d657465727381a772657472696573cb3ff0000000000000',
  'hex',
);

const report = Buffer.from(
  `{"host":"agent.example","report_format":12,"status":"changed","logs":[],"metrics":{},"resource_statuses":{"Exec[t]":{"resource":"Exec[t]",
    "resource_type":"Exec","title":"t","changed":true,"events":[{"property":"retries","previous_value":1.0,"desired_value":2.0,"status":"success","message":"m"}]}}}`,
);

beforeAll(async () => {
  dir = folder();
  file = dir.path('floats.db');
  const recorder = await open(file);
  const bodies: ReadonlyArray<[Buffer, string]> = [
    [catalog('1.0'), 'application/vnd.puppet.rich+json'],
    [catalog('1'), 'application/vnd.puppet.rich+json'],
    [MSGPACK, 'application/vnd.puppet.rich+msgpack'],
    [catalog('1.0'), 'text/pson'],
  ];
  for (const [response, type] of bodies) {
    const line = agent(recorder, 'agent.example').connect();
    await line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
      bodies: { response },
      responseFields: [['Content-Type', type]],
    });
    await line.send('PUT /puppet/v3/report/agent.example?environment=production', {
      bodies: { request: report },
      fields: [['Content-Type', 'application/json']],
    });
    line.close();
  }
  await recorder.close();
});
afterAll(() => dir[Symbol.dispose]());

async function out(...args: string[]): Promise<string> {
  return (await stringtap(...args, file)).out.join('\n');
}

test('rows and pages', async () => {
  const [sql] = JSON.parse(`[${await out('query', 'SELECT parameters FROM v_resource WHERE exchange = 1', '--json')}]`) as [
    object,
  ];
  expect(sql).toEqual({
    parameters:
      '{"retries":1.0,"list":[2.0,3,{"deep":-0.0}],"hidden":"(sensitive)","big":1.0e+20,"later":{"__ptype":"Deferred","name":"f","arguments":[6.0]},"hash":{"__ptype":"Hash","__pvalue":[7.0,8.0]},"version":"1.0"}',
  });
  expect(await out('show', 'r1', 'resources')).toContain(
    'retries => 1.0, list => [2.0,3,{"deep":-0.0}], hidden => (sensitive), big => 1.0e+20, later => {"__ptype":"Deferred","name":"f","arguments":[6.0]}, hash => {"__ptype":"Hash","__pvalue":[7.0,8.0]}, version => 1.0',
  );
  expect(await out('show', 'r1', 'resources', '--json', '--reveal')).toContain(
    '"parameters":{"retries":1.0,"list":[2.0,3,{"deep":-0.0}],"hidden":{"__ptype":"Sensitive","__pvalue":5.0},"big":1.0e+20,',
  );
  expect(await out('show', 'r2', 'resources', '--json')).toContain('"parameters":{"retries":1,"list":[2.0,3,');
  expect(await out('show', 'r3', 'resources')).toContain('retries => 1.0');
  expect(await out('show', 'r4', 'resources')).toContain('retries => 1.0, list => [2.0,3,{"deep":-0.0}]');
  expect(await out('show', 'r1', 'events')).toContain('1.0 → 2.0');
  expect(await out('show', 'r1', 'events', '--json')).toContain('"previousValue":1.0,"desiredValue":2.0');
  expect(await out('show', 'e1', '--json')).toContain('"retries":1.0,"list":[2.0,3,{"deep":-0.0}]');
});

test('exports', async () => {
  const to = dir.path('out.jsonl');
  expect((await stringtap('export', file, '--format', 'jsonl', '-o', to)).code).toBe(0);
  expect(readFileSync(to, 'utf8')).toContain('"parameters":{"retries":1.0,"list":[2.0,3,{"deep":-0.0}]');
});

test('comparisons', async () => {
  const told = await stringtap('diff', 'r1', 'r2', file);
  expect(told.code).toBe(3);
  expect(told.out.join('\n')).toMatch(/retries.*1\.0.*1(?!\.)/s);
  const json = (await stringtap('diff', 'r1', 'r2', '--json', file)).out.join('');
  expect(json).toContain('"path":["parameters","retries"],"kind":"changed","before":1.0,"after":1,');
  expect((await stringtap('diff', 'r1', 'r4', '--json', file)).out.join('')).toContain(
    '"resourcesBefore":1,"resourcesAfter":1,"resources":[],',
  );
});
