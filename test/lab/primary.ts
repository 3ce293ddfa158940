import { type ChildProcess, execFile } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type AccessLine, parseAccessLog } from './access-log.ts';
import { PUPPETSERVER_SHARE } from './available.ts';
import { spawnLeashed } from './leash.ts';
import { LAB_USER_AGENT, PRIMARY_CERTNAME, PRIMARY_SANS, type PrimaryConfig, writePrimary } from './primary-config.ts';

/** A start takes about 20 s on two cores; a loaded machine may take several times as long. */
const START_MS = 240_000;
const STOP_MS = 20_000;

export interface PrimaryOptions extends Partial<Omit<PrimaryConfig, 'dir' | 'port' | 'httpPort'>> {
  /** An empty folder of this primary's own. */
  dir: string;
  /** `intermediate`: a root and a signing CA (bundles of two); `self`: the one CA that a server makes at its first start. */
  ca?: 'intermediate' | 'self';
  /** It believes X-Client-* fields, and speaks plain HTTP too. */
  headers?: boolean;
}

/** Where a primary is that runs, perhaps as another process's child. */
export interface Running {
  readonly dir: string;
  readonly port: number;
  /** Of plain HTTP, with `headers`. */
  readonly httpPort: number | null;
}

export interface Primary extends Running, AsyncDisposable {
  readonly certname: string;
  /** The CA's bundle, its CRLs and the key that signs. */
  readonly caFile: string;
  readonly crlFile: string;
  readonly caKeyFile: string;
  /** A place in the access log, for `accessLog(since)`. */
  mark(): Promise<number>;
  /** What agents asked since a mark, in the order in which the answers ended; the lab's own requests are left out. */
  accessLog(since?: number): Promise<AccessLine[]>;
  /** Certnames that wait for a signature. */
  requests(): Promise<string[]>;
  sign(certname: string): Promise<void>;
  /** Returns once the web server has put its new CRL to use. */
  revoke(certname: string): Promise<void>;
  /** Revokes and forgets: the certname can ask for a certificate again. */
  clean(certname: string): Promise<void>;
  /** Writes autosign.conf (names or `*.domain`), for a primary with `autosign: 'file'`. */
  setAutosign(patterns: readonly string[]): void;
  /** The server's own log, for the message of a failing test. */
  log(): string;
}

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise(resolve => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** C1 only, no bytecode verification, JRuby's interpreter: a start of 20 s in the place of 30 to 38, and runs as fast as before. */
const JAVA_FLAGS = [
  '-Xms256m',
  '-Xmx1g',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-XX:+UnlockDiagnosticVMOptions',
  '-XX:-BytecodeVerificationRemote',
  '-Djruby.compile.mode=OFF',
  '-Djruby.logger.class=com.puppetlabs.jruby_utils.jruby.Slf4jLogger',
  '--add-opens=java.base/sun.nio.ch=ALL-UNNAMED',
  '--add-opens=java.base/java.io=ALL-UNNAMED',
  '-Djruby.lib=/usr/share/jruby/lib',
  // The words of the verdicts in the access log are read.
  '-Duser.language=en',
];

function spawnServer(dir: string): ChildProcess {
  const output = openSync(join(dir, 'log', 'stdout.log'), 'a');
  const jar = join(PUPPETSERVER_SHARE, 'puppetserver.jar');
  const args = [...JAVA_FLAGS, `-XX:ErrorFile=${dir}/log/crash.log`, '-jar', jar, '--config', join(dir, 'conf.d')];
  args.push('--bootstrap-config', join(dir, 'services.d'), '--restart-file', join(dir, 'run', 'restart'));
  // An empty home, so that nobody's ~/.puppetlabs is looked at.
  const env = { ...process.env, HOME: join(dir, 'home') };
  const child = spawnLeashed('java', args, { cwd: PUPPETSERVER_SHARE, env, output });
  closeSync(output);
  return child;
}

interface Answer {
  status: number;
  body: string;
}

/** One request of the lab's own, with the primary's certificate: it carries pp_cli_auth, which opens the CA's administration. */
async function admin(
  primary: { dir: string; port: number; httpPort?: number | null },
  method: string,
  path: string,
  json?: object,
): Promise<Answer> {
  const ssl = join(primary.dir, 'puppet', 'ssl');
  const body = json === undefined ? null : JSON.stringify(json);
  const cert = readFileSync(join(ssl, 'certs', `${PRIMARY_CERTNAME}.pem`), 'utf8');
  const said = {
    'x-client-verify': 'SUCCESS',
    'x-client-dn': `CN=${PRIMARY_CERTNAME}`,
    'x-client-cert': encodeURIComponent(cert),
  };
  return new Promise((resolve, reject) => {
    const call = request({
      host: '127.0.0.1',
      port: primary.port,
      method,
      path,
      cert,
      key: readFileSync(join(ssl, 'private_keys', `${PRIMARY_CERTNAME}.pem`)),
      // To its own server, on loopback, which may not have written its CA yet.
      rejectUnauthorized: false,
      agent: false,
      timeout: 30_000,
      headers: {
        'user-agent': LAB_USER_AGENT,
        accept: 'application/json, text/plain',
        ...(typeof primary.httpPort === 'number' ? said : {}),
        ...(body === null ? {} : { 'content-type': 'application/json' }),
      },
    });
    call.once('error', reject);
    call.once('timeout', () => call.destroy(new Error(`no answer to ${method} ${path}`)));
    call.once('response', response => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString('utf8') }));
    });
    call.end(body ?? undefined);
  });
}

async function succeed(answer: Promise<Answer>, what: string): Promise<Answer> {
  const { status, body } = await answer;
  if (status < 200 || status > 299) throw new Error(`${what}: ${status} ${body}`);
  return { status, body };
}

