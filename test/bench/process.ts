import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const children = new Set<ChildProcess>();

export interface Running {
  child: ChildProcess;
  port: number;
}

/** Starts a process and waits for the line in which it says its port. */
export async function start(file: string, args: readonly string[], port: RegExp, cwd: string): Promise<Running> {
  const child = spawn(file, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  const lines = createInterface({ input: child.stdout });
  const found = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', code => reject(new Error(`${file} ${args[0]} ended with ${code}`)));
    lines.on('line', line => {
      const match = port.exec(line);
      if (match) resolve(Number(match[1]));
    });
  });
  return { child, port: found };
}

/** Starts a process that says nothing of itself. */
export function startQuiet(file: string, args: readonly string[], cwd: string): ChildProcess {
  const child = spawn(file, args, { cwd, stdio: 'ignore' });
  children.add(child);
  return child;
}

/** SIGINT, and SIGKILL for one that does not end within 20 s. */
export async function stop(child: ChildProcess): Promise<void> {
  children.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGINT');
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await exited;
  clearTimeout(timer);
}

export function killAll(): void {
  for (const child of children) child.kill('SIGKILL');
}

/** CPU seconds that a process, its threads and its children have used, and their peak RSS in MB. */
export function usage(pid: number | undefined): { cpu: number; peak: number } {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    const sum = { cpu: (Number(stat[11]) + Number(stat[12])) / 100, peak: Number(peak ?? 0) / 1000 };
    for (const child of readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)) {
      const more = usage(Number(child));
      sum.cpu += more.cpu;
      sum.peak += more.peak;
    }
    return sum;
  } catch {
    return { cpu: Number.NaN, peak: Number.NaN };
  }
}

export function installed(program: string): boolean {
  return [...(process.env.PATH ?? '').split(':'), '/usr/sbin'].some(folder => existsSync(`${folder}/${program}`));
}
