import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { rederive } from '../../src/capture/rederive.ts';
import { openStore } from '../../src/capture/store.ts';
import { expected } from './killed.ts';
import { closing, joined, tempDir, until } from './rig.ts';

/** More by hand: STRINGTAP_KILLS=200. */
const KILLS = Number(process.env.STRINGTAP_KILLS ?? 10);

test(
  `killed ${KILLS} times at random moments, no exchange is missing that was told to be committed`,
  async () => {
    using dir = tempDir();
    const [file, notes] = [dir.file('a.db'), dir.file('notes')];
    const child = fileURLToPath(new URL('killed.ts', import.meta.url));
    let noted = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const writer = spawn(process.execPath, [child, file, notes], { stdio: ['ignore', 'ignore', 'inherit'] });
      const ended = once(writer, 'exit');
      const size = (): number => (existsSync(notes) ? readFileSync(notes).length : 0);
      const before = size();
      await until(() => size() > before, 20_000);
      await sleep(Math.random() * 250);
      writer.kill('SIGKILL');
      await ended;

      using store = closing(openStore(file));
      const lines = readFileSync(notes, 'utf8').split('\n').slice(0, -1);
      for (const line of lines.slice(noted)) {
        const [id, n] = line.split(' ').map(Number) as [number, number];
        const exchange = store.exchange(id);
        expect(exchange, `exchange ${id}`).not.toBeNull();
        const { request, response } = expected(n);
        expect(exchange?.target).toBe(`/puppet/v3/file_content/modules/m/${n}?environment=production`);
        expect(joined(store.body(id, 'request')).equals(request), `request of ${id}`).toBe(true);
        expect(joined(store.body(id, 'response')).equals(response), `response of ${id}`).toBe(true);
        expect(exchange?.bodies.every(body => body.cut === null)).toBe(true);
        expect(exchange?.run).not.toBeNull();
      }
      noted = lines.length;
      expect([...store.runs({ ended: false })]).toEqual([]); // the reader has settled what the proxy could not
    }
    expect(noted).toBeGreaterThan(KILLS);

    using db = closing(new Database(file));
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
    expect(db.prepare('SELECT count(DISTINCT id) = count(*) AS once FROM exchange').get()).toEqual({ once: 1 });
    expect(db.prepare('SELECT count(*) AS n FROM recording WHERE ended_at IS NULL').get()).toEqual({ n: KILLS });
    const derived = (): unknown[] =>
      ['v_run', 'run_exchange', 'run_connection'].map(table => db.prepare(`SELECT * FROM ${table}`).all());
    const live = derived();
    rederive(file);
    expect(derived()).toEqual(live);
  },
  120_000 + KILLS * 5_000,
);
