import type { Leg } from '../model.ts';
import type { Closing, LegReuse, Reuse } from './reuse.ts';
import type { Ending } from './reuse-endings.ts';

/** Default of the agent's `http_keepalive_timeout` (Puppet: defaults.rb). */
export const AGENT_KEEPALIVE_MS = 4_000;
/** Default of `idle-timeout-milliseconds` of the primary's web server, Jetty. */
export const JETTY_IDLE_MS = 30_000;

/** From so many connections that were closed right after an answer on it is a habit, and no error. */
export const NO_KEEPALIVE = 3;

/** Something to change, with the figures that say so. */
export interface Advice {
  leg: Leg;
  /** Name of the setting, `null` when there is none to name. */
  setting: string | null;
  /** Where it is set. */
  where: string | null;
  /** What was seen. */
  seen: string;
  /** What to do. */
  change: string;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;

function range(closing: Closing): string {
  const { idleMs } = closing;
  if (idleMs === null) return 'a pause';
  return idleMs.min === idleMs.max
    ? `a pause of ${seconds(idleMs.min)}`
    : `pauses of ${seconds(idleMs.min)} to ${seconds(idleMs.max)}`;
}

function connections(count: number): string {
  return count === 1 ? '1 connection' : `${count} connections`;
}

function find(leg: LegReuse, by: Leg, ending: Ending): Closing | undefined {
  return leg.closings.find(closing => closing.by === by && closing.ending === ending);
}

/** What would save handshakes, most telling first; empty when nothing stands out. */
export function advise(reuse: Reuse): Advice[] {
  return [...adviseAgent(reuse.agent), ...advisePrimary(reuse.primary)];
}

function adviseAgent(agent: LegReuse): Advice[] {
  const found: Advice[] = [];
  const never = find(agent, 'agent', 'agent-no-keep-alive');
  if (never !== undefined && never.connections >= NO_KEEPALIVE) {
    found.push({
      leg: 'agent',
      setting: 'http_keepalive_timeout',
      where: "the agent's puppet.conf, [agent]",
      seen: `the agent closed ${connections(never.connections)} right after an answer and opened others: it keeps none (http_keepalive_timeout = 0)`,
      change: 'http_keepalive_timeout = 4s is the default',
    });
  }
  const idle = find(agent, 'agent', 'agent-idle-limit');
  if (idle !== undefined) {
    const longest = idle.idleMs?.max ?? AGENT_KEEPALIVE_MS;
    // The other end closes after 30 s: an agent that waits as long meets a closed connection.
    const wanted = Math.min(25, Math.ceil(longest / 1000) + 1);
    found.push({
      leg: 'agent',
      setting: 'http_keepalive_timeout',
      where: "the agent's puppet.conf, [agent]",
      seen: `the agent closed ${connections(idle.connections)} after ${range(idle)} (its default limit is 4 s) and opened others`,
      change:
        longest < 24_000
          ? `http_keepalive_timeout = ${wanted}s bridges them`
          : `http_keepalive_timeout = ${wanted}s bridges those below ${wanted} s; what is idle for 30 s is closed at the other end`,
    });
  }
  const asked = find(agent, 'agent', 'connection-close');
  if (asked !== undefined) {
    found.push({
      leg: 'agent',
      setting: null,
      where: null,
      seen: `${connections(asked.connections)} ended because a request carried Connection: close`,
      change: 'a Puppet agent never sends it: look for another client, or a proxy between the agent and stringtap',
    });
  }
  return found;
}

function advisePrimary(primary: LegReuse): Advice[] {
  const found: Advice[] = [];
  const says = find(primary, 'primary', 'connection-close');
  const silent = find(primary, 'primary', 'primary-at-once');
  if (says !== undefined || silent !== undefined) {
    const count = (says?.connections ?? 0) + (silent?.connections ?? 0);
    found.push({
      leg: 'primary',
      setting: 'keep-alive',
      where: 'the load balancer or web server in front of the primary',
      seen: `the primary's side ended ${connections(count)} right after an answer${says === undefined ? ', without saying so' : ' (Connection: close)'}`,
      change: 'turn HTTP keep-alive on there: Puppet Server itself keeps connections open',
    });
  }
  const idle = find(primary, 'primary', 'primary-idle-limit');
  const shortest = primary.shortestClosedMs.primary;
  if (idle !== undefined && shortest !== null && shortest < JETTY_IDLE_MS - 1_000) {
    const below =
      shortest < AGENT_KEEPALIVE_MS
        ? ", less than the agents' own limit of 4 s: an agent that goes straight to it can meet a closed connection"
        : '';
    found.push({
      leg: 'primary',
      setting: 'idle-timeout-milliseconds',
      where: "the primary's conf.d/webserver.conf, or the idle time of the load balancer in front of it",
      seen: `the primary's side closed ${connections(idle.connections)} after ${range(idle)}${below}`,
      change: 'idle-timeout-milliseconds: 30000 is the default; a load balancer must wait longer than that',
    });
  }
  const resets = find(primary, 'primary', 'reset');
  if (primary.resent > 0 || resets !== undefined) {
    const parts = [
      ...(resets === undefined ? [] : [`${connections(resets.connections)} reset by the primary's side`]),
      ...(primary.resent === 0 ? [] : [`${primary.resent} requests sent again because their connection was closed already`]),
    ];
    found.push({
      leg: 'primary',
      setting: null,
      where: 'the load balancer or firewall in front of the primary',
      seen: parts.join(', '),
      change: 'something there forgets idle connections: raise its idle time above 30 s',
    });
  }
  return found;
}
