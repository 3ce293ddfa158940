import type { Database } from 'better-sqlite3';
import { idsOf, LIST_NAMES, LIST_TABLES } from './list-schema.ts';

interface Stored {
  id: number;
  base: number;
}

/**
 * Deletes rows of lists a part at a time, for the triggers of the full-text index make each one dear. The lists themselves go with what they
 * belong to; a trigger deletes what is left then.
 *
 * @param step rows that one call deletes at most
 * @returns a function that tells whether all rows that go with an exchange, or a body, are gone
 */
export function createListRemoval(db: Database, step: number): (owner: 'exchange' | 'body', id: number) => boolean {
  const kinds = LIST_NAMES.map(name => {
    const { code, owner } = LIST_TABLES[name];
    return {
      owner,
      of: db.prepare<[number], Stored>(`SELECT id, base FROM list WHERE owner = ? AND kind = ${code}`),
      remove: db.prepare<[{ list: number; step: number }]>(
        `DELETE FROM ${name}_row WHERE id IN (SELECT id FROM ${name}_row WHERE id ${idsOf(':list')} LIMIT :step)`,
      ),
    };
  });
  const based = db.prepare<[number, number], number>('SELECT 1 FROM list WHERE base = ? AND id <> ? LIMIT 1').pluck();
  const present = db.prepare<[number], number>('SELECT 1 FROM list WHERE id = ?').pluck();

  /** Lists whose rows nobody needs when this one is gone: its own, then those of its base. */
  function freed({ id, base }: Stored): number[] {
    const own = based.get(id, id) === undefined ? [id] : [];
    return base !== id && present.get(base) === undefined && based.get(base, id) === undefined ? [...own, base] : own;
  }

  return (owner, id) => {
    for (const kind of kinds) {
      if (kind.owner !== owner) continue;
      for (const list of kind.of.all(id)) {
        for (const gone of freed(list)) if (kind.remove.run({ list: gone, step }).changes === step) return false;
      }
    }
    return true;
  };
}
