/** Captures until files may not grow any more, and goes on. Says what was committed, and what was lost. Argument: capture. */
import { agent, noise, open } from './rig.ts';

process.on('SIGXFSZ', () => undefined); // then a write that goes too far fails, as on a full disk
const recorder = await open(process.argv[2]!);
const line = agent(recorder, 'web1.lab').connect();
let sent = 0;
for (; sent < 60; sent++) await line.send(`GET /${sent}`, { bodies: { response: noise(100_000, sent) } });
line.close();
await recorder.close();
process.stdout.write(`${JSON.stringify({ sent, losses: recorder.losses })}\n`);
