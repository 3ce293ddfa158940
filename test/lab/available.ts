import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where the distribution's package keeps the server; the lab starts it from here with a configuration of its own. */
export const PUPPETSERVER_SHARE = '/usr/share/puppetserver';
/** The package's own configuration: service lists, web routes and the default authorization rules are taken from it. */
export const PUPPETSERVER_ETC = '/etc/puppet/puppetserver';

function onPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some(folder => folder !== '' && existsSync(join(folder, program)));
}

/** What the lab needs of the machine and does not find; empty when a lab can be run. */
export function missing(): string[] {
  const programs = ['puppet', 'puppetserver', 'java', 'ruby', 'openssl', 'curl'].filter(program => !onPath(program));
  const files = [join(PUPPETSERVER_SHARE, 'puppetserver.jar'), join(PUPPETSERVER_ETC, 'conf.d', 'auth.conf')];
  return [...programs, ...files.filter(file => !existsSync(file))];
}

/**
 * Whether the tests against a real Puppet are to be skipped. Says why, once, on stderr. `STRINGTAP_REQUIRE_PUPPET=1` turns a
 * missing Puppet into a failure: an automatic run must never be green because nothing was run.
 *
 * @throws Error when Puppet is required and missing
 */
export function skipLab(): boolean {
  const lacks = missing();
  if (lacks.length === 0) return false;
  const why = `no real Puppet on this machine (missing: ${lacks.join(', ')})`;
  if (process.env.STRINGTAP_REQUIRE_PUPPET === '1') throw new Error(`STRINGTAP_REQUIRE_PUPPET=1, but ${why}`);
  process.stderr.write(`lab tests skipped: ${why}; Debian packages puppet-agent and puppetserver\n`);
  return true;
}

/** The same for the test that needs Wireshark's `tshark`. @throws Error when Puppet is required, and so is all of the lab */
export function skipTshark(): boolean {
  if (onPath('tshark')) return false;
  const why = 'no tshark on this machine';
  if (process.env.STRINGTAP_REQUIRE_PUPPET === '1') throw new Error(`STRINGTAP_REQUIRE_PUPPET=1, but ${why}`);
  process.stderr.write(`the test of the key log is skipped: ${why}; Debian package tshark\n`);
  return true;
}
