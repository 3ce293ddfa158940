import type { IncomingMessage, ServerResponse } from 'node:http';
import { takeHandout } from '../pki/handouts.ts';
import type { Trust } from '../pki/trust.ts';

/** Where `stringtap agent-setup` sends an agent's host for its two files: plain HTTP on the agents' port. */
const PATH = /^\/stringtap\/([0-9a-f]{32})\/([a-z.]{1,10})$/;

/**
 * Answers a request for a file that is handed out once; anything else at such a path gets a 404.
 * @returns false for any other request
 */
export function serveHandout(
  request: IncomingMessage,
  response: ServerResponse,
  target: string,
  { dir, trust }: { dir: string; trust: Trust },
): boolean {
  const [, token, name] = PATH.exec(target) ?? [];
  if (token === undefined || name === undefined || request.method !== 'GET') return false;
  request.resume();
  response.setHeader('Content-Type', 'text/plain');
  try {
    if (takeHandout(dir, token, name)) {
      response.end(name === 'ca.pem' ? trust.bundle().pem : trust.crlBundle().bytes);
      return true;
    }
  } catch {
    // The folder cannot be read or written: as if nothing were there.
  }
  response.statusCode = 404;
  response.end('stringtap: there is nothing here, or it was fetched already; stringtap agent-setup makes a new path\n');
  return true;
}
