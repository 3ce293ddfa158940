import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Certname, Tape } from '../model.ts';
import type { Presented, Primary } from '../proxy/dial.ts';
import { type AgentResult, replayAgent, type SentRequest } from './agents-run.ts';
import type { Script } from './agents-script.ts';
import type { Pace } from './pace.ts';

/** One agent that is to be replayed. */
export interface Part {
  script: Script;
  certname: Certname;
  identity: Presented;
}

/** When the agents begin. */
export type Arrival =
  /** One after the other, as many as there are. */
  | { type: 'queue' }
  /** All at once, as after an outage. */
  | { type: 'herd' }
  /** At equal distances, the last one at the end of the time. */
  | { type: 'ramp'; ms: number }
  /** Anywhere in the time, by certname: the same in each replay, as Puppet's own `splay` is the same in each run of an agent. */
  | { type: 'splay'; ms: number };

export interface ReplayOptions {
  parts: readonly Part[];
  primary: Primary;
  pace: Pace;
  arrival: Arrival;
  /** Where the replay is recorded. */
  tape: Tape;
  signal: AbortSignal;
  onSent?(sent: SentRequest, certname: Certname): void;
  onAgent?(event: { type: 'begin' | 'end'; certname: Certname }): void;
}

/** When the n-th of so many agents begins, ms after the first; `null` when the one before it has ended. */
function arrivalMs(arrival: Arrival, n: number, count: number, certname: string): number | null {
  switch (arrival.type) {
    case 'queue':
      return null;
    case 'herd':
      return 0;
    case 'ramp':
      return count < 2 ? 0 : (arrival.ms * n) / (count - 1);
    case 'splay':
      return (createHash('sha256').update(certname).digest().readUInt32BE() / 2 ** 32) * arrival.ms;
    default:
      return arrival satisfies never;
  }
}

/** Replays all parts to their end, or until the signal says so: then with what there is. Never rejects. */
export async function replayAgents(options: ReplayOptions): Promise<AgentResult[]> {
  const { parts, arrival, signal } = options;
  setMaxListeners(0, signal);
  const results: AgentResult[] = [];

  async function one({ script, certname, identity }: Part): Promise<void> {
    if (signal.aborted) return;
    options.onAgent?.({ type: 'begin', certname });
    const { primary, pace, tape } = options;
    const onSent = (sent: SentRequest): void => options.onSent?.(sent, certname);
    results.push(await replayAgent({ script, certname, identity, primary, pace, tape, signal, onSent }));
    options.onAgent?.({ type: 'end', certname });
  }

  if (arrival.type === 'queue') {
    for (const part of parts) await one(part);
  } else {
    await Promise.all(
      parts.map(async (part, n) => {
        const waitMs = arrivalMs(arrival, n, parts.length, part.certname) ?? 0;
        if (waitMs >= 1) await sleep(waitMs, undefined, { signal }).catch(() => undefined);
        await one(part);
      }),
    );
  }
  return results;
}
