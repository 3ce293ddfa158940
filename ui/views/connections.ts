import type { LegReuse } from '../../src/analysis/reuse.ts';
import type { Advice } from '../../src/analysis/reuse-advice.ts';
import { clock, duration } from '../../src/commands/present.ts';
import { adviceLines, closingLines, FIGURES, laneWords } from '../../src/commands/reuse-text.ts';
import { askStringtap } from '../child.ts';
import { emptyLines } from '../frame.ts';
import { showsRow } from '../hits.ts';
import { LIST_START, type ListState, moveList, settle } from '../list.ts';
import { moveOf } from '../moves.ts';
import { delegate, drawPane } from '../pane.ts';
import { textPane } from '../panes/text.ts';
import { drawLane, lanesLegend, MOST_LANES, rangeOf, readLanes, type UsedConnection } from '../reuse-lanes.ts';
import type { Env, Screen, Step, StepOf, View } from '../screen.ts';
import { screenOf } from '../screen.ts';
import { nextMatch } from '../search.ts';
import { tabAfter } from '../tabs.ts';
import { EMPTY, type Line, line, pad, span, wrapText } from '../text.ts';
import { openConnection } from './connection.ts';

/** Connections of the capture, or of a run: each as a lane, the figures of reuse of both legs, why they ended, and what to change. */

/** Of `stringtap reuse --json`. */
interface Reuse {
  readonly pools: readonly string[];
  readonly agent: LegReuse;
  readonly primary: LegReuse;
  readonly advice: readonly Advice[];
}

interface Connections {
  /** `null`: of the whole capture. */
  readonly run: number | null;
  readonly lanes: readonly UsedConnection[];
  /** Wall clock, ms. */
  readonly readAt: number;
  readonly place: ListState;
  readonly tab: number;
  /** `null`: it is being measured. */
  readonly measured: Measured | null;
}

interface Measured {
  readonly figures: Screen;
  readonly advice: Screen;
  /** Wall clock, ms: when it began to be measured. */
  readonly at: number;
  readonly tookMs: number;
  /** A proxy wrote meanwhile: there may be more by now. */
  readonly live: boolean;
}

const TABS = ['Lanes', 'Figures', 'Causes and advice'] as const;
const READ_EVERY_MS = 1000;
/** Figures that are looked at are measured anew after this time, and after ten times what that takes, while a proxy writes. */
const MEASURE_EVERY_MS = 5000;
const MEASURE_REST = 10;
/** Lines under the lanes that tell of the one under the cursor, with the rule above them. */
const BELOW = 5;

/** Head and legend take two lines. */
function heightOf(env: Env): number {
  return Math.max(1, env.size.rows - 1 - (env.size.rows >= 14 ? BELOW + 1 : 0));
}

const VIEW: View<Connections> = {
  scopes: ({ tab, measured }) => [
    ...(tab === 0 ? (['problems', 'opens'] as const) : (paneOf(tab, measured)?.scopes() ?? [])),
    'connections',
  ],
  title: ({ run }) => (run === null ? 'connections' : `connections of r${run}`),
  tabs: ({ tab }) => ({ names: TABS, short: ['Lanes', 'Figures', 'Advice'], current: tab }),
  wants(state, env) {
    const { run, measured } = state;
    if (!isWanted(state, env)) return [];
    const args = ['reuse', ...(run === null ? [] : [`r${run}`]), '--capture', env.source.store.file, '--json'];
    return [
      {
        key: `reuse ${measured?.at ?? ''}`,
        async run(signal, update) {
          const [at, live] = [env.now(), env.source.isLive()];
          const found = await askStringtap<Reuse>(args, { signal });
          update((known, now) => ({
            ...known,
            measured: { ...panesOf(found, known.measured, now), at, live, tookMs: now.now() - at },
          }));
        },
      },
    ];
  },
  act(state, action, env) {
    const step = tabAfter(action, state.tab, TABS);
    if (step !== null) return 'say' in step ? step : { state: { ...state, tab: step.tab } };
    return state.tab === 0 ? actOnLanes(state, action, env) : actOnPane(state, action, env);
  },
  refresh(state, env) {
    // A proxy that is busy commits many times a second, and each time there is as much to read.
    if (env.now() - state.readAt < READ_EVERY_MS && env.source.isLive()) return state;
    const lanes = readLanes(env.source.store, state.run);
    return { ...state, lanes, readAt: env.now(), place: settle(state.place, lanes.length, heightOf(env)) };
  },
  draw(state, env) {
    if (state.tab === 0) return drawLanes(state, env);
    const pane = paneOf(state.tab, state.measured);
    return pane === null ? emptyLines(env, ['measuring']) : drawPane(pane, env, 0);
  },
  status({ tab, lanes, place, measured }, env) {
    if (tab !== 0) {
      const when = measured?.live === true ? `as of ${clock(measured.at).slice(0, 8)}  ` : '';
      return `${when}${paneOf(tab, measured)?.status(env) ?? ''}`;
    }
    const newest = lanes.length < MOST_LANES ? '' : `, the newest ${MOST_LANES}`;
    return lanes.length === 0 ? '' : `${place.cursor + 1} of ${lanes.length}${newest} `;
  },
  subject: ({ run }) => (run === null ? null : { type: 'run', id: run }),
};

