import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openStore } from '../../src/capture/store.ts';
import { agent, open, tempDir } from '../capture/rig.ts';
import { openUi, SMALL } from './rig.ts';

const MIB = 1 << 20;
const SIZE = 50;

/** A JSON body of 50 MiB, as slowly as a disk takes it. */
async function* large(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('{"first": "the start of it", "list": [\n');
  for (let i = 0; i < SIZE; i += 1) {
    yield Buffer.from(`"${String(i).padStart(8, '0')} ${'x'.repeat(MIB - 14)}",\n`);
    await pause(5);
  }
  yield Buffer.from('"the end of it"]}\n');
}

test('a body of 50 MiB opens at once: only what is shown is read, to its last byte', async () => {
  using dir = tempDir();
  const recorder = await open(dir.file('large.db'));
  let id = 0;
  try {
    id = await agent(recorder, 'agent1.example')
      .connect()
      .sendStream('GET /puppet/v3/catalog/agent1.example?environment=production', large());
  } finally {
    await recorder.close();
  }
  const store = openStore(dir.file('large.db'));
  try {
    expect(store.exchange(id)!.bodies[0]).toMatchObject({ side: 'response', cut: null });
    const { bodyPart } = store;
    let read = 0;
    store.bodyPart = (exchange, side, at, length) => {
      const part = bodyPart(exchange, side, at, length);
      read += part.length;
      return part;
    };
    store.body = () => {
      throw new Error('the whole body is read');
    };
    using ui = openUi(store, SMALL);
    await ui.send(':');
    await ui.type(`exchange e${id}`);
    await ui.shows('1 Summary');
    const began = process.cpuUsage();
    await ui.send('3');
    await ui.shows('the start of it');
    await ui.shows('enter here decodes all of it');
    const { user, system } = process.cpuUsage(began);
    expect((user + system) / 1e6, 's of CPU').toBeLessThan(1);
    await ui.send('6');
    await ui.shows('7b 22 66 69');
    await ui.send('x');
    await ui.shows('{"first": "the start of it"');
    await ui.send('G');
    await ui.shows('"the end of it"]}');
    expect(read).toBeLessThan(MIB);
  } finally {
    store.close();
  }
});
