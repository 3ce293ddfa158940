import type { Certname } from '../model.ts';
import type { Enrolment } from './enrolment.ts';
import { PkiError } from './error.ts';
import { readForeign, stampOf } from './files.ts';
import type { IdentitySource } from './identity.ts';
import { type Identity, readKey } from './identity-file.ts';
import { commonNameOf, readCertificates } from './x509.ts';

/** An agent's own certificate and key, where Puppet keeps them (settings `hostcert` and `hostprivkey`). */
export interface AgentFiles {
  certname: Certname;
  keyFile: string;
  certFile: string;
}

/**
 * The identity of one agent, read where the agent keeps it and never copied: it is there as soon as the agent has saved its
 * certificate, and a renewed one is taken at once. Everybody else has none.
 */
export function identityInPlace({ certname, keyFile, certFile }: AgentFiles): IdentitySource {
  let known: { stamp: string; identity: Identity } | null = null;
  return {
    /** @throws PkiError when the files cannot be read, or do not fit each other */
    get(wanted) {
      if (wanted !== certname) return null;
      const stamps = [stampOf(keyFile), stampOf(certFile)];
      if (stamps.includes(null)) return null;
      const stamp = stamps.join(' ');
      if (known?.stamp !== stamp) {
        known = null;
        const keyPem = readForeign(keyFile);
        const certPem = readForeign(certFile);
        if (keyPem === null || certPem === null) return null;
        known = { stamp, identity: identityOf(certname, keyPem, certPem, certFile) };
      }
      return known.identity;
    },
  };
}

function identityOf(certname: Certname, keyText: string, certPem: string, certFile: string): Identity {
  const key = readKey(keyText);
  const [leaf] = readCertificates(certPem);
  if (leaf === undefined) throw new PkiError(`there is no certificate in ${certFile}`);
  if (commonNameOf(leaf.subject) !== certname) {
    throw new PkiError(`${certFile} is the certificate of ${JSON.stringify(leaf.x509.subject)}, not of ${certname}`);
  }
  if (!leaf.x509.checkPrivateKey(key)) {
    throw new PkiError(
      `the certificate of ${certname} does not belong to its private key`,
      `puppet ssl clean, on this host; puppetserver ca clean --certname ${certname}, on the primary; then enrol it anew`,
    );
  }
  const keyPem = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const { notAfter, fingerprint } = leaf;
  return { certname, kind: 'imported', keyPem, certPem, agentCertPem: null, notAfter, fingerprint };
}

/**
 * No swap: an agent that enrols sends its own CSR and gets the certificate that the primary signed, as without a proxy. So the
 * agent is in order when the proxy, and the CA that it made for one run, are gone.
 */
export const NO_SWAP: Enrolment = {
  request: () => Promise.resolve({ type: 'pass', why: 'the agent keeps the certificate that the primary signs' }),
  certificate: (_certname, pem) => Promise.resolve({ pem, by: 'primary' }),
  renewed: (_certname, _agentCertPem, pem) => Promise.resolve({ pem, by: 'primary' }),
};
