import { expect, test } from 'vitest';
import { agent, open, tempDir } from '../capture/rig.ts';
import { stringtap } from './reuse-rig.ts';

test('a resource is told to be sensitive also for what is within a list, a hash or a function', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'agent.example').connect();
  const secret = { __ptype: 'Sensitive', __pvalue: 's3cret' };
  const resource = (title: string, v: unknown) => ({ type: 'Thing', title, tags: [], parameters: { v } });
  const catalog = {
    name: 'agent.example',
    edges: [],
    classes: [],
    resources: [
      resource('plain', { a: ['x'] }),
      resource('list', ['x', secret]),
      resource('hash', { a: { b: secret } }),
      resource('deferred', { __ptype: 'Deferred', name: 'join', arguments: [[secret]] }),
      { ...resource('named', 's3cret'), sensitive_parameters: ['v'] },
    ],
  };
  await line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
    bodies: { response: Buffer.from(JSON.stringify(catalog)) },
    responseFields: [['Content-Type', 'application/vnd.puppet.rich+json']],
  });
  line.close();
  await recorder.close();
  for (const reveal of [[], ['--reveal']]) {
    const { out } = await stringtap('show', 'r1', ...reveal, file);
    const told = out.find(text => text.includes('sensitive:'));
    expect(told?.trim()).toBe('sensitive: Thing[list], Thing[hash], Thing[deferred], Thing[named]');
  }
});
