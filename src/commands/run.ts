import { existsSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { counted } from '../analysis/words.ts';
import { openRecorder, type Recorder } from '../capture/recorder.ts';
import type { RunRow } from '../capture/store.ts';
import type { PoolPolicy } from '../model.ts';
import { identityInPlace, NO_SWAP } from '../pki/in-place.ts';
import { ContactError } from '../proxy/contact-error.ts';
import { reasonOf } from '../proxy/failure.ts';
import type { FaultRule } from '../proxy/faults.ts';
import { type RunningProxy, startProxy } from '../proxy/proxy.ts';
import { srvAsker, srvPlaces } from '../proxy/srv.ts';
import { packageVersion } from '../version.ts';
import { faultLines, faultRules } from './fault-option.ts';
import { CliError, type Io, printable } from './io.ts';
import { connectionLine } from './present.ts';
import { address, defaultCapture, discardCapture, keyLogOf, lossLine, watched } from './proxy.ts';
import { checkAgent, checkCommand, checkDaemon, checkDevice } from './run-checks.ts';
import { runChild } from './run-child.ts';
import { findInText, findPuppet, onPath, type PuppetCommand, withoutHost, withSettings, writeShim } from './run-command.ts';
import { makeRunFolder, removeLeftFolders } from './run-folder.ts';
import { askPuppet, type PuppetSettings } from './run-settings.ts';
import { summary } from './run-summary.ts';

interface Place {
  host: string;
  port: number;
}

/** Options of `stringtap run`, read. */
export interface RunFlags {
  capture?: string;
  keylog?: string;
  fault?: string[];
  pool: PoolPolicy;
  maxBody?: number;
  durability: 'commit' | 'async';
}

/**
 * `stringtap run -- puppet agent --test`: one command of an agent through a proxy of its own; no file of the agent changes.
 *
 * @returns the command's exit code
 * @throws {CliError}
 */
export async function run(io: Io, command: readonly string[], flags: RunFlags): Promise<number> {
  const faults = faultRules(flags.fault ?? []);
  removeLeftFolders();
  const found = findPuppet(command);
  const path = io.env.PATH ?? '';
  checkCommand(found, command, io.env);
  if (found !== null) checkDevice(found);
  const puppet = found ?? unseenPuppet(command, path);
  const settings: PuppetSettings = { ...(await askPuppet(puppet, { ...io.env })) };
  if (found !== null) checkDaemon(found, settings);
  const { lines } = checkAgent(settings);
  await addSrvPlaces(settings, lines);
  const [primary, ...others] = settings.places;
  if (primary === undefined) throw new CliError('puppet names no server', 'puppet config print server --section agent');
  if (found === null) {
    lines.push(
      'puppet is not a word of the command: one that is found on PATH goes through stringtap, one called by its path does not',
    );
  }
  for (const line of lines) io.err(`stringtap: ${printable(line)}`);
  for (const line of faultLines(faults)) io.err(printable(line));

  const folder = makeRunFolder();
  const guard = guardStart(folder.remove);
  try {
    const session = await open(io, settings, [primary, ...others], folder.path, flags, faults);
    const added = addedSettings(settings, session.proxy, folder.path);
    const env: NodeJS.ProcessEnv = { ...io.env, ...cleanedNoProxy(io.env, settings) };
    let code: number;
    try {
      if (found === null) env.PATH = writeShim(join(folder.path, 'bin'), puppet.program, added, path);
      guard.started();
      code = await runChild(found === null ? command : withSettings(found, added), env);
    } finally {
      await session.close();
    }
    session.report();
    return code;
  } finally {
    folder.remove();
    guard.end();
  }
}

/** SRV records come before every setting of a server (http/session.rb): their places are read, and the first of them is asked first. */
async function addSrvPlaces(settings: PuppetSettings, lines: string[]): Promise<void> {
  const { srvDomain: domain } = settings;
  if (domain === null || domain === '') return;
  try {
    const ask = srvAsker();
    const puppet = await srvPlaces(domain, 'puppet', ask);
    const more = await Promise.all((['ca', 'report', 'fileserver'] as const).map(service => srvPlaces(domain, service, ask)));
    const named = new Map([...puppet, ...settings.places, ...more.flat()].map(one => [address(one).toLowerCase(), one]));
    settings.places = [...named.values()];
    // An agent goes on with server_list, then server, when none of the records' places answers.
    settings.alternatives = Math.min(named.size, new Set(puppet.map(address)).size + settings.alternatives);
    if (puppet.length === 0) lines.push(`use_srv_records is on, and ${domain} has no SRV records of Puppet: server is used`);
  } catch (error) {
    lines.push(`the SRV records of ${domain} cannot be asked for (${reasonOf(error)}): what only they name is tunnelled unread`);
  }
}

/** The puppet that a command without the word is thought to start. */
function unseenPuppet(command: readonly string[], path: string): PuppetCommand {
  const program = onPath('puppet', path);
  if (program === null)
    throw new CliError('there is no puppet on PATH', 'as in: stringtap run -- /opt/puppetlabs/bin/puppet agent --test');
  return { wrapper: [], subcommand: 'agent', args: [], ...findInText(command), program };
}

/** Before the command runs, a signal ends everything; afterwards nothing does until the capture is closed and the folder is gone. */
function guardStart(remove: () => void): { started(): void; end(): void } {
  let starting = true;
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const handle = (signal: NodeJS.Signals): void => {
    if (!starting) return;
    remove();
    process.exit(128 + constants.signals[signal]);
  };
  for (const signal of signals) process.on(signal, handle);
  return {
    started() {
      starting = false;
    },
    end() {
      for (const signal of signals) process.off(signal, handle);
    },
  };
}

interface Session {
  proxy: RunningProxy;
  close(): Promise<void>;
  /** Says what was seen; after {@link Session.close}. */
  report(): void;
}

/** Recorder and proxy for one run. */
async function open(
  io: Io,
  settings: PuppetSettings,
  [primary, ...others]: readonly [Place, ...Place[]],
  folder: string,
  flags: RunFlags,
  faults: readonly FaultRule[],
): Promise<Session> {
  const { certname, files } = settings;
  const file = flags.capture ?? defaultCapture();
  const existed = existsSync(file);
  const keyLog = keyLogOf(io, flags.keylog);
  const listen = { host: '127.0.0.1', port: 0 };
  const runs = new Map<number, RunRow>();
  const notes: string[] = [];
  let connections = 0;
  let exchanges = 0;
  const recorder: Recorder = await openRecorder({
    file,
    recording: {
      startedAt: Date.now(),
      startedMono: performance.now(),
      version: packageVersion(),
      pool: flags.pool,
      primaries: [primary, ...others].map(address),
      listen: address(listen),
    },
    durability: flags.durability,
    maxBodyBytes: flags.maxBody ?? null,
    onLoss: loss => notes.push(lossLine(loss)),
    onRun: run => runs.set(run.id, run),
  });
  let proxy: RunningProxy;
  try {
    proxy = await startProxy({
      listen,
      primary,
      standbys: others.slice(0, settings.alternatives - 1),
      others: others.slice(settings.alternatives - 1),
      revocation: settings.revocation,
      certsDir: join(folder, 'certs'),
      names: [],
      pool: flags.pool,
      connectOnlyPrimary: false,
      // Whoever reaches this proxy is on this machine, as is the agent: `source => 'https://this-host/…'` works as without it.
      connectLocal: true,
      // The agent's own CA, as the agent itself knows it; one without asks, as it would without a proxy.
      caPem: existsSync(files.ca) ? readFileSync(files.ca, 'utf8') : null,
      caFingerprint: existsSync(files.ca) ? null : settings.caFingerprint,
      identities: identityInPlace({ certname, keyFile: files.key, certFile: files.cert }),
      enrolment: NO_SWAP,
      faults,
      tape: watched(recorder, {
        exchange() {
          exchanges += 1;
        },
        connection(connection) {
          if (connection.leg === 'agent') connections += 1;
          const line = connectionLine(connection);
          if (line !== null) notes.push(line);
        },
      }),
      ...(keyLog && { onKeys: keyLog.line }),
      onNotice: line => notes.push(`stringtap: ${printable(line)}`),
    });
  } catch (error) {
    await recorder.close();
    if (!existed) discardCapture(file);
    // The hints of a proxy are about its options; here it is Puppet that names the primary.
    if (!(error instanceof ContactError)) throw error;
    throw new CliError(
      error.message,
      `puppet names this server (puppet config print server --section agent); stringtap doctor --primary ${address(primary)} looks at it`,
    );
  }
  return {
    proxy,
    async close() {
      await proxy.close();
      keyLog?.close();
      await recorder.close();
    },
    report() {
      for (const note of new Set(notes)) io.err(note);
      for (const loss of recorder.losses) io.err(lossLine(loss));
      if (connections === 0) {
        io.err('stringtap: the command made no connection through stringtap');
        io.err(
          'hint: an agent that stops before it asks for anything (its lock, its certificate) says so above, and `puppet ssl verify`, `config` and the like never ask; else puppet must be started by its name, with settings that a wrapper does not take away',
        );
        if (!existed) discardCapture(file);
        return;
      }
      for (const line of summary(file, [...runs.values()])) io.err(line);
      const ofNoRun = exchanges - [...runs.values()].reduce((sum, run) => sum + run.exchanges, 0);
      if (ofNoRun > 0) io.err(`${counted(ofNoRun, 'exchange')} of no run: stringtap exchanges ${recorder.file}`);
      io.err(`capture ${recorder.file}`);
    },
  };
}

/**
 * What is added to the command: CONNECT through us, so that `server`, `ca_server`, `report_server`, `server_list` and every
 * puppet:// URL stay as they are; and a CA and a CRL bundle that hold the agent's own ones, and ours. What the agent has not yet, it
 * fetches through us into the folder of this run, and again without us later.
 */
function addedSettings(settings: PuppetSettings, proxy: RunningProxy, folder: string): string[] {
  const { files } = settings;
  const ca = join(folder, 'ca.pem');
  const crl = join(folder, 'crl.pem');
  if (existsSync(files.ca)) extend(ca, proxy.authority.caPem, files.ca);
  else if (settings.caFingerprint !== null) writeFileSync(ca, proxy.trust.bundle().pem, { mode: 0o644 }); // it was checked by us
  if (existsSync(files.crl)) extend(crl, proxy.authority.crl().pem, files.crl);
  const kept = withoutHost(settings.noProxy, settings.places);
  const flags = ['--http_proxy_host', proxy.address.host, '--http_proxy_port', String(proxy.address.port)];
  if (kept !== settings.noProxy) flags.push('--no_proxy', kept === '' ? 'none' : kept);
  return [...flags, '--localcacert', ca, '--hostcrl', crl];
}

/** The agent's file with ours before it, as old as the agent's: an agent that refreshes it does so when it would have. */
function extend(path: string, ours: string, file: string): void {
  writeFileSync(path, `${ours}${readFileSync(file, 'utf8')}`, { mode: 0o644 });
  const { atime, mtime } = statSync(file);
  utimesSync(path, atime, mtime);
}

/** no_proxy of the environment, which Puppet takes before its setting, without the entries that lead past us. */
function cleanedNoProxy(env: Io['env'], settings: PuppetSettings): NodeJS.ProcessEnv {
  const changed: NodeJS.ProcessEnv = {};
  for (const name of ['no_proxy', 'NO_PROXY']) {
    const value = env[name];
    if (!value) continue;
    const kept = withoutHost(value, settings.places);
    if (kept !== value) changed[name] = kept;
  }
  return changed;
}
