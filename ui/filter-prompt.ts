import type { FilterProblem, Subject } from '../src/analysis/filter.ts';
import { type Completion, completeFilter, type KnownValues } from '../src/analysis/filter-complete.ts';
import { parseFilter } from '../src/analysis/filter-parse.ts';
import { RULES } from '../src/analysis/findings/registry.ts';
import { type InputState, startInput } from './input.ts';
import type { Env, Prompt } from './screen.ts';
import { type Line, line, pad, span, wrapText } from './text.ts';

/** What is wrong with a filter, and what would be right. */
export function problemText({ message, hint }: FilterProblem): string {
  return [message, hint].filter(Boolean).join('; ');
}

/** Runs whose certnames and environments are offered, the newest. */
const OFFERED_RUNS = 500;
/** Suggestions that are shown; tab knows all. */
const SHOWN = 6;

/** Values that occur in the capture. */
export function knownValues({ source }: Env): KnownValues {
  const runs = [...source.store.runs({ reverse: true, limit: OFFERED_RUNS })];
  const environments = runs.flatMap(row => row.environment ?? []);
  return {
    certname: [...new Set(runs.map(row => row.certname))],
    env: [...new Set(environments)],
    find: RULES.map(rule => rule.id),
  };
}

/** A filter that is typed: what may follow and what is wrong is told at once, in words; tab completes, enter runs it. */
export function filterPrompt(subject: Subject, text: string, known: KnownValues, input = startInput(text)): Prompt {
  const parsed = parseFilter(input.text, subject);
  const completion = completeFilter(input.text, input.cursor, subject, known);
  const again = (next: InputState): Prompt => filterPrompt(subject, text, known, next);
  return {
    label: '/',
    input,
    problem: parsed.type === 'wrong' ? problemText(parsed.problem) : null,
    draw: env => hint(subject, input, completion, env),
    change: next => ({ prompt: again(next) }),
    key: key => (key === 'tab' ? again(completion === null ? input : completed(input, completion)) : null),
    submit: () => ({ action: { name: 'filter', argument: input.text } }),
  };
}

/** Where a text without a name is looked for. */
const PLACES: Record<Subject, string> = {
  run: 'certname, environment and Puppet version',
  exchange: 'target and certname',
  connection: 'addresses, names and errors',
  finding: 'rule, subject and words',
};

function hint(subject: Subject, input: InputState, completion: Completion | null, env: Env): Line[] {
  if (input.text === '')
    return wrapText(`words are looked for in ${PLACES[subject]}; ~ begins a term, tab completes`, env.size.columns - 2).map(
      text => line(` ${text}`, 'dim'),
    );
  if (completion === null) return [];
  const { at, end, suggestions } = completion;
  const typed = input.text.slice(at, end);
  // What is typed to its end needs no offer.
  if (suggestions.every(({ text }) => text.trimEnd() === typed)) return [];
  const shown = suggestions.slice(0, Math.max(1, Math.min(SHOWN, env.size.rows - 3)));
  const width = Math.min(30, Math.max(...shown.map(({ text }) => text.length)));
  return shown.map(({ text, about }, i): Line => {
    const more =
      i === shown.length - 1 && suggestions.length > shown.length ? `  … ${suggestions.length - shown.length} more` : '';
    return [span(` ${pad(text, width)}  `, 'name'), span(`${about}${more}`, 'dim')];
  });
}

/** As much as all that is offered have in common; of a single one all of it. */
function completed(input: InputState, { at, end, suggestions }: Completion): InputState {
  const typed = input.text.slice(at, end);
  const starting = suggestions.filter(({ text }) => text.toLowerCase().startsWith(typed.toLowerCase()));
  const [first] = starting.length > 0 ? starting : suggestions;
  if (first === undefined) return input;
  let common = first.text;
  for (const { text } of starting) while (!text.startsWith(common)) common = common.slice(0, -1);
  if (starting.length > 0 && common.length < typed.length) return input;
  const text = `${input.text.slice(0, at)}${common}${input.text.slice(end)}`;
  return { ...input, text, cursor: at + common.length };
}
