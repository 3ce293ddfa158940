import { request } from 'node:https';

export interface Credentials {
  /** PEM, with intermediate certificates behind it. */
  cert: string;
  key: string;
}

export interface Reply {
  status: number;
  reason: string;
  body: string;
}

export interface Ask {
  method?: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
  as?: Credentials;
  tls?: 'TLSv1.2' | 'TLSv1.3';
}

/**
 * One request by a TLS client that is no Puppet agent and that sends what it likes. The error's code when there was no answer: a
 * handshake that is refused is one way to say no.
 */
export function ask(port: number, path: string, options: Ask = {}): Promise<Reply | { refused: string }> {
  return new Promise(resolve => {
    const call = request({
      host: '127.0.0.1',
      servername: 'localhost',
      port,
      path,
      method: options.method ?? 'GET',
      headers: { accept: 'application/json, text/plain', ...options.headers },
      // What is asked here is who gets in, not whom the client trusts.
      rejectUnauthorized: false,
      agent: false,
      timeout: 30_000,
      ...(options.as === undefined ? {} : { cert: options.as.cert, key: options.as.key }),
      ...(options.tls === undefined ? {} : { minVersion: options.tls, maxVersion: options.tls }),
    });
    call.once('error', (error: NodeJS.ErrnoException) => resolve({ refused: error.code ?? error.message }));
    call.once('timeout', () => call.destroy(new Error('no answer in time')));
    call.once('response', response => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('error', error => resolve({ refused: error.message }));
      response.once('end', () => {
        const body = Buffer.concat(parts).toString('utf8');
        resolve({ status: response.statusCode ?? 0, reason: response.statusMessage ?? '', body });
      });
    });
    call.end(options.body);
  });
}
