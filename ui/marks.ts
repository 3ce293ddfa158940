/** What the keys that copy, mark, compare, export and send again are about. */
export interface Subject {
  readonly type: 'run' | 'exchange';
  readonly id: number;
}

/** In the order in which they were marked. */
export type Marks = readonly Subject[];

/** `r3`, `e17`. */
export function subjectText({ type, id }: Subject): string {
  return `${type === 'run' ? 'r' : 'e'}${id}`;
}

export function isMarked(marks: Marks, type: Subject['type'], id: number): boolean {
  return marks.some(mark => mark.type === type && mark.id === id);
}

/** Marks a row, or takes its mark away. */
export function toggleMark(marks: Marks, subject: Subject): Marks {
  const { type, id } = subject;
  return isMarked(marks, type, id) ? marks.filter(mark => mark.type !== type || mark.id !== id) : [...marks, subject];
}
