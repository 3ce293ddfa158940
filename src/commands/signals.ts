import { once } from 'node:events';
import { constants } from 'node:os';

/** Signals that end what serves, sends or records, in order. */
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Two signals within this time are one: a terminal's Ctrl-C reaches a wrapper and us, and the wrapper passes it on. */
const SAME_SIGNAL_MS = 300;

/** 128 and the signal's number, as a shell says it. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

export interface Interruption {
  /** Aborts at the first SIGINT, SIGTERM or SIGHUP; a second one ends the process where it is. */
  readonly signal: AbortSignal;
  /** That of the first signal, `null` before it. */
  readonly exitCode: number | null;
  /** From here on signals do again what they do by themselves. */
  stop(): void;
}

export function untilInterrupted(): Interruption {
  const controller = new AbortController();
  let first: { at: number; exitCode: number } | null = null;
  const handle = (signal: NodeJS.Signals): void => {
    const at = performance.now();
    if (first !== null && at - first.at > SAME_SIGNAL_MS) process.exit(signalExitCode(signal));
    first ??= { at, exitCode: signalExitCode(signal) };
    controller.abort(signal);
  };
  for (const signal of ENDING) process.on(signal, handle);
  return {
    signal: controller.signal,
    get exitCode() {
      return first?.exitCode ?? null;
    },
    stop() {
      for (const signal of ENDING) process.off(signal, handle);
    },
  };
}

/** Resolves at the first SIGINT, SIGTERM or SIGHUP; a second one ends the process at once. */
export async function untilSignal(): Promise<void> {
  await once(untilInterrupted().signal, 'abort');
}
