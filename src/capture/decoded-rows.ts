import { type Checksum, checkContent, checkDigests, needsContent, type Verdict } from '../decode/checksum.ts';
import type { Decoded, DecodeInput } from '../decode/decode.ts';
import type { FileContent } from '../decode/file-content.ts';
import { bodyOf } from '../decode/format.ts';
import { attempt, DEFAULT_LIMITS, type Decoding } from '../decode/limits.ts';
import { type BodyShape, bodyShape, type Other } from '../decode/other.ts';
import type { Refusal } from '../decode/refusal.ts';
import type { Fields, Phase, Side } from '../model.ts';
import { bundleRows, csrRow } from './decoded-authority.ts';
import { catalogRequestRows, catalogRows, fileMetadataCells, nodeRow } from './decoded-catalog.ts';
import { json, keyless, rich } from './decoded-cells.ts';
import { reportRows } from './decoded-report.ts';
import { row } from './decoded-statements.ts';
import type { Lists } from './lists.ts';
import type { DerivedWrite } from './messages.ts';

/** Text of one body that is kept for the full-text search. */
const TEXT_BYTES = 64 << 10;

/** What metadata earlier in the run promised of a file's content. */
export interface Promised {
  by: number;
  checksum: Checksum;
}

/** An exchange that was decoded, as the rows need it. */
export interface Place {
  exchange: number;
  input: DecodeInput;
  /** Ids of the bodies. */
  bodies: Readonly<Record<Side, number | null>>;
  /** Remarks from before the decoding: a body that was cut; or, `passing`, on how it came this time. */
  notes: ReadonlyArray<{ side: Side; error: boolean; text: string; passing?: boolean }>;
  /** Whether the rows that belong to a body are there already. */
  known(body: number): boolean;
  /** What was promised of the content that was asked for. */
  promise(): Promised | null;
  lists: Lists;
}

/** The rows of a decoded exchange, one at a time: of a large catalog they never exist all at once. */
export function* rowsOf(place: Place, decoded: Decoded): Generator<DerivedWrite> {
  const { exchange, bodies } = place;
  const notes = notesOf(place);
  const fresh = freshBodies(place);
  if (decoded.refusal !== null) yield* refusalRows(place, decoded.refusal, fresh);
  yield* phaseRows(place, decoded, notes, fresh);
  const shapes = bodyShapes(place, decoded, notes);
  const remarks = notes.rows();
  const ofBodies = remarks.length - place.notes.filter(note => note.passing).length;
  yield* remarks;
  for (const [side, shape] of shapes) {
    const body = bodies[side];
    if (body === null || !fresh.has(body)) continue;
    fresh.delete(body);
    const { format, mime, bytes } = shape;
    const settled = ofBodies === 0 && SHARED.has(decoded.phase);
    const coded = shape.codings.length > 0 || bytes !== place.input[INPUTS[side]]?.length;
    const codings = shape.codings.length > 0 ? json(shape.codings) : null;
    const sha256 = coded ? Buffer.from(shape.sha256, 'hex') : null;
    yield row('decoded_body', { body, exchange, format, mime, codings, bytes, sha256, settled });
  }
}

const INPUTS = {
  request: 'request',
  response: 'response',
  'primary-request': 'primaryRequest',
  'primary-response': 'primaryResponse',
} as const;

/** Phases in which the same body comes again and again, and says the same each time. */
export const SHARED: ReadonlySet<Phase> = new Set(['ca', 'crl', 'pluginsync', 'file']);

/** Collects what was remarked, each remark of a side once. */
interface Notes {
  /** The value of a part, `null` when there is none; why there is none is noted. */
  value<T>(side: Side, part: Decoding<T> | null): T | null;
  rows(): DerivedWrite[];
}

