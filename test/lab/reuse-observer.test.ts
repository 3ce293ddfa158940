import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { makeDemoCa } from '../peers/ca.ts';
import { startRawPrimary } from '../rig/raw.ts';
import { startObserver } from './reuse-observer.ts';

/** The observer of the reuse experiment against Node's own word on each handshake. */
test.each(['TLSv1.3', 'TLSv1.2'] as const)('full and resumed handshakes are told apart on the wire: %s', async version => {
  await using server = await startRawPrimary(await makeDemoCa('localhost', 'self', 'ec'), {
    tls: { minVersion: version, maxVersion: version },
  });
  server.script = connection => connection.write('hello');
  await using observer = await startObserver();
  observer.target = server.port;
  let session: Buffer | undefined;

  async function visit(): Promise<boolean> {
    const socket: TLSSocket = connect({
      ...{ port: observer.port, host: '127.0.0.1', rejectUnauthorized: false },
      ...(session !== undefined && { session }),
    });
    socket.on('session', ticket => {
      session = ticket;
    });
    // Tickets come beside the first data.
    await Promise.all([once(socket, 'data'), session === undefined ? once(socket, 'session') : null]);
    const reused = socket.isSessionReused();
    socket.destroy();
    return reused;
  }

  const words = [await visit(), await visit(), await visit()];
  expect(words).toEqual([false, true, true]);
  expect(observer.seen).toEqual({ connections: 3, clientHellos: 3, offered: 2, resumed: 2, full: 1 });
  observer.reset();
  session = undefined;
  expect(await visit()).toBe(false);
  expect(observer.seen).toEqual({ connections: 1, clientHellos: 1, offered: 0, resumed: 0, full: 1 });
});
