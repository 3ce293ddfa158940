import { type CompileError, compileErrorOf } from './compile-error.ts';
import { field, textOf } from './data.ts';
import { type Body, isStructured, parseBody } from './format.ts';
import { attempt, type Limits } from './limits.ts';

/** An answer of 400 and above: what the primary, or stringtap in its place, had to say. */
export interface Refusal {
  status: number;
  /** `null` when the answer has no body (HEAD). */
  message: string | null;
  /** `RUNTIME_ERROR`, `RESOURCE_NOT_FOUND`, … of Ruby's JSON answers (`network/http/issues.rb`); `STRINGTAP_…` of ours. */
  issueKind: string | null;
  /** The message taken apart, where it names a place, a resource or a node. */
  compile: CompileError | null;
}

const MAX_MESSAGE = 64 * 1024;

/** Reads an error body: JSON of Ruby, plain text of Clojure, HTML of Jetty. Total. */
export function refusalOf(status: number, body: Body | null, limits: Limits): Refusal {
  if (body === null) return { status, message: null, issueKind: null, compile: null };
  const { message, issueKind } = wordsOf(body, limits);
  const compile = compileErrorOf(message);
  const telling = compile.locations.length > 0 || compile.resource !== null || compile.node !== null;
  return { status, message, issueKind, compile: telling ? compile : null };
}

function wordsOf(body: Body, limits: Limits): { message: string; issueKind: string | null } {
  // Puppet 3 labels plain messages text/pson; what does not parse, or has no message, is its own text.
  const parsed =
    isStructured(body.format) || body.bytes[0] === 0x7b ? attempt(() => parseBody(asJson(body), limits)) : { error: '' };
  if ('value' in parsed) {
    const message = textOf(field(parsed.value, 'message')) ?? textOf(field(parsed.value, 'msg'));
    if (message !== null) return { message, issueKind: textOf(field(parsed.value, 'issue_kind')) };
  }
  const text = Buffer.from(body.bytes.subarray(0, MAX_MESSAGE)).toString('utf8').trim();
  return { message: body.format === 'html' ? htmlWords(text) : text, issueKind: null };
}

function asJson(body: Body): Body {
  return isStructured(body.format) ? body : { ...body, format: 'json' };
}

/** Jetty's error pages say it in their title. */
function htmlWords(html: string): string {
  const lower = html.toLowerCase();
  const start = lower.indexOf('<title>');
  const end = lower.indexOf('</title>', start);
  return start < 0 || end < 0 ? html : html.slice(start + '<title>'.length, end).trim();
}