function notesOf(place: Place): Notes {
  const seen = new Map<string, DerivedWrite>();
  const add = (side: Side, error: boolean, text: string): void => {
    seen.set(`${side} ${text}`, row('decode_note', { exchange: place.exchange, side, error, text: keyless(text) }));
  };
  for (const { side, error, text } of place.notes) add(side, error, text);
  return {
    value(side, part) {
      if (part === null) return null;
      if ('error' in part) {
        add(side, true, part.error);
        return null;
      }
      for (const text of part.notes) add(side, false, text);
      return part.value;
    },
    rows: () => [...seen.values()],
  };
}

function freshBodies(place: Place): Set<number> {
  const ids = Object.values(place.bodies).filter(id => id !== null);
  return new Set(ids.filter(id => !place.known(id)));
}

function bodyShapes(place: Place, decoded: Decoded, notes: Notes): [Side, BodyShape][] {
  const { input } = place;
  const ofPrimary = (bytes: Uint8Array | null | undefined, fields: Fields | undefined): Decoding<BodyShape> | null =>
    bytes === null || bytes === undefined || bytes.length === 0
      ? null
      : attempt(() => bodyShape(bodyOf(bytes, fields ?? [], DEFAULT_LIMITS)));
  const parts: [Side, Decoding<BodyShape> | null][] = [
    ['request', decoded.requestBody],
    ['response', decoded.responseBody],
    ['primary-request', ofPrimary(input.primaryRequest, input.primaryRequestFields)],
    ['primary-response', ofPrimary(input.primaryResponse, input.primaryResponseFields)],
  ];
  return parts.flatMap(([side, part]): [Side, BodyShape][] => {
    const shape = notes.value(side, part);
    return shape === null ? [] : [[side, shape]];
  });
}

function* refusalRows(place: Place, refusal: Refusal, fresh: ReadonlySet<number>): Generator<DerivedWrite> {
  const { compile } = refusal;
  const message = keyless(refusal.message);
  yield row('refusal', {
    exchange: place.exchange,
    status: refusal.status,
    message,
    issue_kind: refusal.issueKind,
    error: keyless(compile?.message ?? null),
    file: compile?.location?.file,
    line: compile?.location?.line,
    column: compile?.location?.column,
    resource: compile?.resource,
    node: compile?.node,
    environment: compile?.environment,
  });
  const body = place.bodies.response;
  if (message !== null && body !== null && fresh.has(body)) yield row('body_text', { body, text: message });
}

function* phaseRows(place: Place, decoded: Decoded, notes: Notes, fresh: ReadonlySet<number>): Generator<DerivedWrite> {
  const { exchange, bodies } = place;
  const isFresh = (body: number | null): body is number => body !== null && fresh.has(body);
  switch (decoded.phase) {
    case 'ca':
    case 'crl':
    case 'certificate': {
      const ours = notes.value('response', decoded.response);
      const theirs = notes.value('primary-response', decoded.primaryResponse);
      if (ours !== null && isFresh(bodies.response)) yield* bundleRows(bodies.response, ours, place.lists);
      const other = bodies['primary-response'];
      if (theirs !== null && other !== bodies.response && isFresh(other)) yield* bundleRows(other, theirs, place.lists);
      return;
    }
    case 'csr': {
      const sides = [
        ['request', decoded.request],
        ['primary-request', decoded.primaryRequest],
        ['response', decoded.response],
      ] as const;
      for (const [side, part] of sides) {
        const csr = notes.value(side, part);
        if (csr !== null) yield csrRow(exchange, side, csr);
      }
      return;
    }
    case 'node':
      yield nodeRow(exchange, decoded.request, notes.value('response', decoded.response));
      return;
    case 'pluginsync':
    case 'file': {
      const answer = notes.value('response', decoded.response);
      if (answer === null) return;
      if (answer.type === 'content') yield* contentRows(place, 'response', answer, fresh);
      else if (isFresh(bodies.response)) {
        const one = place.input.route.indirection === 'file_metadata';
        const { entries } = answer;
        yield* place.lists.rows('file_metadata', bodies.response, entries.length, i =>
          fileMetadataCells(entries[i]!, null, one ? '.' : (entries[i]!.relativePath ?? '.')),
        );
      }
      return;
    }
    case 'catalog': {
      const asked = notes.value('request', decoded.request);
      if (asked !== null) yield* catalogRequestRows(exchange, asked, place.lists);
      const catalog = notes.value('response', decoded.response);
      const body = isFresh(bodies.response) ? bodies.response : null;
      if (catalog !== null) yield* catalogRows(exchange, body, catalog, place.lists);
      return;
    }
    case 'filebucket': {
      const { checksum, path, diffWith } = decoded.key;
      yield row('filebucket', {
        exchange,
        checksum_type: checksum?.type,
        checksum: checksum?.value,
        path,
        diff_with: diffWith,
      });
      for (const side of ['request', 'response'] as const) {
        const file = notes.value(side, decoded[side]);
        if (file !== null && file.bytes > 0) yield contentRow(place, side, file, checksum, null, file.verdict);
      }
      return;
    }
    case 'report': {
      const report = notes.value('request', decoded.request);
      const processors = notes.value('response', decoded.response) ?? [];
      if (report !== null) yield* reportRows(exchange, report, processors, place.lists);
      return;
    }
    case 'other':
      for (const side of ['request', 'response'] as const) {
        const other = notes.value(side, decoded[side]);
        const body = bodies[side];
        const text = other === null ? null : textOfOther(other);
        if (text !== null && isFresh(body)) yield row('body_text', { body, text });
      }
      return;
    default:
      decoded satisfies never;
  }
}

