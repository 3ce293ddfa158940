/**
 * What the proxy takes of two modules that bring much along when they are imported as a whole: together a fifth of a second, and 25 MB for as long as
 * the process lives.
 */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/**
 * Node's HTTP. An `import` of it reads all that it exports, and with its `WebSocket` loads the undici that is in Node.
 */
export const { createServer, request, STATUS_CODES } = process.getBuiltinModule('node:http');

export const { Client, Pool } = dispatchers();

/** undici without fetch, caches, WebSockets and mocks. Where its files are is its own business: from elsewhere it comes as a whole. */
function dispatchers(): Pick<typeof import('undici'), 'Client' | 'Pool'> {
  try {
    return { Client: require('undici/lib/dispatcher/client.js'), Pool: require('undici/lib/dispatcher/pool.js') };
  } catch {
    return require('undici');
  }
}
