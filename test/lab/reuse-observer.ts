import { connect, createServer, type Socket } from 'node:net';

/**
 * An observer that owes nothing to stringtap: a TCP relay that counts connections and reads the first TLS records of both directions as
 * they are on the wire (RFC 8446 sections 4 and 5, RFC 5246 section 7.4), and nothing else.
 */
export interface Observed {
  /** TCP connections that were accepted. */
  connections: number;
  clientHellos: number;
  /** ClientHellos that offered to resume: a pre_shared_key, or a session ticket that is not empty. */
  offered: number;
  /** Handshakes that the server agreed to shorten. */
  resumed: number;
  /** Handshakes in full. */
  full: number;
}

export interface Observer extends AsyncDisposable {
  readonly port: number;
  /** Where new connections are passed on to, on loopback. */
  target: number;
  /** What was seen since the last reset. */
  readonly seen: Observed;
  reset(): void;
}

const HANDSHAKE = 22;
const CHANGE_CIPHER_SPEC = 20;
const CLIENT_HELLO = 1;
const SERVER_HELLO = 2;
const CERTIFICATE = 11;
const SESSION_TICKET = 0x0023;
const PRE_SHARED_KEY = 0x0029;
const SUPPORTED_VERSIONS = 0x002b;

const nothing = (): Observed => ({ connections: 0, clientHellos: 0, offered: 0, resumed: 0, full: 0 });

export async function startObserver(): Promise<Observer> {
  let seen = nothing();
  const sockets = new Set<Socket>();
  let target = 0;
  const server = createServer({ noDelay: true, allowHalfOpen: true }, near => {
    const count = seen;
    count.connections += 1;
    const far = connect({ host: '127.0.0.1', port: target, noDelay: true, allowHalfOpen: true });
    watch(near, bytes => readClient(bytes, count));
    watch(far, bytes => readServer(bytes, count));
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.once('close', () => {
        sockets.delete(one);
        if (one.errored) other.destroy();
      });
    }
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  return {
    get target() {
      return target;
    },
    set target(port) {
      target = port;
    },
    port: bound !== null && typeof bound === 'object' ? bound.port : 0,
    get seen() {
      return seen;
    },
    reset() {
      seen = nothing();
    },
    [Symbol.asyncDispose]: () =>
      new Promise<void>(resolve => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Hands the bytes so far to `read` until it is done with them. */
function watch(socket: Socket, read: (bytes: Buffer) => boolean): void {
  let bytes = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    bytes = Buffer.concat([bytes, chunk]);
    if (read(bytes) || bytes.length > 65_536) socket.off('data', onData);
  };
  socket.on('data', onData);
}

interface Message {
  type: number;
  body: Buffer;
}

/** Handshake messages in clear at the start of a stream; `changed`: a ChangeCipherSpec followed them. `null`: more bytes are needed. */
function messagesOf(bytes: Buffer): { messages: Message[]; changed: boolean } {
  const parts: Buffer[] = [];
  let changed = false;
  for (let at = 0; at + 5 <= bytes.length; ) {
    const end = at + 5 + bytes.readUInt16BE(at + 3);
    if (end > bytes.length) break;
    if (bytes[at] === CHANGE_CIPHER_SPEC) changed = true;
    if (bytes[at] !== HANDSHAKE) break;
    parts.push(bytes.subarray(at + 5, end));
    at = end;
  }
  const stream = Buffer.concat(parts);
  const messages: Message[] = [];
  for (let at = 0; at + 4 <= stream.length; ) {
    const end = at + 4 + stream.readUIntBE(at + 1, 3);
    if (end > stream.length) break;
    messages.push({ type: stream[at]!, body: stream.subarray(at + 4, end) });
    at = end;
  }
  return { messages, changed };
}

/** Extensions of a hello by type; `from` is where the list's length stands. */
function extensions(body: Buffer, from: number): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = from + 2; at + 4 <= body.length; ) {
    const length = body.readUInt16BE(at + 2);
    found.set(body.readUInt16BE(at), body.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}

function readClient(bytes: Buffer, count: Observed): boolean {
  const hello = messagesOf(bytes).messages[0];
  if (hello === undefined) return false;
  if (hello.type !== CLIENT_HELLO) return true;
  const { body } = hello;
  let at = 34; // version, random
  at += 1 + body[at]!; // session id
  at += 2 + body.readUInt16BE(at); // cipher suites
  at += 1 + body[at]!; // compression methods
  const offers = extensions(body, at);
  count.clientHellos += 1;
  if (offers.has(PRE_SHARED_KEY) || (offers.get(SESSION_TICKET)?.length ?? 0) > 0) count.offered += 1;
  return true;
}

function readServer(bytes: Buffer, count: Observed): boolean {
  const { messages, changed } = messagesOf(bytes);
  const hello = messages[0];
  if (hello === undefined) return false;
  if (hello.type !== SERVER_HELLO) return true;
  let at = 34;
  at += 1 + hello.body[at]!;
  at += 3; // cipher suite, compression method
  const answers = extensions(hello.body, at);
  if (answers.has(SUPPORTED_VERSIONS)) {
    if (answers.has(PRE_SHARED_KEY)) count.resumed += 1;
    else count.full += 1;
    return true;
  }
  // TLS 1.2: a full handshake shows the certificate in clear, a resumed one goes on to ChangeCipherSpec.
  if (messages.some(message => message.type === CERTIFICATE)) count.full += 1;
  else if (changed) count.resumed += 1;
  else return false;
  return true;
}
