import { afterAll, describe, expect, test } from 'vitest';
import { foldTimes, groupOf, TIMES_BY } from '../../src/analysis/times.ts';
import { openStore } from '../../src/capture/store.ts';
import { duration } from '../../src/commands/present.ts';
import { followCapture } from '../../ui/feed.ts';
import { agent, open, tempDir } from '../capture/rig.ts';
import { KEY, LARGE, openUi, SMALL, sample, type Ui } from './rig.ts';

const capture = sample();
const { store } = capture;
afterAll(() => capture[Symbol.dispose]());

const all = [...store.exchanges()];
const names = (ui: Ui, end = '───'): string[] => {
  const lines = ui.frame();
  const head = lines.findIndex(text => text.includes('P50'));
  const last = lines.findIndex((text, i) => i > head && (text.trim() === '' || text.startsWith(end)));
  return lines.slice(head + 1, last < 0 ? -2 : last).map(text => text.slice(2).split(/ {2,}/)[0]!);
};
const cursor = (ui: Ui): string => ui.frame().find(text => text.startsWith('▌'))!;

describe('times', () => {
  test('show what stringtap times prints, by whatever requests are put together by', async () => {
    using ui = openUi(store, LARGE);
    await ui.send('T');
    for (const by of TIMES_BY) {
      await ui.shows(by.toUpperCase());
      await ui.shows(`1 of ${foldTimes(all, row => groupOf(row, by)).size} `);
      const shown = names(ui);
      for (const [group, times] of foldTimes(all, row => groupOf(row, by))) {
        if (group === null || group.length > 100) continue;
        expect(shown).toContain(group);
        const figures = [times.p50Ms, times.p95Ms, times.p99Ms, times.maxMs, times.totalMs].map(duration);
        const row = ui.frame().find(text => text.slice(2).startsWith(`${group} `))!;
        expect(row.split(/ {2,}/)).toEqual(expect.arrayContaining(figures));
      }
      await ui.send('b');
    }
    await ui.shows('[1 Phase]');
    expect(names(ui).slice(0, 3)).toEqual(['ca', 'crl', 'csr']);
    await ui.send('B');
    await ui.shows('[6 Run]');
    await ui.send(':');
    await ui.type('by status');
    await ui.shows('[5 Status]');
    await ui.send('4');
    await ui.shows('[4 Request]');
  });

  test('lead to the exchanges behind a row, the slowest first, and esc comes back', async () => {
    using ui = openUi(store, SMALL);
    await ui.send('T', 'b');
    await ui.shows('web01.lab');
    await ui.send('j', KEY.enter);
    const db = all.filter(row => row.certname === 'db01.lab').sort((a, b) => b.durationMs - a.durationMs);
    await ui.shows(`1 of ${db.length} `);
    expect(ui.frame()[0]).toContain('times › certname db01.lab');
    expect(cursor(ui)).toContain(`e${db[0]!.id} `);
    await ui.send('/');
    await ui.type('~phase report');
    await ui.shows(`1 of ${db.filter(row => row.phase === 'report').length} `);
    // The times of what is listed.
    await ui.send('T');
    await ui.shows('1 of 1 ');
    expect(names(ui)).toEqual(['report']);
    await ui.send(KEY.esc);
    await ui.shows('STAT');
    await ui.send(KEY.esc);
    await ui.shows(`1 of ${db.length} `);
    await ui.send(KEY.enter);
    await ui.shows('1 Summary');
    await ui.send(KEY.esc, KEY.esc);
    await ui.shows('2 Certname');
    expect(cursor(ui)).toContain('db01.lab');
  });

  test('are sorted by what is shown, and go to what failed', async () => {
    using ui = openUi(store, SMALL);
    await ui.send('T');
    await ui.shows('PHASE▲');
    for (const title of ['REQS▼', 'FAIL▼', 'P50▼', 'P95▼', 'P99▼', 'MAX▼', 'TOTAL▼', 'PHASE▲', 'REQS▼']) {
      await ui.send('o');
      await ui.shows(title);
    }
    const phases = [...foldTimes(all, row => row.phase)].sort(([, a], [, b]) => b.requests - a.requests);
    expect(names(ui)[0]).toBe(phases[0]![0]);
    await ui.send('O');
    await ui.shows('REQS▲');
    expect(names(ui).at(-1)).toBe(phases[0]![0]);
    await ui.send('e');
    expect(cursor(ui)).toContain('catalog');
    await ui.send(':');
    await ui.type('sort p95');
    await ui.shows('P95▼');
    await ui.send('/');
    await ui.type('!~e');
    await ui.shows('/!~e  by p95  1 of 9 ');
    await ui.send('e');
    await ui.shows('nothing here failed');
  });

  test('are of the run that is looked at, of a filter, or of everything', async () => {
    using ui = openUi(store, SMALL);
    await ui.send('G', KEY.enter);
    await ui.shows('1 Requests');
    await ui.send('T');
    const ofRun = all.filter(row => row.run === 1);
    await ui.shows(`of ${foldTimes(ofRun, row => row.phase).size} `);
    expect(ui.frame()[0]).toContain('times of r1');
    await ui.send(KEY.esc, ':');
    await ui.type('times ~c 404');
    await ui.shows('times of ~c 404');
    await ui.shows('requests  ');
    expect(ui.frame().join('\n')).toContain(`of ${all.filter(row => row.status === 404).length}`);
    await ui.send('/');
    await ui.type('nothing-such');
    await ui.shows('no request is like this');
    await ui.send(KEY.esc);
    await ui.shows('P50');
    await ui.send(':');
    await ui.type('times ~nonsense');
    await ui.shows('~nonsense is not known');
  });

  test('of one run lead there', async () => {
    using ui = openUi(store, SMALL);
    await ui.send('T', 'B');
    await ui.shows('[6 Run]');
    await ui.shows('r7');
    await ui.send(' ');
    await ui.shows('1 marked');
    await ui.send(':');
    await ui.type('run');
    await ui.shows('1 Requests');
  });
});

test('times go on while a proxy writes', async () => {
  using dir = tempDir();
  const recorder = await open(dir.file('live.db'));
  const live = openStore(dir.file('live.db'));
  using ui = openUi(live, SMALL, { now: Date.now });
  const stop = followCapture(live, ui.engine.refresh, () => ui.engine.state().live);
  try {
    await ui.send('T');
    await ui.shows('no requests yet');
    const line = agent(recorder, 'agent1.example').connect();
    await line.send('GET /puppet/v3/node/agent1.example?environment=production');
    await ui.shows('1 of 1');
    await line.send('POST /puppet/v3/catalog/agent1.example?environment=production');
    await line.send('POST /puppet/v3/catalog/agent1.example?environment=production');
    await ui.shows('catalog             2');
    await ui.shows('as of ');
    await ui.send('j');
    await line.send('GET /puppet/v3/file_metadata/modules/m/file?environment=production');
    await ui.shows('of 3');
    expect(cursor(ui)).toContain('catalog');
  } finally {
    stop();
    live.close();
    await recorder.close();
  }
});
