import type { RunComparison } from '../../src/analysis/compare-result.ts';
import { counted } from '../../src/analysis/words.ts';
import { duration } from '../../src/commands/present.ts';
import { type ChildResult, childError, runStringtap } from '../child.ts';
import { type Subject, subjectText } from '../marks.ts';
import { delegate } from '../pane.ts';
import { textPane } from '../panes/text.ts';
import { treePane } from '../panes/tree.ts';
import type { Env, Screen, Step, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { type Line, line, pad, span, wrapText } from '../text.ts';
import { shortDuration } from '../time.ts';
import { leavesOf, type TreeNode } from '../tree.ts';
import { comparisonNodes } from './diff.ts';
import { openExchange } from './exchange.ts';

/** A replay under way, and what came of it. Leaving the screen ends it. */

/** Of `stringtap replay --json`. */
interface ReplayResult {
  readonly planned: number;
  readonly interrupted: boolean;
  readonly same: boolean;
  readonly summary: {
    readonly requests: number;
    readonly failed: number;
    readonly abandoned: number;
    readonly otherStatus: number;
    readonly otherContent?: number;
    readonly elapsedMs: number;
    readonly connections: { readonly recorded: number; readonly opened: number; readonly failed: number };
    readonly failures: readonly { readonly reason: string; readonly requests: number; readonly example: string }[];
  };
  readonly requests: readonly SentRequest[];
  readonly comparisons: readonly RunComparison[] | null;
}

interface SentRequest {
  readonly recorded: string;
  readonly recordedStatus: number | null;
  readonly compared: boolean;
  readonly phase: string;
  readonly method: string;
  readonly target: string;
  readonly status: number | null;
  readonly failure: { readonly reason: string } | null;
  readonly totalMs: number;
}

interface Sending {
  readonly command: readonly string[];
  readonly subject: Subject;
  readonly to: string;
  readonly planned: number;
  /** What was said so far, a line a request; the newest of them. */
  readonly lines: readonly string[];
  readonly sent: number;
  /** Ends it early, with what there is. */
  readonly stop: AbortController;
  /** What came of it, or why nothing did. */
  readonly result: Screen | null;
}

/** Lines that are kept of what was said. */
const KEPT = 500;

const VIEW: View<Sending> = {
  scopes: ({ result }) => [...(result?.scopes() ?? []), 'diff'],
  title: ({ subject, to, result, sent }) =>
    `${subjectText(subject)} ${result === null ? 'is sent' : sent === 0 ? 'was not sent' : 'was sent'} to ${to}`,
  wants({ command, stop, result }) {
    if (result !== null) return [];
    return [
      {
        key: 'send',
        async run(signal, update) {
          const onLine = (text: string): void => update(state => said(state, text));
          // Asked to end, it closes its connections and says what was done.
          const interrupt = AbortSignal.any([signal, stop.signal]);
          const outcome = await runStringtap(command, { interrupt, onLine });
          update((state, env) => ({ ...state, result: resultOf(outcome, state, env) }));
        },
      },
    ];
  },
  act(state, action, env) {
    if (state.result !== null) return delegate(state.result, action, env, result => ({ ...state, result }));
    if (action.name !== 'back' || state.stop.signal.aborted) return null;
    state.stop.abort();
    return { say: { text: 'ending it; what was sent so far is shown then', kind: 'warning' } };
  },
  refresh: state => state,
  draw(state, env) {
    if (state.result !== null) return state.result.draw(env);
    const { columns, rows } = env.size;
    const done = Math.min(columns - 2, Math.round((state.sent / Math.max(1, state.planned)) * (columns - 2)));
    const words = `sent ${state.sent} of ${counted(state.planned, 'request')} to ${state.to}${state.stop.signal.aborted ? ', ending' : '; esc ends it'}`;
    const bar: Line = [
      span(' '),
      span(env.theme.signs.full.repeat(done), 'ok'),
      span(env.theme.signs.idle.repeat(columns - 2 - done), 'dim'),
    ];
    return [
      line(` ${words}`, 'bold'),
      ...(env.theme.reader ? [] : [bar]),
      line(''),
      ...state.lines.slice(-Math.max(1, rows - 3)).map(text => line(` ${text}`)),
    ];
  },
  status: ({ result }, env) => result?.status(env) ?? '',
  subject: ({ subject }) => subject,
};

/** The first line says what is going to be sent; with the second request a line each follows. */
function said(state: Sending, text: string): Sending {
  const isRequest = /^\S+ +\S+ +[A-Z]+ +\S/.test(text) && !text.startsWith('replay of ') && !text.startsWith('left out');
  return { ...state, lines: [...state.lines, text].slice(-KEPT), sent: state.sent + (isRequest ? 1 : 0) };
}

function resultOf(outcome: ChildResult, state: Sending, env: Env): Screen {
  const result = outcome.code === 0 || outcome.code === 3 ? read(outcome.out) : null;
  if (result !== null) return treePane({ roots: resultNodes(result), levels: 1, open: openRecorded });
  const why = childError(outcome).message;
  return textPane(
    {
      lines: columns => [
        line(' it ended with an error', 'error'),
        ...wrapText(why, columns - 2).map(text => line(` ${text}`)),
        line(''),
        line(` ${state.sent === 0 ? 'no request was sent' : `sent before: ${counted(state.sent, 'request')}`}`),
        line(''),
        ...state.lines.filter(text => !/^(stringtap|hint): /.test(text)).map(text => line(` ${text}`, 'dim')),
      ],
    },
    env,
  );
}

function read(text: string): ReplayResult | null {
  try {
    return JSON.parse(text) as ReplayResult;
  } catch {
    return null;
  }
}

function resultNodes(result: ReplayResult): TreeNode[] {
  const { summary, requests, comparisons, planned } = result;
  const { connections, failures } = summary;
  const bad = summary.failed + summary.otherStatus + summary.abandoned > 0;
  const verdict = result.interrupted
    ? `ended early: sent ${summary.requests} of ${counted(planned, 'request')}`
    : result.same
      ? `answered as it was recorded: ${counted(summary.requests, 'request')} in ${duration(summary.elapsedMs)}`
      : `answered otherwise than recorded: ${counted(summary.requests, 'request')} in ${duration(summary.elapsedMs)}`;
  const count = (number: number): string | null => (number === 0 ? null : String(number));
  return [
    {
      key: 'verdict',
      label: [span(verdict, bad ? 'error' : result.same ? 'ok' : 'warning')],
      kids: () => [
        ...leavesOf([
          ['failed', count(summary.failed)],
          ['with another status', count(summary.otherStatus)],
          ['files with another content', count(summary.otherContent ?? 0)],
          ['broken off', count(summary.abandoned)],
          ['connections', `${connections.opened}, ${connections.recorded} when it was recorded`],
        ]),
        ...failures.map(
          ({ reason, requests: times, example }, n): TreeNode => ({
            key: `f${n}`,
            label: [span(`${times} × ${reason}: `, 'error'), span(example)],
          }),
        ),
      ],
    },
    {
      key: 'requests',
      label: [span('requests ', 'bold'), span(`${requests.length}; enter opens the recorded one`, 'dim')],
      kids: () => requests.map(requestNode),
    },
    ...(comparisons ?? []).flatMap((comparison, n): TreeNode[] => [
      {
        key: `comparison ${n}`,
        label: [
          span('beside what was recorded ', 'bold'),
          span(comparison.same ? 'no difference' : 'different', comparison.same ? 'ok' : 'warning'),
        ],
        expanded: !comparison.same,
        kids: () => comparisonNodes({ compared: 'runs', ...comparison }),
      },
    ]),
  ];
}

function requestNode(request: SentRequest, n: number): TreeNode {
  const { recorded, recordedStatus, compared, status, failure } = request;
  const other = failure !== null || (compared && status !== recordedStatus);
  const is = failure?.reason ?? String(status ?? 'gone');
  const words = other ? `${is}, was ${recordedStatus ?? '-'}` : is;
  return {
    key: String(n),
    ref: Number(recorded.slice(1)),
    label: [
      span(`${pad(recorded, 6)} `, 'key'),
      span(`${pad(words, 12)} `, other ? 'error' : 'ok'),
      span(`${shortDuration(request.totalMs).padStart(8)} ${request.method} ${request.target}`),
    ],
  };
}

/** Requests of this capture; those of the comparison have the numbers of a capture that is gone. */
function openRecorded(node: TreeNode, env: Env): Step | null {
  return node.ref === undefined || node.label.length !== 3 ? null : openExchange(node.ref, env);
}

/** Starts to send as soon as it is shown. */
export function sendingScreen(
  command: readonly string[],
  { subject, plan }: { subject: Subject; plan: { to: string; requests: number } },
): Screen {
  const state = {
    command,
    subject,
    to: plan.to,
    planned: plan.requests,
    lines: [],
    sent: 0,
    stop: new AbortController(),
    result: null,
  };
  return screenOf(VIEW, state);
}
