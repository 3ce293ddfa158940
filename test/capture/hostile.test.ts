import { existsSync } from 'node:fs';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { rederive } from '../../src/capture/rederive.ts';
import { openStore } from '../../src/capture/store.ts';
import { agent, open, type TempDir, tempDir } from './rig.ts';

/** A capture of one run that is not up to date: the first that reads it writes it, too. */
async function captured(dir: TempDir): Promise<string> {
  const file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'web1.lab').connect();
  await line.send('GET /puppet/v3/file_content/modules/m/f?environment=production', { bodies: { response: Buffer.from('one') } });
  line.close();
  await recorder.close();
  const db = new Database(file);
  db.exec("DELETE FROM derived WHERE name <> 'bodies'");
  db.close();
  return file;
}

/** A name that would be statements of its own, were it put into SQL as it is. */
function statements(before: string, planted: string, after: string): string {
  return `${before}; COMMIT; VACUUM INTO '${planted}'; BEGIN; --${after}`;
}

test('names of tables in the file of a stranger are no SQL', async () => {
  using dir = tempDir();
  const file = await captured(dir);
  const planted = dir.file('planted.db');
  const db = new Database(file);
  db.exec(`CREATE VIRTUAL TABLE "${statements("body_text_fts (body_text_fts) VALUES ('optimize')", planted, '')}" USING fts5(a)`);
  db.close();
  openStore(file, 'bodies').close();
  expect(existsSync(planted)).toBe(false);
});

test('names and text of triggers in the file of a stranger are no SQL', async () => {
  using dir = tempDir();
  const file = await captured(dir);
  const planted = dir.file('planted.db');
  const db = new Database(file);
  db.exec('CREATE TABLE mine (a)');
  db.exec(`CREATE TRIGGER "${statements('IF EXISTS gone', planted, '_fts_out')}" AFTER INSERT ON mine BEGIN SELECT 1; END`);
  db.close();
  try {
    rederive(file);
  } catch {
    // Whether it can be decoded anew is another matter.
  }
  expect(existsSync(planted)).toBe(false);
});
