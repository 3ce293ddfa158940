import { afterAll, expect, test } from 'vitest';
import { KEY, openUi, SMALL, sample, type Ui } from './rig.ts';

/** From a resource to all that the run says of it. */

const capture = sample();
const { store } = capture;
afterAll(() => capture[Symbol.dispose]());

async function open(ui: Ui, run: string, tab: string): Promise<void> {
  await ui.send(':');
  await ui.type(`run ${run}`);
  await ui.shows('1 Requests');
  await ui.send(tab);
}

/** The cursor on the row that has a text. */
async function goTo(ui: Ui, text: string): Promise<void> {
  await ui.send('/');
  await ui.type(text);
  await ui.shows(text);
  expect(ui.frame().find(row => row.startsWith('▌'))).toContain(text);
}

test('a resource that failed leads to the report, the catalog and the run before', async () => {
  using ui = openUi(store, SMALL);
  await open(ui, 'r4', '4');
  await ui.shows('failure*');
  await ui.send(KEY.enter);
  const text = (await ui.shows('what became of it')).join('\n');
  expect(text).toMatch(/▾ failure returns notrun → \["0"\]\n +message: change from 'notrun' to \['0'\] failed/);
  expect(text).toContain('err change from');
  expect(text).toContain('command => /bin/false');
  expect(text).toMatch(/in the run before, r2.*\n +the catalog wanted the same\n +nothing happened to it/);
  const [report] = store.exchanges({ run: 4, phase: 'report' });
  await goTo(ui, 'is the report');
  await ui.send(KEY.enter);
  expect((await ui.shows('[1 Summary]'))[0]).toContain(`e${report!.id} PUT report/web01.lab`);
  await ui.send(KEY.esc, KEY.esc);
  await ui.shows('[4 Events]');
});

test('what the run before said otherwise is told', async () => {
  using ui = openUi(store, SMALL);
  const events = store.decoded.rows('event', { run: 7 });
  await open(ui, 'r7', '4');
  await ui.shows(events[0]!.resource.slice(0, 20));
  await ui.send(KEY.enter);
  await ui.shows('-worker_processes 2;');
  await goTo(ui, 'in the run before, r4');
  const [old, own] = [4, 7].map(
    run => store.decoded.rows('resource', { run }).find(row => row.title === '/srv/web/nginx/nginx.conf')!,
  );
  expect(old!.parameters.content).not.toBe(own!.parameters.content);
  await goTo(ui, 'the catalog wanted something else');
  await ui.send('G');
  await ui.shows('is that catalog');
  expect(ui.frame().join('\n')).toMatch(/content differs:\n +-worker_processes 2;\n +\+worker_processes 4;/);
});

test('a file leads to the content that was fetched for it', async () => {
  using ui = openUi(store, SMALL);
  const [content] = store.decoded
    .rows('file_content', { run: 1 })
    .filter(row => row.key?.endsWith('nginx/mime.types') || row.key?.endsWith('mime.types'));
  await open(ui, 'r1', '2');
  await ui.shows('Stage[main]');
  await goTo(ui, 'File[/srv/web/nginx/mime.types]');
  await ui.send(KEY.enter);
  await goTo(ui, 'what became of it, its content');
  await ui.send(KEY.enter);
  await ui.shows('› File[/srv/web/nginx/mime.types]');
  await goTo(ui, `e${content!.exchange} carried`);
  await ui.send(KEY.enter);
  await ui.shows('[3 Response]');
  await ui.shows('types {');
});

test('the finding of a resource that failed leads to it', async () => {
  using ui = openUi(store, SMALL);
  await open(ui, 'r4', '9');
  await ui.shows('1 resource failed');
  await ui.send(KEY.enter);
  await goTo(ui, 'resource: Exec[maintenance is over]');
  await ui.send(KEY.enter);
  await ui.shows('failure returns notrun');
});