/** Not measured yet, or so long ago that a proxy has written what would be seen; what it wrote last is measured when it has ended. */
function isWanted({ tab, measured }: Connections, env: Env): boolean {
  if (measured === null) return true;
  if (tab === 0 || !measured.live) return false;
  return !env.source.isLive() || env.now() - measured.at >= Math.max(MEASURE_EVERY_MS, MEASURE_REST * measured.tookMs);
}

function paneOf(tab: number, measured: Connections['measured']): Screen | null {
  return tab === 0 || measured === null ? null : tab === 1 ? measured.figures : measured.advice;
}

function actOnPane(state: Connections, action: Parameters<typeof VIEW.act>[1], env: Env): StepOf<Connections> | null {
  const { tab, measured } = state;
  const pane = paneOf(tab, measured);
  if (pane === null || measured === null) return null;
  return delegate(pane, action, env, next => ({ ...state, measured: { ...measured, [tab === 1 ? 'figures' : 'advice']: next } }));
}

function actOnLanes(state: Connections, action: Parameters<typeof VIEW.act>[1], env: Env): StepOf<Connections> | null {
  const { lanes, place } = state;
  const move = moveOf(action);
  if (move !== null) return { state: { ...state, place: moveList(place, move, lanes.length, heightOf(env)) } };
  switch (action.name) {
    case 'open': {
      const lane = lanes[place.cursor];
      return lane === undefined ? {} : openConnection(lane.facts.id, state.run, env);
    }
    case 'next-problem':
    case 'previous-problem': {
      const by = action.name === 'next-problem' ? 1 : -1;
      const wrong = ({ row }: UsedConnection): boolean => row.error !== null || row.refusal !== null;
      const found = nextMatch(lanes.length, place.cursor + by, by, i => wrong(lanes[i]!));
      if (found === null) return { say: { text: 'no connection here went wrong', kind: 'info' } };
      return { state: { ...state, place: moveList(place, { to: found }, lanes.length, heightOf(env)) } };
    }
    default:
      return null;
  }
}

function drawLanes({ lanes, place, run }: Connections, env: Env): Line[] {
  if (lanes.length === 0) {
    return emptyLines(env, [
      'no connections',
      '',
      run !== null
        ? 'this run used none that is still here'
        : env.source.isLive()
          ? 'an agent has not come yet'
          : 'its proxy has ended, and no agent had come',
    ]);
  }
  const { columns } = env.size;
  const { signs } = env.theme;
  const height = heightOf(env);
  const at = settle(place, lanes.length, height);
  const shown = lanes.slice(at.top, at.top + height);
  const current = lanes[at.cursor]!;
  const wide = columns >= 100;
  const label = wide ? 40 : 17;
  const end = wide ? 24 : columns >= 76 ? 18 : 0;
  const width = Math.max(10, columns - label - end - 3);
  const { recording } = current.facts;
  const range = rangeOf(shown, recording);
  const head = pad(`${duration(range.to - range.from)} from left to right`, width);
  const rows = shown.map((lane, i): Line => {
    const cursor = at.top + i === at.cursor;
    const { facts } = lane;
    const leg = wide ? pad(facts.leg, 8) : facts.leg === 'agent' ? 'A ' : ' P';
    const uses = `×${lane.row.exchanges}`;
    const whose = wide ? ` ${facts.certname ?? '-'}` : '';
    const name = pad(`${cursor ? signs.cursor : ' '}${pad(`c${facts.id}`, 6)} ${leg} ${pad(uses, 5)}${whose}`, label);
    const drawn =
      facts.recording === recording ? drawLane(lane, range, width, signs) : [span(pad('another recording', width), 'dim')];
    const mark = cursor ? 'selected' : facts.leg === 'agent' ? 'name' : 'value';
    if (env.theme.reader) return [span(`${cursor ? '> ' : ''}c${facts.id} ${facts.leg}: ${laneWords(lane)}`, mark)];
    const wrong = lane.row.error !== null || lane.row.refusal !== null;
    const words = facts.closedBy === null ? 'open' : wrong ? `! ${facts.cause}` : lane.ending;
    return [
      span(name, mark),
      span(' '),
      ...drawn,
      span(' '),
      span(end === 0 ? '' : pad(words, end), wrong ? 'error' : facts.closedBy === null ? 'live' : 'dim'),
    ];
  });
  const list: Line[] = [
    [
      span(pad(wide ? '  ID     LEG      REQS CERTNAME' : '  ID     LEG REQS', label), 'head'),
      span(` ${head} `, 'dim'),
      span(end === 0 ? '' : 'ENDED', 'head'),
    ],
    ...rows.map((row, i) => showsRow(row, at.top + i)),
  ];
  if (height + 1 >= env.size.rows) return list;
  const blank = Array.from({ length: height + 1 - list.length }, () => EMPTY);
  const story = wrapText(laneWords(current), columns - 2).slice(0, BELOW - 1);
  const below = [line(signs.rule.repeat(columns), 'dim'), ...story.map(text => line(` ${text}`))];
  const filler = Array.from({ length: BELOW - story.length - 1 }, () => EMPTY);
  return [...list, ...blank, ...below, ...filler, line(env.theme.reader ? '' : ` ${lanesLegend(signs)}`, 'dim')];
}

