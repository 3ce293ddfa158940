import { sized } from '../src/analysis/words.ts';
import { keyless } from '../src/capture/decoded-cells.ts';
import type { BodyInfo, ExchangeDetail } from '../src/capture/store.ts';
import { type Body, bodyOf, isPrintable, isStructured, parseBody } from '../src/decode/format.ts';
import { attempt, DEFAULT_LIMITS } from '../src/decode/limits.ts';
import { percentDecode } from '../src/decode/route.ts';
import { createHiding, type Hiding, hideInData, hideInText, isSecretName } from '../src/decode/secrets.ts';
import type { Fields, Side } from '../src/model.ts';
import { dataNode } from './data-tree.ts';
import { hexBytes, hexLine } from './hex.ts';
import { pkiNodes } from './pki-tree.ts';
import type { Env } from './screen.ts';
import { type Line, span } from './text.ts';
import type { TreeNode } from './tree.ts';

/**
 * A body as nodes of a tree, whatever its format. One that is larger than a window is not decoded whole: it opens as fast as any other, and
 * its first part is shown.
 */

/** Decoded at once: some tens of milliseconds. */
const WHOLE_BYTES = 2 << 20;
/** Of a larger one, what is read and shown. */
const WINDOW_BYTES = 64 << 10;
/** Content codings of a window may not blow up to more. */
const WINDOW_LIMITS = { ...DEFAULT_LIMITS, bodyBytes: 8 << 20 };
const MAX_LINES = 5000;
/** Marks the node that decodes all of a large body; see {@link wholeBody}. */
export const DECODE_ALL = -1;

export function fieldsOf(exchange: ExchangeDetail, side: Side): Fields {
  if (side === 'request') return exchange.request.fields;
  return side === 'response' ? (exchange.response?.fields ?? []) : [];
}

/** The node of one side's body. */
export function bodyNode(env: Env, exchange: ExchangeDetail, side: Side): TreeNode {
  const info = exchange.bodies.find(body => body.side === side);
  if (info === undefined) return { key: 'body', label: [span('no body', 'dim')] };
  const large = info.kept > WHOLE_BYTES;
  const raw = env.source.store.bodyPart(exchange.id, side, 0, large ? WINDOW_BYTES : info.kept);
  const decoded = attempt(() => bodyOf(raw, fieldsOf(exchange, side), large ? WINDOW_LIMITS : DEFAULT_LIMITS));
  if ('error' in decoded) return { key: 'body', label: labelOf(info, null, decoded.error), kids: () => hexNodes(raw, env) };
  const body = decoded.value;
  const kids = (): TreeNode[] => (large ? windowNodes(env, body, info) : nodesOf(env, body, exchange, side));
  return {
    key: 'body',
    label: labelOf(info, body, large ? `the first ${sized(WINDOW_BYTES)} are shown` : body.truncated),
    kids,
  };
}

/** All of a large body; takes as long as its format takes. */
export function wholeBody(env: Env, exchange: ExchangeDetail, side: Side): readonly TreeNode[] {
  const raw = Buffer.concat([...env.source.store.body(exchange.id, side)]);
  const decoded = attempt(() => bodyOf(raw, fieldsOf(exchange, side), DEFAULT_LIMITS));
  if ('error' in decoded) return [{ key: 'error', label: [span(decoded.error, 'error')] }];
  return nodesOf(env, decoded.value, exchange, side);
}

function labelOf(info: BodyInfo, body: Body | null, note: string | null): Line {
  const coding =
    body === null || body.codings.length === 0 ? '' : `, ${body.codings.join(' and ')} undone: ${sized(body.bytes.length)}`;
  const cut = info.cut === null ? '' : `, only ${sized(info.kept)} were kept (${info.cut})`;
  return [
    span('body ', 'bold'),
    span(body === null ? '' : `${body.format} `, 'changed'),
    span(`${sized(info.size)}${coding}${cut}`, 'dim'),
    span(note === null ? '' : `  ${note}`, 'warning'),
  ];
}

