import { copyFileSync, existsSync } from 'node:fs';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { openForReading } from '../../src/capture/database.ts';
import { openStore } from '../../src/capture/store.ts';
import { agent, closing, joined, noise, open, tempDir } from './rig.ts';

const FILE = 'GET /puppet/v3/file_content/modules/m/f?';

async function add(file: string, count: number, bytes = 300): Promise<void> {
  const recorder = await open(file);
  const line = agent(recorder, 'a.lab').connect();
  for (let n = 0; n < count; n++) await line.send(FILE, { bodies: { response: noise(bytes, n) } });
  line.close();
  await recorder.close();
}

function pragma(file: string, name: string): number {
  using db = closing(openForReading(file));
  return Number(db.pragma(name, { simple: true }));
}

function isWhole(file: string, count: number): void {
  using store = closing(openStore(file, 'bodies'));
  expect([...store.exchanges()]).toHaveLength(count);
  expect(joined(store.body(1, 'response')).equals(noise(300, 0))).toBe(true);
  using db = closing(openForReading(file));
  expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
}

test('a small capture at rest takes as little as it can, and is written with larger pages', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  await add(file, 20);
  expect(['page_size', 'freelist_count', 'auto_vacuum'].map(name => pragma(file, name))).toEqual([1_024, 0, 2]);
  isWhole(file, 20);

  const recorder = await open(file);
  const line = agent(recorder, 'a.lab').connect();
  await line.send(FILE);
  expect([pragma(file, 'page_size'), pragma(file, 'auto_vacuum')]).toEqual([2_048, 2]);
  line.close();
  await recorder.close();
  expect(pragma(file, 'page_size')).toBe(1_024);
  isWhole(file, 21);
});

test('a large one is left as it is', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  await add(file, 5, 1 << 20);
  expect(pragma(file, 'page_size')).toBe(2_048);
});

test('one that somebody reads is closed without it', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const recorder = await open(file);
  const line = agent(recorder, 'a.lab').connect();
  await line.send(FILE, { bodies: { response: noise(300, 0) } });
  const reader = new Database(file, { readonly: true });
  reader.exec('BEGIN');
  expect(reader.prepare('SELECT count(*) FROM exchange').pluck().get()).toBe(1);
  line.close();
  await recorder.close();
  reader.close();
  expect(pragma(file, 'page_size')).toBe(2_048);
  isWhole(file, 1);
});

test('who was killed in the middle of it left what there was', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const killed = dir.file('killed.db');
  await add(file, 20);
  const db = new Database(file);
  db.pragma('cache_size = 5');
  db.exec('BEGIN IMMEDIATE; UPDATE exchange_row SET early = 1; DELETE FROM packed; DELETE FROM body');
  for (const end of ['', '-journal']) copyFileSync(`${file}${end}`, `${killed}${end}`);
  db.exec('ROLLBACK');
  db.close();
  isWhole(killed, 20);
  expect(existsSync(`${killed}-journal`)).toBe(false);
});
