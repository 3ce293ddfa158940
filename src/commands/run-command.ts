import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';

/** Where `puppet` stands in a command: `puppet agent`, `sudo -n puppet agent`, `env LANG=C /opt/puppetlabs/bin/puppet agent`. */
export interface PuppetCommand {
  /** What comes before it, the wrapper. */
  wrapper: readonly string[];
  program: string;
  subcommand: string;
  args: readonly string[];
}

/** `null` when no argument is puppet followed by a subcommand: a shell's text, a script, another program. */
export function findPuppet(command: readonly string[]): PuppetCommand | null {
  const at = command.findIndex((word, i) => basename(word) === 'puppet' && /^[a-z][a-z_]*$/.test(command[i + 1] ?? ''));
  if (at === -1) return null;
  return {
    wrapper: command.slice(0, at),
    program: command[at]!,
    subcommand: command[at + 1]!,
    args: command.slice(at + 2),
  };
}

/**
 * The same inside an argument that is a shell's text (`sh -c 'cd /; puppet agent --test'`): good enough to ask for the right settings,
 * not to change it.
 */
export function findInText(command: readonly string[]): PuppetCommand | null {
  for (const text of command.filter(word => /\s/.test(word))) {
    for (const { index } of text.matchAll(/(?<![^\s;&|(])[^\s;&|()]*puppet(?=\s)/g)) {
      const found = findPuppet(plainWords(text.slice(index)));
      if (found?.wrapper.length === 0) return found;
    }
  }
  return null;
}

/**
 * The words of a shell's text up to the end of its command, or up to one that the shell would make another of (`$CONF`); an option before
 * that goes with it.
 */
function plainWords(text: string): string[] {
  const words: string[] = [];
  for (let rest = text; ; ) {
    const [all = '', word = ''] = /^(?:[ \t]|\\\n)*((?:[^\s;&|<>()`$"'\\*?]|'[^']*'|"[^"`$\\]*")*)/.exec(rest) ?? [];
    rest = rest.slice(all.length);
    if (/^[`$"'\\*?]/.test(rest))
      return !word.startsWith('-') && /^--[^=]*$/.test(words.at(-1) ?? '') ? words.slice(0, -1) : words;
    if (word !== '') words.push(word.replace(/'([^']*)'|"([^"]*)"/g, '$1$2'));
    if (word === '' || !/^[ \t\\]/.test(rest)) return words;
  }
}

/** The settings go right after the subcommand: every application and face of Puppet takes settings there. */
export function withSettings(puppet: PuppetCommand, flags: readonly string[]): string[] {
  return [...puppet.wrapper, puppet.program, puppet.subcommand, ...flags, ...puppet.args];
}

/** Settings that the command itself gives (`--localcacert X`, `--localcacert=X`) and that ours would meet. */
export function settingsGiven(args: readonly string[], names: readonly string[]): string[] {
  return names.filter(name => args.some(arg => arg === `--${name}` || arg.startsWith(`--${name}=`)));
}

/**
 * A `puppet` for commands that start it by themselves (`sh -c 'puppet agent --test'`, a script): found first on PATH, it adds the
 * settings and becomes the real one. No environment variable could do it: Puppet reads its proxy from one, but no CA and no CRL.
 * @returns the PATH for the command
 */
export function writeShim(folder: string, real: string, flags: readonly string[], path: string): string {
  mkdirSync(folder, { mode: 0o755 });
  const file = join(folder, 'puppet');
  const text = [
    '#!/bin/sh',
    '# Adds the settings of a stringtap run; gone when it ends.',
    'case "$1" in',
    `  [a-z]*) subcommand=$1; shift; exec ${quoted(real)} "$subcommand" ${flags.map(quoted).join(' ')} "$@" ;;`,
    `  *) exec ${quoted(real)} "$@" ;;`,
    'esac',
    '',
  ].join('\n');
  writeFileSync(file, text, { mode: 0o755, flag: 'wx' });
  chmodSync(file, 0o755); // whatever the umask is
  return path === '' ? folder : `${folder}${delimiter}${path}`;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** The file that a command's name stands for on PATH; `null` when there is none. */
export function onPath(program: string, path: string): string | null {
  if (program.includes('/')) return isProgram(program) ? program : null;
  for (const folder of path.split(delimiter)) {
    const file = join(folder === '' ? '.' : folder, program);
    if (isProgram(file)) return file;
  }
  return null;
}

function isProgram(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false });
  return found?.isFile() === true && (found.mode & 0o111) !== 0;
}

/**
 * Entries of a no_proxy list that would lead an agent past the proxy, as Puppet matches them (http/proxy.rb): a pattern with `*`,
 * found at the end of `host` or, with a port, of `host:port`. What of the list is left stays.
 */
export function withoutHost(noProxy: string, places: readonly { host: string; port: number }[]): string {
  const kept = noProxy
    .split(/\s*,\s*/)
    .map(entry => entry.trim())
    .filter(entry => entry !== '' && !places.some(place => matches(entry, place)));
  return kept.join(', ');
}

function matches(entry: string, { host, port }: { host: string; port: number }): boolean {
  const [name = '', wantedPort] = entry.split(':');
  const pattern = name.replace(/[.+?^${}()|[\]\\/-]/g, '\\$&').replaceAll('*', '.*');
  return wantedPort === undefined
    ? new RegExp(`${pattern}$`).test(host)
    : new RegExp(`${pattern}:${wantedPort.replace(/\D/g, '')}$`).test(`${host}:${port}`);
}
