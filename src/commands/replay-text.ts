import { counted } from '../analysis/words.ts';
import { createHiding, hideInTarget } from '../decode/secrets.ts';
import type { PreparedReplay } from '../replay/agents.ts';
import type { ReplayedComparison } from '../replay/agents-compare.ts';
import type { Omission, PlannedRequest } from '../replay/agents-plan.ts';
import type { AgentResult, SentRequest } from '../replay/agents-run.ts';
import { hasOtherStatus, type ReplaySummary } from '../replay/agents-summary.ts';
import type { Pace } from '../replay/pace.ts';
import { painter } from './diff.ts';
import { runLines } from './diff-lines.ts';
import { idText } from './ids.ts';
import { type Io, printable } from './io.ts';
import { type Column, duration, table } from './present.ts';
import { address } from './proxy.ts';
import type { ReplayFlags } from './replay-flags.ts';
import { lineWidth } from './terminal.ts';

/** What a replay came to, as text and as JSON. */
export interface ReplayOutcome {
  prepared: PreparedReplay;
  results: readonly AgentResult[];
  summary: ReplaySummary;
  /** `null` when nothing was recorded to compare. */
  compared: readonly ReplayedComparison[] | null;
  interrupted: boolean;
}

/** So many requests are listed one by one. */
const MAX_LISTED = 200;

function paceText(pace: Pace): string {
  switch (pace.type) {
    case 'recorded':
      return 'pauses as recorded';
    case 'fast':
      return 'no pauses';
    case 'speed':
      return `pauses divided by ${pace.factor}`;
    case 'max-gap':
      return `pauses of at most ${pace.ms / 1000} s`;
    default:
      return pace satisfies never;
  }
}

/** `3 reports (--writes report)`. */
export function omissionText(omission: Omission, count: number): string {
  const many = count === 1 ? '' : 's';
  switch (omission.reason) {
    case 'write': {
      const noun = {
        csr: `certificate request${many}`,
        report: `report${many}`,
        filebucket: `upload${many} to the file bucket`,
        facts: `upload${many} of facts`,
        renewal: `renewal${many} of a certificate`,
      }[omission.write];
      return `${count} ${noun} (--writes ${omission.write})`;
    }
    case 'other-write':
      return `${count} request${many} that no agent run makes and that change the primary`;
    case 'csr-of-another':
      return `${count} certificate request${many}, made for another name`;
    case 'body-missing':
      return `${count} request${many} whose body is not in the capture`;
    case 'body-too-large':
      return `${count} request${many} with more than 64 MiB`;
    case 'elsewhere':
      return `${count} request${many} to another server`;
    default:
      return omission satisfies never;
  }
}

/** What of the options the words about a plan need. */
export type PlanFlags = Pick<ReplayFlags, 'to' | 'timing' | 'agents'>;

/** What will be sent, as whom, where, and what is left out. Said before anything is sent, on the command line and in the UI. */
export function planLines({ plan, cast, requests }: PreparedReplay, flags: PlanFlags): string[] {
  const to = address(flags.to);
  const lines =
    flags.agents === undefined
      ? cast.map(({ run, recorded, as }, n) => {
          const one = plan.runs[n]!;
          const count = one.steps.filter(step => step.type === 'send' && step.request.omitted === null).length;
          const whose = as === recorded ? recorded : `${recorded} as ${as}`;
          return `replay of ${idText('run', run)} ${whose} to ${to}: ${counted(count, 'request')}, ${paceText(flags.timing)}`;
        })
      : [
          `replay of ${plan.runs.map(({ run }) => idText('run', run)).join(', ')} to ${to} as ${cast.length} agents, ${cast[0]?.as ?? ''} to ${cast.at(-1)?.as ?? ''}: ${requests} requests, ${paceText(flags.timing)}`,
        ];
  const left = plan.omitted.map(({ omission, requests: count }) => omissionText(omission, count));
  return left.length === 0
    ? lines
    : [...lines, `left out of ${plan.runs.length === 1 ? 'the run' : 'the runs'}: ${left.join(', ')}`];
}

interface PlanRow {
  run: string;
  pauseMs: number;
  request: PlannedRequest;
}

