import { lookup } from 'node:dns/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { request as httpRequest, STATUS_CODES } from 'node:http';
import { BlockList, connect, isIP, type Socket } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import { reasonOf } from './failure.ts';
import { field, flat, pairs, requestFields, responseFields } from './fields.ts';
import type { AgentConnection } from './intercept.ts';
import { farewell, noteError } from './tracking.ts';

/**
 * What is not the primary's passes unread: CONNECT to other hosts, and plain HTTP in absolute form (an agent with `http_proxy_host`
 * sends its `source => 'https://…'` and `'http://…'` this way).
 */

/** Places on this machine and its link: a proxy must not open them to whoever can reach its port. */
const LOCAL = new BlockList();
LOCAL.addSubnet('127.0.0.0', 8);
LOCAL.addSubnet('0.0.0.0', 8);
LOCAL.addSubnet('169.254.0.0', 16);
LOCAL.addSubnet('::', 96, 'ipv6'); // ::1, ::, and IPv4 addresses in the old notation
LOCAL.addSubnet('fe80::', 10, 'ipv6');

const CONNECT_MS = 30_000;

/** `host:port` of a CONNECT target; `null` when it is none (RFC 9110 section 9.3.6). */
export function parseAuthority(target: string): { host: string; port: number } | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]/@]+)):(\d{1,5})$/i.exec(target);
  if (!match) return null;
  const port = Number(match[3]);
  return port > 0 && port < 65_536 ? { host: (match[1] ?? match[2])!.toLowerCase(), port } : null;
}

/** So many tasks at once; more wait for their turn, and beyond `mostWaiting` of them are refused. */
export function turns(most: number, mostWaiting: number): <T>(task: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let busy = 0;
  return async task => {
    if (busy < most) busy += 1;
    else if (waiting.length < mostWaiting) await new Promise<void>(resolve => waiting.push(resolve));
    else throw new Error('too many at once');
    try {
      return await task();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else busy -= 1;
    }
  };
}

/**
 * Names come from anybody, and one that its servers do not answer holds a thread for half a minute. libuv lets two lookups run at once: the
 * other one is for the primary.
 */
const inTurn = turns(1, 1000);

/** An address of `host` that may be reached, or the reason why none may. */
async function reachable(host: string, local: boolean): Promise<{ address: string } | { refused: string }> {
  const address = isIP(host) === 0 ? (await inTurn(() => lookup(host))).address : host;
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  if (!local && LOCAL.check(address, family)) return { refused: `${host} is local to the machine that stringtap runs on` };
  return { address };
}

/** Answers a CONNECT that is not tunnelled: the agent shows the reason phrase alone. */
export function refuseConnect(socket: Socket, status: number, reason: string): void {
  farewell(socket, socket, `HTTP/1.1 ${status} ${reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
}

/** Joins the agent's socket to another host's, bytes unread. @param local whether that may be this machine */
export async function tunnel(
  agent: AgentConnection,
  place: { host: string; port: number },
  socket: Socket,
  head: Buffer,
  local: boolean,
): Promise<void> {
  const { record, ending } = agent;
  record.via = 'blind';
  socket.pause();
  try {
    const found = await reachable(place.host, local);
    if ('refused' in found) {
      record.error = found.refused;
      ending.note('proxy', 'policy');
      refuseConnect(socket, 403, 'Not tunnelled to a local address');
      return;
    }
    if (socket.destroyed) return; // the agent left
    const far = connect({ host: found.address, port: place.port, timeout: CONNECT_MS });
    far.once('timeout', () => far.destroy(Object.assign(new Error('connect timed out'), { code: 'ETIMEDOUT' })));
    let connected = false;
    far.once('connect', () => {
      if (socket.destroyed) {
        far.destroy(); // it left in this turn: its 'close' is yet to come
        return;
      }
      connected = true;
      far.setTimeout(0);
      far.once('end', () => ending.note('primary', 'end'));
      socket.setMaxListeners(20); // each pipeline adds some; Node warns from 11 on
      pipeline(socket, far, () => undefined);
      pipeline(far, socket, () => undefined);
      // Not before: a write to an agent that is gone destroys its socket at once, and that is no end of a pipeline.
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      if (head.length > 0) far.write(head);
    });
    far.on('error', (error: NodeJS.ErrnoException) => {
      record.error ??= reasonOf(error);
      if (!connected) refuseConnect(socket, 502, `Cannot connect to ${place.host.slice(0, 60)}`);
      noteError(ending, error, 'primary');
    });
    socket.once('close', () => far.destroy());
  } catch (error) {
    record.error = reasonOf(error);
    refuseConnect(socket, 502, `Cannot resolve ${place.host.slice(0, 60)}`);
  }
}

/** Forwards one plain absolute-form request, unread. Errors end the answer or the connection. @param local as of {@link tunnel} */
export async function forwardPlain(
  agent: AgentConnection,
  request: IncomingMessage,
  response: ServerResponse,
  target: string,
  local: boolean,
): Promise<void> {
  const refuse = (status: number, message: string): void => {
    agent.record.error ??= message;
    request.resume();
    if (response.writableEnded) return;
    if (response.headersSent) response.destroy();
    else {
      // With a reason phrase of its own: Node keeps the one that it has just refused to write.
      response.writeHead(status, STATUS_CODES[status], { 'Content-Type': 'text/plain' });
      response.end(`stringtap: ${message}\n`);
    }
  };
  const url = URL.canParse(target) ? new URL(target) : null;
  if (url?.protocol !== 'http:') {
    refuse(400, 'this port speaks TLS: use https, or CONNECT');
    return;
  }
  agent.record.via = 'blind';
  agent.record.target = url.host;
  try {
    const found = await reachable(url.hostname.replace(/^\[|\]$/g, ''), local);
    if ('refused' in found) {
      refuse(403, found.refused);
      return;
    }
    if (response.destroyed) return; // the agent left
    const received = pairs(request.rawHeaders);
    const fields = requestFields(received, url.host);
    const isChunked = field(received, 'transfer-encoding') !== null;
    const far = httpRequest(
      {
        host: found.address,
        port: url.port || 80,
        method: request.method,
        path: `${url.pathname}${url.search}`,
        headers: flat(isChunked ? [...fields, ['Transfer-Encoding', 'chunked']] : fields),
        agent: false,
      },
      answer => {
        try {
          const isHttp11 = request.httpVersion === '1.1';
          response.writeHead(
            answer.statusCode ?? 502,
            answer.statusMessage,
            flat(responseFields(pairs(answer.rawHeaders), isHttp11)),
          );
        } catch (error) {
          // Node reads status lines that it will not write.
          far.destroy();
          refuse(502, `what ${url.host} sent is not valid HTTP: ${reasonOf(error)}`);
          return;
        }
        pipeline(answer, response, () => undefined);
      },
    );
    far.once('upgrade', (_, socket: Duplex) => {
      socket.destroy();
      refuse(502, `${url.host} switched protocols, which nobody asked for`);
    });
    far.on('error', error => refuse(502, `cannot reach ${url.host}: ${reasonOf(error)}`));
    response.once('close', () => far.destroy());
    request.pipe(far);
  } catch (error) {
    refuse(502, `cannot reach ${url.host}: ${reasonOf(error)}`);
  }
}
