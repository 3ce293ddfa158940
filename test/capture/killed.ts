/**
 * Writes exchanges as fast as it can until it is killed, and notes in a second file each one whose `committed` ran. Arguments:
 * capture, notes. What an exchange holds follows from its number, see expected().
 */
import { openSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { agent, noise, open } from './rig.ts';

/** The bodies of the n-th exchange of a connection: mostly small, some large, some that the file has already. */
export function expected(n: number): { request: Buffer; response: Buffer } {
  const sizes = [0, 40, 3_000, 300_000, 20, 9_000, 2_500_000, 64, 5, 1_000];
  const size = sizes[n % sizes.length]!;
  return { request: Buffer.from(`request ${n}`), response: noise(size, n % 3 === 0 ? 7 : n) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [file, notes] = process.argv.slice(2);
  const recorder = await open(file!);
  const fd = openSync(notes!, 'a');
  let n = Math.floor(Math.random() * 1_000);
  const work = async (certname: string): Promise<void> => {
    for (;;) {
      const line = agent(recorder, certname).connect();
      for (let i = 0; i < 20; i++) {
        const mine = n++;
        const { request, response } = expected(mine);
        const chunks = Array.from({ length: Math.ceil(response.length / 50_000) }, (_, c) =>
          response.subarray(c * 50_000, (c + 1) * 50_000),
        );
        const target = `/puppet/v3/file_content/modules/m/${mine}?environment=production`;
        const id = await line.send(`GET ${target}`, { bodies: { request, response: chunks } });
        writeSync(fd, `${id} ${mine}\n`);
      }
      line.close();
    }
  };
  await Promise.all([work('web1.lab'), work('web2.lab'), work('web3.lab')]);
}
