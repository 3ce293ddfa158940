/*
 * Records captures/sample.db: real runs of real agents against a real primary, through stringtap, with nothing of this machine in
 * them. `npm run lab:sample`; needs root, Linux, and Debian's puppet-agent and puppetserver.
 *
 * Everything happens in namespaces of its own: a network that has nothing but loopback, a host name, and a file tree in which /opt
 * and /srv are empty and go away at the end. So paths in catalogs and reports are short and neutral, and nothing is left behind.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { openRecorder } from '../../src/capture/recorder.ts';
import { openStore } from '../../src/capture/store.ts';
import { startProxy } from '../../src/proxy/proxy.ts';
import { packageVersion } from '../../src/version.ts';
import { type Agent, type AgentRun, makeAgent } from './agent.ts';
import { type Primary, startPrimary } from './primary.ts';
import { PRIMARY_CERTNAME } from './primary-config.ts';
import { DB, FACTS_RUBY, factsOf, type Machine, WEB } from './sample-facts.ts';
import { leaks, traces } from './sample-leaks.ts';
import { type Chapter, writeSampleCode } from './sample-site.ts';

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const INSIDE = 'STRINGTAP_SAMPLE_TRACES';
const MAX_BYTES = 2_000_000;

const SETUP = `set -e
mount -t tmpfs -o mode=755 tmpfs /opt
mount -t tmpfs -o mode=755 tmpfs /srv
mkdir /opt/lab
printf '127.0.0.1 localhost ${PRIMARY_CERTNAME}\\n' > /opt/lab/hosts
mount --bind /opt/lab/hosts /etc/hosts
hostname ${PRIMARY_CERTNAME}
ip link set lo up
exec "$@"`;

/** Enters the namespaces, with the words that must not be in the sample. */
function enter(target: string): number {
  if (process.getuid?.() !== 0) throw new Error('recording a sample needs root: it makes namespaces, and agents change owners');
  const self = fileURLToPath(import.meta.url);
  const command = ['--mount', '--uts', '--net', '--ipc', 'sh', '-c', SETUP, 'sh', process.execPath, self, target];
  const env = {
    PATH: process.env.PATH,
    LANG: 'C.UTF-8',
    HOME: '/opt/lab',
    TMPDIR: '/opt/lab',
    [INSIDE]: JSON.stringify(traces(CHECKOUT)),
  };
  const { status, error } = spawnSync('unshare', command, { stdio: 'inherit', env });
  if (error !== undefined) throw error;
  return status ?? 1;
}

function agentOf(machine: Machine, port: number): Agent {
  const dir = `/opt/puppet/${machine.certname}`;
  mkdirSync(join(dir, 'facts'), { recursive: true });
  writeFileSync(join(dir, 'facts', 'facts.rb'), FACTS_RUBY);
  writeFileSync(join(dir, 'facts', 'facts.json'), JSON.stringify(factsOf(machine)));
  const root = `/srv/${machine.role}`;
  mkdirSync(root, { recursive: true });
  return makeAgent({
    dir,
    certname: machine.certname,
    server: PRIMARY_CERTNAME,
    port,
    env: { FACTER_apply_root: root, RUBYOPT: `-r${join(dir, 'facts', 'facts.rb')}` },
  });
}

/** One run, which has to end as it should: a sample of something else would be of no use. */
async function run(words: string, agent: Agent, code: number): Promise<AgentRun> {
  const done = await agent.run();
  process.stdout.write(
    `  ${agent.certname.padEnd(10)} ${words.padEnd(44)} exit ${done.code}, ${(done.ms / 1000).toFixed(1)} s\n`,
  );
  if (done.code !== code) throw new Error(`${words}: exit ${done.code}, not ${code}:\n${done.stdout}${done.stderr}`);
  return done;
}

/** The story that the sample tells. */
async function story(primary: Primary, port: number): Promise<void> {
  const code = (chapter: Chapter): void => writeSampleCode(join(primary.dir, 'code'), chapter);
  const web = agentOf(WEB, port);
  const db = agentOf(DB, port);
  await run('fresh: enrols, syncs plugins, applies', web, 2);
  await run('steady: nothing to do', web, 0);
  await run('fresh, the second certname', db, 2);
  writeFileSync('/srv/web/www-maintenance', '');
  await run('a resource fails, another is skipped', web, 4);
  rmSync('/srv/web/www-maintenance');
  code({ broken: true });
  await run('its catalog does not compile', web, 1);
  code({ slow: true });
  await run('a slow fact has come by pluginsync', db, 0);
  code({ changed: true });
  await run('after a change of the site', web, 2);
}

async function record(file: string): Promise<void> {
  // A server's code folder must exist before it starts; what is in it is read at each compilation.
  const primary = await startPrimary({ dir: '/srv/puppet' });
  try {
    writeSampleCode(join(primary.dir, 'code'));
    const listen = { host: '127.0.0.1', port: 8140 };
    const recorder = await openRecorder({
      file,
      recording: {
        startedAt: Date.now(),
        startedMono: performance.now(),
        version: packageVersion(),
        pool: 'pooled',
        primaries: [`${PRIMARY_CERTNAME}:${primary.port}`],
        listen: `${listen.host}:${listen.port}`,
      },
      durability: 'commit',
      maxBodyBytes: null,
    });
    const proxy = await startProxy({
      listen,
      primary: { host: PRIMARY_CERTNAME, port: primary.port },
      certsDir: '/opt/stringtap',
      names: [],
      pool: 'pooled',
      connectOnlyPrimary: true,
      caPem: null,
      caFingerprint: null,
      tape: recorder,
      onNotice: () => {},
    });
    await story(primary, proxy.address.port).finally(async () => {
      await proxy.close();
      await recorder.close();
    });
    if (recorder.losses.length > 0) throw new Error(`the capture lacks something: ${JSON.stringify(recorder.losses)}`);
  } finally {
    await primary[Symbol.asyncDispose]();
  }
}

/** Everything folded and decoded, in as few bytes as can be; then the search for what must not be there. */
function finish(file: string, target: string, words: Record<string, string>): void {
  openStore(file, 'bodies').close();
  const db = new Database(file);
  db.exec('VACUUM');
  db.close();
  const found = leaks(file, words);
  if (found.length > 0) throw new Error(`the sample speaks of this machine:\n${found.join('\n')}`);
  const { size } = statSync(file);
  if (size > MAX_BYTES) throw new Error(`the sample has ${size} bytes, over ${MAX_BYTES}`);
  copyFileSync(file, target);
  chmodSync(target, 0o644); // it is no secret, as other captures are
  process.stdout.write(`${target}: ${size} bytes, searched for ${Object.keys(words).join(', ')}\n`);
}

const target = process.argv[2] ?? join(CHECKOUT, 'captures', 'sample.db');
const words = process.env[INSIDE];
if (words === undefined) process.exitCode = enter(target);
else {
  const file = '/opt/stringtap/sample.db';
  await record(file);
  finish(file, target, JSON.parse(words) as Record<string, string>);
}
