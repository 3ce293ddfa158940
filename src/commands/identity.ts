import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { toCertname } from '../model.ts';
import type { Authority } from '../pki/authority.ts';
import { PkiError } from '../pki/error.ts';
import { readForeign } from '../pki/files.ts';
import type { Identities } from '../pki/identity.ts';
import type { Identity } from '../pki/identity-file.ts';
import { certsLayout } from '../pki/layout.ts';
import type { PinnedPrimary } from '../pki/pinned.ts';
import { CliError, type Io, printable } from './io.ts';
import { table } from './present.ts';
import { lineWidth } from './terminal.ts';

interface ImportOptions {
  certs: string;
  ssldir?: string;
  certname?: string;
  cert?: string;
  key?: string;
}

/** `stringtap identity import | list | remove`: what the proxy presents to the primary for each certname. */
export function registerIdentity(program: Command, io: Io): void {
  const identity = program.command('identity').description('what the proxy presents to the primary for each certname');

  identity
    .command('import')
    .description("copy an agent's own key and certificate, so that the proxy can speak as that agent")
    .option('--ssldir <DIR>', "the agent's ssldir (puppet config print ssldir --section agent)")
    .option('--certname <NAME>', 'which one, when the ssldir has several')
    .option('--cert <FILE>', 'the certificate, PEM; intermediate ones may follow it')
    .option('--key <FILE>', 'its private key, PEM')
    .option('--certs <DIR>', 'our CA, identities and pinned CAs', 'certs')
    .action(async (options: ImportOptions) => {
      const imported = await importIdentity(options);
      io.out(`imported ${imported.certname}, valid until ${day(imported.notAfter)}`);
      io.out(`SHA-256 ${imported.fingerprint}`);
    });

  identity
    .command('list')
    .description('the identities at hand')
    .option('--certs <DIR>', 'our CA, identities and pinned CAs', 'certs')
    .option('--json', 'one JSON object a line')
    .action(async (options: { certs: string; json?: boolean }) => {
      const { openIdentities, pinnedPrimaries } = await loadPki();
      const layout = certsLayout(options.certs);
      const identities = existsSync(layout.identities) ? openIdentities(layout.identities) : null;
      const found = identities === null ? [] : withPrimaries(identities, pinnedPrimaries(layout));
      if (options.json) for (const one of found) io.out(JSON.stringify(identityJson(one)));
      else if (found.length === 0) io.err(`stringtap: there are no identities in ${printable(options.certs)}`);
      else for (const line of list(found, io)) io.out(line);
      for (const { message, hint } of identities?.damaged() ?? []) {
        io.err(`stringtap: ${printable(message)}`);
        if (hint !== null) io.err(`hint: ${printable(hint)}`);
        io.exitCode = 1;
      }
    });

  identity
    .command('remove')
    .description('forget an identity; the certificate that its agent got from the proxy is revoked')
    .argument('<certname>', 'whose identity, as `identity list` names it')
    .option('--primary <HOST:PORT>', 'only the one for this primary, as `identity list` names it')
    .option('--certs <DIR>', 'our CA, identities and pinned CAs', 'certs')
    .action(async (name: string, options: { certs: string; primary?: string }) => {
      const certname = toCertname(name);
      if (certname === null)
        throw new CliError(`${JSON.stringify(name)} is no Puppet certname`, 'stringtap identity list shows them', 2);
      const { openAuthority, openIdentities, pinnedPrimaries, removeIdentity } = await loadPki();
      const layout = certsLayout(options.certs);
      const only = options.primary === undefined ? null : pinnedAs(options.primary, pinnedPrimaries(layout));
      const whose = only === null ? certname : `${certname} for ${only.name}`;
      const none = new CliError(
        `there is no identity of ${whose}`,
        `stringtap identity list --certs ${options.certs} shows them`,
      );
      if (!existsSync(layout.identities)) throw none;
      const identities = openIdentities(layout.identities);
      const before = identities.damaged().length;
      const removed = await removeIdentity(identities, await openAuthority(layout.ca), certname, only?.ca);
      if (removed.length === 0 && identities.damaged().length < before) {
        io.out(`removed ${certname}, whose file was damaged`);
        return;
      }
      if (removed.length === 0) throw none;
      for (const { kind } of removed) io.out(`removed ${whose} (${kind})`);
      if (removed.some(({ kind }) => kind === 'enrolled')) {
        io.err(`hint: before its agent can enrol again, on the primary: puppetserver ca clean --certname ${certname}`);
      }
    });
}

