import { least } from '../analysis/extremes.ts';
import { type Data, entriesOf, field, isMapping, itemsOf, numberOf, textOf } from '../decode/data.ts';
import { parseJson } from '../decode/json.ts';
import { type Limits, Malformed } from '../decode/limits.ts';
import { routeOf } from '../decode/route.ts';
import type { Certname, Connection, Exchange, Fields, PoolPolicy, Side } from '../model.ts';
import { toCertname } from '../model.ts';
import { connectionOf, type Draft, failureOf, givenConnections, msOf, timeOf } from './har-connections.ts';

/*
 * Reads a HAR of anybody into connections and exchanges. Everything in it is untrusted: values are taken through readers that give
 * `null` for what is not of their type, and what is missing is left unknown or, where a run could not be told without it, inferred.
 */

/** A HAR larger than this is refused: it is held in memory whole, which takes some seven times its size. */
export const HAR_BYTES = 128 << 20;

const LIMITS: Limits = { bodyBytes: HAR_BYTES, depth: 100, items: 8_000_000, aliases: 0 };

/** An exchange as the HAR has it; ids are those of the HAR, until the recorder gives new ones. */
export interface ReadExchange {
  exchange: Omit<Exchange, 'id' | 'agent' | 'primary'>;
  agent: { connection: string; ordinal: number };
  primary: { connection: string; ordinal: number } | null;
  /** Content codings undone, as a HAR has them. */
  bodies(): ReadonlyArray<readonly [Side, Uint8Array]>;
}

/** What was seen by one start of a proxy: monotonic moments are comparable only within. */
export interface ReadRecording {
  startedAt: number;
  startedMono: number;
  pool: PoolPolicy;
  primaries: readonly string[];
  listen: string;
  connections: ReadonlyMap<string, Omit<Connection, 'id'>>;
  /** In the order in which the requests began. */
  exchanges: readonly ReadExchange[];
}

export interface ReadHar {
  /** Name and version of the program that wrote it. */
  creator: string;
  recordings: readonly ReadRecording[];
  /** What was inferred or left out, in words. */
  notes: readonly string[];
}

/** @throws Malformed */
export function readHar(bytes: Uint8Array): ReadHar {
  const log = field(parseJson(bytes, LIMITS), 'log');
  if (!isMapping(log)) throw new Malformed('no HAR: it has no log');
  const notes: string[] = [];
  const ours = field(log, '_stringtap');
  const given = givenConnections(itemsOf(field(ours, 'connections')));
  const drafts = itemsOf(field(log, 'entries')).flatMap((entry, index) => draftOf(entry, index, notes));
  if (drafts.length === 0) throw new Malformed('the HAR has no entries that could be read');
  guessCertnames(drafts, notes);
  const recordings = itemsOf(field(ours, 'recordings'));
  const told = new Map(recordings.map(row => [numberOf(field(row, 'id')), row] as const).toReversed());
  const draftsOf = Map.groupBy(drafts, draft => draft.recording);
  // A connection that carried nothing belongs to its own recording too.
  const givenOf = Map.groupBy(given, ([, { recording }]) => recording);
  const numbers = new Set([...[...draftsOf.keys()].sort((a, b) => a - b), ...givenOf.keys()]);
  return {
    creator: creatorOf(log),
    recordings: [...numbers].map(number =>
      recordingOf(told.get(number) ?? null, draftsOf.get(number) ?? [], givenOf.get(number) ?? []),
    ),
    notes: summed(notes),
  };
}

function creatorOf(log: Data): string {
  const creator = field(log, 'creator');
  const words = [textOf(field(creator, 'name')), textOf(field(creator, 'version'))].filter(word => word !== null);
  return words.join(' ').slice(0, 200) || 'unknown';
}

/** Each note once, with how often. */
function summed(notes: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const note of notes) counts.set(note, (counts.get(note) ?? 0) + 1);
  return [...counts].map(([note, count]) => `${note} (${count})`);
}

