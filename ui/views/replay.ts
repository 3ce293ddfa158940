import { askStringtap, runStringtap } from '../child.ts';
import { startInput } from '../input.ts';
import { type Subject, subjectText } from '../marks.ts';
import { delegate } from '../pane.ts';
import { detailLines } from '../panes/table.ts';
import { textPane } from '../panes/text.ts';
import { OPTION_HINT, type ReplayWords, replayWords } from '../replay-options.ts';
import type { Env, Prompt, Screen, Step, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { type Line, line, pad, span, wrapText } from '../text.ts';
import { sendingScreen } from './replay-sending.ts';

/**
 * Sending a run or an exchange again: what will be sent, to whom, as whom and what is left out is shown first, and nothing leaves this
 * machine before somebody has typed yes.
 */

/** Of `stringtap replay --dry-run --json`. */
export interface ReplayPlan {
  readonly to: string;
  readonly timing: { readonly type: string };
  readonly requests: number;
  readonly connections: number;
  readonly agents: readonly { readonly recorded: string; readonly as: string }[];
  readonly omitted: readonly (Omitted & { readonly requests: number })[];
  readonly runs: readonly { readonly steps: readonly PlannedStep[] }[];
}

interface Omitted {
  readonly reason: string;
  readonly write?: string;
}

type PlannedStep =
  | { readonly type: 'close' }
  | {
      readonly type: 'send';
      readonly exchange: string;
      readonly phase: string;
      readonly method: string;
      readonly target: string;
      readonly certificate: boolean;
      readonly omitted: Omitted | null;
    };

/** Of `stringtap identity list --json`. */
interface Identity {
  readonly certname: string;
  readonly kind: string;
  readonly notAfter: string;
}

export interface Replay {
  readonly subject: Subject;
  readonly run: number;
  /** As typed. */
  readonly text: string;
  readonly words: ReplayWords;
  readonly plan: ReplayPlan;
}

interface Planned extends Replay {
  readonly pane: Screen;
}

/** @param target `null`: it is asked for */
export function replayStep(type: Subject['type'], target: string | null, subject: Subject | null, env: Env): Step {
  const found = subjectOf(type, subject, env);
  if (typeof found === 'string') return { say: { text: found, kind: 'info' } };
  if (target === null) return { prompt: targetPrompt(found) };
  const words = replayWords(target);
  return 'problem' in words ? { say: { text: words.problem, kind: 'error' } } : planning(found, target, words, env);
}

function subjectOf(type: Subject['type'], subject: Subject | null, env: Env): { subject: Subject; run: number } | string {
  if (subject === null) return `on which ${type}? go to one first`;
  if (type === 'exchange' && subject.type === 'run') return 'r sends one exchange again, R the whole run';
  if (subject.type === 'run') return { subject, run: subject.id };
  const run = env.source.store.exchange(subject.id)?.run ?? null;
  if (run === null) return `e${subject.id} is of no run: nobody is known as whom to send it`;
  return { subject: type === 'run' ? { type, id: run } : subject, run };
}

type Wanted = Pick<Replay, 'subject' | 'run'>;

function targetPrompt(wanted: Wanted, input = startInput()): Prompt {
  const words = replayWords(input.text);
  return {
    label: `send ${subjectText(wanted.subject)} again to HOST[:PORT]: `,
    history: 'target',
    input,
    problem: 'problem' in words ? words.problem : null,
    draw: env =>
      [`nothing is sent yet: a screen shows what would be. Options may follow the target: ${OPTION_HINT}`].flatMap(text =>
        wrapText(text, env.size.columns - 2).map(part => line(` ${part}`, 'dim')),
      ),
    change: next => ({ prompt: targetPrompt(wanted, next) }),
    key: () => null,
    submit: env => ('problem' in words ? {} : { step: planning(wanted, input.text, words, env) }),
  };
}

function commandOf({ subject, run }: Wanted, { to, options }: ReplayWords, env: Env): string[] {
  const only = subject.type === 'exchange' ? ['--only', subjectText(subject)] : [];
  return ['replay', `r${run}`, ...only, '--from', env.source.store.file, '--to', to, ...options];
}

function planning(wanted: Wanted, text: string, words: ReplayWords, env: Env): Step {
  return {
    job: {
      label: `planning the replay of ${subjectText(wanted.subject)}`,
      async run(_report, signal) {
        const command = commandOf(wanted, words, env);
        const [plan, identities, omissionText] = await Promise.all([
          askStringtap<ReplayPlan>([...command, '--dry-run', '--json'], { signal }),
          identitiesOf(words, signal),
          omissionWords(),
        ]);
        const replay: Replay = { ...wanted, text, words, plan };
        const pane = textPane({ lines: columns => planLines(replay, identities, omissionText, columns) }, env);
        const screen = screenOf<Planned>(VIEW, { ...replay, pane });
        return { push: screen };
      },
    },
  };
}

/** Those of the folder that a replay takes them from; `null` where they are an agent's own. */
async function identitiesOf({ certs, ssldir }: ReplayWords, signal: AbortSignal): Promise<readonly Identity[] | null> {
  if (ssldir !== null) return null;
  const { out } = await runStringtap(['identity', 'list', '--json', '--certs', certs], { signal });
  return out
    .split('\n')
    .filter(Boolean)
    .map(text => JSON.parse(text) as Identity);
}

type OmissionText = (omission: Omitted, count: number) => string;

/** The words of the command line; what sends comes with them, and need not be loaded by anybody who only looks. */
async function omissionWords(): Promise<OmissionText> {
  const { omissionText } = await import('../../src/commands/replay-text.ts');
  return (omission, count) => omissionText(omission as Parameters<typeof omissionText>[0], count);
}

function planLines(replay: Replay, identities: readonly Identity[] | null, omitted: OmissionText, columns: number): Line[] {
  const { plan, subject, run, words } = replay;
  const steps = plan.runs.flatMap(one => one.steps).flatMap(step => (step.type === 'send' ? [step] : []));
  const sent = steps.filter(step => step.omitted === null);
  const bare = sent.filter(step => !step.certificate).length;
  const agent = plan.agents[0];
  const what = subject.type === 'run' ? `r${run}` : `${subjectText(subject)} of r${run}`;
  const many = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
  const writing = sent.filter(({ method, phase }) => method !== 'GET' && method !== 'HEAD' && phase !== 'catalog');
  const facts: [string, string][] = [
    ['what', `${what}: ${many(plan.requests, 'request')} of ${steps.length}, on ${many(plan.connections, 'connection')}`],
    ['to', plan.to],
    ['as', agent === undefined ? 'nobody' : identityText(agent, identities, words)],
    ...(bare === 0 ? [] : [['', `${many(bare, 'request')} without a certificate, as recorded`] as [string, string]]),
    [
      'pauses',
      plan.timing.type === 'fast'
        ? 'none'
        : plan.timing.type === 'recorded'
          ? 'as recorded'
          : (words.options[words.options.indexOf('--timing') + 1] ?? ''),
    ],
    [
      'changes',
      writing.length === 0
        ? `nothing on the target${sent.some(({ phase }) => phase === 'catalog') ? ', but for the facts that a catalog request carries' : ''}`
        : `the target: ${[...new Set(writing.map(({ phase }) => phase))].join(', ')}`,
    ],
    ['left out', plan.omitted.map(({ requests, ...omission }) => omitted(omission, requests)).join('\n') || 'nothing'],
  ];
  return [
    ...wrapText(
      plan.requests === 0
        ? 'There is nothing to send: o changes the options.'
        : 'Nothing is sent yet. S sends it, o changes target and options, esc leaves.',
      columns - 2,
    ).map(text => line(` ${text}`, 'bold')),
    line(''),
    ...detailLines(facts, columns),
    line(''),
    ...steps.map((step): Line => {
      const left = step.omitted !== null;
      const words = [
        pad(left ? 'left out' : 'send', 9),
        pad(step.exchange, 6),
        pad(step.phase, 12),
        pad(step.method, 5),
        step.target,
      ];
      return [span(` ${words.join(' ')}`, left ? 'dim' : 'value')];
    }),
  ];
}

function identityText(
  agent: { recorded: string; as: string },
  identities: readonly Identity[] | null,
  words: ReplayWords,
): string {
  const whose = agent.as === agent.recorded ? agent.as : `${agent.as} in place of ${agent.recorded}`;
  if (identities === null) return `${whose}, with key and certificate of ${words.ssldir}`;
  const identity = identities.find(({ certname }) => certname === agent.as);
  if (identity !== undefined)
    return `${whose}, with its ${identity.kind} identity, valid until ${identity.notAfter.slice(0, 10)}`;
  if (words.enrols) return `${whose}, which is enrolled at the target first (--enrol)`;
  return `${whose}, of whom there is no identity in ${words.certs}: --certs DIR, --ssldir DIR or --enrol`;
}

const VIEW: View<Planned> = {
  scopes: ({ pane }) => [...pane.scopes(), 'replay'],
  title: ({ subject, plan }) => `send ${subjectText(subject)} again to ${plan.to}`,
  act(state, action, env) {
    switch (action.name) {
      case 'send':
        if (state.plan.requests === 0) return { say: { text: 'there is nothing to send', kind: 'info' } };
        return { prompt: confirmPrompt(state) };
      case 'options':
        return { prompt: optionsPrompt(state) };
      default:
        return delegate(state.pane, action, env, pane => ({ ...state, pane }));
    }
  },
  refresh: (state, env) => ({ ...state, pane: state.pane.refresh(env) }),
  draw: ({ pane }, env) => pane.draw(env),
  status: ({ pane }, env) => pane.status(env),
  subject: ({ subject }) => subject,
};

function confirmPrompt(replay: Replay, input = startInput()): Prompt {
  const { plan } = replay;
  const yes = input.text.trim().toLowerCase() === 'yes';
  return {
    label: `send ${plan.requests} request${plan.requests === 1 ? '' : 's'} to ${plan.to}? yes: `,
    input,
    problem: yes || input.text === '' ? null : 'yes sends it, esc leaves',
    draw: () => [],
    change: next => ({ prompt: confirmPrompt(replay, { ...next, history: [] }) }),
    key: () => null,
    submit: env =>
      yes
        ? { step: { screen: sendingScreen([...commandOf(replay, replay.words, env), '--progress', '--json'], replay) } }
        : { step: { say: { text: 'nothing was sent', kind: 'info' } } },
  };
}

function optionsPrompt(replay: Replay, input = startInput(replay.text)): Prompt {
  return {
    ...targetPrompt(replay, input),
    change: next => ({ prompt: optionsPrompt(replay, next) }),
    submit: env => {
      const words = replayWords(input.text);
      return 'problem' in words ? {} : { step: planning(replay, input.text, words, env) };
    },
  };
}
