import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Authority } from '../pki/authority.ts';
import { certsLayout } from '../pki/layout.ts';
import { type Io, printable } from './io.ts';

/** `stringtap ca show | export`: the CA that agents of the proxy trust. Made when there is none yet, so that it can be handed out first. */
export function registerCa(program: Command, io: Io): void {
  const ca = program.command('ca').description('the CA of the proxy, which signs what agents see of it');

  /** Somebody in the wrong folder must see that this CA is not the one of the proxy that runs elsewhere. */
  const open = async (folder: string): Promise<Authority> => {
    const isNew = !existsSync(folder);
    const { openAuthority } = await import('../pki/authority.ts');
    const authority = await openAuthority(folder);
    if (isNew) io.err(`stringtap: there was no CA: a new one was made in ${printable(folder)} (--certs DIR names another place)`);
    return authority;
  };

  ca.command('show')
    .description('name, fingerprint and lifetime of our CA')
    .option('--certs <DIR>', 'our CA, identities and pinned CAs', 'certs')
    .option('--json', 'one JSON object')
    .action(async (options: { certs: string; json?: boolean }) => {
      const folder = resolve(certsLayout(options.certs).ca);
      const authority = await open(folder);
      const { x509, fingerprint, serial, notBefore, notAfter } = authority.certificate;
      const shown = {
        subject: x509.subject,
        fingerprint,
        serial,
        notBefore: new Date(notBefore).toISOString(),
        notAfter: new Date(notAfter).toISOString(),
        revoked: authority.revokedCount(),
        folder,
      };
      if (options.json) {
        io.out(JSON.stringify(shown));
        return;
      }
      io.out(`subject      ${printable(shown.subject)}`);
      io.out(`SHA-256      ${shown.fingerprint}`);
      io.out(`serial       ${shown.serial}`);
      io.out(`valid        ${shown.notBefore} to ${shown.notAfter}`);
      io.out(`revoked      ${shown.revoked}`);
      io.out(`folder       ${printable(shown.folder)}`);
    });

  ca.command('export')
    .description("our CA certificate as PEM, for the end of an agent's localcacert; with --crl what belongs into its hostcrl")
    .option('--certs <DIR>', 'our CA, identities and pinned CAs', 'certs')
    .option('--crl', 'the revocation list instead of the certificate')
    .action(async (options: { certs: string; crl?: boolean }) => {
      const authority = await open(resolve(certsLayout(options.certs).ca));
      io.out((options.crl ? authority.crl().pem : authority.caPem).trimEnd());
    });
}
