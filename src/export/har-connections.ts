import { booleanOf, type Data, field, numberOf, textOf } from '../decode/data.ts';
import type { Certname, Connection, Exchange, Failure, Leg, Route } from '../model.ts';
import { CLOSE_CAUSES, toCertname } from '../model.ts';

/** An entry of a HAR on its way to an exchange. */
export interface Draft {
  entry: Data;
  index: number;
  method: string;
  target: string;
  route: Route;
  /** `https://host:port`, `null` for a URL of another shape. */
  origin: string | null;
  /** What the agent proved, said by us or inferred. */
  certname: Certname | null;
  /** It was written by stringtap. */
  ours: boolean;
  /** Name of its connection, `null` when the HAR does not say. */
  connection: string | null;
  recording: number;
  /** ms since the epoch. */
  startedAt: number;
}

/** No HAR is from later: times that lie centuries apart are no moments of one clock. */
const LAST = Date.UTC(2200);

/** ms since the epoch of an ISO 8601 time; `null` for anything else, and for a time when there was no HAR. */
export function timeOf(data: Data): number | null {
  const text = textOf(data);
  if (text === null || !/^\d{4}-\d\d-\d\d/.test(text)) return null;
  const at = Date.parse(text);
  return at >= 0 && at < LAST ? at : null;
}

/** Thirty years: no clock that is counted in ms from the start of something is further. */
const MAX_MS = 1e12;

/** A time or a moment in ms; `null` for what nobody can have measured. */
export function msOf(data: Data): number | null {
  const ms = numberOf(data);
  return ms !== null && Math.abs(ms) <= MAX_MS ? ms : null;
}

const LEGS: readonly Leg[] = ['agent', 'primary'];
const CLOSERS: readonly (Leg | 'proxy')[] = ['agent', 'primary', 'proxy'];
const VIAS: readonly Connection['via'][] = ['direct', 'connect', 'plain', 'blind'];

const oneOf = <T extends string>(known: readonly T[], data: Data): T | null => known.find(word => word === textOf(data)) ?? null;
const textOr = (data: Data): string | null => textOf(data)?.slice(0, 1000) ?? null;
const count = (data: Data): number => Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.trunc(numberOf(data) ?? 0)));

/** The connections that a HAR of ours tells, by their ids there. What is damaged is left out. */
export function givenConnections(rows: readonly Data[]): Map<string, { recording: number; connection: Omit<Connection, 'id'> }> {
  const given = new Map<string, { recording: number; connection: Omit<Connection, 'id'> }>();
  for (const row of rows) {
    const id = textOf(field(row, 'id'));
    const leg = oneOf(LEGS, field(row, 'leg'));
    const openedAt = timeOf(field(row, 'openedAt'));
    const openedMono = msOf(field(row, 'openedMono'));
    if (id === null || leg === null || openedAt === null || openedMono === null) continue;
    given.set(id, {
      recording: numberOf(field(row, 'recording')) ?? 0,
      connection: givenConnection(row, leg, openedAt, openedMono),
    });
  }
  return given;
}

function givenConnection(row: Data, leg: Leg, openedAt: number, openedMono: number): Omit<Connection, 'id'> {
  const connectMs = msOf(field(row, 'connectMs'));
  const handshakeMs = msOf(field(row, 'handshakeMs'));
  const connectedMono = connectMs === null ? null : openedMono + connectMs;
  const protocol = textOr(field(row, 'tlsVersion'));
  const closedAt = timeOf(field(row, 'closedAt'));
  const by = oneOf(CLOSERS, field(row, 'closedBy'));
  const cause = oneOf(CLOSE_CAUSES, field(row, 'cause'));
  return {
    leg,
    via: oneOf(VIAS, field(row, 'via')) ?? 'direct',
    peer: textOr(field(row, 'peer')) ?? UNKNOWN_PEER,
    target: textOr(field(row, 'target')),
    openedAt,
    openedMono,
    connectedMono,
    secureMono: handshakeMs === null ? null : (connectedMono ?? openedMono) + handshakeMs,
    tls:
      protocol === null
        ? null
        : {
            protocol,
            cipher: textOr(field(row, 'cipher')) ?? '',
            resumed: booleanOf(field(row, 'resumed')) ?? false,
            serverName: textOr(field(row, 'serverName')),
          },
    peerName: textOr(field(row, 'peerName')),
    certname: toCertname(textOf(field(row, 'certname')) ?? ''),
    refusal: textOr(field(row, 'refusal')),
    error: textOr(field(row, 'error')),
    bytesRead: count(field(row, 'bytesRead')),
    bytesWritten: count(field(row, 'bytesWritten')),
    exchanges: count(field(row, 'exchanges')),
    closed:
      closedAt === null || by === null || cause === null
        ? null
        : { at: closedAt, mono: msOf(field(row, 'closedMono')) ?? openedMono, by, cause },
  };
}

