import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { PkiError } from '../pki/error.ts';
import { identityInPlace } from '../pki/in-place.ts';
import { CliError } from './io.ts';
import { type PuppetCommand, settingsGiven } from './run-command.ts';
import type { PuppetSettings } from './run-settings.ts';

/** What a run would meet that stringtap cannot mend: said before anything is started. Refusals throw; the rest is lines to read. */

/** Settings that `stringtap run` adds to the command. */
const ADDED = ['http_proxy_host', 'http_proxy_port', 'no_proxy', 'localcacert', 'hostcrl'];

/** Wrappers that start their command with an environment of its own. */
const CLEAN_ENVIRONMENT = new Set(['sudo', 'doas']);

/**
 * What the command line and the environment show before Puppet is asked.
 * @throws {CliError}
 */
export function checkCommand(puppet: PuppetCommand | null, command: readonly string[], env: NodeJS.ProcessEnv): void {
  const given = settingsGiven(puppet?.args ?? [], ADDED);
  if (given.length > 0) {
    throw new CliError(`the command sets --${given[0]}, which stringtap run has to set itself`, `leave --${given[0]} out`, 2);
  }
  const proxy = ['http_proxy', 'HTTP_PROXY'].find(name => env[name]);
  if (proxy !== undefined && !CLEAN_ENVIRONMENT.has(basename(command[0]!))) {
    throw new CliError(
      `${proxy} is set, and Puppet takes it before any setting: the agent would go past stringtap`,
      `env -u ${proxy} stringtap run …, when the primary can be reached without that proxy`,
    );
  }
}

/** `puppet device` has a certname and an ssldir for each device (application/device.rb), of which the agent's settings know nothing. */
export function checkDevice({ subcommand, args }: PuppetCommand): void {
  if (subcommand !== 'device' || args.some(arg => /^(--help|-h|-V|--version)$/.test(arg))) return;
  throw new CliError(
    'puppet device runs under the certnames of its devices, and stringtap run knows the identity of the agent alone',
    'stringtap identity import --ssldir DEVICECONFDIR/NAME/ssl, then puppet device through stringtap proxy',
    2,
  );
}

/** How Puppet is called when it goes to the background: what stringtap gives it would be gone before it is used. */
export function checkDaemon(puppet: PuppetCommand, settings: PuppetSettings): void {
  if (puppet.subcommand !== 'agent') return;
  const foreground = puppet.args.some(arg =>
    /^(-t|--test|--no-daemonize|--fingerprint|--enable|--disable|--help|-h|-V|--version)$/.test(arg),
  );
  if (!foreground && settings.daemonize) {
    throw new CliError(`puppet ${puppet.subcommand} would go to the background`, 'add --test, or --no-daemonize', 2);
  }
}

/** How the agent stands: its identity can be used, is still to come, or is of no use. */
export type Standing = 'enrolled' | 'fresh' | 'unusable';

/** @throws {CliError} when this user may not read the agent's files */
export function checkAgent(settings: PuppetSettings): { standing: Standing; lines: string[] } {
  const { certname, files } = settings;
  const lines: string[] = [];
  let standing: Standing;
  try {
    const identity = identityInPlace({ certname, keyFile: files.key, certFile: files.cert }).get(certname);
    standing = identity === null ? 'fresh' : 'enrolled';
    if (identity === null) {
      lines.push(`${certname} has no certificate yet: its own request goes to the primary, and it keeps what the primary signs`);
    } else if (identity.notAfter <= Date.now()) {
      lines.push(
        `the certificate of ${certname} ended on ${new Date(identity.notAfter).toISOString()}: the agent will refuse it`,
      );
    }
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    if (/\b(EACCES|EPERM)$/.test(error.message)) {
      throw new CliError(error.message, 'run stringtap as the user that the agent runs as, mostly root: sudo stringtap run -- …');
    }
    standing = 'unusable';
    lines.push(`the agent's identity cannot be used: ${error.message}`);
  }
  if (settings.proxyHost !== null) {
    lines.push(`http_proxy_host (${settings.proxyHost}) is not used in this run: stringtap connects to the primary by itself`);
  }
  if (settings.caFingerprint !== null && settings.caFingerprint.replaceAll(':', '').length !== 64 && !existsSync(files.ca)) {
    throw new CliError(
      'ca_fingerprint is not a SHA-256: stringtap cannot check the CA by it',
      'enrol the agent without stringtap first',
    );
  }
  if (inFipsMode()) lines.push('this machine is in FIPS mode, in which stringtap has not been tried');
  return { standing, lines };
}

function inFipsMode(): boolean {
  try {
    return readFileSync('/proc/sys/crypto/fips_enabled', 'latin1').trim() === '1';
  } catch {
    return false;
  }
}
