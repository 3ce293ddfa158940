import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { stringtap } from '../commands/reuse-rig.ts';
import { folder, sample } from './rig.ts';

/** Ends a comment, a quoted word, a double-quoted one. */
const PLANTED = `\n: > planted\n'; : > planted; '"; : > planted; "$(: > planted)\`: > planted\``;

test("no word of a stranger's capture is a command of the script", async () => {
  using dir = folder();
  const file = sample(dir);
  const db = new Database(file);
  const columns = db
    .prepare<[], { table: string; column: string }>(
      `SELECT m.name AS "table", c.name AS "column" FROM sqlite_schema m, pragma_table_info(m.name) c
        WHERE m.name IN ('connection', 'route', 'run') AND c.type = 'TEXT' AND c.name NOT IN ('method', 'end', 'leg', 'via')`,
    )
    .all();
  for (const { table, column } of columns) db.prepare(`UPDATE ${table} SET "${column}" = "${column}" || ?`).run(PLANTED);
  db.close();
  await stringtap('export', '--capture', file, '--format', 'curl', '-o', dir.path('curl'));
  const script = readFileSync(dir.path('curl/curl.sh'), 'utf8');
  expect(script).toContain('# e5 ');
  spawnSync('/bin/sh', [], { cwd: dir.dir, input: script, env: { PATH: dir.dir } });
  expect(existsSync(dir.path('planted'))).toBe(false);
});
