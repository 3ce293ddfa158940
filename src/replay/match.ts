import { path, percentDecode, query, routeOf } from '../decode/route.ts';
import { createHiding, HIDDEN, hideInTarget, isSecretName } from '../decode/secrets.ts';
import type { Certname, ExchangeId, RunId } from '../model.ts';

/*
 * Which recorded answer belongs to a request. Two requests ask for the same when all of the fields below are equal; what Puppet makes
 * anew in each run is none of them:
 *
 *  - transaction_uuid and job_uuid are of one run; configured_environment repeats what the agent's puppet.conf says, and the answer
 *    does not depend on it (`indirector/catalog/compiler.rb`);
 *  - facts: the primary's answer is the recorded one, whatever the agent is by now;
 *  - the order of query fields, and of several values of one (`ignore`);
 *  - how a path is escaped;
 *  - the agent's own certname where it is the key, so that a run can be served to another name.
 */

/** Fields of a query that say nothing about what is asked for. */
const PASSING: ReadonlySet<string> = new Set(['transaction_uuid', 'job_uuid', 'configured_environment', 'facts', 'facts_format']);

/** What a request asks for: names of fields and their values, in the order in which a person reads them. */
export type Question = ReadonlyMap<string, string>;

/** A request, recorded or just received. */
export interface Asking {
  method: string;
  /** As received. */
  target: string;
  /** That the agent proved; `null` without a certificate. */
  certname: Certname | null;
  /** It has If-Modified-Since or If-None-Match: only such a request may get a 304. */
  conditional: boolean;
  /** Media type of the request's body, lower-case; matters for a report, which a primary may refuse for it. */
  mime: string | null;
}

/** @param as the certname that stands for the asking one: the recorded run's, when it is served to another name */
export function questionOf(asking: Asking, as: Certname | null = asking.certname): Question {
  const { method, target, certname } = asking;
  const { phase, indirection, key } = routeOf(method, target);
  const fields = new Map<string, string>([['certname', as ?? '']]);
  fields.set('method', method);
  if (indirection === null) fields.set('path', percentDecode(path(target)));
  else {
    fields.set('indirection', `${path(target).split('/', 3).slice(1).join('/')}/${indirection}`);
    const own = phase === 'node' || phase === 'catalog' || phase === 'report' || indirection === 'facts';
    fields.set('key', own && key !== null && key === certname ? '(its certname)' : (key ?? ''));
  }
  const values = new Map<string, string[]>();
  for (const [name, value] of query(target)) {
    if (!PASSING.has(name)) values.set(name, [...(values.get(name) ?? []), value]);
  }
  for (const name of [...values.keys()].sort()) fields.set(`query ${name}`, values.get(name)!.sort().join(', '));
  if (phase === 'report') fields.set('content type', asking.mime ?? '');
  return fields;
}

/** What is equal for two requests that ask for the same. */
export function signatureOf(question: Question): string {
  return JSON.stringify([...question]);
}

/** A recorded exchange that can be an answer. */
export interface Entry {
  exchange: ExchangeId;
  run: RunId;
  method: string;
  target: string;
  question: Question;
  /** Its answer is 304. */
  unmodified: boolean;
}

/** One field in which a recorded request differs from the one that was asked; `null`: it has no such field. */
export interface Difference {
  field: string;
  asked: string | null;
  recorded: string | null;
}

/** A recorded request that comes close. It is told to whoever asked: its secrets are hidden. */
export interface NearMiss {
  exchange: ExchangeId;
  run: RunId;
  method: string;
  target: string;
  differs: readonly Difference[];
}

/** The recorded answers, and how far each agent has come in them. */
export interface Book {
  readonly entries: readonly Entry[];
  /**
   * The answer to a question: of several recorded ones the next, in recorded order, then the last again and again.
   * @param reader who asks: each has a place of its own in the book
   */
  take(reader: string, question: Question, conditional: boolean): Entry | null;
  /** The recorded requests that come closest, best first, each question once. */
  near(question: Question, count?: number): NearMiss[];
}

/** Places of so many agents are remembered; who asks again after more than that starts anew. */
const MAX_READERS = 10_000;

/** @param entries in recorded order */
export function openBook(entries: readonly Entry[]): Book {
  const bySignature = new Map<string, Entry[]>();
  for (const entry of entries) {
    const signature = signatureOf(entry.question);
    const list = bySignature.get(signature);
    if (list === undefined) bySignature.set(signature, [entry]);
    else list.push(entry);
  }
  const readers = new Map<string, Map<string, number>>();

  function placesOf(reader: string): Map<string, number> {
    const places = readers.get(reader) ?? new Map<string, number>();
    readers.delete(reader);
    readers.set(reader, places); // newest last
    for (const oldest of readers.keys()) {
      if (readers.size <= MAX_READERS) break;
      readers.delete(oldest);
    }
    return places;
  }

  return {
    entries,
    take(reader, question, conditional) {
      const signature = signatureOf(question);
      const recorded = bySignature.get(signature)?.filter(({ unmodified }) => conditional || !unmodified) ?? [];
      if (recorded.length === 0) return null;
      const places = placesOf(reader);
      const place = places.get(signature) ?? 0;
      places.set(signature, place + 1);
      return recorded[Math.min(place, recorded.length - 1)]!;
    },
    near(question, count = 3) {
      const ranked = [...bySignature.values()].map(([entry]) => {
        const differs = differences(question, entry!.question);
        return { entry: entry!, differs, cost: differs.reduce((sum, one) => sum + costOf(one), 0) };
      });
      ranked.sort((a, b) => a.cost - b.cost || a.entry.exchange - b.entry.exchange);
      const hiding = createHiding();
      return ranked.slice(0, count).map(({ entry: { exchange, run, method, target }, differs }) => {
        return { exchange, run, method, target: hideInTarget(target, hiding), differs: differs.map(withoutSecret) };
      });
    },
  };
}

/** Field by field, those that are not equal. */
export function differences(asked: Question, recorded: Question): Difference[] {
  return [...new Set([...asked.keys(), ...recorded.keys()])]
    .map(field => ({ field, asked: asked.get(field) ?? null, recorded: recorded.get(field) ?? null }))
    .filter(one => one.asked !== one.recorded);
}

function withoutSecret(difference: Difference): Difference {
  const { field, asked, recorded } = difference;
  return isSecretName(field) ? { field, asked: asked && HIDDEN, recorded: recorded && HIDDEN } : difference;
}

/** How far apart a field puts two requests: another indirection is another thing, another environment the same thing elsewhere. */
function costOf({ field, asked, recorded }: Difference): number {
  switch (field) {
    case 'path':
    case 'indirection':
      return 8;
    case 'method':
      return 6;
    case 'key':
      return 2 + 4 * (1 - likeness(asked ?? '', recorded ?? ''));
    case 'certname':
      return 3;
    default:
      return 1;
  }
}

/** Share of two texts that they begin and end with alike, 0 to 1. */
function likeness(a: string, b: string): number {
  const longer = Math.max(a.length, b.length);
  const shorter = Math.min(a.length, b.length);
  if (longer === 0) return 1;
  let head = 0;
  while (head < shorter && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  return (head + tail) / longer;
}
