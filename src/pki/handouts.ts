import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { toCertname } from '../model.ts';
import { createOwn, namesIn, removeOwn, writtenAt } from './files.ts';

/** The two files that an agent elsewhere needs for a run through the proxy. */
export const HANDED_OUT = ['ca.pem', 'crl.pem'] as const;
export type HandedOut = (typeof HANDED_OUT)[number];

/** Long enough to type a command on another host. */
const LIFETIME_MS = 60 * 60 * 1000;

/**
 * Allows each file to be fetched once, under a path that nobody can guess. What is handed out is public (certificates and revocation
 * lists); once, so that a path that lies in a shell's history gives nothing away of what comes later.
 * @param dir the folder `handouts` below `--certs`
 * @throws PkiError when it cannot be written
 */
export function allowHandout(dir: string, certname: string): string {
  dropOld(dir);
  const token = randomBytes(16).toString('hex');
  for (const name of HANDED_OUT) createOwn(join(dir, `${token}.${name}`), `${toCertname(certname) ?? ''}\n`);
  return token;
}

/** Whether this file may be fetched now, by this token; not a second time. */
export function takeHandout(dir: string, token: string, name: string): name is HandedOut {
  if (!/^[0-9a-f]{32}$/.test(token) || !(HANDED_OUT as readonly string[]).includes(name)) return false;
  const file = join(dir, `${token}.${name}`);
  const at = writtenAt(file);
  if (at === null) return false;
  removeOwn(file);
  return Date.now() - at < LIFETIME_MS;
}

function dropOld(dir: string): void {
  for (const name of namesIn(dir)) {
    const at = writtenAt(join(dir, name));
    if (at !== null && Date.now() - at >= LIFETIME_MS) removeOwn(join(dir, name));
  }
}
