import { createPrivateKey, type KeyObject } from 'node:crypto';
import type { Certname } from '../model.ts';
import { PkiError } from './error.ts';
import { isEncryptedKey, pemBlocks, toPem } from './pem.ts';
import { type Certificate, commonNameOf, readCertificates } from './x509.ts';

/** What the proxy presents to the primary for a certname. */
export interface Identity {
  certname: Certname;
  /** `imported`: the agent's own key and certificate. `enrolled`: a key of ours, which the primary signed for this certname. */
  kind: 'imported' | 'enrolled';
  /** PKCS #8. */
  keyPem: string;
  /** The certificate, then the intermediate ones that came with it. */
  certPem: string;
  /** `enrolled` only: the certificate of our CA that the agent got for its own key. */
  agentCertPem: string | null;
  /** End of the certificate, ms. */
  notAfter: number;
  /** SHA-256 of the certificate's DER, `AB:CD:…`. */
  fingerprint: string;
}

/** What the rest of an {@link Identity} follows from. */
export type IdentityParts = Pick<Identity, 'certname' | 'keyPem' | 'certPem' | 'agentCertPem'>;

/** Not a label that other programs read: to `curl --cert` and `openssl` the file is a key and the chain for the primary. */
const AGENT_LABEL = 'STRINGTAP AGENT CERTIFICATE';

/** @throws PkiError for an encrypted or unreadable private key */
export function readKey(pem: string): KeyObject {
  if (isEncryptedKey(pem)) {
    throw new PkiError('the private key is encrypted', 'openssl pkey -in KEY -out PLAIN.pem: decrypts it; then import that file');
  }
  try {
    return createPrivateKey(pem);
  } catch {
    throw new PkiError('there is no private key in PEM that can be read');
  }
}

export function identityOf(parts: IdentityParts): Identity {
  const leaf = leafOf(parts);
  return {
    ...parts,
    kind: parts.agentCertPem === null ? 'imported' : 'enrolled',
    notAfter: leaf.notAfter,
    fingerprint: leaf.fingerprint,
  };
}

/** Checked on every way in, the own file too: an identity is never sent under the name of another. */
function leafOf({ certname, keyPem, certPem }: IdentityParts): Certificate {
  const [leaf] = readCertificates(certPem);
  if (leaf === undefined) throw new PkiError(`the identity of ${certname} has no certificate`);
  if (commonNameOf(leaf.subject) !== certname) {
    throw new PkiError(`the identity of ${certname} has the certificate of ${JSON.stringify(leaf.x509.subject)}`);
  }
  if (!leaf.x509.checkPrivateKey(readKey(keyPem))) throw new PkiError(`the identity of ${certname} has the key of another`);
  return leaf;
}

/** The text of its file. */
export function formatFile({ certname, kind, keyPem, certPem, agentCertPem }: Identity): string {
  const agent = agentCertPem === null ? [] : readCertificates(agentCertPem);
  return [
    `What stringtap presents to the primary for ${certname} (${kind}): private key, certificate, its chain.\n`,
    keyPem,
    certPem,
    ...agent.flatMap(({ der }) => ['What the agent got from the proxy for its own key:\n', toPem(AGENT_LABEL, der)]),
  ].join('');
}

/** @throws PkiError that names the file when it is damaged */
export function parseFile(text: string, certname: Certname, path: string): Identity {
  try {
    const blocks = pemBlocks(text);
    const pem = (label: string, as = label): string =>
      blocks
        .filter(block => block.label === label)
        .map(({ der }) => toPem(as, der))
        .join('');
    const agentCertPem = pem(AGENT_LABEL, 'CERTIFICATE');
    return identityOf({
      certname,
      keyPem: pem('PRIVATE KEY'),
      certPem: pem('CERTIFICATE'),
      agentCertPem: agentCertPem === '' ? null : agentCertPem,
    });
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    throw new PkiError(
      `${path} is damaged: ${error.message}`,
      `stringtap identity remove ${certname}, then enrol or import it again`,
    );
  }
}
