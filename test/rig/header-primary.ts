import { X509Certificate } from 'node:crypto';
import { createServer as createPlain, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { subjectAltName } from '../../src/pki/x509.ts';
import { type DemoCa, makeDemoCa, makeKey } from '../peers/ca.ts';

/** What a primary with `allow-header-cert-info: true` understood of one request. */
export interface Understood {
  target: string;
  /** CN of `X-Client-DN`, when `X-Client-Verify` is SUCCESS. */
  name: string | null;
  /** Subject of `X-Client-Cert`. */
  subject: string | null;
  /** All X-Client-* field lines as received. */
  lines: string[];
  /** Whether TLS brought a certificate too. */
  tlsCertificate: boolean;
}

export interface HeaderPrimary extends AsyncDisposable {
  ca: DemoCa;
  /** Its own certificate. */
  certPem: string;
  port: number;
  seen: Understood[];
  /** `false`: the CRL is answered with 500. */
  givesCrl: boolean;
}

/** It reads the fields as trapperkeeper-authorization does (ring_middleware.clj), and answers every node and report. */
export async function startHeaderPrimary(plain: boolean, given?: DemoCa): Promise<HeaderPrimary> {
  const ca = given ?? (await makeDemoCa('puppet.example.com', 'self', 'ec'));
  const key = await makeKey('ec');
  const seen: Understood[] = [];
  let givesCrl = true;

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const target = request.url ?? '';
    request.resume();
    if (target.startsWith('/puppet-ca/')) {
      const isCrl = target.includes('certificate_revocation_list');
      response.writeHead(isCrl && !givesCrl ? 500 : 200, { 'Content-Type': 'text/plain' });
      response.end(isCrl ? ca.crlPem : ca.caPem);
      return;
    }
    const lines: string[] = [];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      if (/^x-client-/i.test(request.rawHeaders[i]!)) lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
    }
    const field = (name: string): string | null =>
      lines.find(line => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? null;
    const dn = field('X-Client-DN');
    const cert = field('X-Client-Cert');
    const name = field('X-Client-Verify') === 'SUCCESS' ? (/^CN=([a-z0-9._-]+)$/.exec(dn ?? '')?.[1] ?? null) : null;
    const subject = cert === null ? null : new X509Certificate(decodeURIComponent(cert)).subject;
    const tlsCertificate =
      'getPeerX509Certificate' in request.socket &&
      (request.socket as { getPeerX509Certificate(): unknown }).getPeerX509Certificate() !== undefined;
    seen.push({ target, name, subject, lines, tlsCertificate });
    response.writeHead(name === null ? 403 : 200, { 'Content-Type': 'application/json' });
    response.end('{}');
  }

  const cert = ca.issue('puppet.example.com', key.publicKey, { extensions: [subjectAltName(['localhost'])] });
  const server = plain
    ? createPlain(serve)
    : createSecure({ key: key.pem, cert, ca: ca.caPem, requestCert: true, rejectUnauthorized: false }, serve);
  await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  return {
    ca,
    certPem: cert,
    port: bound !== null && typeof bound === 'object' ? bound.port : 0,
    seen,
    get givesCrl() {
      return givesCrl;
    },
    set givesCrl(value) {
      givesCrl = value;
    },
    [Symbol.asyncDispose]: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
