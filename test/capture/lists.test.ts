import type { Database } from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { openForWriting } from '../../src/capture/database.ts';
import { createListRemoval } from '../../src/capture/list-removal.ts';
import { LIST_NAMES, type ListName } from '../../src/capture/list-schema.ts';
import { type Cells, createLists, PAUSE } from '../../src/capture/lists.ts';
import { createApplyDerived } from '../../src/capture/log.ts';
import { fc } from '../rig/properties.ts';
import { closing, tempDir } from './rig.ts';

function writerOf(db: Database): (name: ListName, owner: number, certname: string, list: readonly Cells[]) => void {
  const lists = createLists(db);
  const apply = createApplyDerived(db);
  return (name, owner, certname, list) => {
    for (const write of lists.of(certname).rows(name, owner, list.length, i => list[i]!)) {
      if (write !== PAUSE) apply({ writes: [write], seq: null, settled: false });
    }
  };
}

const text = fc.constantFrom('a', 'b', 'File[/etc/motd]', '', 'ü', '2 GiB');
const time = fc.option(fc.integer({ min: 1_700_000_000_000, max: 1_900_000_000_000 }), { nil: null });
const seconds = fc.option(
  fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => value + 0), // no -0, which JSON does not know
    fc.integer({ min: 0, max: 1e10 }).map(ns => ns / 1e9),
    fc.constantFrom(0, 30, 1e17, -1, 1e300),
  ),
  { nil: null },
);

const status = fc.record({
  resource: text,
  type: fc.option(text, { nil: null }),
  title: fc.option(text, { nil: null }),
  file: fc.constant(null),
  line: fc.option(fc.nat(), { nil: null }),
  evaluation_time: seconds,
  at: time,
  changed: fc.boolean(),
  failed: fc.constant(false),
  failed_to_restart: fc.constant(false),
  skipped: fc.constant(false),
  out_of_sync: fc.constant(null),
  corrective_change: fc.boolean(),
  change_count: fc.nat(3),
  out_of_sync_count: fc.constant(0),
  provider: fc.constantFrom('posix', null),
  containment_path: fc.constantFrom('[]', '["Stage[main]"]'),
  tags: fc.constant('[]'),
  events: fc.nat(2),
});
const fact = fc.record({ path: text, type: fc.constantFrom('string', 'integer'), value: text, bytes: fc.nat(20) });

/** Lists one after another: each has much of the one before it. */
function histories<T>(row: fc.Arbitrary<T>): fc.Arbitrary<T[][]> {
  const change = fc.record({ at: fc.nat(40), row, what: fc.constantFrom('replace', 'insert', 'remove', 'append', 'nothing') });
  return fc
    .tuple(fc.array(row, { maxLength: 12 }), fc.array(fc.array(change, { maxLength: 3 }), { maxLength: 8 }))
    .map(([first, steps]) => {
      const lists = [first];
      for (const changes of steps) {
        const next = [...lists.at(-1)!];
        for (const { at, row: fresh, what } of changes) {
          const place = next.length === 0 ? 0 : at % next.length;
          if (what === 'replace') next.splice(place, 1, fresh);
          if (what === 'insert') next.splice(place, 0, fresh);
          if (what === 'remove') next.splice(place, 1);
          if (what === 'append') next.push(fresh);
        }
        lists.push(next);
      }
      return lists;
    });
}

/** What the view has to give of a list. */
function shown(list: readonly Cells[]): Record<string, unknown>[] {
  return list.map((cells, i) => ({
    n: i + 1,
    ...Object.fromEntries(Object.entries(cells).map(([name, cell]) => [name, typeof cell === 'boolean' ? Number(cell) : cell])),
  }));
}

