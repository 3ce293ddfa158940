import { join } from 'node:path';
import type { RunRow, Store } from '../capture/store.ts';
import type { Phase, Tape } from '../model.ts';
import { openIdentities } from '../pki/identity.ts';
import { certsLayout } from '../pki/layout.ts';
import { startProxy } from '../proxy/proxy.ts';
import { enrolNames, type PreparedReplay, performReplay, prepareReplay, type Target, unknownNames } from '../replay/agents.ts';
import type { Write } from '../replay/agents-plan.ts';
import { countingTape } from '../replay/agents-tape.ts';
import { startServe } from '../replay/serve.ts';
import { address } from './proxy.ts';

/** The name by which the agents know their primary. Nothing resolves it: they connect to the proxy. */
const SERVER = 'puppet.lab';
const LOOPBACK = { host: '127.0.0.1', port: 0 };
/** The served primary keeps nothing, so everything may be sent. */
const WRITES: ReadonlySet<Write> = new Set<Write>(['report', 'filebucket', 'facts', 'renewal']);
/** A recorded agent's key is not in the capture: its bootstrap is made anew, with a key of this demo. */
const BOOTSTRAP: ReadonlySet<Phase> = new Set<Phase>(['ca', 'crl', 'csr', 'certificate']);
/** CSR and certificate; CA and CRL are known, as the proxy is of this process. */
const BOOTSTRAP_REQUESTS = 2;
/** A certificate is signed at once; so long is waited before something is wrong. */
const ENROL_MS = 10_000;

export interface StageOptions {
  /** The captured runs. */
  store: Store;
  /** Where CAs and identities are made; removed by the caller. */
  dir: string;
  /** What the proxy captures to, whatever the primary's `host:port` is. */
  openTape(primary: string): Promise<Tape & { close(): Promise<void> }>;
  /** Pauses of the recorded agents, cut to this, ms. */
  maxGapMs: number;
  signal: AbortSignal;
}

/** A primary, a proxy and agents, each with a CA or identities of its own, on loopback: captured runs play all parts but the proxy's. */
export interface DemoStage {
  /** `host:port`. */
  readonly primary: string;
  readonly proxy: string;
  /** Sends one run through the proxy, a certname's first one after its bootstrap; what was answered otherwise than then is named. */
  replay(run: RunRow): Promise<{ requests: number; differing: readonly string[] }>;
  /** Requests that the primary had no answer to. */
  missed(): string[];
  /** Closes proxy, tape and primary. */
  close(): Promise<void>;
}

export async function openStage({ store, dir, openTape, maxGapMs, signal }: StageOptions): Promise<DemoStage> {
  const pace = { type: 'max-gap', ms: maxGapMs } as const;
  const served = await startServe({
    store,
    runs: [...store.runs()],
    listen: LOOPBACK,
    certsDir: join(dir, 'primary'),
    names: [SERVER],
    as: [],
    missing: 404,
    pace,
  });
  const closing = [(): Promise<void> => served.close()];
  const close = async (): Promise<void> => {
    for (const one of closing.splice(0).reverse()) await one();
  };
  try {
    const tape = await openTape(address(served.address));
    closing.push(() => tape.close());
    const proxy = await startProxy({
      listen: LOOPBACK,
      primary: served.address,
      certsDir: join(dir, 'proxy'),
      names: [SERVER],
      pool: 'pooled',
      connectOnlyPrimary: true,
      caPem: served.authority.caPem,
      caFingerprint: null,
      tape,
      onNotice: () => undefined, // which CSR stands for which
    });
    closing.push(() => proxy.close());
    const certsDir = join(dir, 'agents');
    const identities = openIdentities(certsLayout(certsDir).identities);
    const target: Target = {
      primary: { ...proxy.address, caPem: () => proxy.authority.caPem },
      identityOf: certname => identities.get(certname),
      identities,
    };

    async function replay(run: RunRow): Promise<{ requests: number; differing: string[] }> {
      const prepared = withoutBootstrap(prepareReplay({ store, runs: [run], writes: WRITES, as: null, agents: null }));
      const unknown = unknownNames(prepared, target);
      if (unknown.length > 0) await enrolNames(unknown, { target, certsDir, waitMs: ENROL_MS, signal });
      const options = { target, pace, arrival: { type: 'queue' }, tape: countingTape(), signal } as const;
      const [result] = await performReplay(store, prepared, options);
      const sent = result?.sent ?? [];
      const differing = sent
        .filter(({ status, recordedStatus }) => status !== recordedStatus)
        .map(({ method, target: asked, status }) => `${method} ${asked}: ${status ?? 'no answer'}`);
      return { requests: sent.length + unknown.length * BOOTSTRAP_REQUESTS, differing };
    }

    return {
      primary: address(served.address),
      proxy: address(proxy.address),
      replay,
      missed: () => served.summary().missed.map(({ method, target: asked }) => `${method} ${asked} has no answer`),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function withoutBootstrap(prepared: PreparedReplay): PreparedReplay {
  const runs = prepared.plan.runs.map(run => {
    return { ...run, steps: run.steps.filter(step => step.type !== 'send' || !BOOTSTRAP.has(step.request.phase)) };
  });
  return { ...prepared, plan: { ...prepared.plan, runs } };
}
