import { type ChildProcess, spawn } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Commands of stringtap in a process of their own: what takes long, or ends badly, never holds up a key, and what is asked for here is
 * just what the same command prints in a shell.
 */

export interface ChildResult {
  /** `null`: it was ended by {@link signal}. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

export interface ChildOptions {
  /** Ends it at once; the promise is rejected. */
  signal?: AbortSignal;
  /** Ends it as ctrl-c does: it says what it has done so far. */
  interrupt?: AbortSignal;
  /** Each line that it says on stderr. */
  onLine?(line: string): void;
  /** Its data go to this open file instead. */
  into?: number;
}

/** A longer answer is not for a screen. */
const MAX_CHARACTERS = 128 * 1024 * 1024;
/** Of what is said on stderr the end is kept: the error stands there. */
const MAX_WORDS = 64 * 1024;

const running = new Set<ChildProcess>();

/** Told of each process; what it returns, of its end. */
type Watch = (pid: number) => () => void;
let watch: Watch = () => () => {};

/** Who ends them when this process cannot. */
export function watchChildren(by: Watch): void {
  watch = by;
}

/** Runs `stringtap ARGS`. @throws Error when it cannot be started, says too much, or was ended by `signal` */
export async function runStringtap(args: readonly string[], options: ChildOptions = {}): Promise<ChildResult> {
  const { signal, interrupt, onLine, into } = options;
  signal?.throwIfAborted();
  const bin = fileURLToPath(new URL(`../src/bin${extname(import.meta.url)}`, import.meta.url));
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', into ?? 'pipe', 'pipe'] });
  running.add(child);
  const ended = child.pid === undefined ? () => {} : watch(child.pid);
  const end = (): void => void child.kill('SIGTERM');
  const ask = (): void => void child.kill('SIGINT');
  signal?.addEventListener('abort', end, { once: true });
  interrupt?.addEventListener('abort', ask, { once: true });
  let out = '';
  let err = '';
  let partial = '';
  let tooMuch = false;
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    if (out.length + text.length > MAX_CHARACTERS) {
      tooMuch = true;
      end();
    } else out += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    err = (err + text).slice(-MAX_WORDS);
    const lines = (partial + text).split('\n');
    partial = lines.pop() ?? '';
    for (const line of lines) onLine?.(line);
  });
  try {
    const result = await new Promise<Pick<ChildResult, 'code' | 'signal'>>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve({ code, signal }));
    });
    signal?.throwIfAborted();
    if (tooMuch)
      throw new Error(`the answer is larger than ${MAX_CHARACTERS / 2 ** 20} MiB: stringtap ${args[0]} in a shell prints it`);
    return { ...result, out, err };
  } finally {
    running.delete(child);
    ended();
    signal?.removeEventListener('abort', end);
    interrupt?.removeEventListener('abort', ask);
  }
}

/** Runs a command that answers with one JSON object. @throws Error with the command's own words when it failed */
export async function askStringtap<Answer>(args: readonly string[], options: ChildOptions = {}): Promise<Answer> {
  const result = await runStringtap(args, options);
  // 3: it found what it was asked to look for.
  if (result.code !== 0 && result.code !== 3) throw childError(result);
  return JSON.parse(result.out) as Answer;
}

/** `stringtap: what` and `hint: what to do` of a command that failed. */
export function childWords({ err, code, signal }: ChildResult): { what: string; hint: string | null } {
  const lines = err.trim().split('\n');
  const what = lines.findLast(line => /^(stringtap|error): /.test(line))?.replace(/^\w+: /, '');
  const hint = lines.findLast(line => line.startsWith('hint: '))?.slice('hint: '.length) ?? null;
  const end = signal === null ? `it ended with exit code ${code}` : `it was ended by ${signal}`;
  return { what: what ?? (lines.at(-1) || end), hint };
}

/** The same in one line. */
export function childError(result: ChildResult): Error {
  const { what, hint } = childWords(result);
  return new Error(`${what}${hint === null ? '' : ` (${hint})`}`);
}

/** Ends all that is running: the screens are left. */
export function endChildren(): void {
  for (const child of running) child.kill('SIGTERM');
}
