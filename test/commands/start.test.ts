import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const bin = fileURLToPath(new URL('../../dist/src/bin.js', import.meta.url));

/** Says at the end which packages were loaded, other than by `node:`. */
const TOLD = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  const seen = new Set();
  registerHooks({ load(url, context, next) { seen.add(/node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1]); return next(url, context); } });
  process.on('exit', () => process.stderr.write('packages ' + [...seen].filter(Boolean).join(' ')));
`)}`;

function packages(...args: string[]): string[] {
  const { stderr } = spawnNode(args);
  return (/packages (.*)$/.exec(stderr)?.[1] ?? '').split(' ');
}

function spawnNode(args: readonly string[]): { stderr: string } {
  // stderr into stdout, and stdout away: only the list is looked at
  const script = `exec "$0" "$@" 2>&1 >/dev/null`;
  const stderr = execFileSync('sh', ['-c', script, process.execPath, '--import', TOLD, bin, ...args], { encoding: 'utf8' });
  return { stderr };
}

/** TLS, HTTP and SQLite take longer to load than all else together: who only asks how a command is used does not wait for them. */
const HEAVY = ['undici', 'http-mitm-proxy', 'node-forge', 'better-sqlite3', 'ink', 'react'];

test.each([[['--help']], [['proxy', '--help']], [['run', '--help']], [['help', 'identity', 'import']]])(
  '%j loads nothing that only a command at work needs',
  args => {
    const loaded = packages(...args);
    expect(loaded).toContain('commander');
    expect(loaded.filter(name => HEAVY.includes(name))).toEqual([]);
  },
);

test('a list loads SQLite, and neither TLS nor HTTP', () => {
  const sample = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));
  const loaded = packages('query', 'SELECT 1', sample);
  expect(loaded.filter(name => HEAVY.includes(name))).toEqual(['better-sqlite3']);
});
