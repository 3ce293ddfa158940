import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { counted, sized } from '../analysis/words.ts';
import type { Loss, Recorder } from '../capture/recorder.ts';
import type { Redacted } from '../capture/redacting.ts';
import type { Retain } from '../capture/retain.ts';
import type { RunRow } from '../capture/store.ts';
import type { LiveOtlp } from '../export/otlp-live.ts';
import type { Connection, Exchange, PoolPolicy, Tape } from '../model.ts';
import type { RevocationMode } from '../pki/trust.ts';
import type { FaultRule } from '../proxy/faults.ts';
import { type KeyLog, KeyLogError, openKeyLog } from '../proxy/keylog.ts';
import type { RunningProxy } from '../proxy/proxy.ts';
import { srvAsker } from '../proxy/srv.ts';
import { packageVersion } from '../version.ts';
import { readCa, sha256 } from './ca-option.ts';
import { FAULT_HELP, faultLines, faultRules, gatherFaults } from './fault-option.ts';
import { CliError, type Io, printable } from './io.ts';
import { byteCount, CAPTURES, hostPort, httpUrl, listenPlace, retention, wholeNumber } from './options.ts';
import { connectionLine, duration, exchangeLine } from './present.ts';
import { type ChosenPrimaries, choosePrimaries, type PrimaryOption, primaryOption } from './primary-option.ts';
import { openScreens, type Screens } from './proxy-ui.ts';
import { untilSignal } from './signals.ts';
import { requireTerminal } from './terminal.ts';

interface Place {
  host: string;
  port: number;
  plain?: boolean;
}

export interface ProxyFlags {
  primary: Place;
  /** All of them, the first included. */
  primaries: Place[];
  chosen: ChosenPrimaries;
  /** Asks for SRV records anew. */
  follow?: () => Promise<ChosenPrimaries>;
  listen: { host: string; port: number };
  capture?: string;
  certs: string;
  name?: string[];
  pool: PoolPolicy;
  caCert?: string;
  caFingerprint?: string;
  identity: 'certificate' | 'headers';
  certificateRevocation: RevocationMode;
  connectOnlyPrimary?: boolean;
  connectLocal?: boolean;
  quiet?: boolean;
  ui?: boolean;
  keylog?: string;
  fault?: string[];
  metrics?: { host: string; port: number };
  metricsCertname?: boolean;
  otlp?: string;
  maxBody?: number;
  retain?: Retain;
  redactAtCapture?: boolean;
  commitWait: number;
  durability: 'commit' | 'async';
}

/** `stringtap proxy`: listens, captures, prints one line an exchange, until SIGINT or SIGTERM. */
export function registerProxy(program: Command, io: Io): void {
  program
    .command('proxy')
    .description('listen for agents, relay them to the primary, capture everything')
    .requiredOption(
      '--primary <HOST[:PORT]>',
      'the real primary, or http://HOST[:PORT], or SRV:DOMAIN; again for more of them: CONNECT and SNI choose',
      (text: string, all: PrimaryOption[] = []) => [...all, primaryOption(text)],
    )
    .addOption(
      new Option('--listen <HOST:PORT>', 'where agents connect')
        .argParser(listenPlace)
        .default({ host: '127.0.0.1', port: 8140 }, '127.0.0.1:8140'),
    )
    .option('--capture <FILE>', 'capture file, made or appended to (default: captures/<UTC time>.db)')
    .option('--certs <DIR>', 'our CA, identities and pinned CAs', 'certs')
    .option('--name <NAME...>', 'extra names or addresses on our certificate', (name: string, all: string[] = []) => [
      ...all,
      name,
    ])
    .addOption(new Option('--pool <POLICY>', 'connections to the primary').choices(['pooled', 'mirror']).default('pooled'))
    .option('--ca-cert <FILE>', "the primary's CA (default: pinned on first contact)")
    .option('--ca-fingerprint <SHA256>', "the primary's CA must have this fingerprint", sha256)
    .addOption(
      new Option('--identity <WAY>', 'how the primary is told which agent it is: its certificate, or X-Client-* fields')
        .choices(['certificate', 'headers'])
        .default('certificate'),
    )
    .addOption(
      new Option(
        '--certificate-revocation <MODE>',
        "how far CRLs are looked at for the primary's certificate, as Puppet's setting",
      )
        .choices(['chain', 'leaf', 'false'])
        .default('chain'),
    )
    .option('--quiet', 'no line an exchange')
    .option('--ui', 'show the screens of `stringtap ui` instead of lines; quitting them does not stop the proxy')
    .option('--connect-only-primary', 'refuse CONNECT to other hosts instead of tunnelling it unread')
    .option('--connect-local', 'let CONNECT and plain HTTP lead to services of this machine (loopback, link-local), too')
    .option('--keylog <FILE>', 'append the TLS secrets of both legs (NSS format), for Wireshark; keep it as a key')
    .option('--fault <RULE>', FAULT_HELP, gatherFaults)
    .option('--metrics <HOST:PORT>', 'serve figures for Prometheus at http://HOST:PORT/metrics', text => hostPort(text, null))
    .option('--metrics-certname', 'label the figures of exchanges with the certname: one set of series an agent')
    .option('--otlp <URL>', 'send each run as a trace to this OpenTelemetry collector when it ends', httpUrl)
    .option('--max-body <BYTES>', 'store at most so much of each body; all of it is forwarded', byteCount)
    .option('--redact-at-capture', 'hide known secrets before anything is written; bodies over 8 MiB are then not stored')
    .option('--retain <LIMIT>', 'delete the oldest runs beyond so many runs, bytes or days: 500runs, 20G, 7d', retention)
    .option('--commit-wait <MS>', 'how long an answer waits for a slow disk at most', wholeNumber, 250)
    .addOption(
      new Option('--durability <WHEN>', 'commit: an answer leaves when it is on disk')
        .choices(['commit', 'async'])
        .default('commit'),
    )
    .action(
      async ({
        primary,
        ...flags
      }: Omit<ProxyFlags, 'primary' | 'primaries' | 'chosen' | 'follow'> & { primary: PrimaryOption[] }) => {
        const chosen = await choosePrimaries(primary, srvAsker());
        const { ca = [], report = [], fileserver = [] } = chosen.services ?? {};
        const all = [chosen.primary, ...chosen.standbys, ...chosen.others, ...ca, ...report, ...fileserver];
        const primaries = [...new Map(all.map(one => [address(one), one])).values()];
        const follow = (): Promise<ChosenPrimaries> => choosePrimaries(primary, srvAsker());
        await runProxy(io, { ...flags, primary: chosen.primary, primaries, chosen, ...(chosen.services && { follow }) });
      },
    );
}

