import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * What `npm run build` does, once before the tests: those that start `stringtap` run what ships. Half of the time of many tests would go into
 * compiling modules, in each worker, each of its threads and each program that it starts: Node keeps what it compiled.
 */
export default function build(): void {
  process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('../node_modules/.cache/stringtap-node', import.meta.url));
  const root = fileURLToPath(new URL('..', import.meta.url));
  const tsc = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url));
  for (const script of [[tsc, '-p', 'tsconfig.build.json'], ['bundle.ts']]) {
    execFileSync(process.execPath, script, { cwd: root, stdio: 'inherit' });
  }
}
