import { deflateSync, gzipSync } from 'node:zlib';
import { type Body, bodyOf, isStructured, parseBody } from '../decode/format.ts';
import { attempt, DEFAULT_LIMITS } from '../decode/limits.ts';
import { routeOf } from '../decode/route.ts';
import { hideInBody } from '../decode/secret-bodies.ts';
import { createHiding, type Hiding, hideInFields, hideInTarget, knownPattern, secretsIn } from '../decode/secrets.ts';
import type { BodyTap, Exchange, ExchangeId, Fields, Side, Tape } from '../model.ts';

/** A body is held whole until its exchange ends; a larger one is not stored at all. */
const MAX_BODY_BYTES = 8 << 20;

/** What all bodies under way may take together. */
const MAX_HELD_BYTES = 64 << 20;

/** Certnames whose secrets are remembered, and how many of each. */
const MAX_CERTNAMES = 256;
const MAX_SECRETS = 1_000;

/** Shorter texts stand everywhere by chance. */
const MIN_SECRET_LENGTH = 6;

interface Held {
  side: Side;
  parts: Buffer[];
  bytes: number;
  /** Too large, or too much at once: nothing of it is stored. */
  dropped: boolean;
  /** The exchange is over: what still comes is not part of it. */
  over: boolean;
}

/** What was put away: told to whoever started the proxy, at its end. */
export interface Redacted {
  /** Bodies in which something was hidden. */
  changed: number;
  /** Bodies of which nothing was stored: too large, or it cannot be told where their secrets are. */
  leftOut: number;
}

/**
 * A tape before another one: nothing that is known as a secret reaches it, in no body, field line or target. What `show` hides from a reader
 * is hidden here for ever. A body is held until its exchange ends, for a secret may lie across any two chunks; one over 8 MiB, or
 * one that cannot be read, is left out. Texts that a catalog calls secret are hidden in what the same certname says later, too.
 */
export function redacting(tape: Tape): Tape & { readonly redacted: Redacted } {
  const held = new Map<ExchangeId, Held[]>();
  const secrets = new Map<string, Set<string>>();
  const redacted: Redacted = { changed: 0, leftOut: 0 };
  let heldBytes = 0;

  function release(id: ExchangeId): Held[] {
    const bodies = held.get(id) ?? [];
    held.delete(id);
    for (const body of bodies) {
      heldBytes -= body.bytes;
      body.over = true;
    }
    return bodies;
  }

  function giveUp(body: Held): void {
    heldBytes -= body.bytes;
    Object.assign(body, { parts: [], bytes: 0, dropped: true });
  }

  function tapOf(body: Held): BodyTap {
    return {
      write(chunk) {
        if (body.dropped || body.over) return;
        body.parts.push(Buffer.from(chunk));
        body.bytes += chunk.length;
        heldBytes += chunk.length;
        if (body.bytes > MAX_BODY_BYTES || heldBytes > MAX_HELD_BYTES) giveUp(body);
      },
    };
  }

  function secretsOf(certname: string): Set<string> {
    const known = secrets.get(certname) ?? new Set();
    secrets.delete(certname);
    secrets.set(certname, known);
    if (secrets.size > MAX_CERTNAMES) secrets.delete(secrets.keys().next().value ?? '');
    return known;
  }

  function learn(known: Set<string>, body: Body): void {
    if (!isStructured(body.format)) return;
    const found = attempt(() => secretsIn(parseBody(body, DEFAULT_LIMITS)));
    if ('error' in found) return;
    for (const text of found.value) {
      if (text.length >= MIN_SECRET_LENGTH && known.size < MAX_SECRETS) known.add(text);
    }
  }

  /** @returns what may be stored, and the media type when it became another one; `null`: nothing */
  function redact(raw: Buffer, fields: Fields, hiding: Hiding): { bytes: Uint8Array; mime: string | null } | null {
    const read = attempt(() => bodyOf(raw, fields, DEFAULT_LIMITS));
    if ('error' in read) return null;
    const hidden = hideInBody(read.value, hiding, DEFAULT_LIMITS);
    if (hidden.type === 'unreadable') return null;
    if (hidden.type === 'same') return read.value.truncated === null ? { bytes: raw, mime: null } : null;
    const [coding, more] = read.value.codings;
    const mime = hidden.mime === read.value.mime ? null : hidden.mime;
    redacted.changed += 1;
    if (coding === undefined) return { bytes: hidden.bytes, mime };
    if (more === undefined && /^(x-)?gzip$/.test(coding)) return { bytes: gzipSync(hidden.bytes), mime };
    return more === undefined && coding === 'deflate' ? { bytes: deflateSync(hidden.bytes), mime } : null;
  }

  return {
    redacted,
    connectionId: () => tape.connectionId(),
    exchangeId() {
      const id = tape.exchangeId();
      held.set(id, []);
      return id;
    },
    connection: connection => tape.connection(connection),
    tap(exchange, side) {
      const bodies = held.get(exchange);
      if (bodies === undefined) return { write: () => undefined }; // the exchange is over: an upload may still be running
      let body = bodies.find(one => one.side === side);
      if (body === undefined) {
        body = { side, parts: [], bytes: 0, dropped: false, over: false };
        bodies.push(body);
      }
      return tapOf(body);
    },
    exchange(exchange, committed) {
      const known = exchange.certname === null ? new Set<string>() : secretsOf(exchange.certname);
      const types: Partial<Record<'request' | 'response', string>> = {};
      const bodies = release(exchange.id);
      const readable = bodies.map(body => ({ body, raw: Buffer.concat(body.parts), fields: fieldsOf(exchange, body.side) }));
      for (const { raw, fields } of readable) {
        const read = attempt(() => bodyOf(raw, fields, DEFAULT_LIMITS));
        if ('value' in read) learn(known, read.value);
      }
      const hiding = createHiding(knownPattern(known));
      for (const { body, raw, fields } of readable) {
        if (raw.length === 0 && !body.dropped) continue;
        const kept = body.dropped ? null : redact(raw, fields, hiding);
        if (kept === null) redacted.leftOut += 1;
        else tape.tap(exchange.id, body.side).write(kept.bytes);
        if (kept?.mime && (body.side === 'request' || body.side === 'response')) types[body.side] = kept.mime;
      }
      tape.exchange(withoutSecrets(exchange, hiding, types), committed);
    },
    drop(exchange) {
      release(exchange);
      tape.drop(exchange);
    },
    ...(tape.ready && { ready: (go: () => void) => tape.ready?.(go) ?? true }),
  };
}

function fieldsOf(exchange: Exchange, side: Side): Fields {
  return side === 'request' || side === 'primary-request' ? exchange.request.fields : (exchange.response?.fields ?? []);
}

function withoutSecrets(exchange: Exchange, hiding: Hiding, types: { request?: string; response?: string }): Exchange {
  const { request, response } = exchange;
  const fields = (given: Fields, mime: string | undefined): Fields => {
    const clean = hideInFields(given, hiding);
    return mime === undefined
      ? clean
      : clean.map(([name, value]) => [name, /^content-type$/i.test(name) ? mime : value] as const);
  };
  const target = hideInTarget(request.target, hiding);
  return {
    ...exchange,
    route: target === request.target ? exchange.route : routeOf(request.method, target),
    request: { ...request, target, fields: fields(request.fields, types.request) },
    response: response && { ...response, fields: fields(response.fields, types.response) },
    trailers: hideInFields(exchange.trailers, hiding),
  };
}
