import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestProject } from 'vitest/node';
import { type Primary, type PrimaryOptions, primaryAt, type Running, startPrimary } from './primary.ts';
import { restorePrimary } from './primary-config.ts';

/*
 * A primary takes up to 40 s of CPU to start, so it outlives the test file that asked for it: vitest's own process keeps it, lends it
 * to one file at a time, and takes back what that file changed. A lease is a connection to a Unix socket: one line says which kind,
 * one line answers, and the end of the connection, which comes even when a worker is killed, gives the primary back. The line `end`
 * stops it instead, for tests of a primary that is gone.
 */

declare module 'vitest' {
  interface ProvidedContext {
    /** Path of the socket at which primaries are lent. */
    labPrimaries: string;
  }
}

export type PrimaryKind = Omit<PrimaryOptions, 'dir'>;
type Answer = { running: Running } | { error: string };

interface Kept {
  kind: string;
  primary: Primary;
}

/** Vitest's global set-up: nothing is started before the first lease. */
export default function keepPrimaries(project: TestProject): () => Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'stringtap-lab-primaries-'));
  const all = new Set<Kept>();
  const idle: Kept[] = [];
  let folders = 0;

  async function take(kind: string): Promise<Kept> {
    const at = idle.findIndex(one => one.kind === kind);
    if (at !== -1) return idle.splice(at, 1)[0]!;
    const primary = await startPrimary({ ...(JSON.parse(kind) as PrimaryKind), dir: join(root, String(++folders)) });
    const kept = { kind, primary };
    all.add(kept);
    return kept;
  }

  async function stop(kept: Kept): Promise<void> {
    all.delete(kept);
    await kept.primary[Symbol.asyncDispose]();
    rmSync(kept.primary.dir, { recursive: true, force: true });
  }

  async function lend(socket: Socket): Promise<void> {
    const answer = (line: Answer | 'ended'): boolean => socket.write(`${JSON.stringify(line)}\n`);
    const lines = createInterface(socket);
    // A worker that was killed may leave an error in the place of an end.
    socket.on('error', () => lines.close());
    let kept: Kept | null = null;
    for await (const line of lines) {
      if (line !== 'end') {
        kept = await take(line).catch((error: Error) => {
          answer({ error: error.message });
          return null;
        });
        if (kept === null) continue;
        const { dir, port, httpPort } = kept.primary;
        answer({ running: { dir, port, httpPort } });
      } else if (kept !== null) {
        await stop(kept);
        kept = null;
        answer('ended');
      }
    }
    if (kept === null) return;
    try {
      restorePrimary(kept.primary.dir);
      idle.push(kept);
    } catch {
      // The next one who asks gets another.
      await stop(kept);
    }
  }

  const server = createServer(socket => void lend(socket));
  const path = join(root, 'socket');
  server.listen(path);
  project.provide('labPrimaries', path);
  return async () => {
    server.close();
    await Promise.all([...all].map(stop));
    rmSync(root, { recursive: true, force: true });
  };
}

export interface Lease {
  /** Its `Symbol.asyncDispose` ends the server itself. */
  readonly primary: Primary;
  giveBack(): void;
}

/**
 * A primary of a kind for the caller alone, as if it had just been started.
 *
 * @throws Error with the end of the server's logs when it does not come up
 */
export async function leasePrimary(path: string, kind: PrimaryKind): Promise<Lease> {
  const socket = connect(path);
  const lines = createInterface(socket)[Symbol.asyncIterator]();
  const ask = async <Reply>(line: string): Promise<Reply> => {
    socket.write(`${line}\n`);
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the keeper of the primaries has ended');
    return JSON.parse(value) as Reply;
  };
  const reply = await ask<Answer>(JSON.stringify(kind));
  if ('error' in reply) {
    socket.destroy();
    throw new Error(reply.error);
  }
  return {
    primary: primaryAt(reply.running, async () => void (await ask('end'))),
    giveBack: () => void socket.end(),
  };
}
