import { expect, test } from 'vitest';
import { agent, open, tempDir } from '../capture/rig.ts';
import { stringtap } from './reuse-rig.ts';

test('resources that failed without an event are named: what could not be prefetched, or restarted', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'agent.example').connect();
  const status = (resource: string, more: object) => ({ resource, file: '/m.pp', line: 3, events: [], tags: [], ...more });
  const report = {
    report_format: 12,
    host: 'agent.example',
    status: 'failed',
    time: '2026-01-01T00:00:00Z',
    logs: [],
    metrics: {
      resources: {
        name: 'resources',
        values: [
          ['total', 'Total', 3],
          ['failed', 'Failed', 1],
          ['failed_to_restart', 'Failed to restart', 1],
        ],
      },
    },
    resource_statuses: {
      'Package[a]': status('Package[a]', { failed: true }),
      'Service[b]': status('Service[b]', { failed_to_restart: true }),
      'Service[c]': status('Service[c]', { failed: false, failed_to_restart: false }),
    },
  };
  await line.send('PUT /puppet/v3/report/agent.example?environment=production', {
    bodies: { request: Buffer.from(JSON.stringify(report)) },
    fields: [['Content-Type', 'application/json']],
  });
  line.close();
  await recorder.close();
  const text = (await stringtap('show', 'r1', file)).out.join('\n');
  expect(text).toContain('failed, 3 resources: 1 failed, 1 failed to restart');
  expect(text).toContain('failed Package[a] /m.pp:3');
  expect(text).toContain('failed to restart Service[b] /m.pp:3');
  expect(text).not.toContain('Service[c]');
});
