import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { makeWorld, type Node } from './world.ts';

const line = (message: string) => ({ level: 'notice', message, source: 'Puppet', tags: [], time: null, file: null, line: null });
const asked = (environment: string) => ({
  request: `environment=${environment}&facts_format=application%2Fjson&static_catalog=true`,
});
const compiled = async (node: Node): Promise<void> => void (await node.catalog());

/** Runs as a real agent makes them, and all that is said of them. */
const CASES: readonly (readonly [string, (node: Node) => Promise<unknown>, readonly (readonly [string, RegExp])[]])[] = [
  [
    'SIGTERM while the catalog is applied',
    async node => {
      await compiled(node);
      await node.report({ status: 'failed', transaction_completed: false, logs: [line('Caught TERM; exiting')] });
    },
    [['error', /^resource-failed: the agent was stopped before its catalog was applied to the end: Caught TERM; exiting$/]],
  ],
  [
    'a prerun_command that fails',
    async node => {
      await compiled(node);
      await node.report({ status: 'failed', transaction_completed: false, logs: [] });
    },
    [['error', /^resource-failed: the run failed before its catalog was applied to the end, and no resource is the reason$/]],
  ],
  [
    'a node classifier that names another environment each time',
    async node => {
      for (const [of, to] of [
        ['canary', 'production'],
        ['production', 'canary'],
        ['canary', 'production'],
      ] as const) {
        await node.catalog({ environment: to }, asked(of));
      }
      await node.report({ status: 'failed', transaction_completed: false, logs: [] });
    },
    [
      [
        'error',
        /^environment-restart: 3 catalogs in one run, each for another environment than it was asked in \(production, canary\): the agent gave up; 1\.2 s of compiling for nothing$/,
      ],
    ],
  ],
  [
    'a first run without a report: report = false, most likely',
    async node => {
      await compiled(node);
      node.end();
    },
    [['info', /^report-missing: the agent got a catalog and sent no report, nor did an earlier run: it went away/]],
  ],
  [
    'a code-content-command that gives the present version, whatever code_id is asked for',
    async node => {
      const checksum = { type: 'sha256', value: `{sha256}${createHash('sha256').update('one').digest('hex')}` };
      const uri = 'puppet:///modules/d/files/s.txt';
      const metadata = {
        type: 'file',
        source: 'puppet:///modules/d/s.txt',
        content_uri: uri,
        checksum,
        mode: 420,
        owner: 0,
        group: 0,
      };
      await node.catalog({ metadata: { '/s.txt': metadata } });
      await node.ask('GET /puppet/v3/static_file_content/modules/d/files/s.txt?environment=production&code_id=c0de', {
        response: 'two',
        type: 'application/octet-stream',
      });
      await node.report();
    },
    [['warning', /^mid-run-deploy: 1 file changed on the primary .*modules\/d\/files\/s\.txt fix: .*code-content-command/]],
  ],
  [
    'an http_read_timeout that is shorter than the compilation',
    async node => {
      await node.catalog({}, { abandoned: true, ms: 2_000, response: '' });
      const message =
        'Request to https://p:8140/puppet/v3/catalog/agent.example?environment=e timed out read operation after 2.01 seconds';
      await node.report({ status: 'failed', logs: [{ ...line(message), level: 'err' }] });
    },
    [['error', /^slow-compile: no catalog after 2\.0 s: http_read_timeout was over$/]],
  ],
  [
    'a long pause before the catalog, and one after it',
    async node => {
      await node.ask('GET /puppet/v3/file_metadatas/plugins?environment=production&recurse=true', { response: '[]' });
      node.pause(29_000);
      node.dropAgent();
      await compiled(node);
      await node.report();
    },
    [['info', /^keepalive-gap: .* 29 s .*fix: find what takes so long \(puppet facts --timing\)/]],
  ],
  [
    'an agent that keeps no connection open',
    async node => {
      for (let n = 0; n < 3; n += 1) {
        await node.ask('GET /puppet/v3/file_metadatas/plugins?environment=production&recurse=true', { response: '[]' });
        node.dropAgent();
      }
      await node.report();
    },
    [
      [
        'warning',
        /^keepalive-gap: the agent closed 3 connections of this run right after an answer, and opened others: 0\.0\d s of handshakes$/,
      ],
    ],
  ],
  [
    'a long pause while the catalog is applied',
    async node => {
      await compiled(node);
      node.pause(29_000);
      node.dropAgent();
      await node.report();
    },
    [['info', /^keepalive-gap: .* 29 s .*fix: find what takes so long \(puppet agent --test --evaltrace\)/]],
  ],
];

test.each(CASES)('%s', async (_name, play, expected) => {
  await using world = await makeWorld();
  const node = world.node('agent.example');
  await play(node);
  node.end();
  const found = [...(await world.store()).findings({ run: 1 })];
  expect(found.map(({ severity, rule, summary, fix }) => [severity, `${rule}: ${summary} fix: ${fix}`])).toEqual(
    expected.map(([severity, says]) => [severity, expect.stringMatching(new RegExp(says.source.replace(/\$$/, ' fix: ')))]),
  );
});

test('a proxy that ends while a run is under way does not know whether a report would have come', async () => {
  await using world = await makeWorld();
  await world.node('agent.example').catalog();
  expect([...(await world.store()).findings()]).toEqual([]);
});
