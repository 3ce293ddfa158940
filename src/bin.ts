#!/usr/bin/env node
// Runs on any Node: says what is needed, or starts the program on the Node that comes with a checkout (devDependency `node`).
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

/** Much passes through these, and little stays. */
const PASSING: ReadonlySet<string> = new Set(['proxy', 'export', 'reuse']);

/**
 * V8 would let their young generation grow to 200 MB, collect it with threads that take longer to start
 * than to work, and malloc keep an arena for each thread, for nothing. All that can be told only at the start of a process, so the process starts again in
 * its place (the same pid), before it has loaded anything. `gc` is for proxy/passing.ts.
 * glibc copies 2 KiB and more by `rep movsb`, which takes ten times as long on AMD's Zen when the target is not aligned, and bytes of TLS never are: a proxy
 * copies by vector instructions instead. Another libc does not read this.
 */
const SMALL = ['--max-semi-space-size=4', '--heap-growing-percent=100', '--no-parallel-scavenge', '--expose-gc'];

function startSmall(): void {
  if (!PASSING.has(process.argv[2] ?? '') || process.platform === 'win32' || SMALL.every(flag => process.execArgv.includes(flag)))
    return;
  const env = { MALLOC_ARENA_MAX: '2', GLIBC_TUNABLES: 'glibc.cpu.x86_rep_movsb_threshold=0x40000000', ...process.env };
  try {
    process.execve?.(process.execPath, [process.execPath, ...process.execArgv, ...SMALL, ...process.argv.slice(1)], env);
  } catch {
    // As it is, it works too.
  }
}

if (major > 22 || (major === 22 && minor >= 19)) {
  startSmall();
  const { main } = await import('./cli.ts');
  await main(process.argv);
} else {
  const own = fileURLToPath(new URL('../../node_modules/node/bin/node', import.meta.url));
  if (existsSync(own)) {
    const child = spawn(own, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
    // A signal from a terminal reaches both, one from `kill` only us: the program takes two within a moment for one.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
    child.once('exit', (code, signal) => {
      process.exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
    });
  } else {
    process.stderr.write(`stringtap: Node ${process.versions.node} is too old\nhint: Node 22.19 or newer is needed\n`);
    process.exitCode = 1;
  }
}
