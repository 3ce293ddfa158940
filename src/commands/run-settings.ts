import { execFile } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';
import { type Certname, toCertname } from '../model.ts';
import type { RevocationMode } from '../pki/trust.ts';
import { CliError } from './io.ts';
import type { PuppetCommand } from './run-command.ts';

/** What stringtap asks Puppet for; each is a setting of Puppet 6, 7 and 8. */
const ASKED = [
  'ca_fingerprint',
  'ca_port',
  'ca_server',
  'certificate_revocation',
  'certname',
  'daemonize',
  'hostcert',
  'hostcrl',
  'hostprivkey',
  'http_proxy_host',
  'localcacert',
  'no_proxy',
  'report_port',
  'report_server',
  'server',
  'server_list',
  'serverport',
  'srv_domain',
  'ssldir',
  'use_srv_records',
] as const;

export type Asked = Readonly<Record<(typeof ASKED)[number], string>>;

/** The agent's settings as far as they matter here, as Puppet itself resolved them. */
export interface PuppetSettings {
  certname: Certname;
  /** Where the agent's requests go, each place once; the first takes the catalogs. */
  places: readonly { host: string; port: number }[];
  /** How many of them, from the first, stand for each other: an agent takes the first that answers (`server_list`). */
  alternatives: number;
  files: { key: string; cert: string; ca: string; crl: string };
  /** How far the agent looks at CRLs. */
  revocation: RevocationMode;
  /** SHA-256, hex; `null` when the agent takes the first CA that it is given. */
  caFingerprint: string | null;
  daemonize: boolean;
  srvDomain: string | null;
  proxyHost: string | null;
  noProxy: string;
}

/** Settings on the command line that change the ones asked for, beside those themselves. */
const STEERING: readonly string[] = ['config', 'confdir', 'vardir', 'codedir', 'certdir', 'privatekeydir'];
/** Of those, the ones without a value. */
const SWITCHES: readonly string[] = ['daemonize', 'use_srv_records'];
/** Subcommands that read the section [agent]; others read [main] alone (run_mode `user`). */
const AGENT_MODE = new Set([
  'agent',
  'ssl',
  'plugin',
  'facts',
  'device',
  'catalog',
  'certificate_revocation_list',
  'report',
  'node',
]);
/** Puppet takes a second to start; ten of them on a slow machine. */
const ASK_MS = 60_000;

/**
 * Asks Puppet once (`puppet config print`), with the same wrapper, and those of the command's own flags that change the answer.
 * @throws {CliError} when Puppet cannot be asked or gives no agent's settings
 */
export async function askPuppet(puppet: PuppetCommand, env: NodeJS.ProcessEnv): Promise<PuppetSettings> {
  const section = AGENT_MODE.has(puppet.subcommand) ? 'agent' : 'user';
  const command = [...puppet.wrapper, puppet.program, 'config', 'print', ...ASKED];
  command.push('--section', section, ...steeringFlags(puppet.args));
  return readSettings(parsePrinted(await output(command, env)));
}

/** Of the command's arguments, those that change the settings asked for. */
function steeringFlags(args: readonly string[]): string[] {
  const flags: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const [, no, name, value] = /^--(no-)?([a-z_]+)(=.*)?$/s.exec(args[i]!) ?? [];
    if (name === undefined || !(STEERING.includes(name) || (ASKED as readonly string[]).includes(name))) continue;
    flags.push(args[i]!);
    if (value !== undefined || no !== undefined || SWITCHES.includes(name)) continue;
    const next = args[++i];
    if (next !== undefined) flags.push(next);
  }
  return flags;
}

function output([program, ...args]: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program!, args, { env, timeout: ASK_MS, maxBuffer: 1 << 20, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const last = stripVTControlCharacters(stderr).trim().split('\n').at(-1) ?? ''; // Puppet colours its errors
      const why = 'code' in error && error.code === 'ENOENT' ? 'there is no such program' : last || error.message.split('\n')[0]!;
      reject(new CliError(`cannot ask puppet for its settings: ${why}`, `try: ${[program!, ...args].join(' ')}`));
    });
  });
}

/** `name = value` lines; whatever else is printed (deprecations) is passed over. */
function parsePrinted(text: string): Partial<Asked> {
  const known: ReadonlySet<string> = new Set(ASKED);
  const entries = text.split('\n').flatMap(line => {
    const [, name = '', value = ''] = /^([a-z_]+) =(.*)$/.exec(line) ?? [];
    return known.has(name) ? [[name, value.trim()] as const] : [];
  });
  return Object.fromEntries(entries) as Partial<Asked>;
}

/** @throws {CliError} for a certname or a server that is none */
function readSettings(printed: Partial<Asked>): PuppetSettings {
  const value = (name: keyof Asked): string => {
    const text = printed[name];
    if (text === undefined) throw new CliError(`puppet config print did not tell ${name}`, 'is it Puppet 6 or newer?');
    return text;
  };
  const certname = toCertname(value('certname'));
  if (certname === null)
    throw new CliError(`${JSON.stringify(value('certname'))} is no certname`, 'puppet config print certname --section agent');
  const port = place('serverport', value('serverport'));
  const list = value('server_list')
    .split(',')
    .map(entry => entry.trim())
    .filter(entry => entry !== '')
    .map(entry => /^(.*?)(?::(\d+))?$/.exec(entry)!)
    .map(([, host, own]) => ({ host: host!, port: own === undefined ? port : place('server_list', own) }));
  const all = [
    ...(list.length > 0 ? list : [{ host: value('server'), port }]),
    { host: value('ca_server'), port: place('ca_port', value('ca_port')) },
    { host: value('report_server'), port: place('report_port', value('report_port')) },
  ];
  const places = [...new Map(all.map(one => [nameOf(one), one])).values()];
  const none = (name: keyof Asked): string | null => (/^(none)?$/.test(value(name)) ? null : value(name));
  return {
    certname,
    places,
    alternatives: new Set(list.map(nameOf)).size || 1,
    files: { key: value('hostprivkey'), cert: value('hostcert'), ca: value('localcacert'), crl: value('hostcrl') },
    revocation: revocationOf(value('certificate_revocation')),
    caFingerprint: none('ca_fingerprint'),
    daemonize: value('daemonize') === 'true',
    srvDomain: value('use_srv_records') === 'true' ? value('srv_domain') : null,
    proxyHost: none('http_proxy_host'),
    noProxy: none('no_proxy') ?? '',
  };
}

function nameOf({ host, port }: { host: string; port: number }): string {
  return `${host.toLowerCase()}:${port}`;
}

/** As Puppet's defaults.rb munges it: everything but these two means the whole chain. */
function revocationOf(text: string): RevocationMode {
  return text === 'leaf' || text === 'false' ? text : 'chain';
}

function place(name: string, text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new CliError(`puppet's ${name} is no port: ${text}`, `puppet config print ${name} --section agent`);
  return port;
}
