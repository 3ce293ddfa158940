import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openRecorder } from '../../src/capture/recorder.ts';
import type { RunRow } from '../../src/capture/store.ts';
import { startProxy } from '../../src/proxy/proxy.ts';
import { type AgentRun, runDemoAgent } from '../peers/agent.ts';
import { type AgentState, newAgentState } from '../peers/options.ts';
import { type DemoPrimary, startDemoPrimary } from '../peers/primary.ts';

export const SERVER = 'puppet.example.com';

export interface Folder extends Disposable {
  readonly dir: string;
  path(name: string): string;
}

export function folder(): Folder {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-export-'));
  return {
    dir,
    path: name => join(dir, name),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** A copy of the real recorded runs: reading may bring a file up to date. */
export function sample(into: Folder): string {
  const file = into.path('sample.db');
  copyFileSync(fileURLToPath(new URL('../../captures/sample.db', import.meta.url)), file);
  return file;
}

export interface Scene extends AsyncDisposable {
  readonly file: string;
  readonly certs: string;
  readonly primary: DemoPrimary;
  run(certname: string, state?: AgentState): Promise<AgentRun>;
  /** Ends the proxy and the recording; the primary goes on. */
  end(): Promise<void>;
}

/** An embedded primary behind a proxy that records into a real capture. */
export async function scene(into: Folder, onRun?: (run: RunRow) => void): Promise<Scene> {
  const primary = await startDemoPrimary({ certname: SERVER, keyType: 'ec' });
  const file = into.path('runs.db');
  const certs = into.path('certs');
  const recorder = await openRecorder({
    file,
    recording: {
      startedAt: Date.now(),
      startedMono: performance.now(),
      version: '0',
      pool: 'pooled',
      primaries: [`${primary.host}:${primary.port}`],
      listen: '127.0.0.1:0',
    },
    durability: 'commit',
    maxBodyBytes: null,
    commitWaitMs: 60_000,
    ...(onRun && { onRun }),
  });
  const proxy = await startProxy({
    listen: { host: '127.0.0.1', port: 0 },
    primary: { host: primary.host, port: primary.port },
    certsDir: certs,
    names: [SERVER],
    pool: 'pooled',
    connectOnlyPrimary: true,
    caPem: primary.ca.caPem,
    caFingerprint: null,
    tape: recorder,
    onNotice: () => undefined,
  });
  let ended = false;
  const end = async (): Promise<void> => {
    if (ended) return;
    ended = true;
    await proxy.close();
    await recorder.close();
  };
  return {
    file,
    certs,
    primary,
    run: (certname, state = newAgentState()) =>
      runDemoAgent({ certname, place: { ...proxy.address, serverName: SERVER, via: null }, state, keyType: 'ec' }),
    end,
    async [Symbol.asyncDispose]() {
      await end();
      await primary[Symbol.asyncDispose]();
    },
  };
}
