import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { startProxy } from '../../src/proxy/proxy.ts';
import { open } from '../capture/rig.ts';
import { stringtap } from '../commands/reuse-rig.ts';
import { makeKey } from '../peers/ca.ts';
import { startHeaderPrimary } from '../rig/header-primary.ts';
import { dial } from '../rig/raw.ts';
import { statusOf } from '../rig/wire.ts';
import { fromJson } from './collector.ts';
import { folder } from './rig.ts';

test('a primary that was spoken to in plain HTTP is told, and asked again, in plain HTTP', async context => {
  using dir = folder();
  await using primary = await startHeaderPrimary(true);
  const file = dir.path('plain.db');
  const recorder = await open(file);
  const proxy = await startProxy({
    listen: { host: '127.0.0.1', port: 0 },
    primary: { host: 'localhost', port: primary.port, plain: true },
    certsDir: dir.path('certs'),
    names: [],
    pool: 'pooled',
    connectOnlyPrimary: false,
    caPem: null,
    caFingerprint: null,
    identity: 'headers',
    tape: recorder,
    onNotice: () => undefined,
  });
  const key = await makeKey('ec');
  const pair = { keyPem: key.pem, certPem: primary.ca.issue('agent1.example', key.publicKey) };
  const agent = await dial({ ...proxy.address, serverName: 'localhost', caPem: proxy.trust.bundle().pem, pair });
  const target = '/puppet/v3/node/agent1.example?environment=production';
  agent.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  expect(statusOf(await agent.answer())).toBe(200);
  agent.destroy();
  await proxy.close();
  await recorder.close();

  await stringtap('export', '--capture', file, '--format', 'otlp', '-o', dir.path('spans'));
  const spans = fromJson(readFileSync(dir.path('spans'), 'utf8'));
  const url = `http://localhost:${primary.port}${target}`;
  expect(spans.filter(span => span.kind === 'SPAN_KIND_CLIENT').map(span => span.attributes['url.full'])).toEqual([url]);
  expect(spans.find(span => span.kind === 'SPAN_KIND_SERVER')?.attributes['url.scheme']).toBe('https');

  const { err } = await stringtap('export', '--capture', file, '--format', 'curl', '-o', dir.path('curl'));
  const script = readFileSync(dir.path('curl/curl.sh'), 'utf8');
  const command = script.split('\n').find(line => line.startsWith('curl '))!;
  expect(command).toContain(url);
  expect(err).toEqual([]); // no file of keys is named
  const asked = promisify(execFile)('sh', ['-c', `${command} --write-out '%{http_code}' --output /dev/null`]);
  const { stdout } = await asked.catch((error: { code: number }) => {
    if (error.code === 127) context.skip('curl is not installed');
    throw error;
  });
  expect(stdout).toBe('200');
  expect(primary.seen.at(-1)).toMatchObject({ target, name: 'agent1.example' });
});