/** Each recorded request with what becomes of it. */
export function requestLines({ plan }: PreparedReplay, io: Io): string[] {
  const rows = plan.runs.flatMap(({ run, steps }) =>
    steps.flatMap((step): PlanRow[] =>
      step.type === 'send' ? [{ run: idText('run', run), pauseMs: step.pauseMs, request: step.request }] : [],
    ),
  );
  const columns: Column<PlanRow>[] = [
    { title: 'RUN', value: row => row.run },
    { title: 'ID', value: row => idText('exchange', row.request.exchange) },
    { title: 'PAUSE', right: true, value: row => duration(row.pauseMs) },
    { title: 'CONN', value: row => idText('connection', row.request.connection) },
    { title: 'PHASE', value: row => row.request.phase },
    { title: '', value: row => (row.request.omitted === null ? 'send' : 'left out') },
    { title: 'METHOD', value: row => row.request.method },
    { title: 'TARGET', value: row => hideInTarget(row.request.target, createHiding()) },
  ];
  return [...table(columns, rows, lineWidth(io))];
}

export function resultLines(outcome: ReplayOutcome, flags: ReplayFlags, io: Io): string[] {
  const { summary, results, compared, interrupted, prepared } = outcome;
  const { connections, agents } = summary;
  const lines: string[] = [];
  const rate = flags.agents === undefined ? '' : ` (${summary.requestsPerSecond.toFixed(1)} a second)`;
  if (interrupted) lines.push(`interrupted: ${agents.done} of ${prepared.cast.length} agents were done`);
  lines.push(`${counted(summary.requests, 'request')} in ${duration(summary.elapsedMs)}${rate}: ${resultText(summary)}`);
  const setup = connections.setup === null ? '' : `, opened in ${percentileText(connections.setup)}`;
  const failed = connections.failed === 0 ? '' : `, ${connections.failed} failed`;
  lines.push(`${counted(connections.opened, 'connection')}, ${connections.recorded} when it was recorded${setup}${failed}`);
  if (agents.gaveUp > 0) lines.push(`${counted(agents.gaveUp, 'agent')} gave up: three requests in a row failed`);
  for (const { reason, requests, example } of summary.failures) lines.push(`${requests} × ${reason}: ${printable(example)}`);
  lines.push('', ...phaseLines(summary, io));
  const others = results.flatMap(result => result.sent.filter(hasOtherStatus));
  if (others.length > 0) lines.push('', ...otherLines(others, io));
  if (compared !== null && flags.agents !== undefined) lines.push('', ...loadComparisonLines(compared, io));
  else for (const one of compared ?? []) lines.push('', ...comparisonLines(one, io));
  return lines;
}

function resultText({ requests, failed, abandoned, otherStatus, otherContent }: ReplaySummary): string {
  const same = requests - failed - abandoned - otherStatus;
  const parts = [`${same} answered with the recorded status`];
  if (otherStatus > 0) parts.push(`${otherStatus} with another`);
  if (otherContent > 0) parts.push(`${counted(otherContent, 'file')} with another content`);
  if (failed > 0) parts.push(`${failed} failed`);
  if (abandoned > 0) parts.push(`${abandoned} broken off`);
  return parts.join(', ');
}

function percentileText({ p50Ms, p95Ms, p99Ms }: { p50Ms: number; p95Ms: number; p99Ms: number }): string {
  return `${duration(p50Ms)} (p95 ${duration(p95Ms)}, p99 ${duration(p99Ms)})`;
}

function phaseLines({ phases }: ReplaySummary, io: Io): string[] {
  const columns: Column<ReplaySummary['phases'][number]>[] = [
    { title: 'PHASE', value: row => row.phase },
    { title: 'REQUESTS', right: true, value: row => String(row.requests) },
    { title: 'FAILED', right: true, value: row => String(row.failed) },
    { title: 'OTHER STATUS', right: true, value: row => String(row.otherStatus) },
    { title: 'P50', right: true, value: row => duration(row.p50Ms) },
    { title: 'P95', right: true, value: row => duration(row.p95Ms) },
    { title: 'P99', right: true, value: row => duration(row.p99Ms) },
    { title: 'MAX', right: true, value: row => duration(row.maxMs) },
  ];
  return [...table(columns, phases, lineWidth(io))];
}

