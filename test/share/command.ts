import { main } from '../../src/cli.ts';

/** Runs a command in this process. */
export async function command(...args: string[]): Promise<{ code: number; out: string[]; err: string[] }> {
  const out: string[] = [];
  const err: string[] = [];
  const io = {
    out: (line: string) => void out.push(line),
    err: (line: string) => void err.push(line),
    chatter: () => undefined,
    write: () => undefined,
    stdoutIsTerminal: false,
    columns: 120,
    env: {},
    exitCode: 0,
  };
  await main(['node', 'stringtap', ...args], io);
  process.exitCode = 0;
  return { code: io.exitCode, out, err };
}