/** What reads certificates takes longer to load than all else here; `--help` does without. */
async function loadPki() {
  const [{ openAuthority }, { openIdentities, removeIdentity }, { pinnedPrimaries }] = await Promise.all([
    import('../pki/authority.ts'),
    import('../pki/identity.ts'),
    import('../pki/pinned.ts'),
  ]);
  return { openAuthority, openIdentities, removeIdentity, pinnedPrimaries };
}

async function importIdentity({ certs, ssldir, certname, cert, key }: ImportOptions): Promise<Identity> {
  const { openAuthority, openIdentities, pinnedPrimaries } = await loadPki();
  const layout = certsLayout(certs);
  const authority: Authority | null = existsSync(join(layout.ca, 'certs', 'ca.pem')) ? await openAuthority(layout.ca) : null;
  const cas = pinnedPrimaries(layout).map(({ ca }) => ca);
  const identities = openIdentities(layout.identities, { cas, ...(authority !== null && { authority }) });
  if (ssldir !== undefined && cert === undefined && key === undefined) return identities.importSsldir(ssldir, certname);
  if (ssldir === undefined && certname === undefined && cert !== undefined && key !== undefined) {
    try {
      return identities.importPair(textOf(key), textOf(cert));
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      throw new CliError(`${key}, ${cert}: ${error.message}`, error.hint ?? 'the key and the certificate of one agent, PEM');
    }
  }
  throw new CliError('an identity comes from an ssldir, or from a certificate and its key', USAGE, 2);
}

const USAGE = 'stringtap identity import --ssldir DIR [--certname NAME] | --cert FILE --key FILE';

function textOf(file: string): string {
  const text = readForeign(file);
  if (text === null) throw new CliError(`there is no ${file}`, '--cert and --key name files, PEM');
  return text;
}

function day(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}

/** An identity, and the primaries that it is presented to. */
interface Listed extends Identity {
  primaries: string[];
}

function withPrimaries(identities: Identities, pinned: readonly PinnedPrimary[]): Listed[] {
  return identities.list().map(identity => {
    const its = pinned.filter(({ ca }) => identities.of({ ca }).get(identity.certname)?.fingerprint === identity.fingerprint);
    return { ...identity, primaries: its.map(({ name }) => name) };
  });
}

function pinnedAs(wanted: string, pinned: readonly PinnedPrimary[]): PinnedPrimary {
  const name = wanted.toLowerCase();
  const found = pinned.find(one => one.name === name || one.name === `${name}:8140`);
  if (found !== undefined) return found;
  throw new CliError(
    `no primary ${wanted} is known here`,
    pinned.length === 0 ? 'a proxy gets to know them' : `those are known: ${pinned.map(one => one.name).join(', ')}`,
  );
}

function list(found: readonly Listed[], io: Io): string[] {
  const columns = [
    { title: 'CERTNAME', value: (one: Identity) => one.certname },
    { title: 'KIND', value: (one: Identity) => one.kind },
    { title: 'PRIMARY', value: (one: Listed) => one.primaries.join(' ') || '-' },
    { title: 'UNTIL', value: (one: Identity) => day(one.notAfter) + (one.notAfter <= Date.now() ? ' (over)' : '') },
    { title: 'SHA-256', value: (one: Identity) => one.fingerprint },
  ];
  return [...table(columns, found, lineWidth(io))];
}

/** The documented shape of `identity list --json`. */
function identityJson({ certname, kind, fingerprint, notAfter, primaries }: Listed): object {
  return { certname, kind, fingerprint, notAfter: new Date(notAfter).toISOString(), primaries };
}
