import type { Socket } from 'node:net';

/**
 * What undici reads in the place of a 100, which it takes for a fault of the server and closes the connection. Nothing has this status
 * (RFC 9110 section 15.2 leaves it free), and it differs in the last byte alone.
 */
const STAND_IN = 109;

const [LF, CR, ZERO, ONE, NINE] = [0x0a, 0x0d, 0x30, 0x31, 0x39];

/** The status that was on the wire. */
export function statusOnWire(status: number): number {
  return status === STAND_IN ? 100 : status;
}

/** Watches the heads of answers on one connection to a primary. */
export interface InterimHeads {
  /** The next byte that is read begins an answer. */
  begin(): void;
}

/**
 * Lets a primary say `100 Continue` though nobody has asked, as some load balancers do: an agent that sends `Expect` is answered by us. Of
 * most answers only the first ten bytes are looked at.
 */
export function passContinue(socket: Socket): InterimHeads {
  let state: 'line' | 'fields' | 'past' = 'past';
  /** Bytes of the status line so far: its digits stand from the ninth on. */
  let at = 0;
  let isZero = false;
  /** Bytes of the field line so far. */
  let length = 0;

  function look(chunk: Buffer): void {
    for (let i = 0; i < chunk.length && state !== 'past'; i++) {
      const byte = chunk[i]!;
      if (state === 'line') {
        if (at === 9 && byte !== ONE) state = 'past';
        else if (at === 10) isZero = byte === ZERO;
        else if (at === 11) {
          if (isZero && byte === ZERO) chunk[i] = NINE;
          state = 'fields';
          length = 1;
        }
        at += 1;
      } else if (byte === LF) {
        if (length === 0) begin();
        length = 0;
      } else if (byte !== CR) length += 1;
    }
  }

  function begin(): void {
    state = 'line';
    at = 0;
  }

  const read = socket.read.bind(socket);
  socket.read = (size?: number): Buffer | null => {
    const chunk: Buffer | null = read(size);
    if (chunk !== null && state !== 'past') look(chunk);
    return chunk;
  };
  return { begin };
}
