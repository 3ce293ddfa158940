/*
 * The few values that join a run, read out of a body without decoding it: formats differ (a form, JSON, PSON, YAML, MessagePack),
 * but each writes the name, a separator of a few bytes that are no letters or digits, and the value.
 */

/** What of a body is looked at. A catalog form is facts first; a report has these values before its long lists. */
const PEEK_BYTES = { catalog: 16 << 20, report: 64 << 10 } as const;

/** Enough of the end of one piece to find a value that is cut by it. */
const OVERLAP = 512;

export interface Peeked {
  transactionUuid: string | null;
  environment: string | null;
}

const UUID = /transaction_uuid[^0-9a-zA-Z]{1,8}([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9a-f])/i;

/** Puppet's environment names are words (`lib/puppet/node/environment.rb`, valid_name?). */
const ENVIRONMENT = {
  catalog: /&environment=([a-z0-9_]{1,255})&/i,
  report: /(?:"environment" ?: ?"|^environment: ['"]?)([a-z0-9_]{1,255})['"\n]/im,
} as const;

/** What stands before the first value and after the last one, as it does between the others. */
const BOUND = { catalog: '&', report: '\n' } as const;

/** Looks into the request body of a catalog or a report request; `body` is read only as far as needed. */
export function peek(phase: 'catalog' | 'report', body: Iterable<Uint8Array>): Peeked {
  const found: Peeked = { transactionUuid: null, environment: null };
  let read = 0;
  let rest: string = BOUND[phase];
  let json: Uint8Array[] | null = null;
  for (const piece of body) {
    if (read === 0 && phase === 'catalog' && piece[0] === BRACE) json = [];
    if (json !== null) {
      json.push(piece);
      read += piece.length;
      if (read >= PEEK_BYTES[phase]) return found;
      continue;
    }
    const text = rest + Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString('latin1');
    found.transactionUuid ??= UUID.exec(text)?.[1] ?? null;
    found.environment ??= ENVIRONMENT[phase].exec(text)?.[1] ?? null;
    read += piece.length;
    if ((found.transactionUuid !== null && found.environment !== null) || read >= PEEK_BYTES[phase]) return found;
    rest = text.slice(-OVERLAP);
  }
  if (json !== null) return peekJson(Buffer.concat(json).toString('utf8'));
  found.environment ??= ENVIRONMENT[phase].exec(rest + BOUND[phase])?.[1] ?? null;
  return found;
}

const BRACE = 0x7b;

/** The JSON that `/puppet/v4/catalog` takes: facts in it may be named as what is looked for, so it is read as a whole. */
function peekJson(text: string): Peeked {
  const value = (data: unknown, name: string, shape: RegExp): string | null => {
    const member = data !== null && typeof data === 'object' ? (data as Record<string, unknown>)[name] : null;
    return typeof member === 'string' && shape.test(member) ? member : null;
  };
  try {
    const data: unknown = JSON.parse(text);
    return {
      transactionUuid: value(data, 'transaction_uuid', /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i),
      environment: value(data, 'environment', /^[a-z0-9_]{1,255}$/i),
    };
  } catch {
    return { transactionUuid: null, environment: null };
  }
}

/** What joins a run in the header of a request. */
export interface PeekedHead {
  puppetVersion: string | null;
  /** It had If-Modified-Since. */
  conditional: boolean;
}

/** Looks into header field lines that are stored as JSON; a quote within a value is escaped there. */
export function peekHead(lines: string): PeekedHead {
  return {
    puppetVersion: /\["x-puppet-version","([^"\\]{1,64})"\]/i.exec(lines)?.[1] ?? null,
    conditional: /\["if-modified-since","/i.test(lines),
  };
}