function windowNodes(env: Env, body: Body, info: BodyInfo): TreeNode[] {
  const all: TreeNode = {
    key: 'all',
    ref: DECODE_ALL,
    label: [
      span('enter here decodes all of it', 'key'),
      span(` (${sized(info.kept)}, takes a moment); the Raw tab goes through the bytes`, 'dim'),
    ],
  };
  return [
    all,
    ...(isPrintable(body.bytes.subarray(0, body.bytes.length - 4))
      ? lineNodes(body.bytes, createHiding())
      : hexNodes(body.bytes, env)),
  ];
}

function nodesOf(env: Env, body: Body, exchange: ExchangeDetail, side: Side): TreeNode[] {
  const hiding = env.source.hiding(exchange.run);
  if (isStructured(body.format)) {
    const parsed = attempt(() => parseBody(body, DEFAULT_LIMITS, true));
    if ('value' in parsed) {
      const root = dataNode('', hideInData(parsed.value, hiding));
      return root.kids === undefined ? [root] : [...root.kids()];
    }
    const problem: TreeNode = { key: 'error', label: [span(`not ${body.format}: ${parsed.error}`, 'error')] };
    return [problem, ...(isPrintable(body.bytes) ? lineNodes(body.bytes, hiding) : hexNodes(body.bytes, env))];
  }
  if (body.format === 'form') return formNodes(body, hiding);
  if (!isPrintable(body.bytes)) return hexNodes(body.bytes, env);
  if (body.format !== 'pem') return lineNodes(body.bytes, hiding);
  const explained = pkiNodes(env, { exchange: exchange.id }, side);
  return [...explained, { key: 'text', label: [span('as received', 'dim')], kids: () => lineNodes(body.bytes, hiding) }];
}

function lineNodes(bytes: Uint8Array, hiding: Hiding): TreeNode[] {
  const lines = keyless(hideInText(Buffer.from(bytes).toString('utf8'), hiding))
    .replace(/\r?\n$/, '')
    .split(/\r?\n/);
  const shown = lines.slice(0, MAX_LINES).map((text, i): TreeNode => ({ key: String(i), label: [span(text.slice(0, 20_000))] }));
  if (lines.length <= MAX_LINES) return shown;
  return [
    ...shown,
    { key: 'more', label: [span(`… ${lines.length - MAX_LINES} lines more; the Raw tab goes through all`, 'dim')] },
  ];
}

/** Columns of a row before its hex: it is below the body's node. */
const INDENT = 6;

function hexNodes(bytes: Uint8Array, env: Env): TreeNode[] {
  const perRow = hexBytes(env.size.columns - INDENT);
  const rows = Math.min(MAX_LINES, Math.ceil(bytes.length / perRow));
  const shown = Array.from(
    { length: rows },
    (_, i): TreeNode => ({
      key: String(i),
      label: hexLine(bytes.subarray(i * perRow, (i + 1) * perRow), i * perRow, perRow),
    }),
  );
  const more = bytes.length - rows * perRow;
  if (more <= 0) return shown;
  return [...shown, { key: 'more', label: [span(`… ${sized(more)} more; the Raw tab goes through all`, 'dim')] }];
}

/** Pairs of a form; what is percent-encoded once more (the facts) is decoded, and a tree where it is JSON. */
function formNodes(body: Body, hiding: Hiding): TreeNode[] {
  return Buffer.from(body.bytes)
    .toString('latin1')
    .split('&')
    .map((pair, i): TreeNode => {
      const equals = pair.indexOf('=');
      const [name, text] = equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
      const value = percentDecode(text.replaceAll('+', ' '));
      const inner = percentDecode(value);
      const parsed = inner.startsWith('{')
        ? attempt(() => parseBody({ ...body, format: 'json', bytes: Buffer.from(inner) }, DEFAULT_LIMITS, true))
        : { error: '' };
      const label = percentDecode(name.replaceAll('+', ' '));
      if ('value' in parsed) return { ...dataNode(label, hideInData(parsed.value, hiding)), key: String(i) };
      return {
        key: String(i),
        label: [span(`${label} = `, 'name'), span(isSecretName(label) ? '(hidden)' : keyless(hideInText(value, hiding)))],
      };
    });
}
