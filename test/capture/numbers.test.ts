import { expect, test } from 'vitest';
import { openStore } from '../../src/capture/store.ts';
import { agent, closing, open, tempDir } from './rig.ts';

test('integers of a catalog that no double holds keep their digits', async () => {
  using dir = tempDir();
  const recorder = await open(dir.file('a.db'));
  const line = agent(recorder, 'agent.example').connect();
  const parameters =
    '{"uid":9007199254740993,"list":[9223372036854775807,-9223372036854775808,1],"half":0.5,"text":"9007199254740993"}';
  await line.send('POST /puppet/v3/catalog/agent.example?environment=production', {
    bodies: {
      response: Buffer.from(
        `{"name":"a","edges":[],"classes":[],"resources":[{"type":"User","title":"x","tags":[],"parameters":${parameters}},
         {"type":"User","title":"y","tags":[],"parameters":{"uid":9007199254740995,"password":"s"},"sensitive_parameters":["password"]}]}`,
      ),
    },
    responseFields: [['Content-Type', 'application/vnd.puppet.rich+json']],
  });
  line.close();
  await recorder.close();
  using store = closing(openStore(dir.file('a.db'), 'bodies'));
  const rows = (reveal: boolean) => store.decoded.rows('resource', { run: 1, reveal }).map(row => row.parameters);
  expect(rows(false)).toEqual([
    {
      uid: '9007199254740993',
      list: ['9223372036854775807', '-9223372036854775808', 1],
      half: 0.5,
      text: '9007199254740993',
    },
    { uid: '9007199254740995', password: '(sensitive)' },
  ]);
  expect(rows(true)[1]).toMatchObject({ uid: '9007199254740995' });
});