/** @param before what they take the place of */
function panesOf(found: Reuse, before: Measured | null, env: Env): Pick<Measured, 'figures' | 'advice'> {
  return {
    figures: textPane({ lines: columns => figures(found, columns) }, env, before?.figures),
    advice: textPane({ lines: columns => advice(found, columns) }, env, before?.advice),
  };
}

/** Both legs side by side; on a narrow terminal one below the other. */
function figures({ agent, primary, pools }: Reuse, columns: number): Line[] {
  const name = Math.max(...FIGURES.map(([text]) => text.length)) + 1;
  const policy: Line[] = [line(` connections to the primary: ${pools.join(', ') || '-'}`, 'dim'), EMPTY];
  if (columns < 76) {
    const one = (title: string, leg: LegReuse): Line[] => [
      line(` ${title}`, 'head'),
      ...FIGURES.flatMap(([text, value]) =>
        wrapText(value(leg), columns - name - 3).map(
          (part, i): Line => [span(` ${pad(i === 0 ? text : '', name)} `, 'dim'), span(part)],
        ),
      ),
      EMPTY,
    ];
    return [...one('AGENT LEG', agent), ...one('PRIMARY LEG', primary), ...policy];
  }
  const width = Math.floor((columns - name - 4) / 2);
  const rows = FIGURES.flatMap(([text, value]): Line[] => {
    const [left, right] = [wrapText(value(agent), width), wrapText(value(primary), width)];
    return Array.from({ length: Math.max(left.length, right.length) }, (_, i) => [
      span(` ${pad(i === 0 ? text : '', name)} `, 'dim'),
      span(`${pad(left[i] ?? '', width)} `),
      span(right[i] ?? ''),
    ]);
  });
  return [
    [span(` ${pad('', name)} `), span(pad('AGENT LEG', width), 'head'), span(' '), span(pad('PRIMARY LEG', width), 'head')],
    ...rows,
    EMPTY,
    ...policy,
  ];
}

function advice(measured: Reuse, columns: number): Line[] {
  const wrapped = (text: string, indent: number): string[] =>
    wrapText(text.trim(), columns - indent - 1).map(part => `${' '.repeat(indent)}${part}`);
  const reuse = { agent: measured.agent, primary: measured.primary, connections: [] };
  return [
    line(' why connections ended', 'bold'),
    ...closingLines(reuse).map((text, i) => line(` ${text}`, i === 0 ? 'dim' : 'value')),
    EMPTY,
    line(' what to change', 'bold'),
    ...adviceLines(measured.advice).flatMap(text => wrapped(text, text.startsWith(' ') ? 3 : 1).map(part => line(part))),
  ];
}

/** @param run `null`: of the whole capture */
export function connectionsScreen(run: number | null, env: Env): Screen {
  const lanes = readLanes(env.source.store, run);
  return screenOf<Connections>(VIEW, { run, lanes, readAt: env.now(), place: LIST_START, tab: 0, measured: null });
}

/** @param argument `r3`; `null`: of the run that is looked at, else of the capture */
export function connectionsStep(argument: string | null, run: number | null, env: Env): Step {
  if (argument === null) return { push: connectionsScreen(run, env) };
  const id = Number(/^r?(\d{1,15})$/.exec(argument)?.[1] ?? Number.NaN);
  if (Number.isNaN(id) || env.source.store.run(id) === null)
    return { say: { text: `there is no run ${argument}`, kind: 'error' } };
  return { push: connectionsScreen(id, env) };
}
