import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AppliedFile, type LastReport, type LastSummary, listFiles, readYaml } from './applied.ts';
import { rubyEnv, writeRuby } from './ruby.ts';

/** An agent run takes 2 to 5 s on two cores; its first run straight to a Java primary with TLS 1.3 takes 30 s more. */
const RUN_MS = 120_000;

export interface AgentOptions {
  /** A folder of this agent's own: configuration, certificates, state, and the files that it applies (`root`). */
  dir: string;
  certname: string;
  server: string;
  port: number;
  /** More lines of puppet.conf's [main]. */
  settings?: Readonly<Record<string, string | number>>;
  /** The text of csr_attributes.yaml. */
  csrAttributes?: string;
  /** More environment, facts for one (`FACTER_…`). Nothing of this process's own environment reaches the agent. */
  env?: Readonly<Record<string, string>>;
  /**
   * No TLS 1.3. A first run straight to a Java primary otherwise waits 30 s: after the answer to the CSR comes a late TLS
   * record with session tickets, and Ruby takes it for an answer that has begun.
   */
  tls12?: boolean;
  /** Ruby as it comes: for measuring; else it keeps what it compiled, which halves the time of a run. */
  plain?: boolean;
}

export interface AgentRun {
  /** 0 no change, 1 the run failed, 2 changes, 4 failures, 6 both; `null` when it was killed. */
  code: number | null;
  stdout: string;
  stderr: string;
  ms: number;
  /** `null` when the run wrote none. */
  lastRunReport: LastReport | null;
  lastRunSummary: LastSummary | null;
  /** What lies below `root` after the run. */
  files: AppliedFile[];
}

export interface Agent {
  readonly certname: string;
  readonly dir: string;
  readonly ssldir: string;
  /** Where the catalog puts its files. */
  readonly root: string;
  /** `puppet agent --test` (`--onetime` takes its place) once, with more arguments and environment. Rejects when it takes over two minutes. */
  run(args?: readonly string[], env?: Readonly<Record<string, string>>): Promise<AgentRun>;
  /** A file below the ssldir as text (`certs/ca.pem`). */
  ssl(name: string): string;
  /** The agent forgets its key, certificate, CA and CRL. */
  wipeSsl(): void;
}

/** Addresses of one way from an agent to the primary. */
export interface Way {
  server: string;
  port: number;
  settings: Readonly<Record<string, string | number>>;
}

/** Straight to `port` of 127.0.0.1, under a name that lab primaries and every leaf of a proxy carry. */
export function direct(port: number): Way {
  return { server: 'localhost', port, settings: {} };
}

/** To the primary's port by CONNECT. `localhost` goes past a forward proxy unless `no_proxy` says otherwise. */
export function connect(primaryPort: number, proxyPort: number): Way {
  const settings = { http_proxy_host: '127.0.0.1', http_proxy_port: proxyPort, no_proxy: 'none' };
  return { server: 'localhost', port: primaryPort, settings };
}

function puppetConf(options: AgentOptions): string {
  const { dir } = options;
  const settings = {
    certname: options.certname,
    server: options.server,
    serverport: options.port,
    confdir: join(dir, 'conf'),
    ssldir: join(dir, 'ssl'),
    vardir: join(dir, 'var'),
    publicdir: join(dir, 'public'),
    rundir: join(dir, 'run'),
    logdir: join(dir, 'log'),
    // 4096 bits cost up to 3 s a key.
    keylength: 2048,
    ...options.settings,
  };
  return `[main]\n${Object.entries(settings)
    .map(([name, value]) => `${name} = ${value}\n`)
    .join('')}`;
}

/** A real `puppet agent` that owns nothing outside its folder. */
export function makeAgent(options: AgentOptions): Agent {
  const { dir, certname } = options;
  const folder = (name: string) => join(dir, name);
  for (const name of ['conf', 'ssl', 'var', 'public', 'run', 'log', 'root', 'home', 'tmp'])
    mkdirSync(folder(name), { recursive: true });
  writeFileSync(join(dir, 'conf', 'puppet.conf'), puppetConf(options));
  if (options.csrAttributes !== undefined) writeFileSync(join(dir, 'conf', 'csr_attributes.yaml'), options.csrAttributes);
  writeRuby(dir);
  const baseEnv = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: folder('home'),
    TMPDIR: folder('tmp'),
    LANG: 'C.UTF-8',
    FACTER_apply_root: folder('root'),
    ...rubyEnv(dir, { tls12: options.tls12 === true, plain: options.plain === true }),
    ...options.env,
  };
  const report = join(dir, 'var', 'state', 'last_run_report.yaml');
  const summary = join(dir, 'public', 'last_run_summary.yaml');
  return {
    certname,
    dir,
    ssldir: folder('ssl'),
    root: folder('root'),
    async run(args = [], env = {}) {
      // What an earlier run left must not pass for what this one wrote.
      rmSync(report, { force: true });
      // --test overrules usecacheonfailure, wherever it is set.
      const mode = args.includes('--onetime') ? '--verbose' : '--test';
      const fixed = ['agent', '--config', join(dir, 'conf', 'puppet.conf'), mode, '--no-daemonize', '--color=false'];
      const done = await spawnAgent([...fixed, '--waitforcert', '0', ...args], { ...baseEnv, ...env });
      const [lastRunReport, lastRunSummary] = readYaml([report, summary]);
      return {
        ...done,
        lastRunReport: (lastRunReport ?? null) as LastReport | null,
        lastRunSummary: (lastRunSummary ?? null) as LastSummary | null,
        files: listFiles(folder('root')),
      };
    },
    ssl: name => readFileSync(join(dir, 'ssl', name), 'utf8'),
    wipeSsl() {
      rmSync(folder('ssl'), { recursive: true, force: true });
      mkdirSync(folder('ssl'));
    },
  };
}

type Spawned = Pick<AgentRun, 'code' | 'stdout' | 'stderr' | 'ms'>;

async function spawnAgent(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Spawned> {
  const started = performance.now();
  // A process group of its own: what the agent started ends with it.
  const child = spawn('puppet', args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (part: Buffer) => out.push(part));
  child.stderr.on('data', (part: Buffer) => err.push(part));
  const text = (parts: Buffer[]) => Buffer.concat(parts).toString('utf8');
  const killGroup = () => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  };
  process.once('exit', killGroup);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      killGroup();
      reject(new Error(`puppet agent takes over ${RUN_MS} ms:\n${text(out)}${text(err)}`));
    }, RUN_MS);
    const over = () => {
      clearTimeout(timer);
      process.off('exit', killGroup);
    };
    child.once('error', error => {
      over();
      reject(error);
    });
    child.once('close', code => {
      over();
      // Facter may not look at process 1 in a sandbox, and says so.
      const stderr = text(err).replace(/^.*Permission denied.*\/proc\/1\/environ.*\n?/gm, '');
      resolve({ code, stdout: text(out), stderr, ms: performance.now() - started });
    });
  });
}

/** Whether the agent's Ruby finds the msgpack gem: without it the agent offers no MessagePack. */
export function hasMsgpack(): boolean {
  try {
    execFileSync('ruby', ['-e', 'require "msgpack"'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
