import type { CloseCause, ConnectionId, RunId } from '../model.ts';
import { createGroups } from './columns.ts';
import { type Carried, type ConnectionFacts, type ConnectionUse, idleBeforeClose } from './reuse-rows.ts';

/**
 * Why a connection ended, as far as what was around it tells. A capture notes what was seen on the wire ({@link CloseCause}); `end`, a
 * peer that says goodbye, has many reasons, which only the rest of the run tells apart:
 *
 * - `open`: not closed so far.
 * - `probe`: an agent's handshake and goodbye with no request: it asks whether the primary is there (http/resolver/settings.rb).
 * - `no-handshake`: a peer that connected and left without TLS: a health check, a port scan.
 * - `unused`: any other that carried nothing and was ended by its peer.
 * - `end-of-run`: the agent closed it, and its run asked for nothing more. The agent closes its whole pool then (configurer.rb).
 * - `left-idle`: the agent had gone on over another connection and closed this one afterwards, as with the two of a first run whose SSL
 *   contexts nothing uses again.
 * - `agent-idle-limit`: the agent closed it after a pause and its run went on over a new one: `http_keepalive_timeout` was over.
 * - `agent-at-once`: the agent closed it right after an answer, and its run went on over a new one: it never pools an unverified
 *   connection.
 * - `agent-no-keep-alive`: the same where the agent had shown its certificate: `http_keepalive_timeout` is 0, or the connection met an error.
 * - `primary-idle-limit`, `primary-at-once`: the same of the primary, or of what stands in front of it.
 */
export type Ending =
  | CloseCause
  | 'open'
  | 'probe'
  | 'no-handshake'
  | 'unused'
  | 'end-of-run'
  | 'left-idle'
  | 'agent-idle-limit'
  | 'agent-at-once'
  | 'agent-no-keep-alive'
  | 'primary-idle-limit'
  | 'primary-at-once';

/** A peer that closes sooner after an answer did not wait for an idle limit. Puppet's and Jetty's limits are whole seconds. */
const AT_ONCE_MS = 500;

interface Activity {
  startMono: number;
  connection: ConnectionId;
}

/** Runs whose exchanges are at hand in order: connections of a run follow one another. */
const REMEMBERED = 64;

/** What agents asked for, run by run, in order of time. */
export interface RunActivity {
  /** Whether the run began an exchange on another connection after `from` and before `to`. */
  elsewhere(run: RunId, connection: ConnectionId, from: number, to: number): boolean;
}

export function runActivity(all: readonly Carried[]): RunActivity {
  const places = new Map<RunId, number>();
  /** Moments and connections, by place of the run. */
  const groups = createGroups();
  for (const carried of all) {
    const { facts } = carried;
    if (facts.leg !== 'agent') continue;
    for (const { run, startMono } of carried.uses) {
      if (run === null) continue;
      const place = places.get(run) ?? places.size;
      places.set(run, place);
      groups.add(place, startMono, facts.id);
    }
  }
  const lists = new Map<number, readonly Activity[]>();

  function listOf(run: RunId): readonly Activity[] {
    const place = places.get(run);
    if (place === undefined) return [];
    const known = lists.get(place);
    if (known !== undefined) return known;
    const { firsts, seconds } = groups.of(place);
    const list = Array.from(firsts, (startMono, i) => ({ startMono, connection: seconds[i] as ConnectionId }));
    list.sort((a, b) => a.startMono - b.startMono);
    if (lists.size >= REMEMBERED) lists.clear();
    lists.set(place, list);
    return list;
  }

  return {
    elsewhere(run, connection, from, to) {
      const list = listOf(run);
      let low = 0;
      for (let high = list.length; low < high; ) {
        const middle = (low + high) >> 1;
        if (list[middle]!.startMono < from) low = middle + 1;
        else high = middle;
      }
      for (; low < list.length && list[low]!.startMono < to; low += 1) if (list[low]!.connection !== connection) return true;
      return false;
    },
  };
}

export function endingOf(facts: ConnectionFacts, uses: readonly ConnectionUse[], activity: RunActivity): Ending {
  const { cause, closedMono, closedBy } = facts;
  if (cause === null || closedMono === null) return 'open';
  if (cause !== 'end' || facts.via === 'blind' || facts.via === 'plain') return cause;
  if (facts.handshakeMs === null) return 'no-handshake';
  const last = uses.at(-1);
  if (last === undefined) return facts.leg === 'agent' && closedBy === 'agent' ? 'probe' : 'unused';
  const idle = idleBeforeClose(facts, uses) ?? 0;
  if (facts.leg === 'primary') return idle >= AT_ONCE_MS ? 'primary-idle-limit' : 'primary-at-once';
  if (closedBy !== 'agent' || last.run === null) return 'end';
  if (activity.elsewhere(last.run, facts.id, last.endMono, closedMono)) return 'left-idle';
  if (!activity.elsewhere(last.run, facts.id, closedMono, Number.POSITIVE_INFINITY)) return 'end-of-run';
  if (idle >= AT_ONCE_MS) return 'agent-idle-limit';
  return facts.peerName === null ? 'agent-at-once' : 'agent-no-keep-alive';
}

/** Endings that say that a time without an exchange was too long for somebody. */
export function isIdleEnding(ending: Ending): boolean {
  return ending === 'agent-idle-limit' || ending === 'primary-idle-limit' || ending === 'idle-timeout';
}
