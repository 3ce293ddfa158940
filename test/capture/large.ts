/** Puts one large body on a tape, waiting when asked to, and says how much memory that took. Arguments: file, MiB. */
import { agent, noise, open } from './rig.ts';

const [file, mebibytes] = process.argv.slice(2);
const recorder = await open(file!);
const line = agent(recorder, 'web1.lab').connect();
await line.send('GET /warm');
const before = process.memoryUsage.rss();
let peak = 0;
const watch = setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss());
}, 5);
const block = noise(64 << 10, 1);
const start = performance.now();

async function* pieces(): AsyncGenerator<Buffer> {
  for (let i = 0; i < Number(mebibytes) * 16; i++) {
    block.writeUInt32LE(i, 0);
    yield block;
    const ready = await new Promise<boolean>(resolve => {
      if (recorder.ready(() => resolve(false))) resolve(true);
    });
    // As a socket does: other things happen between chunks.
    if (!ready || i % 8 === 0) await new Promise(resolve => setImmediate(resolve));
  }
}

const id = await line.sendStream('GET /puppet/v3/file_content/m/large', pieces());
const seconds = (performance.now() - start) / 1_000;
clearInterval(watch);
line.close();
await recorder.close();
process.stdout.write(`${JSON.stringify({ id, before, peak, seconds, losses: recorder.losses })}\n`);