async function runProxy(terminal: Io, flags: ProxyFlags): Promise<void> {
  if (flags.metricsCertname === true && flags.metrics === undefined)
    throw new CliError('--metrics-certname is of --metrics', 'as in: --metrics 127.0.0.1:9140 --metrics-certname', 2);
  if (flags.ui === true) {
    requireTerminal(terminal, 'without --ui it prints a line an exchange; `stringtap ui` in another terminal shows the screens');
  }
  let screens: Screens | null = null;
  const say = (to: 'out' | 'err' | 'chatter', line: string): void => (screens?.io ?? terminal)[to](line);
  const io: Io = {
    ...terminal,
    out: line => say('out', line),
    err: line => say('err', line),
    chatter: line => say('chatter', line),
  };
  const faults = faultRules(flags.fault ?? []);
  const keyLog = keyLogOf(io, flags.keylog);
  const caPem = flags.caCert === undefined ? null : await readCa(flags.caCert);
  const file = flags.capture ?? defaultCapture();
  const existed = existsSync(file);
  const otlp = flags.otlp === undefined ? null : await sendRuns(io, flags.otlp, file);
  const [{ openRecorder }, { redacting }, { startProxy }] = await Promise.all([
    import('../capture/recorder.ts'),
    import('../capture/redacting.ts'),
    import('../proxy/proxy.ts'),
  ]);
  const recorder = await openRecorder({
    file,
    recording: {
      startedAt: Date.now(),
      startedMono: performance.now(),
      version: packageVersion(),
      pool: flags.pool,
      primaries: flags.primaries.map(address),
      listen: address(flags.listen),
    },
    durability: flags.durability,
    maxBodyBytes: flags.maxBody ?? null,
    commitWaitMs: flags.commitWait,
    ...(flags.retain && { retain: flags.retain }),
    onLoss: loss => io.err(lossLine(loss)),
    onRun: run => {
      if (!flags.quiet) io.out(runLine(run));
      otlp?.run(run.id);
    },
  });
  let redacted: Redacted | null = null;
  const before = (tape: Tape): Tape => {
    if (flags.redactAtCapture !== true) return tape;
    const clean = redacting(tape);
    redacted = clean.redacted;
    return clean;
  };
  let proxy: RunningProxy | null = null;
  let bundles: Bundles;
  let metrics: ServedMetrics | null = null;
  try {
    metrics = flags.metrics === undefined ? null : await serveFigures(flags.metrics, recorder, flags.metricsCertname === true);
    proxy = await startProxy({
      listen: flags.listen,
      primary: flags.primary,
      standbys: flags.chosen.standbys,
      others: flags.chosen.others,
      ...(flags.chosen.services && { services: flags.chosen.services }),
      ...(flags.follow && { follow: flags.follow }),
      certsDir: flags.certs,
      names: flags.name ?? [],
      pool: flags.pool,
      connectOnlyPrimary: flags.connectOnlyPrimary === true,
      connectLocal: flags.connectLocal === true,
      caPem,
      caFingerprint: flags.caFingerprint ?? null,
      identity: flags.identity,
      revocation: flags.certificateRevocation,
      faults,
      tape: before(
        watched(metrics?.tape ?? recorder, {
          exchange: exchange => {
            if (!flags.quiet) io.out(exchangeLine(exchange));
          },
          connection: connection => {
            const line = connectionLine(connection);
            if (line !== null) io.out(line);
          },
        }),
      ),
      ...(keyLog && { onKeys: keyLog.line }),
      onNotice: line => io.err(`stringtap: ${printable(line)}`),
    });
    bundles = writeBundles(flags.certs, proxy);
  } catch (error) {
    await proxy?.close();
    await metrics?.close();
    await recorder.close();
    await otlp?.close();
    if (!existed) discardCapture(file);
    throw listenError(error, flags.listen);
  }
  io.out(greeting(proxy, flags, faults, bundles, recorder, metrics?.address ?? null).join('\n'));
  if (flags.ui === true) screens = openScreens(terminal, recorder.file, false);
  await untilSignal();
  await screens?.close();
  io.chatter('finishing the exchanges under way; again to leave at once');
  await proxy.close();
  keyLog?.close();
  await metrics?.close();
  await recorder.close();
  await otlp?.close();
  for (const loss of recorder.losses) io.err(lossLine(loss));
  if (redacted !== null) io.err(redactedLine(redacted));
}

