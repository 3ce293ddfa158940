import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject } from 'vitest';
import type { AccessLine } from './access-log.ts';
import { type Agent, type AgentOptions, type AgentRun, connect, direct, makeAgent, type Way } from './agent.ts';
import { type Outcome, outcome } from './applied.ts';
import { type Lease, leasePrimary, type PrimaryKind } from './primaries.ts';
import type { Primary } from './primary.ts';
import { type ExchangeJson, type LabProxy, startProxy, stringtapJson } from './proxy.ts';
import { SPEAK } from './site.ts';

/** Time for one scenario: several agent runs, on a machine that may be busy. */
export const SCENARIO_MS = 300_000;

type More = Partial<Omit<AgentOptions, 'dir' | 'certname'>>;

/** One real primary, with agents and proxies around it, which lie in one folder that is removed at the end. */
export interface Lab {
  readonly primary: Primary;
  /** A new folder. */
  folder(name: string): string;
  /** `stringtap proxy` in front of the primary, with a CA and a capture of its own. */
  proxy(...args: string[]): Promise<LabProxy>;
  /** A new agent that goes straight to the primary. */
  direct(certname: string, more?: More): Agent;
  /** A new agent that goes through the proxy, by its address or by CONNECT. */
  through(proxy: LabProxy, certname: string, more?: More, how?: 'address' | 'connect'): Agent;
  /** What a fresh run with {@link SPEAK} and a second one without do straight to the primary, asked once. */
  baseline(): Promise<Baseline>;
}

/** The measure of transparency: two runs without a proxy. */
export interface Baseline {
  runs: [Outcome, Outcome];
  lines: AccessLine[];
  certname: string;
}

/** The other kind of primary: one self-made CA, everything signed, TLS 1.2 only, no static catalogs. */
export const SELF_MADE: PrimaryKind = { ca: 'self', autosign: true, tls: 'TLSv1.2', static: false };

/** A primary for the tests of this file alone, as fresh as if it had been started for them. */
export function useLab(kind: PrimaryKind = {}): Lab {
  let root = '';
  let lease: Lease | null = null;
  let folders = 0;
  let measured: Promise<Baseline> | null = null;
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'stringtap-lab-'));
    lease = await leasePrimary(inject('labPrimaries'), kind);
  }, SCENARIO_MS);
  afterAll(() => {
    lease?.giveBack();
    if (root !== '') rmSync(root, { recursive: true, force: true });
  });
  const started = (): Primary => {
    if (lease === null) throw new Error('the primary is not up');
    return lease.primary;
  };
  const folder = (name: string): string => {
    const path = join(root, `${++folders}-${name}`);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const agent = (certname: string, way: Way, { settings, ...more }: More = {}): Agent =>
    makeAgent({ dir: folder(certname), certname, ...way, ...more, settings: { ...way.settings, ...settings } });
  const lab: Lab = {
    get primary() {
      return started();
    },
    folder,
    proxy: (...args) => startProxy({ dir: folder('proxy'), primaryPort: started().port, args }),
    direct: (certname, more) => agent(certname, direct(started().port), { tls12: true, ...more }),
    through(proxy, certname, more, how = 'address') {
      return agent(certname, how === 'address' ? direct(proxy.port) : connect(started().port, proxy.port), more);
    },
    baseline() {
      measured ??= measure(lab);
      return measured;
    },
  };
  return lab;
}

async function measure(lab: Lab): Promise<Baseline> {
  const certname = 'baseline.lab';
  const agent = lab.direct(certname);
  const since = await lab.primary.mark();
  const first = outcome(agent, await agent.run([], SPEAK));
  const second = outcome(agent, await agent.run());
  return { runs: [first, second], lines: await lab.primary.accessLog(since), certname };
}

/** What the proxy asks for itself (the primary's CA and CRLs) is no agent's request. */
export function ofAgents(lines: readonly AccessLine[]): AccessLine[] {
  return lines.filter(line => line.userAgent !== 'stringtap');
}

export async function exchangesOf(proxy: LabProxy, ...args: string[]): Promise<ExchangeJson[]> {
  return stringtapJson<ExchangeJson>(['exchanges', proxy.capture, ...args]);
}

/**
 * The capture and the primary's access log tell the same story: as many exchanges, the same ones, the same statuses, in the same
 * order; and the primary saw the agent itself on every request that needs a certificate.
 */
export async function expectSameStory(lab: Lab, proxy: LabProxy, since: number, certname: string): Promise<ExchangeJson[]> {
  const lines = ofAgents(await lab.primary.accessLog(since));
  const exchanges = await exchangesOf(proxy);
  const captured = exchanges.filter(one => one.primaryConnection !== null);
  expect(captured.map(one => `${one.method} ${one.target} ${one.status}`)).toEqual(
    lines.map(line => `${line.method} ${line.target} ${line.status}`),
  );
  for (const line of lines) {
    if (line.target.startsWith('/puppet/')) expect(line).toMatchObject({ user: certname });
    else expect([null, certname]).toContain(line.user);
  }
  return exchanges;
}

/** A request with everything that differs between two agents or two runs put out of it. */
export function shape(request: { method: string; target: string; status: number | null }, certname: string): string {
  const target = request.target
    .replaceAll(certname, '<certname>')
    .replace(/transaction_uuid=[0-9a-f-]{36}/, 'transaction_uuid=<uuid>');
  return `${request.method} ${target} ${request.status}`;
}

/** Fails with what the agent printed, which says more than a wrong exit code. */
export function expectCode(run: AgentRun, code: number): void {
  if (run.code !== code) expect.fail(`the agent ended with ${run.code}, not ${code}:\n${run.stdout}\n${run.stderr}`);
}
