import type { Socket } from 'node:net';

/** One HTTP message, read off the wire byte by byte. */
export interface Message {
  /** Request line or status line. */
  start: string;
  /** Field lines as they came. */
  fields: [name: string, value: string][];
  body: Buffer;
  /** Chunk sizes, when it was chunked. */
  chunks: number[];
  trailers: [name: string, value: string][];
  /** The head as it came, with the blank line. */
  head: string;
}

/** A socket whose bytes a test writes and reads by hand. */
export interface Wire {
  readonly socket: Socket;
  write(data: string | Uint8Array): void;
  /** Waits for the text and takes everything up to its end. */
  until(text: string): Promise<string>;
  /** Waits for so many bytes and takes them. */
  take(count: number): Promise<Buffer>;
  /** Takes everything until the other side ends. */
  rest(): Promise<Buffer>;
  /** What has come and was not taken. */
  readonly pending: Buffer;
  /** How it ended: a clean end, or the code of an error. Resolves when it has. */
  readonly ended: Promise<string>;
  readonly isEnded: boolean;
  /** A request. */
  request(): Promise<Message>;
  /** An answer; 1xx ones are answers of their own. @param method of the request, as the answer to HEAD has no body */
  answer(method?: string): Promise<Message>;
  end(data?: string | Uint8Array): void;
  /** Ends without any goodbye. */
  destroy(): void;
  /** Ends with a TCP reset. */
  reset(): void;
}

/** The other side ended before what was waited for had come. */
export class WireEnded extends Error {}

export function openWire(socket: Socket): Wire {
  let pending = Buffer.alloc(0);
  let how: string | null = null;
  let wake: (() => void)[] = [];
  const notify = (): void => {
    const all = wake;
    wake = [];
    for (const call of all) call();
  };
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    notify();
  });
  const ended = new Promise<string>(resolve => {
    const over = (reason: string): void => {
      how ??= reason;
      notify();
      resolve(how);
    };
    socket.once('end', () => over('end'));
    socket.on('error', (error: NodeJS.ErrnoException) => over(error.code ?? error.message));
    socket.once('close', () => over('closed'));
  });

  async function when(ready: () => boolean, what: string): Promise<void> {
    while (!ready()) {
      if (how !== null)
        throw new WireEnded(
          `the connection ended (${how}) before ${what}: ${JSON.stringify(pending.toString('latin1').slice(0, 500))}`,
        );
      await new Promise<void>(resolve => wake.push(resolve));
    }
  }

  function taken(count: number): Buffer {
    const bytes = pending.subarray(0, count);
    pending = pending.subarray(count);
    return bytes;
  }

  async function until(text: string): Promise<string> {
    await when(() => pending.includes(text, 0, 'latin1'), `${JSON.stringify(text)}`);
    return taken(pending.indexOf(text, 0, 'latin1') + Buffer.byteLength(text, 'latin1')).toString('latin1');
  }

  async function take(count: number): Promise<Buffer> {
    await when(() => pending.length >= count, `${count} bytes`);
    return taken(count);
  }

  async function rest(): Promise<Buffer> {
    await ended;
    return taken(pending.length);
  }

  async function message(bodiless: (start: string) => boolean, untilEnd: boolean): Promise<Message> {
    const head = await until('\r\n\r\n');
    const [start = '', ...lines] = head.slice(0, -4).split('\r\n');
    const fields = lines.map(fieldOf);
    const found: Message = { start, fields, body: Buffer.alloc(0), chunks: [], trailers: [], head };
    const value = (name: string): string | undefined => fields.find(([key]) => key.toLowerCase() === name)?.[1];
    if (bodiless(start)) return found;
    if (value('transfer-encoding')?.toLowerCase() === 'chunked') {
      const parts: Buffer[] = [];
      for (;;) {
        const size = Number.parseInt(await until('\r\n'), 16);
        if (size === 0) break;
        found.chunks.push(size);
        parts.push(Buffer.from(await take(size)));
        await until('\r\n');
      }
      for (let line = await until('\r\n'); line !== '\r\n'; line = await until('\r\n'))
        found.trailers.push(fieldOf(line.slice(0, -2)));
      found.body = Buffer.concat(parts);
    } else if (value('content-length') !== undefined) found.body = Buffer.from(await take(Number(value('content-length'))));
    else if (untilEnd) found.body = await rest();
    return found;
  }

  return {
    socket,
    write: data => void socket.write(data),
    until,
    take,
    rest,
    get pending() {
      return pending;
    },
    ended,
    get isEnded() {
      return how !== null;
    },
    request: () => message(() => false, false),
    answer: (method = 'GET') => message(start => method === 'HEAD' || / (1\d\d|204|304) /.test(`${start} `), true),
    end: data => void (data === undefined ? socket.end() : socket.end(data)),
    destroy: () => void socket.destroy(),
    reset() {
      // Node resets a TLS socket only through the TCP one below it.
      const { _parent: below = socket } = socket as Socket & { _parent?: Socket };
      below.resetAndDestroy();
    },
  };
}

function fieldOf(line: string): [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon), line.slice(colon + 1).trim()];
}

/** The status of an answer. */
export function statusOf({ start }: Message): number {
  return Number(start.split(' ')[1]);
}

/** The first value of a field. */
export function fieldIn({ fields }: Message, name: string): string | null {
  return fields.find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1] ?? null;
}
