import type { FilterProblem, Subject } from '../src/analysis/filter.ts';
import { parseFilter } from '../src/analysis/filter-parse.ts';
import { startInput } from './input.ts';
import type { Prompt } from './screen.ts';

/** What is wrong with a filter, and what would be right. */
export function problemText({ message, hint }: FilterProblem): string {
  return [message, hint].filter(Boolean).join('; ');
}

/** A filter that is typed: what is wrong with it is told at once, in words; enter runs it. */
export function filterPrompt(subject: Subject, text: string, input = startInput(text)): Prompt {
  const parsed = parseFilter(input.text, subject);
  return {
    label: '/',
    input,
    problem: parsed.type === 'wrong' ? problemText(parsed.problem) : null,
    draw: () => [],
    change: next => ({ prompt: filterPrompt(subject, text, next) }),
    key: () => null,
    submit: () => ({ action: { name: 'filter', argument: input.text } }),
  };
}
