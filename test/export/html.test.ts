import { readFileSync } from 'node:fs';
import { launch } from 'puppeteer-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { agent, open } from '../capture/rig.ts';
import { stringtap } from '../commands/reuse-rig.ts';
import { CHROMIUM } from './chromium.ts';
import { type Folder, folder, sample } from './rig.ts';

let dir: Folder;
let file: string;

beforeAll(() => {
  dir = folder();
  file = sample(dir);
});
afterAll(() => dir[Symbol.dispose]());

async function page(capture: string, ...runs: string[]): Promise<{ path: string; html: string }> {
  const path = dir.path('page.html');
  const { code, err } = await stringtap('export', ...runs, '--capture', capture, '--format', 'html', '-o', path);
  expect([code, err]).toEqual([0, []]);
  return { path, html: readFileSync(path, 'utf8') };
}

/** Without tags, as a person reads it. */
const words = (html: string): string =>
  html
    .replace(/<style>.*?<\/style>/s, '')
    .replace(/<[^>]+>/g, ' ')
    .replace(/\s+/g, ' ');

test('a run that failed: why, where, and what mends it come first', async () => {
  const { html } = await page(file, 'r5');
  const text = words(html);
  expect(text).toMatch(
    /web01\.lab, run r5 Result: failed.*Could not find class ::role::webb for web01\.lab .*site\.pp:2:15 started/,
  );
  expect(text).toMatch(/500 \d+ ms/);
  expect(text.indexOf('Findings')).toBeLessThan(text.indexOf('Time'));
  expect(text).toContain('Could not retrieve catalog; skipping run');
});

test('all runs: each has its waterfall, connections, phases and events; nothing is loaded from elsewhere', async () => {
  const { html } = await page(file);
  expect(html.match(/<h1 id="r\d+">/g)).toHaveLength(7);
  expect(html.match(/<svg /g)).toHaveLength(14);
  expect(html).toContain(
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">'.replaceAll(
      "'",
      '&#39;',
    ),
  );
  expect(html).not.toMatch(/<(?:script|link|img|iframe|object|base|form)|\bon\w+=|(?:src|href)="(?!#)|url\(|@import/i);
  expect(words(html)).toContain('ended by its report');
});

const EVIL = `</title></style><script>document.body.remove()</script><img src=x onerror="alert(1)">'"&\u202e`;

test('hostile text is text', { timeout: 60_000 }, async () => {
  const own = dir.path('evil.db');
  const recorder = await open(own);
  const line = agent(recorder, 'agent.example').connect();
  const json = [['Content-Type', 'application/json']] as const;
  const catalog = {
    name: EVIL,
    version: EVIL,
    environment: EVIL,
    resources: [{ type: EVIL, title: EVIL, parameters: { [EVIL]: EVIL }, tags: [], file: EVIL }],
    edges: [],
    classes: [EVIL],
  };
  await line.send(`GET /puppet/v3/file_content/${encodeURIComponent(EVIL)}"><b>`, { bodies: { response: Buffer.from(EVIL) } });
  await line.send('POST /puppet/v3/catalog/agent.example?environment=p', {
    bodies: { response: Buffer.from(JSON.stringify(catalog)) },
    responseFields: json,
  });
  await line.send('POST /puppet/v3/catalog/agent.example?environment=p', {
    status: 500,
    bodies: { response: Buffer.from(JSON.stringify({ message: `Evaluation Error: ${EVIL} (file: ${EVIL}, line: 1)` })) },
    responseFields: json,
  });
  const report = {
    host: EVIL,
    status: EVIL,
    logs: [{ level: EVIL, message: EVIL, source: EVIL }],
    resource_statuses: {
      [EVIL]: {
        resource: EVIL,
        events: [{ property: EVIL, status: EVIL, previous_value: EVIL, desired_value: EVIL, message: EVIL }],
      },
    },
  };
  await line.send('PUT /puppet/v3/report/agent.example?environment=p', {
    bodies: { request: Buffer.from(JSON.stringify(report)) },
    fields: json,
  });
  line.close();
  await recorder.close();
  const { path, html } = await page(own);
  expect(html).not.toMatch(/<script|<img|\u202e/);
  expect(html.match(/<\/title>|<\/style>/g)!.filter(tag => tag === '</style>')).toHaveLength(1);
  if (CHROMIUM === null) return;
  const browser = await launch({ executablePath: CHROMIUM, headless: true, args: ['--no-sandbox'] });
  try {
    const tab = await browser.newPage();
    const asked: string[] = [];
    tab.on('request', request => asked.push(request.url()));
    tab.on('dialog', () => asked.push('dialog'));
    await tab.setViewport({ width: 1280, height: 800 });
    await tab.goto(`file://${path}`);
    expect(await tab.evaluate('document.querySelectorAll("script, img, iframe").length')).toBe(0);
    expect(await tab.evaluate('document.querySelector("h1").textContent')).toBe('agent.example, run r1');
    // no part of it is wider than the window
    expect(await tab.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    expect(asked).toEqual([`file://${path}`]);
  } finally {
    await browser.close();
  }
});
