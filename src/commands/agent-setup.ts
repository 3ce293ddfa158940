import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { type Certname, toCertname } from '../model.ts';
import { allowHandout } from '../pki/handouts.ts';
import { type CertsLayout, certsLayout } from '../pki/layout.ts';
import { CliError, type Io } from './io.ts';
import { hostPort } from './options.ts';
import { address } from './proxy.ts';

interface SetupFlags {
  proxy: { host: string; port: number };
  certs: string;
}

/** `stringtap agent-setup CERTNAME`: what to type on an agent's host to make one run through a proxy elsewhere, and to undo it. */
export function registerAgentSetup(program: Command, io: Io): void {
  program
    .command('agent-setup')
    .description("print the commands for one run of an agent on another host through a running 'stringtap proxy', and to undo it")
    .argument('<certname>', 'the agent')
    .requiredOption('--proxy <HOST:PORT>', 'where the agent reaches the proxy', text => hostPort(text, 8140))
    .option('--certs <DIR>', 'the folder that the proxy uses', 'certs')
    .action(async (name: string, flags: SetupFlags) => {
      const certname = toCertname(name);
      if (certname === null) throw new CliError(`${JSON.stringify(name)} is no certname`, 'as in web1.example.com', 2);
      for (const line of await setup(certname, flags)) io.out(line);
    });
}

async function setup(certname: Certname, { proxy, certs }: SetupFlags): Promise<string[]> {
  const bundle = join(certs, 'bundle', 'ca.pem');
  if (!existsSync(bundle)) {
    throw new CliError(
      `no proxy has run with ${certs} yet`,
      'start it first: stringtap proxy --primary HOST --listen ADDRESS:PORT',
    );
  }
  const { openIdentities } = await import('../pki/identity.ts');
  const layout = certsLayout(certs);
  const token = allowHandout(layout.handouts, certname);
  const base = `http://${address(proxy)}/stringtap/${token}`;
  const sum = createHash('sha256').update(readFileSync(bundle)).digest('hex');
  const known = existsSync(layout.identities) && openIdentities(layout.identities).get(certname) !== null;
  const identity = known
    ? []
    : [
        `# the proxy has no identity of ${certname}. A new agent (empty ssldir) needs none: leave out the two settings of files below.`,
        '# One that the primary has signed: copy its ssldir here by a safe way, and',
        `#   stringtap identity import --ssldir DIR --certname ${certname}`,
      ];
  return [
    ...identity,
    `# on the host of ${certname}, as the user of its agent; each file can be fetched once, within an hour`,
    'd=$(mktemp -d)',
    // One command, as lines that are pasted go on after one that fails: the files come over plain HTTP, and whose they are is seen by the sum.
    `curl -fsS --noproxy '*' -o "$d/ca.pem" ${base}/ca.pem && curl -fsS --noproxy '*' -o "$d/crl.pem" ${base}/crl.pem && \\`,
    `echo "${sum}  $d/ca.pem" | sha256sum -c && \\`,
    // Puppet takes a proxy of the environment before any setting, and goes past one for what no_proxy names.
    'env -u http_proxy -u HTTP_PROXY -u no_proxy -u NO_PROXY \\',
    `  puppet agent --test --http_proxy_host ${proxy.host} --http_proxy_port ${proxy.port} --localcacert "$d/ca.pem" --hostcrl "$d/crl.pem" --no_proxy ${straight(layout)}`,
    '# to undo it: no file of the agent was changed',
    'rm -r "$d"',
  ];
}

/** What the agent asks without the proxy: what is on its own host, unless that is where the primary is. */
function straight({ primaries }: CertsLayout): string {
  const known = existsSync(primaries) ? readdirSync(primaries) : [];
  return known.some(name => /^(?:localhost|127\.0\.0\.1)_/.test(name)) ? 'none' : 'localhost,127.0.0.1';
}