function otherLines(others: readonly SentRequest[], io: Io): string[] {
  const columns: Column<SentRequest>[] = [
    { title: 'ID', value: row => idText('exchange', row.recorded) },
    { title: 'WAS', value: row => String(row.recordedStatus) },
    { title: 'IS', value: row => String(row.status) },
    { title: 'METHOD', value: row => row.method },
    { title: 'TARGET', value: row => row.target },
  ];
  const more = others.length - MAX_LISTED;
  return [...table(columns, others.slice(0, MAX_LISTED), lineWidth(io)), ...(more > 0 ? [`and ${more} more`] : [])];
}

/** Many agents with one run differ in the same way: one is shown. */
function loadComparisonLines(compared: readonly ReplayedComparison[], io: Io): string[] {
  const different = compared.filter(({ comparison }) => !comparison.same);
  const [first] = different;
  const lines = [`${compared.length - different.length} of ${compared.length} agents: no difference`];
  return first === undefined
    ? lines
    : [...lines, `the first of the others, ${first.result.certname}:`, ...comparisonLines(first, io)];
}

function comparisonLines({ result, comparison }: ReplayedComparison, io: Io): string[] {
  if (comparison.same) return [`${idText('run', result.script.plan.run)} ${result.certname}: no difference`];
  const paint = painter(io);
  return [...runLines(comparison)].flatMap(line => paint(line));
}

/** `stringtap replay --dry-run --json`. */
export function planJson({ plan, cast, requests }: PreparedReplay, flags: PlanFlags): object {
  return {
    to: address(flags.to),
    timing: flags.timing,
    requests,
    connections: plan.connections,
    agents: cast.map(({ run, recorded, as }) => ({ run: idText('run', run), recorded, as })),
    omitted: plan.omitted.map(({ omission, requests: count }) => ({ ...omission, requests: count })),
    runs: plan.runs.map(({ run, certname, transactionUuid, startedAt, durationMs, steps }) => ({
      run: idText('run', run),
      certname,
      transactionUuid,
      startedAt,
      durationMs,
      steps: steps.map(step =>
        step.type === 'close'
          ? { type: step.type, pauseMs: step.pauseMs, connection: idText('connection', step.connection) }
          : { type: step.type, pauseMs: step.pauseMs, ...requestJson(step.request) },
      ),
    })),
  };
}

function requestJson({ exchange, connection, target, ...request }: PlannedRequest): object {
  const shown = hideInTarget(target, createHiding());
  return { exchange: idText('exchange', exchange), connection: idText('connection', connection), ...request, target: shown };
}

/** `stringtap replay --json`. */
export function resultJson(outcome: ReplayOutcome, flags: ReplayFlags): { same: boolean } {
  const { prepared, results, summary, compared, interrupted } = outcome;
  const sent = results.flatMap(result => result.sent.map(one => ({ certname: result.certname, ...one })));
  const odd = sent.filter(one => one.failure !== null || one.otherContent || hasOtherStatus(one));
  const same =
    summary.failed === 0 &&
    summary.otherStatus === 0 &&
    summary.otherContent === 0 &&
    (compared ?? []).every(({ comparison }) => comparison.same);
  const json = {
    to: address(flags.to),
    timing: flags.timing,
    planned: prepared.requests,
    omitted: prepared.plan.omitted.map(({ omission, requests }) => ({ ...omission, requests })),
    interrupted,
    summary,
    agents: results.map(({ certname, script, startedAt, endedAt, end, sent: requests }) => ({
      certname,
      run: idText('run', script.plan.run),
      startedAt: new Date(startedAt).toISOString(),
      endedAt: new Date(endedAt).toISOString(),
      end,
      requests: requests.length,
    })),
    // With many agents only those that went otherwise.
    requests: (flags.agents === undefined ? sent : odd.slice(0, MAX_LISTED)).map(({ recorded, replayed, ...one }) => ({
      recorded: idText('exchange', recorded),
      replayed: idText('exchange', replayed),
      ...one,
    })),
    comparisons: compared?.map(({ comparison }) => comparison) ?? null,
    same,
  };
  return json;
}
