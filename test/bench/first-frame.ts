import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../dist/src/bin.js', import.meta.url));

/**
 * Starts the compiled `stringtap ui FILE` in a terminal of 160x50 (script(1) of util-linux) and waits for its first frame.
 *
 * @returns ms from `exec` to the last byte of the frame; `cpu` is what the process took until then, all threads
 */
export async function firstFrame(file: string): Promise<{ wall: number; cpu: number }> {
  const command = `stty cols 160 rows 50; echo "pid $$ begins"; exec '${process.execPath}' '${BIN}' ui '${file}'`;
  const child = spawn('script', ['-qfec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  let began = 0;
  let there = false;
  const frame = Promise.withResolvers<{ wall: number; cpu: number }>();
  child.on('error', frame.reject);
  child.on('close', () => frame.reject(new Error(`it ended without a frame:\n${text}`)));
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
    const pid = /pid (\d+) begins/.exec(text)?.[1];
    if (pid === undefined || there) return;
    began ||= performance.now();
    // The line of keys is the last of a frame.
    there = text.includes('RESULT') && text.includes('help');
    if (there) frame.resolve({ wall: performance.now() - began, cpu: cpuOf(pid) });
  });
  try {
    return await frame.promise;
  } finally {
    const ended = new Promise(resolve => child.once('close', resolve));
    child.stdin.end('Q');
    await ended;
  }
}

function cpuOf(pid: string): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const times = threads.map(id => Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ')[0]));
  return times.reduce((a, b) => a + b, 0) / 1e6;
}