/** One entry; nothing for what is no exchange with a primary. */
function draftOf(entry: Data, index: number, notes: string[]): Draft[] {
  const request = field(entry, 'request');
  const method = textOf(field(request, 'method')) ?? '';
  const url = textOf(field(request, 'url')) ?? '';
  if (!/^[A-Z-]{1,30}$/i.test(method) || url === '') {
    notes.push('an entry without a method or URL was left out');
    return [];
  }
  if (method === 'CONNECT') {
    notes.push('a CONNECT was left out: what was in the tunnel has entries of its own');
    return [];
  }
  const origin = /^(https?):\/\/([^/?#]*)/i.exec(url);
  const startedAt = timeOf(field(entry, '_startedAt')) ?? timeOf(field(entry, 'startedDateTime'));
  if (startedAt === null) {
    notes.push('an entry without a time was left out');
    return [];
  }
  const target = textOf(field(entry, '_target')) ?? (origin === null ? url : url.slice(origin[0].length) || '/');
  return [
    {
      entry,
      index,
      method,
      target: target.slice(0, 65_536),
      route: routeOf(method, target),
      origin: origin === null ? null : `${origin[1]!.toLowerCase()}://${origin[2]}`,
      certname: certnameOf(field(entry, '_certname')),
      ours: textOf(field(field(entry, '_agent'), 'connection')) !== null,
      connection:
        textOf(field(field(entry, '_agent'), 'connection')) ?? textOf(field(entry, 'connection'))?.slice(0, 200) ?? null,
      recording: numberOf(field(entry, '_recording')) ?? 0,
      startedAt,
    },
  ];
}

function certnameOf(data: Data): Certname | null {
  const text = textOf(data);
  return text === null ? null : toCertname(text);
}

/** Phases in whose requests the key is the certname of who asks, with its certificate. */
const NAMING: ReadonlySet<string> = new Set(['node', 'catalog', 'report']);
/** An agent asks for these before it has a certificate. */
const BEFORE: ReadonlySet<string> = new Set(['ca', 'crl', 'csr', 'certificate']);

/**
 * A HAR of another program does not say whose certificate a connection had. Requests for a node, a catalog or a report name it; others
 * take it from their connection, or from the next such request, else the one before.
 */
function guessCertnames(drafts: readonly Draft[], notes: string[]): void {
  const foreign = drafts.filter(draft => !draft.ours).sort((a, b) => a.startedAt - b.startedAt || a.index - b.index);
  const byConnection = new Map<string, Certname>();
  for (const draft of foreign) {
    if (draft.certname === null && NAMING.has(draft.route.phase)) draft.certname = toCertname(draft.route.key ?? '');
    if (draft.certname !== null && draft.connection !== null && !byConnection.has(draft.connection)) {
      byConnection.set(draft.connection, draft.certname);
    }
  }
  for (const draft of foreign) {
    if (draft.certname !== null || BEFORE.has(draft.route.phase)) continue;
    draft.certname = draft.connection === null ? null : (byConnection.get(draft.connection) ?? null);
  }
  let next: Certname | null = null;
  for (const draft of [...foreign].reverse()) next = inferred(draft, next, notes);
  let last: Certname | null = null;
  for (const draft of foreign) last = inferred(draft, last, notes);
}

/** @returns the certname that goes on to the next one */
function inferred(draft: Draft, neighbour: Certname | null, notes: string[]): Certname | null {
  if (draft.certname !== null || BEFORE.has(draft.route.phase)) return draft.certname ?? neighbour;
  if (neighbour === null) return null;
  draft.certname = neighbour;
  notes.push('the certname of a request was taken from its neighbours');
  return neighbour;
}

function recordingOf(
  known: Data,
  unordered: readonly Draft[],
  given: ReadonlyArray<readonly [id: string, { connection: Omit<Connection, 'id'> }]>,
): ReadRecording {
  const drafts = unordered.toSorted((a, b) => a.startedAt - b.startedAt || a.index - b.index);
  const opened = given.map(([, { connection }]) => connection.openedAt);
  const firstAt = Math.min(drafts[0]?.startedAt ?? Number.POSITIVE_INFINITY, least(opened));
  const base = Number.isFinite(firstAt) ? firstAt : 0;
  const connections = new Map(given.map(([id, { connection }]) => [id, connection]));
  const ordinals = new Map<string, number>();
  const exchanges = drafts.map(draft => {
    const name =
      draft.ours && draft.connection !== null
        ? draft.connection
        : `their ${draft.connection ?? `of ${draft.certname ?? draft.origin}`}`;
    const ordinal = (ordinals.get(name) ?? 0) + 1;
    ordinals.set(name, ordinal);
    const exchange = exchangeOf(draft, base);
    if (!connections.has(name)) connections.set(name, connectionOf(draft, exchange));
    const connection = connections.get(name)!;
    connection.exchanges = Math.max(connection.exchanges, ordinal);
    const use = wholeOf(field(field(draft.entry, '_agent'), 'ordinal')) ?? ordinal;
    return {
      exchange,
      agent: { connection: name, ordinal: use },
      primary: primaryOf(draft.entry, connections),
      bodies: () => bodiesOf(draft.entry),
    };
  });
  const primaries = itemsOf(field(known, 'primaries')).flatMap(item => textOf(item) ?? []);
  const origins = [...new Set(drafts.flatMap(draft => draft.origin?.replace(/^.*:\/\//, '') ?? []))];
  return {
    startedAt: timeOf(field(known, 'startedAt')) ?? base,
    startedMono: 0,
    pool: textOf(field(known, 'pool')) === 'mirror' ? 'mirror' : 'pooled',
    primaries: (primaries.length > 0 ? primaries : origins).slice(0, 100),
    listen: textOf(field(known, 'listen')) ?? '',
    connections,
    exchanges,
  };
}

function primaryOf(entry: Data, connections: ReadonlyMap<string, unknown>): ReadExchange['primary'] {
  const primary = field(entry, '_primary');
  const connection = textOf(field(primary, 'connection'));
  const ordinal = wholeOf(field(primary, 'ordinal'));
  return connection === null || ordinal === null || !connections.has(connection) ? null : { connection, ordinal };
}

const wholeOf = (data: Data): number | null => {
  const number = numberOf(data);
  return number !== null && Number.isSafeInteger(number) && number >= 0 ? number : null;
};

/** @param base wall time at which the monotonic clock of a foreign HAR is taken to be 0 */
function exchangeOf(draft: Draft, base: number): ReadExchange['exchange'] {
  const { entry, method, target, route, certname } = draft;
  const request = field(entry, 'request');
  const answer = field(entry, 'response');
  const status = wholeOf(field(answer, 'status')) ?? 0;
  const answered = status >= 100 && status <= 999;
  const { startedAt, timing } = momentsOf(draft, base);
  const decoded = field(field(answer, 'content'), '_coded') !== true;
  const outcome = textOf(field(entry, '_outcome')) ?? (answered ? 'answered' : 'abandoned');
  const failure = failureOf(field(entry, '_failure'));
  const size = (own: string, head: Data): number => wholeOf(field(entry, own)) ?? wholeOf(field(head, 'bodySize')) ?? 0;
  return {
    certname,
    route,
    resent: wholeOf(field(field(entry, '_primary'), 'resent')) ?? 0,
    answeredBy: textOf(field(entry, '_answeredBy')) === 'proxy' ? 'proxy' : 'primary',
    fault: textOf(field(entry, '_fault'))?.slice(0, 4000) ?? null,
    request: {
      method,
      target,
      httpVersion: versionOf(field(request, 'httpVersion')),
      fields: fieldsOf(field(request, 'headers'), true),
    },
    response: answered
      ? {
          status,
          reason: (textOf(field(answer, 'statusText')) ?? '').slice(0, 1000),
          fields: fieldsOf(field(answer, 'headers'), decoded),
        }
      : null,
    primaryStatus: wholeOf(field(field(entry, '_primary'), 'status')),
    trailers: itemsOf(field(entry, '_trailers')).flatMap(pair => pairOf(itemsOf(pair)[0] ?? null, itemsOf(pair)[1] ?? null)),
    startedAt,
    timing,
    requestBytes: size('_requestBytes', request),
    responseBytes: size('_responseBytes', answer) || (wholeOf(field(field(answer, 'content'), 'size')) ?? 0),
    outcome:
      outcome === 'failed' && failure !== null
        ? { type: 'failed', failure }
        : { type: outcome === 'answered' ? 'answered' : 'abandoned' },
  };
}

function versionOf(data: Data): string {
  return /(\d(?:\.\d)?)$/.exec(textOf(data) ?? '')?.[1] ?? '1.1';
}

function pairOf(name: Data, value: Data): [string, string][] {
  const text = textOf(name);
  return text === null || text === '' || text.startsWith(':')
    ? []
    : [[text.slice(0, 1000), (textOf(value) ?? '').slice(0, 65_536)]];
}

/** @param decoded the body has its content codings undone, so the field that names them would be wrong */
function fieldsOf(headers: Data, decoded: boolean): Fields {
  return itemsOf(headers)
    .slice(0, 1000)
    .flatMap(header => pairOf(field(header, 'name'), field(header, 'value')))
    .filter(([name]) => !decoded || name.toLowerCase() !== 'content-encoding');
}

function momentsOf(draft: Draft, base: number): Pick<Exchange, 'startedAt' | 'timing'> {
  const own = field(draft.entry, '_timing');
  const start = msOf(field(own, 'startMono'));
  const end = msOf(field(own, 'endMono'));
  const at = (key: string): number | null => msOf(field(own, key));
  if (start !== null && end !== null && end >= start) {
    return {
      startedAt: draft.startedAt,
      timing: {
        startMono: start,
        requestEndMono: at('requestEndMono'),
        primaryReadyMono: at('primaryReadyMono'),
        responseHeadMono: at('responseHeadMono'),
        firstByteMono: at('firstByteMono'),
        endMono: end,
      },
    };
  }
  const timings = field(draft.entry, 'timings');
  const bounded = (data: Data): number => Math.min(1e9, Math.max(0, numberOf(data) ?? 0));
  const ms = (key: string): number => bounded(field(timings, key));
  const startMono = draft.startedAt - base + ms('blocked') + ms('dns') + ms('connect');
  const requestEndMono = startMono + ms('send');
  const responseHeadMono = requestEndMono + ms('wait');
  const timed = [...entriesOf(timings)].length > 0;
  const endMono = timed ? responseHeadMono + ms('receive') : startMono + bounded(field(draft.entry, 'time'));
  return {
    startedAt: base + startMono,
    timing: {
      startMono,
      requestEndMono: timed ? requestEndMono : null,
      primaryReadyMono: null,
      responseHeadMono: timed ? responseHeadMono : null,
      firstByteMono: timed ? responseHeadMono : null,
      endMono,
    },
  };
}

function bodiesOf(entry: Data): [Side, Uint8Array][] {
  const request = field(entry, 'request');
  const response = field(entry, 'response');
  const sides: [Side, Uint8Array | null][] = [
    ['request', bytesOf(field(request, 'postData')) ?? paramsOf(field(field(request, 'postData'), 'params'))],
    ['response', bytesOf(field(response, 'content'))],
    ['primary-request', bytesOf(field(request, '_primary'))],
    ['primary-response', bytesOf(field(response, '_primary'))],
  ];
  return sides.flatMap(([side, bytes]): [Side, Uint8Array][] => (bytes === null || bytes.length === 0 ? [] : [[side, bytes]]));
}

function bytesOf(content: Data): Uint8Array | null {
  const text = textOf(field(content, 'text'));
  if (text === null) return null;
  const encoding = textOf(field(content, 'encoding')) ?? textOf(field(content, '_encoding'));
  return Buffer.from(text, encoding?.toLowerCase() === 'base64' ? 'base64' : 'utf8');
}

/** Some programs give a form only as its pairs. */
function paramsOf(params: Data): Uint8Array | null {
  const pairs = itemsOf(params).map(pair =>
    [field(pair, 'name'), field(pair, 'value')].map(part => encodeURIComponent(textOf(part)?.toWellFormed() ?? '')).join('='),
  );
  return pairs.length === 0 ? null : Buffer.from(pairs.join('&'));
}
