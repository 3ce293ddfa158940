import { createPublicKey, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import type { Certname } from '../model.ts';
import { type Csr, type KeyPair, readCsr } from './csr.ts';
import { PkiError } from './error.ts';
import { namesIn, privateFolder, readOwn, removeOwn, writeOwn, writtenAt } from './files.ts';
import { readKey } from './identity-file.ts';
import { pemBlocks, toPem } from './pem.ts';

/** A CSR of ours that stands in the place of an agent's, and the key that the agent would have its certificate for. */
export interface Pending {
  agentKey: KeyObject;
  key: KeyPair;
  csr: Csr;
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
 * @param most how many are kept; over that, the oldest go. They come from callers that have proved nothing but that the primary took
 *   their CSR, and one that is never signed would stay for ever.
 * @param older a folder that is read, too: where earlier versions kept those for all primaries together
 */
export function openPendings(dir: string, most: number, older: string | null = null): Pendings {
  const fileOf = (certname: Certname): string => join(dir, `${certname}.pem`);
  const olderOf = (certname: Certname): string | null => (older === null ? null : join(older, `${certname}.pem`));
  privateFolder(dir);

  function dropOldest(): void {
    const files = namesIn(dir).map(name => join(dir, name));
    if (files.length <= most) return;
    const byAge = files.map(file => ({ file, at: writtenAt(file) ?? 0 })).sort((a, b) => a.at - b.at);
    for (const { file } of byAge.slice(0, files.length - most)) removeOwn(file);
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
    put(certname, { agentKey, key, csr }) {
      const parts = [
        `A certificate request of stringtap for ${certname} that waits for the primary: our key, our request, the agent's key.\n`,
        key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        toPem('CERTIFICATE REQUEST', csr.der),
        toPem(AGENT_LABEL, agentKey.export({ type: 'spki', format: 'der' })),
      ];
      writeOwn(fileOf(certname), parts.join(''));
      dropOldest();
    },
    remove(certname) {
      const before = olderOf(certname);
      if (before !== null && writtenAt(fileOf(certname)) === null) removeOwn(before);
      removeOwn(fileOf(certname));
    },
  };
}

function parse(text: string): Pending {
  const privateKey = readKey(text);
  const csr = readCsr(text);
  const agent = pemBlocks(text).find(({ label }) => label === AGENT_LABEL);
  if (agent === undefined || !csr.publicKey.equals(createPublicKey(privateKey))) throw new PkiError('a damaged request');
  const agentKey = createPublicKey({ key: agent.der, format: 'der', type: 'spki' });
  return { agentKey, key: { privateKey, publicKey: csr.publicKey }, csr };
}
