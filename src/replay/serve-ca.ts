import type { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type Certname, type Route, toCertname } from '../model.ts';
import type { Authority } from '../pki/authority.ts';
import { readCsr } from '../pki/csr.ts';
import { PkiError } from '../pki/error.ts';
import type { CertsLayout } from '../pki/layout.ts';
import { openTrust, type Trust } from '../pki/trust.ts';
import { commonNameOf, publicKeyOf, readCertificate } from '../pki/x509.ts';
import { type OwnAnswer, text } from './serve-own.ts';

/** The CA of a served primary: ours, with the CAs of the recorded primaries beside it where they are known. */
export interface ServedCa {
  /** CA certificates whose agents are accepted. */
  agentCas(): string[];
  /** The certname that a connection's certificate proves, or why it proves none. */
  judge(certificate: X509Certificate, now: number): { certname: Certname } | { refusal: string };
  /** Answers the requests of a bootstrap; `null` for one that is not of the CA's. */
  answer(request: CaRequest): Promise<OwnAnswer | null>;
}

export interface CaRequest {
  method: string;
  route: Route;
  /** ms, NaN without If-Modified-Since. */
  modifiedSince: number;
  /** Of the TLS client certificate, when it was accepted. */
  certificatePem: string | null;
  /** The request's body; `null` when it was larger than a CSR can be. */
  body: Buffer | null;
}

export interface ServedCaOptions {
  authority: Authority;
  layout: CertsLayout;
  /** `host:port` of the recorded primaries: agents that they signed are accepted, if their CA was pinned below the same folder. */
  primaries: ReadonlyArray<{ host: string; port: number }>;
  /** Whom a certificate may be made for. */
  allows(certname: Certname): boolean;
}

/** Certificates made here are kept until they are fetched, for so many names. */
const MAX_SIGNED = 10_000;

/** @throws PkiError for damaged files of a pinned CA */
export function openServedCa({ authority, layout, primaries, allows }: ServedCaOptions): ServedCa {
  // Only what is there: looking must not make folders.
  const trusts = primaries
    .map(({ host, port }) => layout.primary(host, port))
    .filter(dir => existsSync(dir))
    .map((dir): Trust => openTrust(dir, authority))
    .filter(trust => trust.pinned);
  const signed = new Map<Certname, string>();

  function bundle(kind: 'ca' | 'crl'): { pem: string; modifiedAt: number } {
    const [trust] = trusts;
    if (kind === 'ca') return trust?.bundle() ?? { pem: authority.caPem, modifiedAt: Math.ceil(authority.madeAt / 1000) * 1000 };
    return trust?.crlBundle() ?? authority.crl();
  }

  function bundleAnswer(kind: 'ca' | 'crl', modifiedSince: number): OwnAnswer {
    const { pem, modifiedAt } = bundle(kind);
    // RFC 9110 section 13.1.3 counts whole seconds.
    if (modifiedSince >= Math.floor(modifiedAt / 1000) * 1000) {
      return { status: 304, reason: 'Not Modified', fields: [], body: Buffer.alloc(0) };
    }
    const answer = text(200, 'OK', pem);
    return { ...answer, fields: [...answer.fields, ['Last-Modified', new Date(modifiedAt).toUTCString()]] };
  }

  /** Signs at once, also a second time with another key: an agent whose ssldir was emptied is a new one here. */
  async function request(name: string, body: Buffer | null): Promise<OwnAnswer> {
    const certname = toCertname(name);
    if (body === null || certname === null) return text(400, 'Bad Request', 'this is no certificate request');
    const csr = readCsr(body.toString('latin1'));
    if (csr.commonName !== certname) {
      return text(
        400,
        'Bad Request',
        `Instance name ${JSON.stringify(csr.commonName)} does not match requested key "${certname}"`,
      );
    }
    if (!allows(certname)) {
      return text(403, 'Not served', `no run is served to ${certname}; stringtap serve --as ${certname} does it`);
    }
    signed.delete(certname);
    signed.set(certname, await authority.sign(csr));
    for (const oldest of signed.keys()) {
      if (signed.size <= MAX_SIGNED) break;
      signed.delete(oldest);
    }
    return { status: 200, reason: 'OK', fields: [], body: Buffer.alloc(0) };
  }

  function certificate(name: string): OwnAnswer {
    const pem = signed.get(name as Certname);
    return pem === undefined ? text(404, 'Not Found', `Could not find certificate ${name}`) : text(200, 'OK', pem);
  }

  /** Puppet 8: a certificate for the key that the connection proved. */
  async function renewal(certificatePem: string | null): Promise<OwnAnswer> {
    if (certificatePem === null) return text(403, 'Forbidden', 'Forbidden request: certificate_renewal');
    const presented = readCertificate(Buffer.from(certificatePem.replace(/-----[^-]+-----|\s/g, ''), 'base64'));
    const publicKey = publicKeyOf(presented.x509);
    if (publicKey === null || !authority.issued(presented)) return text(404, 'Not Found', 'Not Found');
    // The connection has proved the key, as a CSR's signature does.
    const { subject, extensions } = presented;
    const asked = { commonName: commonNameOf(subject), publicKey, extensions, signatureValid: true };
    return text(200, 'OK', await authority.sign(asked));
  }

  async function answer({ method, route, modifiedSince, certificatePem, body }: CaRequest): Promise<OwnAnswer | null> {
    const { phase, indirection, key } = route;
    if (phase === 'ca' || phase === 'crl') return bundleAnswer(phase, modifiedSince);
    if (phase === 'csr') return method === 'PUT' ? request(key ?? '', body) : text(404, 'Not Found', 'Not Found');
    if (phase !== 'certificate') return null;
    return indirection === 'certificate_renewal' ? renewal(certificatePem) : certificate(key ?? '');
  }

  return {
    agentCas: () => [...new Set([authority.caPem, ...trusts.map(trust => trust.caPem() ?? '')])].filter(pem => pem !== ''),
    judge(certificate, now) {
      try {
        const { subject, notBefore, notAfter, ...read } = readCertificate(certificate.raw);
        const certname = toCertname(commonNameOf(subject) ?? '');
        if (certname === null) return { refusal: 'its CN is no Puppet certname' };
        if (certificate.ca) return { refusal: "a CA's certificate" };
        if (now < notBefore || now >= notAfter) return { refusal: 'not valid now' };
        if (authority.issued({ subject, notBefore, notAfter, ...read })) {
          return authority.isRevoked(read.serial) ? { refusal: 'revoked' } : { certname };
        }
        for (const trust of trusts) {
          const verdict = trust.check(certificate, now);
          if (verdict.type === 'good') return { certname };
          if (verdict.type === 'refused') return { refusal: verdict.reason };
        }
        return { refusal: 'issued by an unknown CA' };
      } catch (error) {
        if (error instanceof PkiError) return { refusal: error.message };
        throw error;
      }
    },
    async answer(request) {
      try {
        return await answer(request);
      } catch (error) {
        if (error instanceof PkiError) return text(400, 'Bad Request', error.message);
        throw error;
      }
    },
  };
}