/** The key log of `--keylog`, `null` without it. @throws {CliError} */
export function keyLogOf(io: Io, file: string | undefined): KeyLog | null {
  if (file === undefined) return null;
  try {
    return openKeyLog(file, line => io.err(`stringtap: ${printable(line)}`));
  } catch (error) {
    if (error instanceof KeyLogError) throw new CliError(error.message, error.hint);
    throw error;
  }
}

/** An empty capture would be the newest one, which the reading commands take. */
export function discardCapture(file: string): void {
  for (const end of ['', '-wal', '-shm', '.lock']) rmSync(`${file}${end}`, { force: true });
}

interface ServedMetrics {
  /** The recorder, counted. */
  tape: Tape;
  address: { host: string; port: number };
  close(): Promise<void>;
}

/** Starts `--metrics`; its library is loaded only then. */
async function serveFigures(
  place: { host: string; port: number },
  recorder: Recorder,
  withCertname: boolean,
): Promise<ServedMetrics> {
  const { createMetrics, serveMetrics } = await import('./metrics.ts');
  const metrics = createMetrics(() => recorder.losses, withCertname);
  const server = await serveMetrics(metrics, place).catch((error: unknown) => {
    throw listenError(error, place, '--metrics');
  });
  return { tape: metrics.counted(recorder), address: server.address, close: () => server.close() };
}

/** Starts the thread of `--otlp`; its libraries are loaded only then. */
async function sendRuns(io: Io, url: string, file: string): Promise<LiveOtlp> {
  const { openLiveOtlp } = await import('../export/otlp-live.ts');
  return openLiveOtlp({ url, file, version: packageVersion() }, text => io.err(`stringtap: ${printable(text)}`));
}

/** The tape, with a look at what passes for the lines that are printed. */
export function watched(tape: Tape, on: { exchange(exchange: Exchange): void; connection(connection: Connection): void }): Tape {
  return {
    connectionId: () => tape.connectionId(),
    exchangeId: () => tape.exchangeId(),
    connection(connection) {
      tape.connection(connection);
      if (connection.closed) on.connection(connection);
    },
    tap: (exchange, side) => tape.tap(exchange, side),
    exchange(exchange, committed) {
      tape.exchange(exchange, committed);
      on.exchange(exchange);
    },
    drop: exchange => tape.drop(exchange),
    ...(tape.ready && { ready: (go: () => void) => tape.ready?.(go) ?? true }),
  };
}

export function address({ host, port, plain }: Place): string {
  return `${plain ? 'http://' : ''}${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** A file of captures/ named by the time. @throws {CliError} when the folder cannot be made */
export function defaultCapture(prefix = ''): string {
  try {
    mkdirSync(CAPTURES, { recursive: true });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new CliError(`cannot make the folder ${CAPTURES}: ${code}`, '--capture FILE writes elsewhere');
  }
  return join(CAPTURES, `${prefix}${new Date().toISOString().replace(/[:.]/g, '-').slice(0, 19)}Z.db`);
}

/** Errors of `listen` in words; others as they are. */
export function listenError(error: unknown, listen: { host: string; port: number }, option = '--listen'): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  const isName = syscall === 'getaddrinfo' && error instanceof Error && 'hostname' in error && error.hostname === listen.host;
  if (syscall !== 'listen' && !isName) return error;
  const where = address(listen);
  switch (code) {
    case 'EADDRINUSE':
      return new CliError(`${where} is in use`, `${option} ${listen.host}:0 takes a free port; \`ss -ltnp\` shows who has it`);
    case 'EACCES':
      return new CliError(
        `not allowed to listen on ${where}`,
        `ports below 1024 need privileges; ${option} HOST:PORT takes another`,
      );
    default:
      return new CliError(`cannot listen on ${where}: ${code}`, `${option} HOST:PORT must name an address of this machine`);
  }
}

