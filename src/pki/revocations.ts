import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { type Crl, isListOf, readCrls, signCrl } from './crl.ts';
import { plainSerial } from './der.ts';
import { PkiError } from './error.ts';
import { createOwn, namesIn, privateFolder, readOwn, writeOwn } from './files.ts';
import type { Certificate } from './x509.ts';

/** What our CA has revoked. */
export interface Revocations {
  add(serial: string): void;
  has(serial: string): boolean;
  count(): number;
  crl(): { pem: string; modifiedAt: number };
}

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Puppet 7 fetches the CRL once and then refuses everything when that copy ends, unless `crl_refresh_interval` is set: so as long
 * as the five years of Puppet's own lists, and signed anew when half of it is over. An agent that fetches it has 2½ years at least.
 */
const LIFETIME_MS = 5 * 365 * DAY_MS;

/** For agents whose clock is behind, as with certificates. */
const BACKDATED_MS = DAY_MS;

/** How often the folder is looked at for what another process (`stringtap identity remove`) revoked. */
const LOOK_EVERY_MS = 1000;

/**
 * One file a revoked serial: processes never overwrite each other's, and nothing is ever lost but by hand. The list itself, `crl.pem`,
 * is derived from them.
 */
export function openRevocations(
  dir: string,
  ca: { certificate: Certificate; key: KeyObject; issuerKey: Buffer },
  now: () => number,
): Revocations {
  const folder = join(dir, 'revoked');
  const file = join(dir, 'crl.pem');
  let serials: ReadonlySet<string> = new Set();
  let lookedAt = Number.NEGATIVE_INFINITY;
  let list = stored();

  function look(): void {
    const at = performance.now();
    if (at - lookedAt < LOOK_EVERY_MS) return;
    serials = new Set(namesIn(folder).filter(name => /^[0-9A-F]{1,40}$/.test(name)));
    lookedAt = at;
  }

  /** The list of the last start, when it is whole and ours: agents are not told of a change that is none. */
  function stored(): { pem: string; crl: Crl } | null {
    const pem = readOwn(file, { secret: false });
    if (pem === null) return null;
    try {
      const [crl] = readCrls(pem);
      return crl !== undefined && isListOf(crl, ca.certificate) ? { pem, crl } : null;
    } catch (error) {
      if (error instanceof PkiError) return null;
      throw error;
    }
  }

  function isCurrent({ crl }: { crl: Crl }): boolean {
    const half = Math.min(crl.thisUpdate + LIFETIME_MS / 2, ca.certificate.notAfter);
    const same = crl.revoked.size === serials.size && [...serials].every(serial => crl.revoked.has(serial));
    return same && now() < half && now() >= crl.thisUpdate;
  }

  function revokedAt(serial: string): number | null {
    const at = Date.parse(readOwn(join(folder, serial), { secret: false })?.replace('revoked', '').trim() ?? '');
    return Number.isNaN(at) ? null : at;
  }

  function resign(): { pem: string; crl: Crl } {
    const at = now();
    const pem = signCrl(
      {
        issuer: ca.certificate.subject,
        issuerKey: ca.issuerKey,
        thisUpdate: Math.max(at - BACKDATED_MS, ca.certificate.notBefore),
        nextUpdate: Math.min(at + LIFETIME_MS, ca.certificate.notAfter),
        number: Math.max(Math.floor(at), list === null ? 0 : Number(list.crl.number) + 1),
        revoked: [...serials].sort().map(serial => ({ serial, at: revokedAt(serial) ?? at })),
      },
      ca.key,
    );
    try {
      writeOwn(file, pem);
    } catch (error) {
      // The file saves a signature at the next start, no more: a full disk must not stop the proxy from answering.
      if (!(error instanceof PkiError)) throw error;
    }
    return { pem, crl: readCrls(pem)[0]! };
  }

  privateFolder(folder);
  return {
    add(serial) {
      createOwn(join(folder, plainSerial(serial)), `revoked ${new Date(now()).toISOString()}\n`);
      lookedAt = Number.NEGATIVE_INFINITY;
    },
    has(serial) {
      look();
      return serials.has(plainSerial(serial));
    },
    count() {
      look();
      return serials.size;
    },
    crl() {
      look();
      if (list === null || !isCurrent(list)) list = resign();
      // When it was signed, from the list itself: the number is that moment, or one more than the list before.
      return { pem: list.pem, modifiedAt: Math.ceil(Number(list.crl.number) / 1000) * 1000 };
    },
  };
}
