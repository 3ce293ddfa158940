import type { Certname } from '../model.ts';
import type { PreparedReplay } from '../replay/agents.ts';
import type { SentRequest } from '../replay/agents-run.ts';
import { hasOtherStatus } from '../replay/agents-summary.ts';
import { type Io, printable } from './io.ts';
import { clip, duration } from './present.ts';

/** What a person at a terminal sees while it runs: a line each request, or with many agents a line each second. */
export interface Progress {
  sent(request: SentRequest, certname: Certname): void;
  agent(event: { type: 'begin' | 'end' }): void;
  end(): void;
}

const EVERY_MS = 1000;

export function progressOf(io: Io, prepared: PreparedReplay, single: boolean): Progress {
  return single ? requestProgress(io) : loadProgress(io, prepared);
}

function requestProgress(io: Io): Progress {
  return {
    sent(request, certname) {
      const { phase, method, status, failure, recordedStatus, totalMs, target } = request;
      const result = failure !== null ? failure.reason : String(status ?? 'gone');
      const then = hasOtherStatus(request) ? ` (was ${recordedStatus})` : '';
      const parts = [
        certname.padEnd(20),
        phase.padEnd(11),
        method.padEnd(4),
        `${result}${then}`.padEnd(4),
        duration(totalMs).padStart(8),
      ];
      io.chatter(`${parts.join(' ')} ${printable(clip(target.split('?', 1)[0]!, 100))}`);
    },
    agent: () => undefined,
    end: () => undefined,
  };
}

function loadProgress(io: Io, { cast, requests }: PreparedReplay): Progress {
  const startedAt = performance.now();
  let begun = 0;
  let ended = 0;
  let sent = 0;
  let failed = 0;
  let other = 0;
  let before = 0;
  const timer = setInterval(() => {
    const elapsed = duration(performance.now() - startedAt);
    const figures = [
      `${elapsed}: ${ended} of ${cast.length} agents done, ${begun - ended} under way`,
      `${sent} of ${requests} requests, ${sent - before} in the last second`,
      `${failed} failed`,
      `${other} with another status`,
    ];
    before = sent;
    io.chatter(figures.join(', '));
  }, EVERY_MS);
  timer.unref();
  return {
    sent(request) {
      sent += 1;
      if (request.failure !== null) failed += 1;
      else if (hasOtherStatus(request)) other += 1;
    },
    agent({ type }) {
      if (type === 'begin') begun += 1;
      else ended += 1;
    },
    end: () => clearInterval(timer),
  };
}
