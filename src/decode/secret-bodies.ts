import { dataJson } from './data-json.ts';
import { childrenOf, type Der, oidOf, readDer, TAG } from './der.ts';
import { percentBytes } from './form.ts';
import { type Body, formatOf, isPrintable, isStructured, mimeOf, parseBody } from './format.ts';
import { attempt, type Limits, Malformed } from './limits.ts';
import { percentDecode } from './route.ts';
import { type Hiding, hideInData, hideInText, isSecretName, type SecretKind } from './secrets.ts';

/** A body without its secrets. */
export type HiddenBody =
  /** There is nothing to hide: byte for byte as it was. */
  | { type: 'same' }
  /** What had a structure is written anew, as JSON where it was in another format. */
  | { type: 'changed'; bytes: Uint8Array; mime: string | null }
  /** It cannot be told where its secrets are, so it is not to be shown at all. */
  | { type: 'unreadable'; reason: string };

/** Hides the secrets of a body whose content codings are undone. Total: what cannot be read is `unreadable`. */
export function hideInBody(body: Body, hiding: Hiding, limits: Limits): HiddenBody {
  const changed = attempt(() => changedBody(body, counted(hiding), limits));
  if ('error' in changed) return { type: 'unreadable', reason: changed.error };
  return changed.value === null ? { type: 'same' } : { type: 'changed', ...changed.value };
}

/** The same, with a count of its own. */
function counted(hiding: Hiding): Hiding & { count: number } {
  const counting = {
    count: 0,
    known: hiding.known,
    typed: hiding.typed ?? false,
    replace(secret: string, kind: SecretKind): string {
      counting.count += 1;
      return hiding.replace(secret, kind);
    },
  };
  return counting;
}

/** `null` when there was nothing to hide: then it is not written anew. */
function changedBody(
  body: Body,
  hiding: ReturnType<typeof counted>,
  limits: Limits,
): { bytes: Uint8Array; mime: string | null } | null {
  if (isStructured(body.format)) {
    const data = hideInData(parseBody(body, limits, true), hiding);
    if (hiding.count === 0) return null;
    return { bytes: Buffer.from(dataJson(data)), mime: /json|pson/.test(body.format) ? body.mime : 'application/json' };
  }
  if (body.truncated !== null) throw new Malformed(body.truncated);
  const bytes = changedText(body, hiding, limits);
  return hiding.count === 0 ? null : { bytes, mime: body.mime };
}

function changedText(body: Body, hiding: Hiding, limits: Limits): Uint8Array {
  if (body.format === 'form') return Buffer.from(form(body, hiding, limits), 'latin1');
  if (!isPrintable(body.bytes)) return body.bytes;
  const text = Buffer.from(body.bytes.buffer, body.bytes.byteOffset, body.bytes.byteLength).toString('utf8');
  return Buffer.from(hideInText(hideInPem(text, hiding), hiding));
}

/** The form of a catalog request: facts are encoded once more than the rest. Pairs without a secret keep their bytes. */
function form(body: Body, hiding: Hiding, limits: Limits): string {
  const pairs = Buffer.from(body.bytes).toString('latin1').split('&');
  const format = pairs.find(pair => pair.startsWith('facts_format='))?.slice('facts_format='.length) ?? null;
  return pairs
    .map(pair => {
      const equals = pair.indexOf('=');
      if (equals < 0) return hideInText(pair, hiding);
      const name = percentDecode(pair.slice(0, equals).replaceAll('+', ' '));
      const value = percentDecode(pair.slice(equals + 1).replaceAll('+', ' '));
      const shown = name === 'facts' ? facts(value, format, hiding, limits) : hidden(name, value, hiding);
      return shown === value ? pair : `${pair.slice(0, equals)}=${encodeURIComponent(shown)}`;
    })
    .join('&');
}

function hidden(name: string, value: string, hiding: Hiding): string {
  return isSecretName(name) && value !== '' ? hiding.replace(value, 'named') : hideInText(value, hiding);
}

function facts(encoded: string, format: string | null, hiding: Hiding, limits: Limits): string {
  const bytes = percentBytes(encoded);
  const mime = mimeOf(format === null ? null : percentDecode(format));
  const body: Body = { format: formatOf(mime, bytes), mime, codings: [], bytes, truncated: null };
  const counting = counted(hiding);
  const data = hideInData(parseBody(body, limits, true), counting);
  return counting.count === 0 ? encoded : encodeURIComponent(dataJson(data));
}

/** OIDs whose values are secrets: challengePassword, and Puppet's pp_preshared_key, by which autosigning decides. */
const SECRET_OIDS: ReadonlySet<string> = new Set(['1.2.840.113549.1.9.7', '1.3.6.1.4.1.34380.1.1.4']);
const PEM = /-----BEGIN ((?:NEW )?CERTIFICATE(?: REQUEST)?)-----([A-Za-z0-9+/=\s]{1,200000})-----END \1-----/g;

/**
 * Certificates and CSRs with stars in the place of secret attributes: lengths stay, so what reads them still does; their signatures do
 * not hold any more.
 */
function hideInPem(text: string, hiding: Hiding): string {
  if (!text.includes('-----BEGIN ')) return text;
  return text.replace(PEM, (block: string, label: string, base64: string) => {
    const der = new Uint8Array(Buffer.from(base64.replace(/\s/g, ''), 'base64'));
    const masked = attempt(() => maskDer(der, hiding));
    if ('error' in masked || !masked.value) return block;
    const lines =
      Buffer.from(der)
        .toString('base64')
        .match(/.{1,64}/g) ?? [];
    return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----`;
  });
}

/** Overwrites in place; whether anything was. */
function maskDer(bytes: Uint8Array, hiding: Hiding): boolean {
  let masked = false;
  const visit = (der: Der, depth: number): void => {
    if ((der.tag & 0x20) === 0 || depth > 20) return;
    const children = childrenOf(der);
    const [first, ...rest] = children;
    if (first?.tag === TAG.oid && SECRET_OIDS.has(oidOf(first, 'attribute'))) {
      for (const value of rest) if (value.tag !== TAG.boolean) fill(value);
      hiding.replace('', 'named');
      masked = true;
    } else for (const child of children) visit(child, depth + 1);
  };
  visit(readDer(bytes), 0);
  return masked;
}

/** The text of a string, of a set of them, or of the string in an extension's octets. */
function fill(der: Der): void {
  if ((der.tag & 0x20) !== 0) for (const child of childrenOf(der)) fill(child);
  else {
    const inner = der.tag === TAG.octetString ? attempt(() => readDer(der.content)) : { error: '' };
    if ('value' in inner && inner.value.raw.length === der.content.length) fill(inner.value);
    else der.content.fill(0x2a);
  }
}
