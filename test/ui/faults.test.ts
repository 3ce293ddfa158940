import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { openStore } from '../../src/capture/store.ts';
import { KEY, LARGE, openUi, sample } from './rig.ts';

test('an exchange that met a fault on purpose says so in its list and on its page', async () => {
  using capture = sample();
  const [catalog] = [...capture.store.exchanges({ phase: 'catalog' })];
  const db = new Database(capture.file);
  db.prepare('INSERT INTO fault (exchange, rule) VALUES (?, ?)').run(catalog!.id, 'delay=20s ~phase catalog ~u \u001b[31m');
  db.close();
  const store = openStore(capture.file);
  try {
    using ui = openUi(store, LARGE);
    await ui.send(':');
    await ui.type('requests');
    await ui.shows('FAULT catalog/');
    await ui.send('/');
    await ui.type('~fault *');
    await ui.shows('1 of 1');
    await ui.send(KEY.enter);
    const page = (await ui.shows('on purpose')).join('\n');
    expect(page).toMatch(/FAULT +on purpose, by --fault 'delay=20s ~phase catalog ~u /);
  } finally {
    store.close();
  }
});
