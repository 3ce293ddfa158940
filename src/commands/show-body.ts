import { keyless } from '../capture/decoded-cells.ts';
import type { ExchangeDetail, Store } from '../capture/store.ts';
import {
  type Data,
  entriesOf,
  FLOAT,
  field,
  has,
  isMapping,
  itemsOf,
  ptypeOf,
  SYMBOL,
  Tagged,
  textOf,
  textsOf,
} from '../decode/data.ts';
import { type Body, bodyOf, isPrintable, isStructured, parseBody } from '../decode/format.ts';
import { attempt, DEFAULT_LIMITS } from '../decode/limits.ts';
import { percentDecode } from '../decode/route.ts';
import { createHiding, HIDDEN as HIDDEN_TEXT, hideInData, hideInText, isSecretName } from '../decode/secrets.ts';
import type { Side } from '../model.ts';
import { SIDES } from '../model.ts';
import { CliError, type Io, printable } from './io.ts';

const HIDDEN = '(sensitive)';

/**
 * One body of an exchange: its content codings undone and its structure printed one value a line, whatever the format; or, raw, the bytes as
 * they were on the wire, which hold what is sensitive as well.
 *
 * @throws CliError when there is no such body, or it cannot be decoded
 */
export function showBody(io: Io, store: Store, exchange: ExchangeDetail, text: string, raw: boolean, reveal: boolean): void {
  const side = SIDES.find(known => known === text);
  if (!side)
    throw new CliError(
      `--body is one of ${SIDES.join(', ')}, not ${JSON.stringify(text)}`,
      `as in: stringtap show e${exchange.id} --body response`,
      2,
    );
  const info = exchange.bodies.find(body => body.side === side);
  if (info === undefined) {
    throw new CliError(
      `exchange e${exchange.id} has no ${side} body`,
      `it has: ${exchange.bodies.map(body => body.side).join(', ') || 'none'}`,
    );
  }
  if (raw) {
    for (const chunk of store.body(exchange.id, side)) io.write(chunk);
    return;
  }
  const remedy = '--raw gives its bytes';
  if (info.kept > DEFAULT_LIMITS.bodyBytes) throw new CliError(`a body of ${info.size} bytes is too large to decode`, remedy);
  const bytes = Buffer.concat([...store.body(exchange.id, side)]);
  const decoded = attempt(() => bodyOf(bytes, fieldsOf(exchange, side), DEFAULT_LIMITS));
  if ('error' in decoded) throw new CliError(`the body cannot be decoded: ${decoded.error}`, remedy);
  const body = decoded.value;
  if (body.truncated !== null) io.err(`stringtap: ${printable(body.truncated)}`);
  print(io, body, reveal);
}

function fieldsOf(exchange: ExchangeDetail, side: Side): ExchangeDetail['request']['fields'] {
  if (side === 'request') return exchange.request.fields;
  return side === 'response' ? (exchange.response?.fields ?? []) : [];
}

function print(io: Io, body: Body, reveal: boolean): void {
  if (isStructured(body.format)) {
    const parsed = attempt(() => parseBody(body, DEFAULT_LIMITS, true));
    if ('value' in parsed) {
      for (const line of pretty(shown(parsed.value, reveal), reveal)) io.out(line);
      return;
    }
    io.err(`stringtap: not ${body.format}: ${printable(parsed.error)}`);
  }
  if (body.format === 'form') {
    form(io, body, reveal);
    return;
  }
  if (!isPrintable(body.bytes)) {
    io.out(`(${body.bytes.length} bytes that are no text; --raw gives them)`);
    return;
  }
  for (const line of lines(shownText(Buffer.from(body.bytes).toString('utf8'), reveal))) io.out(printable(line));
}

/** Passwords, tokens, eyaml and the like are hidden unless they are asked for; Sensitive values are {@link pretty}'s. */
function shown(data: Data, reveal: boolean): Data {
  return reveal ? data : hideInData(data, createHiding());
}

/** @param reveal `null`: all of the text is a secret */
function shownText(text: string, reveal: boolean | null): string {
  if (reveal === null) return HIDDEN_TEXT;
  return keyless(reveal ? text : hideInText(text, createHiding()));
}

