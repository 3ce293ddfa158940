import { execFile } from 'node:child_process';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test, vi } from 'vitest';
import { poolEnded } from '../../src/proxy/passing.ts';
import { openSessions } from '../../src/proxy/sessions.ts';
import { eventually, makeRig } from '../rig/rig.ts';
import { statusOf } from '../rig/wire.ts';

const tls = createRequire(import.meta.url)('node:tls') as typeof import('node:tls');

test('the proxy loads neither the undici that is in Node nor the parts of undici that it does not use', async () => {
  const proxy = new URL('../../src/proxy/proxy.ts', import.meta.url).href;
  const script = `await import(${JSON.stringify(proxy)});
    const { createRequire } = await import('node:module');
    const files = Object.keys(createRequire(${JSON.stringify(proxy)}).cache);
    const loaded = [...process.moduleLoadList, ...files].filter(name => /internal.deps.undici|undici.lib.(web|mock|cache)/.test(name));
    console.log(JSON.stringify(loaded), files.some(file => file.endsWith('pool.js')));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  });
  expect(stdout.trim()).toBe('[] true');
});

test('what OpenSSL keeps of a connection to the primary is freed when it is closed', async () => {
  const closes: ReturnType<typeof vi.fn>[] = [];
  const { createSecureContext } = tls;
  tls.createSecureContext = options => {
    const made = createSecureContext(options);
    const close = vi.fn(() => Object.getPrototypeOf(made.context).close.call(made.context));
    if (options?.key !== undefined && options.cert !== undefined && !('ticketKeys' in options)) {
      made.context.close = close;
      closes.push(close);
    }
    return made;
  };
  syncBuiltinESMExports();
  try {
    await using rig = await makeRig({
      raw: async connection => {
        await connection.request();
        connection.write('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok');
      },
    });
    const agent = await rig.agent();
    closes.length = 0;
    agent.write('GET /puppet/v3/status/x HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(statusOf(await agent.answer())).toBe(200);
    expect(closes).toHaveLength(1);
    await eventually(() => closes[0]!.mock.calls.length === 1);
  } finally {
    tls.createSecureContext = createSecureContext;
    syncBuiltinESMExports();
  }
});

test('a session that is remembered keeps no memory but its own', () => {
  const sessions = openSessions();
  sessions.remember('key', 'ca', Buffer.from('x'.repeat(2000)));
  expect(sessions.ticket('key', 'ca')?.toString()).toBe('x'.repeat(2000));
  expect(sessions.ticket('key', 'ca')?.buffer.byteLength).toBe(2000);
});

test('while many pools are closed, the heap is collected earlier', () => {
  const { gc } = globalThis;
  const v8 = createRequire(import.meta.url)('node:v8') as typeof import('node:v8');
  const flags = vi.spyOn(v8, 'setFlagsFromString').mockReturnValue(undefined);
  syncBuiltinESMExports();
  vi.useFakeTimers();
  Object.assign(globalThis, { gc: () => undefined });
  try {
    for (let n = 0; n < 99; n++) poolEnded();
    expect(flags.mock.calls).toEqual([]);
    poolEnded();
    vi.advanceTimersByTime(20_000);
    expect(flags.mock.calls).toEqual([['--heap-growing-percent=40']]);
    vi.advanceTimersByTime(20_000);
    expect(flags.mock.calls.at(-1)).toEqual(['--heap-growing-percent=100']);
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    Object.assign(globalThis, { gc });
    vi.useRealTimers();
    flags.mockRestore();
    syncBuiltinESMExports();
  }
});