/** Files for agents that the primary has signed already. */
interface Bundles {
  caFile: string;
  crlFile: string;
}

/** @throws {CliError} */
function writeBundles(certs: string, { trust }: RunningProxy): Bundles {
  const dir = resolve(certs, 'bundle');
  const files = { caFile: join(dir, 'ca.pem'), crlFile: join(dir, 'crl.pem') };
  try {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    writeFileSync(files.caFile, trust.bundle().pem, { mode: 0o644 });
    writeFileSync(files.crlFile, trust.crlBundle().pem, { mode: 0o644 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new CliError(`cannot write the bundles of our CA to ${dir}: ${code}`, '--certs DIR takes another folder');
  }
  return files;
}

/** What is printed at the start: where, what, and the exact command lines that use it. */
function greeting(
  proxy: RunningProxy,
  flags: ProxyFlags,
  faults: readonly FaultRule[],
  { caFile, crlFile }: Bundles,
  recorder: Recorder,
  metrics: { host: string; port: number } | null,
): string[] {
  const { host, port } = proxy.address;
  const reach = host === '0.0.0.0' || host === '::' ? 'localhost' : host;
  const loopback = reach === '127.0.0.1' || reach === '::1' || reach === 'localhost';
  const isSaid = flags.primaries.every(one => one.plain === true || flags.identity === 'headers');
  const imports = isSaid ? '' : 'once `stringtap identity import --ssldir DIR`, then ';
  const direct = `--server ${loopback ? 'localhost' : reach} --serverport ${port}`;
  const { primary } = proxy;
  const bypass = /^(localhost|127\.0\.0\.1)$/.test(primary.host) ? ' --no_proxy none' : '';
  const connect = `--server ${primary.host} --serverport ${primary.port} --http_proxy_host ${reach} --http_proxy_port ${port}${bypass}`;
  return [
    `listening on ${address(proxy.address)}`,
    `primary      ${flags.primaries.map(address).join(', ')}, connections ${flags.pool}${saysWho(flags)}`,
    `our CA       SHA-256 ${proxy.authority.fingerprint}`,
    `capture      ${recorder.file}`,
    ...(metrics === null ? [] : [`metrics      http://${address(metrics)}/metrics`]),
    ...faultLines(faults).map(printable),
    '',
    'a new agent (empty ssldir), straight or by CONNECT:',
    `  puppet agent --test ${direct}`,
    `  puppet agent --test ${connect}`,
    `an agent that the primary has signed already: ${imports}for each run`,
    `  puppet agent --test ${direct} --localcacert ${caFile} --hostcrl ${crlFile}`,
    `  puppet agent --test ${connect} --localcacert ${caFile} --hostcrl ${crlFile}`,
    '',
  ];
}

/** Agents that are named in header fields: the primary has to believe them, which it does not unless told. */
function saysWho({ identity, primaries }: ProxyFlags): string {
  const said = primaries.filter(one => one.plain === true || identity === 'headers');
  return said.length === 0 ? '' : `, agents named in X-Client-* fields (the primary needs allow-header-cert-info: true)`;
}

/** The summary of a run that ended; with how it went, where that is known already. */
export function runLine(run: RunRow, result?: string): string {
  const took = run.endedAt === null ? 0 : Date.parse(run.endedAt) - Date.parse(run.startedAt);
  const connections = `${run.agentConnections} agent and ${run.primaryConnections} primary connections`;
  const failed = run.failed === 0 ? '' : `, ${run.failed} failed`;
  return `run r${run.id} ${run.certname}: ${result === undefined ? '' : `${result}, `}${counted(run.exchanges, 'exchange')}${failed}, ${connections}, ${sized(run.requestBytes)} up, ${sized(run.responseBytes)} down, ${duration(took)}, ended by ${run.end ?? 'nothing yet'}`;
}

function redactedLine({ changed, leftOut }: Redacted): string {
  return `stringtap: --redact-at-capture hid something in ${changed} bodies and stored nothing of ${leftOut}`;
}

export function lossLine(loss: Loss): string {
  return `stringtap: capture: ${loss.reason} (${loss.count}): ${printable(loss.detail)}\nhint: ${loss.hint}`;
}
