/** What the keys that copy, mark, compare, export and send again are about. */
export interface Subject {
  readonly type: 'run' | 'exchange';
  readonly id: number;
}

/** In the order in which they were marked. */
export type Marks = readonly Subject[];

/** Rows that have a letter, each of its own. */
export type Names = ReadonlyMap<string, Subject>;

/** The sign beside a row: its letter, else `mark` where it is marked, else none. */
export function signOf(
  { marks, names }: { marks: Marks; names: Names },
  type: Subject['type'],
  id: number,
  mark: string,
): string {
  for (const [letter, subject] of names) if (subject.type === type && subject.id === id) return letter;
  return marks.some(known => known.type === type && known.id === id) ? mark : '';
}

/** The letter goes from the row that had it, and the row's own letter too. */
export function withName(names: Names, letter: string, { type, id }: Subject): Names {
  const others = [...names].filter(([, known]) => known.type !== type || known.id !== id);
  return new Map(others).set(letter, { type, id });
}

/** `r3`, `e17`. */
export function subjectText({ type, id }: Subject): string {
  return `${type === 'run' ? 'r' : 'e'}${id}`;
}

function isMarked(marks: Marks, type: Subject['type'], id: number): boolean {
  return marks.some(mark => mark.type === type && mark.id === id);
}

/** Marks a row, or takes its mark away. */
export function toggleMark(marks: Marks, subject: Subject): Marks {
  const { type, id } = subject;
  return isMarked(marks, type, id) ? marks.filter(mark => mark.type !== type || mark.id !== id) : [...marks, subject];
}
