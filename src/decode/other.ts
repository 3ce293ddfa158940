import { createHash } from 'node:crypto';
import { parseForm } from './form.ts';
import { type Body, type Format, isPrintable, isStructured, parseBody } from './format.ts';
import { budgetOf, type Limits } from './limits.ts';
import { type Rich, richOf } from './rich-data.ts';

/** Of any body: what it is and how much. */
export interface BodyShape {
  format: Format;
  mime: string | null;
  codings: readonly string[];
  /** Without content codings. */
  bytes: number;
  sha256: string;
  /** Why these are not all of its bytes, `null` when they are. */
  truncated: string | null;
}

export function bodyShape(body: Body): BodyShape {
  const sha256 = createHash('sha256').update(body.bytes).digest('hex');
  return {
    format: body.format,
    mime: body.mime,
    codings: body.codings,
    bytes: body.bytes.length,
    sha256,
    truncated: body.truncated,
  };
}

/** A body that no phase knows: its content as far as its format tells. */
export type Other =
  | { type: 'data'; value: Rich }
  | { type: 'form'; pairs: ReadonlyArray<readonly [name: string, value: string]> }
  | { type: 'text'; text: string }
  | { type: 'binary' };

/** Text is kept up to this length: it is a page to look at, and the body has the rest. */
const MAX_TEXT = 1024 * 1024;

/** @throws Malformed for a structured body that does not parse */
export function otherOf(body: Body, limits: Limits): Other {
  if (isStructured(body.format)) {
    const rich = body.format === 'rich-json' || body.format === 'rich-msgpack';
    return { type: 'data', value: richOf(parseBody(body, limits, true), budgetOf(limits), rich) };
  }
  if (body.format === 'form') return { type: 'form', pairs: parseForm(body.bytes) };
  if (!isPrintable(body.bytes)) return { type: 'binary' };
  return { type: 'text', text: Buffer.from(body.bytes.subarray(0, MAX_TEXT)).toString('utf8') };
}
