import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { exchangesOf } from './lab.ts';
import { type LabProxy, stringtap } from './proxy.ts';

const run = promisify(execFile);

/** Runs the exported command of each exchange of a run that only reads: the primary answers as it did. @returns how many */
export async function expectCurl(proxy: LabProxy, id: string): Promise<number> {
  const { stdout, stderr, code } = await stringtap([
    ...['export', id, '--capture', proxy.capture, '--format', 'curl', '--certs', proxy.certs],
  ]);
  expect(code, stderr).toBe(0);
  const lines = stdout.split('\n');
  const reading = (await exchangesOf(proxy, '--run', id)).filter(one => one.method === 'GET' && one.outcome === 'answered');
  for (const one of reading) {
    const command = lines[lines.findIndex(line => line.startsWith(`# ${one.id} `)) + 1]!;
    const words = `${command} --max-time 20 --output /dev/null --write-out '%{http_code}'`;
    const { stdout: status } = await run('sh', ['-c', words]);
    expect(Number(status), `${one.id} ${one.target}`).toBe(one.status);
  }
  return reading.length;
}
