import { createPublicKey, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { Certname } from '../model.ts';
import { type Csr, type KeyPair, readCsr } from './csr.ts';
import { PkiError } from './error.ts';
import { namesIn, privateFolder, readOwn, removeOwn, writeOwn, writtenAt } from './files.ts';
import { readKey } from './identity-file.ts';
import { pemBlocks, toPem } from './pem.ts';
import { addressBytes } from './x509.ts';

/** A CSR of ours that stands in the place of an agent's, and the key that the agent would have its certificate for. */
export interface Pending {
  agentKey: KeyObject;
  key: KeyPair;
  csr: Csr;
  /** The address that the agent's CSR came from; `null` when that is not known. */
  from?: string | null;
}

/** CSRs that the primary took and has not signed yet, as far as we know; one for a certname, on disk. */
export interface Pendings {
  /** A file that is damaged counts as none: the agent sends its CSR again. */
  get(certname: Certname): Pending | null;
  put(certname: Certname, pending: Pending): void;
  remove(certname: Certname): void;
}

/** Not a label that other programs read; the key is in it, the CSR beside it is ours. */
const AGENT_LABEL = 'STRINGTAP AGENT PUBLIC KEY';

/**
 * Read from disk each time: it happens once or twice in the life of an agent, and two proxies may share the folder.
 * @param most how many are kept; over that, the oldest of those go that came from the same place as most others. They come from callers that
 *   have proved nothing but that the primary took their CSR, and one that is never signed would stay for ever.
 * @param older a folder that is read, too: where earlier versions kept those for all primaries together
 */
export function openPendings(dir: string, most: number, older: string | null = null): Pendings {
  const fileOf = (certname: Certname): string => join(dir, `${certname}.pem`);
  const olderOf = (certname: Certname): string | null => (older === null ? null : join(older, `${certname}.pem`));
  privateFolder(dir);

  /** Of each file, once it was read. */
  const origins = new Map<string, string>();

  /** Where the CSR of a file came from; a damaged one is of nowhere. */
  function originIn(file: string): string {
    let origin = origins.get(file);
    if (origin === undefined) {
      origin = FROM.exec(readOwn(file, { secret: false })?.slice(0, 300) ?? '')?.[1] ?? '';
      origins.set(file, origin);
    }
    return origin;
  }

  function drop(file: string): void {
    removeOwn(file);
    origins.delete(file);
  }

  /** Who floods us is in his own way first: an honest agent may wait for days until somebody signs. */
  function dropOldest(): void {
    const files = namesIn(dir)
      .filter(name => name.endsWith('.pem'))
      .map(name => join(dir, name));
    let over = files.length - most;
    if (over <= 0) return;
    const byOrigin = new Map<string, { file: string; at: number }[]>();
    for (const file of files) {
      const origin = originIn(file);
      const same = byOrigin.get(origin) ?? [];
      same.push({ file, at: writtenAt(file) ?? 0 });
      byOrigin.set(origin, same);
    }
    for (const same of byOrigin.values()) same.sort((a, b) => b.at - a.at);
    const age = (group: readonly { at: number }[]): number => group.at(-1)?.at ?? Number.POSITIVE_INFINITY;
    for (; over > 0; over--) {
      const [first = [], ...others] = byOrigin.values();
      const largest = others.reduce((one, other) => {
        const isNext = other.length === one.length ? age(other) < age(one) : other.length > one.length;
        return isNext ? other : one;
      }, first);
      const oldest = largest.pop();
      if (oldest !== undefined) drop(oldest.file);
    }
  }

  return {
    get(certname) {
      const before = olderOf(certname);
      const text = readOwn(fileOf(certname), { secret: true }) ?? (before === null ? null : readOwn(before, { secret: true }));
      try {
        return text === null ? null : parse(text);
      } catch (error) {
        if (error instanceof PkiError) return null;
        throw error;
      }
    },
    put(certname, { agentKey, key, csr, from = null }) {
      const parts = [
        `A certificate request of stringtap for ${certname} that waits for the primary: our key, our request, the agent's key.\n`,
        `From: ${originOf(from)}\n`,
        key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        toPem('CERTIFICATE REQUEST', csr.der),
        toPem(AGENT_LABEL, agentKey.export({ type: 'spki', format: 'der' })),
      ];
      writeOwn(fileOf(certname), parts.join(''));
      origins.set(fileOf(certname), originOf(from));
      dropOldest();
    },
    remove(certname) {
      const before = olderOf(certname);
      if (before !== null && writtenAt(fileOf(certname)) === null) removeOwn(before);
      drop(fileOf(certname));
    },
  };
}

/** The line of a file that says where its CSR came from. */
const FROM = /^From: ([0-9a-f.]*)$/m;

/** An IPv4 address, or the network of an IPv6 one: whoever has one address of a /64 has them all. Empty when there is none. */
function originOf(address: string | null): string {
  const plain = address?.replace(/^::ffff:(?=\d+\.)/i, '') ?? '';
  if (isIP(plain) === 4) return plain;
  return isIP(plain) === 6 ? addressBytes(plain).subarray(0, 8).toString('hex') : '';
}

function parse(text: string): Pending {
  const privateKey = readKey(text);
  const csr = readCsr(text);
  const agent = pemBlocks(text).find(({ label }) => label === AGENT_LABEL);
  if (agent === undefined || !csr.publicKey.equals(createPublicKey(privateKey))) throw new PkiError('a damaged request');
  const agentKey = createPublicKey({ key: agent.der, format: 'der', type: 'spki' });
  return { agentKey, key: { privateKey, publicKey: csr.publicKey }, csr };
}
