import { greatest, least } from '../analysis/extremes.ts';
import { type Percentiles, percentiles } from '../analysis/percentiles.ts';
import { PHASES, type Phase } from '../model.ts';
import { answerTo } from '../proxy/failure.ts';
import type { AgentResult, SentRequest } from './agents-run.ts';

/** What a replay came to. Also part of `stringtap replay --json`. */
export interface ReplaySummary {
  agents: { done: number; gaveUp: number; interrupted: number };
  /** Sent. */
  requests: number;
  /** Without an answer, or with less than the whole of one. */
  failed: number;
  /** Broken off by the end of the replay. */
  abandoned: number;
  /** Answered with another status than the recorded one. */
  otherStatus: number;
  /** Files whose content is another one. */
  otherContent: number;
  /** From the first request to the last answer. */
  elapsedMs: number;
  requestsPerSecond: number;
  responseBytes: number;
  connections: {
    /** What was recorded took so many for the requests that were sent. */
    recorded: number;
    opened: number;
    failed: number;
    /** TCP and TLS of one; `null` when none was opened. */
    setup: Percentiles | null;
  };
  /** In the order of a run; phases without a request are left out. Times are those of answers, without opening connections. */
  phases: ReadonlyArray<{ phase: Phase; requests: number; failed: number; otherStatus: number } & Percentiles>;
  /** Answers by status. */
  statuses: Readonly<Record<string, number>>;
  /** Why requests failed, with the words for one of them; the most frequent first. */
  failures: ReadonlyArray<{ reason: string; requests: number; example: string }>;
}

export function summarise(results: readonly AgentResult[]): ReplaySummary {
  const sent = results.flatMap(result => result.sent);
  const from = least(results.map(({ startedAt }) => startedAt));
  const elapsedMs = results.length === 0 ? 0 : greatest(results.map(({ endedAt }) => endedAt)) - from;
  const count = (end: AgentResult['end']): number => results.filter(result => result.end === end).length;
  const setupMs = results.flatMap(({ connections }) => connections.setupMs);
  return {
    agents: { done: count('done'), gaveUp: count('gave-up'), interrupted: count('interrupted') },
    requests: sent.length,
    failed: sent.filter(hasFailed).length,
    abandoned: sent.filter(wasAbandoned).length,
    otherStatus: sent.filter(hasOtherStatus).length,
    otherContent: sent.filter(({ otherContent }) => otherContent).length,
    elapsedMs,
    requestsPerSecond: elapsedMs > 0 ? (sent.length * 1000) / elapsedMs : 0,
    responseBytes: sent.reduce((sum, { responseBytes }) => sum + responseBytes, 0),
    connections: {
      recorded: results.reduce((sum, result) => sum + recordedConnections(result), 0),
      opened: results.reduce((sum, { connections }) => sum + connections.opened, 0),
      failed: results.reduce((sum, { connections }) => sum + connections.failed, 0),
      setup: setupMs.length === 0 ? null : percentiles(setupMs),
    },
    phases: PHASES.flatMap(phase => {
      const those = sent.filter(one => one.phase === phase);
      if (those.length === 0) return [];
      const requests = those.length;
      const failed = those.filter(hasFailed).length;
      const otherStatus = those.filter(hasOtherStatus).length;
      return [{ phase, requests, failed, otherStatus, ...percentiles(those.map(({ answerMs }) => answerMs)) }];
    }),
    statuses: Object.fromEntries(
      [...Map.groupBy(sent, ({ status }) => status)]
        .filter(([status]) => status !== null)
        .map(([status, those]) => [String(status), those.length]),
    ),
    failures: failuresOf(sent),
  };
}

const hasFailed = ({ failure }: SentRequest): boolean => failure !== null;
const wasAbandoned = ({ failure, status }: SentRequest): boolean => failure === null && status === null;

/** Answered otherwise than then. What was not answered then cannot be. */
export function hasOtherStatus({ compared, status, recordedStatus }: SentRequest): boolean {
  return compared && status !== null && recordedStatus !== null && status !== recordedStatus;
}

function recordedConnections({ script, sent }: AgentResult): number {
  const wanted = new Set(sent.map(({ recorded }) => recorded));
  const used = script.steps.flatMap(step =>
    step.type === 'send' && wanted.has(step.planned.exchange) ? [step.planned.connection] : [],
  );
  return new Set(used).size;
}

function failuresOf(sent: readonly SentRequest[]): ReplaySummary['failures'] {
  const failures = sent.flatMap(({ failure }) => (failure === null ? [] : [failure]));
  return [...Map.groupBy(failures, ({ reason }) => reason)]
    .map(([reason, those]) => ({
      reason,
      requests: those.length,
      example: answerTo(those[0]!).message.replace(/^stringtap: /, ''),
    }))
    .sort((a, b) => b.requests - a.requests);
}