describe('lists', () => {
  test.each([
    ['resource_status', status],
    ['fact', fact],
  ] as const)('%s: the view gives every list as it was, whatever the others are, and whichever go', (name, row) => {
    using dir = tempDir();
    using owned = closing(openForWriting(dir.file('a.db'), 0));
    const { db } = owned;
    let owner = 0;
    fc.assert(
      fc.property(
        histories(row as fc.Arbitrary<Cells>),
        fc.array(fc.nat(), { maxLength: 10 }),
        fc.boolean(),
        (lists, leaving, stepwise) => {
          // what a failed try left must not be taken for the fault of a smaller one
          db.exec(`DELETE FROM list; DELETE FROM ${name}_row`);
          const write = writerOf(db);
          const remove = createListRemoval(db, 2);
          const drop = db.prepare<[number]>('DELETE FROM list WHERE owner = ?');
          const read = db.prepare<[number], Record<string, unknown>>(`SELECT * FROM ${name} WHERE exchange = ? ORDER BY n`);
          const alive = new Map<number, readonly Cells[]>();
          for (const list of lists) {
            write(name, ++owner, 'a.lab', list);
            alive.set(owner, list);
          }
          const check = (): void => {
            for (const [id, list] of alive) {
              const rows = read.all(id).map(({ exchange: _, ...cells }) => cells);
              expect(rows).toEqual(shown(list));
            }
          };
          const leave = (id: number): void => {
            if (stepwise) while (!remove('exchange', id));
            drop.run(id);
            alive.delete(id);
          };
          check();
          for (const pick of leaving) {
            const ids = [...alive.keys()];
            if (ids.length === 0) break;
            leave(ids[pick % ids.length]!);
            check();
          }
          for (const id of [...alive.keys()]) leave(id);
          expect(db.prepare(`SELECT count(*) FROM ${name}_row`).pluck().get()).toBe(0);
          if (name === 'fact') db.exec("INSERT INTO fact_fts (fact_fts) VALUES ('integrity-check')");
        },
      ),
      { numRuns: 60 },
    );
  });

  test('what is the same takes nothing, for a node that is like another one too', () => {
    using dir = tempDir();
    using owned = closing(openForWriting(dir.file('a.db'), 0));
    const { db } = owned;
    const write = writerOf(db);
    const edges = Array.from({ length: 50 }, (_, n) => ({ source: 'Class[base]', target: `File[/etc/${n}]` }));
    for (let run = 1; run <= 20; run++) write('edge', run, run % 2 === 0 ? 'a.lab' : 'b.lab', edges);
    expect(db.prepare('SELECT count(*) FROM edge_row').pluck().get()).toBe(50);
    expect(db.prepare('SELECT count(*) FROM edge').pluck().get()).toBe(1000);
  });

  test('what comes and goes does not end what a list is based on', () => {
    using dir = tempDir();
    using owned = closing(openForWriting(dir.file('a.db'), 0));
    const { db } = owned;
    const write = writerOf(db);
    const edges = (moved: boolean): Cells[] =>
      Array.from({ length: 50 }, (_, n) => ({ source: 'Class[base]', target: `File[/etc/${moved && n > 20 ? n + 1 : n}]` }));
    for (let run = 1; run <= 20; run++) write('edge', run, 'a.lab', edges(run % 4 === 0));
    expect(db.prepare('SELECT count(*) FROM edge_row').pluck().get()).toBe(100);
    // what a lasting change leaves is no reason to write more of it than the list has
    const facts = (run: number, changed: number): Cells[] =>
      Array.from({ length: 50 }, (_, n) => ({
        path: `f${n}`,
        type: 'string',
        value: n < changed ? 'new' : n > 47 ? `${run}` : '',
        bytes: 1,
      }));
    for (let run = 1; run <= 60; run++) write('fact', run, 'a.lab', facts(run, run > 10 ? 10 : 0));
    const whole = db.prepare<[], number>('SELECT owner FROM list WHERE kind = 1 AND base = id').pluck().all();
    expect(whole).toEqual([1, 17]);
    expect(db.prepare('SELECT count(*) FROM fact_row').pluck().get()).toBe(2 * 50 + 58 * 2 + 6 * 10);
  });

  test('a base that was deleted before the list was written is not missed', () => {
    using dir = tempDir();
    using owned = closing(openForWriting(dir.file('a.db'), 0));
    const { db } = owned;
    const lists = createLists(db);
    const apply = createApplyDerived(db);
    const edges = (last: string): Cells[] =>
      Array.from({ length: 20 }, (_, n) => ({ source: 's', target: n === 19 ? last : `t${n}` }));
    let pauses = 0;
    for (const [owner, list] of [edges('one'), edges('two')].entries()) {
      for (const write of lists.of('a.lab').rows('edge', owner, list.length, i => list[i]!)) {
        if (write !== PAUSE) apply({ writes: [write], seq: null, settled: false });
        else {
          pauses++;
          // as if --retain had taken half of it before the second list said that it needs it
          db.exec('DELETE FROM edge_row WHERE id & 16777215 > 10');
        }
      }
    }
    expect(pauses).toBe(1);
    const targets = db.prepare<[], string>('SELECT target FROM edge WHERE exchange = 1 ORDER BY n').pluck().all();
    expect(targets).toEqual(edges('two').map(row => row.target));
  });

  test('every list of the schema has its view, its rows and its trigger', () => {
    using dir = tempDir();
    using owned = closing(openForWriting(dir.file('a.db'), 0));
    for (const name of LIST_NAMES) {
      const found = owned.db
        .prepare<[string, string, string], string>('SELECT type FROM sqlite_schema WHERE name IN (?, ?, ?) ORDER BY type')
        .pluck()
        .all(name, `${name}_row`, `list_gone_${name}`);
      expect([name, found]).toEqual([name, ['table', 'trigger', 'view']]);
    }
  });
});
