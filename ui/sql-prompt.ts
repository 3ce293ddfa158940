import { type InputState, startInput } from './input.ts';
import type { Prompt } from './screen.ts';
import type { Source } from './source.ts';
import { type Line, line, span, wrapText } from './text.ts';

/** The line in which SQL is typed: names of views and columns stand above it, and tab completes them. */

export interface SqlNames {
  readonly views: readonly string[];
  readonly columns: ReadonlyMap<string, readonly string[]>;
}

/** Names that one may ask for: the views of docs/capture.md. */
export function sqlNames(source: Source): SqlNames {
  const { rows } = source.store.query(
    "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'view' AND m.name LIKE 'v\\_%' ESCAPE '\\' ORDER BY m.name, c.cid",
  );
  const columns = new Map<string, string[]>();
  for (const [view, column] of rows) {
    const known = columns.get(String(view));
    if (known === undefined) columns.set(String(view), [String(column)]);
    else known.push(String(column));
  }
  return { views: [...columns.keys()], columns };
}

const KEYWORDS = ['SELECT', 'FROM', 'WHERE', 'GROUP BY', 'ORDER BY', 'LIMIT', 'count(*)'];

/** @param problem what was wrong with the text when it was asked; gone as soon as that is changed */
export function sqlPrompt(names: SqlNames, input: InputState = startInput(), problem: string | null = null): Prompt {
  const again = (next: InputState): Prompt => sqlPrompt(names, next, next.text === input.text ? problem : null);
  return {
    label: 'sql; ',
    input,
    problem,
    draw: env => hint(names, input, env.size.columns),
    change: next => ({ prompt: again(next) }),
    key(key) {
      if (key !== 'tab') return null;
      const before = input.text.slice(0, input.cursor);
      const word = wordOf(before);
      const completed = word === '' ? '' : commonStart(candidates(names, input.text, word), word);
      if (completed.length <= word.length) return again(input);
      const text = `${before.slice(0, before.length - word.length)}${completed}${input.text.slice(input.cursor)}`;
      return again({ ...input, text, cursor: before.length - word.length + completed.length });
    },
    submit: () => (input.text.trim() === '' ? {} : { action: { name: 'sql', argument: input.text } }),
  };
}

const wordOf = (text: string): string => /[A-Za-z0-9_]*$/.exec(text)?.[0] ?? '';

/** Views, the columns of those that the text names, and the words of SQL. */
function candidates({ views, columns }: SqlNames, text: string, word: string): string[] {
  const named = views.filter(view => new RegExp(`\\b${view}\\b`).test(text));
  const all = [...views, ...new Set(named.flatMap(view => columns.get(view) ?? [])), ...KEYWORDS];
  const lower = word.toLowerCase();
  return all.filter(name => name.toLowerCase().startsWith(lower));
}

function commonStart(found: readonly string[], word: string): string {
  const [first] = found;
  if (first === undefined) return word;
  let end = first.length;
  for (const name of found) while (!name.toLowerCase().startsWith(first.slice(0, end).toLowerCase())) end -= 1;
  return found.length === 1 ? `${first} ` : first.slice(0, end);
}

/** What may be meant by the word that is typed; else the columns of the views that were named, else the views. */
function hint(names: SqlNames, input: InputState, columns: number): Line[] {
  const word = wordOf(input.text.slice(0, input.cursor));
  const found = word === '' ? [] : candidates(names, input.text, word).filter(name => name !== word);
  if (found.length > 0) return listed('', found, columns);
  const named = names.views.filter(view => new RegExp(`\\b${view}\\b`).test(input.text));
  return named.length > 0
    ? named.slice(0, 2).flatMap(view => listed(`${view}: `, names.columns.get(view) ?? [], columns))
    : listed('', names.views, columns);
}

function listed(name: string, words: readonly string[], columns: number): Line[] {
  const lines = wrapText(`${name}${words.join('  ')}`, columns - 2);
  const shown = lines.slice(0, 4);
  return shown.map((text, i): Line => {
    const more = i === 3 && lines.length > 4 ? ' …' : '';
    if (i === 0 && name !== '') return [span(` ${name}`, 'name'), span(text.slice(name.length), 'dim')];
    return line(` ${text}${more}`, 'dim');
  });
}