/** Where nobody knows who connected. */
const UNKNOWN_PEER = '0.0.0.0:0';

/** A connection of the agent leg, as much as its first exchange in a foreign HAR tells of it. */
export function connectionOf(draft: Draft, exchange: Pick<Exchange, 'startedAt' | 'timing'>): Omit<Connection, 'id'> {
  const timings = field(draft.entry, 'timings');
  const ms = (key: string): number | null => {
    const value = numberOf(field(timings, key));
    return value === null || value < 0 ? null : Math.min(value, 1e9);
  };
  const connect = ms('connect');
  const ssl = ms('ssl');
  const before = connect ?? 0;
  const openedMono = exchange.timing.startMono - before;
  return {
    leg: 'agent',
    via: draft.origin?.startsWith('http:') === true ? 'plain' : 'direct',
    peer: UNKNOWN_PEER,
    target: null,
    openedAt: exchange.startedAt - before,
    openedMono,
    connectedMono: connect === null ? null : openedMono + Math.max(0, connect - (ssl ?? 0)),
    secureMono: ssl === null ? null : openedMono + before,
    tls: null,
    peerName: draft.certname,
    certname: draft.certname,
    refusal: null,
    error: null,
    bytesRead: 0,
    bytesWritten: 0,
    exchanges: 0,
    closed: null,
  };
}

/** A failure, when it is one that this version knows. */
export function failureOf(data: Data): Failure | null {
  const reason = textOf(field(data, 'reason'));
  if (reason === null) return null;
  const text = (key: string): string => textOr(field(data, key)) ?? '';
  const certname = toCertname(text('certname'));
  switch (reason as Failure['reason']) {
    case 'no-certificate':
      return { reason: 'no-certificate' };
    case 'certificate-refused':
      return { reason: 'certificate-refused', detail: text('detail') };
    case 'no-identity':
      return certname === null ? { reason: 'internal', detail: reason } : { reason: 'no-identity', certname };
    case 'primary-rejected-identity':
      return { reason: 'primary-rejected-identity', certname, alert: text('alert') };
    case 'primary-untrusted':
      return { reason: 'primary-untrusted', origin: text('origin'), detail: text('detail') };
    case 'primary-unreachable':
      return { reason: 'primary-unreachable', origin: text('origin'), code: text('code') };
    case 'primary-timeout':
      return { reason: 'primary-timeout', origin: text('origin'), afterMs: count(field(data, 'afterMs')) };
    case 'primary-closed':
      return {
        reason: 'primary-closed',
        origin: text('origin'),
        detail: text('detail'),
        partial: booleanOf(field(data, 'partial')) ?? false,
      };
    case 'primary-protocol':
      return { reason: 'primary-protocol', origin: text('origin'), detail: text('detail') };
    case 'fault':
      return { reason: 'fault', action: text('action'), detail: field(data, 'detail') === null ? null : text('detail') };
    case 'not-forwarded':
      return { reason: 'not-forwarded', detail: text('detail') };
    case 'internal':
      return { reason: 'internal', detail: text('detail') };
    default:
      return { reason: 'internal', detail: `as the HAR says: ${reason.slice(0, 200)}` };
  }
}