function lines(text: string): string[] {
  return text.replace(/\r?\n$/, '').split(/\r?\n/);
}

/** `name = value` of each pair; what is percent-encoded once more (the facts) is decoded, and printed as JSON where it is that. */
function form(io: Io, body: Body, reveal: boolean): void {
  for (const pair of Buffer.from(body.bytes).toString('latin1').split('&')) {
    const equals = pair.indexOf('=');
    const [name, text] = equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
    const plain = (encoded: string): string => percentDecode(encoded.replaceAll('+', ' '));
    const value = plain(text);
    const inner = percentDecode(value);
    const parsed = inner.startsWith('{')
      ? attempt(() => parseBody({ ...body, format: 'json', bytes: Buffer.from(inner) }, DEFAULT_LIMITS, true))
      : { error: '' };
    if ('value' in parsed) {
      const [first, ...rest] = pretty(shown(parsed.value, reveal), reveal);
      io.out(`${printable(plain(name))} = ${first ?? ''}`);
      for (const line of rest) io.out(line);
    } else io.out(printable(`${plain(name)} = ${shownText(value, !reveal && isSecretName(plain(name)) ? null : reveal)}`));
  }
}

/**
 * JSON with one value a line. Parameters that a resource calls sensitive, and Sensitive values anywhere, are hidden; numbers keep all their
 * digits; YAML tags and bytes are written in Puppet's rich data notation.
 */
function* pretty(data: Data, reveal: boolean, indent = '', before = '', after = ''): Generator<string> {
  const close = (sign: string): string => `${indent}${sign}${after}`;
  const inner = `${indent}  `;
  if (data instanceof Tagged && data.tag !== SYMBOL && data.tag !== FLOAT) {
    yield* pretty(data.value, reveal, indent, `${before}${printable(data.tag)} `, after);
    return;
  }
  if (!reveal && textOf(ptypeOf(data)) === 'Sensitive') {
    yield `${indent}${before}${JSON.stringify(HIDDEN)}${after}`;
    return;
  }
  if (isMapping(data)) {
    const entries = [...entriesOf(data)];
    const secret = new Set(reveal ? [] : secretsOf(data));
    if (entries.length === 0) yield `${indent}${before}{}${after}`;
    else {
      yield `${indent}${before}{`;
      for (const [at, [key, value]] of entries.entries()) {
        const name = `${quoted(textOf(key) ?? JSON.stringify(String(key)))}: `;
        const shown = secret.size > 0 && key === 'parameters' ? hidden(value, secret) : value;
        yield* pretty(shown, reveal, inner, name, at < entries.length - 1 ? ',' : '');
      }
      yield close('}');
    }
    return;
  }
  const items = itemsOf(data);
  if (Array.isArray(data) && items.length > 0) {
    yield `${indent}${before}[`;
    for (const [at, item] of items.entries()) yield* pretty(item, reveal, inner, '', at < items.length - 1 ? ',' : '');
    yield close(']');
    return;
  }
  yield `${indent}${before}${scalar(data)}${after}`;
}

function secretsOf(data: Data): string[] {
  return has(data, 'sensitive_parameters') ? textsOf(field(data, 'sensitive_parameters')) : [];
}

function hidden(parameters: Data, secret: ReadonlySet<string>): Data {
  return new Map(
    [...entriesOf(parameters)].map(([key, value]): [Data, Data] => [key, secret.has(textOf(key) ?? '') ? HIDDEN : value]),
  );
}

function scalar(data: Data): string {
  if (data === null || Array.isArray(data)) return data === null ? 'null' : '[]';
  if (data instanceof Uint8Array) return `{"__ptype": "Binary", "__pvalue": "${Buffer.from(data).toString('base64')}"}`;
  if (data instanceof Tagged && typeof data.value === 'number') return textOf(data) ?? '';
  if (typeof data === 'string' || data instanceof Tagged) return quoted(textOf(data) ?? '');
  return String(data);
}

function quoted(text: string): string {
  return printable(JSON.stringify(keyless(text)));
}
