import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { toCertname } from '../../src/model.ts';
import { openIdentities } from '../../src/pki/identity.ts';
import { certsLayout } from '../../src/pki/layout.ts';
import type { Primary } from './primary.ts';
import { PRIMARY_CERTNAME } from './primary-config.ts';

export interface FrontOptions {
  /** Folder of a proxy's identities: the front asks as the agent that came. */
  certs: string;
  tls?: 'TLSv1.2' | 'TLSv1.3';
  /** Whether it gives session tickets. */
  tickets?: boolean;
}

export interface Front extends AsyncDisposable {
  readonly port: number;
}

/** A web server in front of the lab's primary, under the primary's own certificate, that ends each answer with `Connection: close`. */
export async function startClosingFront(primary: Primary, options: FrontOptions): Promise<Front> {
  const ssl = join(primary.dir, 'puppet', 'ssl');
  const identities = openIdentities(certsLayout(options.certs).identities);
  const server = createServer(
    {
      cert: readFileSync(join(ssl, 'certs', `${PRIMARY_CERTNAME}.pem`)),
      key: readFileSync(join(ssl, 'private_keys', `${PRIMARY_CERTNAME}.pem`)),
      requestCert: true,
      rejectUnauthorized: false,
      ...(options.tls !== undefined && { minVersion: options.tls, maxVersion: options.tls }),
      ...(options.tickets === false && { secureOptions: constants.SSL_OP_NO_TICKET }),
    },
    (request, response) => {
      const name = toCertname((request.socket as TLSSocket).getPeerCertificate().subject?.CN?.toString() ?? '');
      const identity = name === null ? null : identities.get(name);
      const call = httpsRequest(
        {
          host: '127.0.0.1',
          port: primary.port,
          servername: 'localhost',
          method: request.method,
          path: request.url,
          headers: { ...request.headers, connection: 'close' },
          agent: false,
          // To the lab's own primary, on loopback.
          rejectUnauthorized: false,
          ...(identity !== null && { key: identity.keyPem, cert: identity.certPem }),
        },
        answer => {
          const { connection: _, 'transfer-encoding': __, ...headers } = answer.headers;
          response.writeHead(answer.statusCode ?? 502, answer.statusMessage, { ...headers, connection: 'close' });
          answer.pipe(response);
        },
      );
      call.once('error', () => response.destroy());
      request.pipe(call);
    },
  );
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  return {
    port: bound !== null && typeof bound === 'object' ? bound.port : 0,
    [Symbol.asyncDispose]: () =>
      new Promise<void>(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