/** The row of a file's content that was decoded before, in a body that is known: what was promised of it may be something else now. */
export function knownContentRows(place: Place, content: FileContent): Generator<DerivedWrite> {
  return contentRows(place, 'response', content, new Set());
}

function* contentRows(place: Place, side: Side, content: FileContent, fresh: ReadonlySet<number>): Generator<DerivedWrite> {
  const { input, bodies } = place;
  const promised = place.promise();
  const whole = content.complete && !place.notes.some(note => note.side === side);
  const verdict = promised === null || !whole ? 'unchecked' : verdictOf(input, content, promised.checksum);
  yield contentRow(place, side, content, promised?.checksum ?? null, promised?.by ?? null, verdict);
  const body = bodies[side];
  if (!content.text || body === null || !fresh.has(body) || input.response === null) return;
  const text = attempt(() => bodyOf(input.response!, input.responseFields, DEFAULT_LIMITS).bytes.subarray(0, TEXT_BYTES));
  if ('value' in text) yield row('body_text', { body, text: keyless(Buffer.from(text.value).toString('utf8')) });
}

function verdictOf({ response, responseFields }: DecodeInput, { digests }: FileContent, promised: Checksum): Verdict {
  if (response === null || !needsContent(digests, promised)) return checkDigests(digests, promised);
  const body = attempt(() => bodyOf(response, responseFields, DEFAULT_LIMITS));
  return 'value' in body ? checkContent(body.value.bytes, promised) : 'unchecked';
}

function contentRow(
  place: Place,
  side: Side,
  content: FileContent,
  promised: Checksum | null,
  by: number | null,
  verdict: Verdict,
): DerivedWrite {
  const cut = place.notes.some(note => note.side === side);
  return row('file_content', {
    exchange: place.exchange,
    side,
    bytes: content.bytes,
    sha256: content.digests.sha256,
    md5: content.digests.md5,
    text: content.text,
    complete: content.complete && !cut,
    promised_by: by,
    promised_type: promised?.type,
    promised: promised?.value,
    verdict: cut ? 'unchecked' : verdict,
  });
}

function textOfOther(other: Other): string | null {
  switch (other.type) {
    case 'data':
      return rich(other.value).slice(0, TEXT_BYTES);
    case 'form':
      return keyless(other.pairs.map(([name, value]) => `${name}=${value}`).join('\n')).slice(0, TEXT_BYTES);
    case 'text':
      return keyless(other.text).slice(0, TEXT_BYTES);
    case 'binary':
      return null;
    default:
      return other satisfies never;
  }
}
