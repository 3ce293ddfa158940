import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Compiles src and ui once before the tests: those that start `stringtap` run what ships. */
export default function build(): void {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const tsc = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url));
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
}