function tail(file: string): string {
  try {
    return readFileSync(file, 'utf8').split('\n').slice(-40).join('\n');
  } catch {
    return '';
  }
}

async function untilUp(child: ChildProcess, dir: string, port: number): Promise<void> {
  const logs = () => `${tail(join(dir, 'log', 'stdout.log'))}\n${tail(join(dir, 'log', 'puppetserver.log'))}`;
  const deadline = Date.now() + START_MS;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`puppetserver ended at its start:\n${logs()}`);
    if (Date.now() > deadline) throw new Error(`puppetserver is not up after ${START_MS} ms:\n${logs()}`);
    // No certificate yet while a self-made CA is being written: the reading of it fails, and that is one more "not up".
    const answer = await admin({ dir, port }, 'GET', '/status/v1/simple').catch(() => null);
    if (answer?.status === 200 && answer.body === 'running') return;
    await sleep(250);
  }
}

async function stopServer(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise(resolve => child.once('exit', resolve));
  child.stdin?.end();
  await Promise.race([ended, sleep(STOP_MS, undefined, { ref: false })]);
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await ended;
  }
}

/**
 * Starts a real puppetserver on a free port of 127.0.0.1, and returns when it answers.
 *
 * @throws Error with the end of the server's logs when it does not come up
 */
export async function startPrimary(options: PrimaryOptions): Promise<Primary> {
  const { dir } = options;
  const port = await freePort();
  const { autosign = 'file', tls = null, static: isStatic = true, idleMs = null } = options;
  const httpPort = options.headers === true ? await freePort() : null;
  writePrimary({ dir, port, autosign, tls, static: isStatic, idleMs, httpPort });
  if ((options.ca ?? 'intermediate') === 'intermediate') {
    const names = ['--ca-name', 'Lab CA', '--certname', PRIMARY_CERTNAME, '--subject-alt-names', PRIMARY_SANS];
    const args = ['ca', 'setup', '--config', join(dir, 'puppet', 'puppet.conf'), ...names];
    await promisify(execFile)('puppetserver', args, { env: { ...process.env, HOME: join(dir, 'home') }, timeout: 120_000 });
  }
  const child = spawnServer(dir);
  try {
    await untilUp(child, dir, port);
  } catch (error) {
    await stopServer(child);
    throw error;
  }
  return primaryAt({ dir, port, httpPort }, () => stopServer(child));
}

/** A primary that runs already; `end` is what `Symbol.asyncDispose` does. */
export function primaryAt(self: Running, end: () => Promise<void>): Primary {
  const { dir } = self;
  const accessFile = join(dir, 'log', 'access.log');
  let marks = 0;
  /** A request of our own goes through the log after all that went before it: once it is there, they are. */
  const settle = async (): Promise<void> => {
    const name = `mark=${process.pid}-${++marks}`;
    await admin(self, 'GET', `/status/v1/simple?${name}`);
    const deadline = Date.now() + 10_000;
    while (!readFileSync(accessFile, 'utf8').includes(name)) {
      if (Date.now() > deadline) throw new Error('the primary does not write its access log');
      await sleep(20);
    }
    await sleep(50);
  };
  const setState = async (certname: string, state: 'signed' | 'revoked'): Promise<void> => {
    const path = `/puppet-ca/v1/certificate_status/${certname}`;
    await succeed(admin(self, 'PUT', path, { desired_state: state }), `${state} ${certname}`);
  };
  const mainLog = join(dir, 'log', 'puppetserver.log');
  /** A changed CRL is noticed by a watcher of files, some 200 ms later; the web server then writes a line with its certificate. */
  const untilReloaded = async (change: () => Promise<unknown>): Promise<void> => {
    const reloads = () => readFileSync(mainLog, 'utf8').split('SslContextFactory] x509=').length;
    const before = reloads();
    await change();
    const deadline = Date.now() + 15_000;
    while (reloads() === before) {
      if (Date.now() > deadline) throw new Error('the primary does not take its new CRL up');
      await sleep(50);
    }
    await sleep(300);
  };
  return {
    ...self,
    certname: PRIMARY_CERTNAME,
    caFile: join(dir, 'ca', 'ca_crt.pem'),
    crlFile: join(dir, 'ca', 'ca_crl.pem'),
    caKeyFile: join(dir, 'ca', 'ca_key.pem'),
    async mark() {
      await settle();
      return statSync(accessFile).size;
    },
    async accessLog(since = 0) {
      await settle();
      const lines = readFileSync(accessFile)
        .subarray(since)
        .toString('utf8')
        .split('\n')
        .filter(line => line !== '');
      return parseAccessLog(lines).filter(line => line.userAgent !== LAB_USER_AGENT);
    },
    async requests() {
      const { body } = await succeed(admin(self, 'GET', '/puppet-ca/v1/certificate_statuses/any_key'), 'certificate statuses');
      const statuses = JSON.parse(body) as Array<{ name: string; state: string }>;
      return statuses.filter(status => status.state === 'requested').map(status => status.name);
    },
    sign: certname => setState(certname, 'signed'),
    revoke: certname => untilReloaded(() => setState(certname, 'revoked')),
    async clean(certname) {
      const names = { certnames: [certname] };
      await untilReloaded(() => succeed(admin(self, 'PUT', '/puppet-ca/v1/clean', names), `clean ${certname}`));
    },
    setAutosign(patterns) {
      writeFileSync(join(dir, 'puppet', 'autosign.conf'), patterns.map(pattern => `${pattern}\n`).join(''));
    },
    log: () => tail(mainLog),
    [Symbol.asyncDispose]: end,
  };
}
