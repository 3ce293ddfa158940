import { expect, test } from 'vitest';
import { resultOf } from '../../src/capture/run-result.ts';
import { plugins } from '../analysis/findings/cases.ts';
import { event, makeWorld, type Node } from '../analysis/findings/world.ts';
import { fixture } from '../decode/rig.ts';

const failure = { reason: 'primary-unreachable', origin: 'puppet.example.com:8140', code: 'ECONNREFUSED' } as const;
/** A primary that is down gets nothing, and the body of the report is not read then. */
const down = { by: 'proxy', failure, request: '' } as const;

const CASES: Record<string, (node: Node) => Promise<void>> = {
  async changed(node) {
    await node.catalog();
    await node.report({ status: 'changed', resource_statuses: Object.fromEntries([event('Exec[a]', 'returns')]) });
  },
  async noop(node) {
    await node.catalog();
    await node.report({ status: 'unchanged', noop_pending: true });
  },
  async failed(node) {
    await node.catalog();
    await node.report({ status: 'failed' });
  },
  async 'compile error'(node) {
    await node.catalog({}, { status: 500, response: fixture('error-unknown-class.json'), type: 'application/json' });
    await node.report({ status: 'failed' });
  },
  async 'no catalog'(node) {
    await node.ask(plugins, down);
    await node.catalog({}, down);
    await node.report({}, down);
  },
  async bootstrap(node) {
    await node.ask('GET /status/v1/simple/server');
    await node.ask('PUT /puppet-ca/v1/certificate_request/agent.example', { status: 400 });
    await node.ask('GET /puppet-ca/v1/certificate/agent.example');
  },
  // puppet facts upload, puppet plugin download
  async partial(node) {
    await node.ask('PUT /puppet/v3/facts/agent.example?environment=production');
    await node.ask(plugins);
  },
  async 'no report'(node) {
    await node.catalog();
  },
  async reported(node) {
    await node.catalog();
    await node.report({}, { request: 'cut' });
  },
};

test.each(Object.keys(CASES))('a run is: %s', async result => {
  await using world = await makeWorld();
  const node = world.node('agent.example');
  await CASES[result]!(node);
  node.end();
  const store = await world.store();
  expect([...store.runs()].map(run => resultOf(store, run))).toEqual([result]);
});

test.each([
  [{ status: 'changed', noop_pending: true }, 'changed'],
  [{ status: 'changed', noop: true, noop_pending: true }, 'changed'],
  [{ status: 'changed', noop_pending: true, corrective_change: true }, 'corrective'],
  [{ status: 'unchanged', noop: true }, 'noop'],
  [{ status: 'failed', noop: true, noop_pending: true }, 'failed'],
])('of a report with %j: %s', async (report, result) => {
  await using world = await makeWorld();
  const node = world.node('agent.example');
  await node.catalog();
  await node.report(report);
  node.end();
  const store = await world.store();
  expect([...store.runs()].map(run => resultOf(store, run))).toEqual([result]);
});
