import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Connection, Exchange } from '../../src/model.ts';
import { openAuthority } from '../../src/pki/authority.ts';
import { openIdentities } from '../../src/pki/identity.ts';
import { type ProxyOptions, type RunningProxy, startProxy } from '../../src/proxy/proxy.ts';
import { type CertificateOptions, type DemoCa, makeDemoCa, makeKey } from '../peers/ca.ts';
import type { Place } from '../peers/lines.ts';
import { type DemoPrimary, type DemoPrimaryOptions, startDemoPrimary } from '../peers/primary.ts';
import { type Dialled, type DialOptions, dial, dialPlain, type RawPrimary, type Script, startRawPrimary } from './raw.ts';
import { type MemoryTape, memoryTape } from './tape.ts';
import type { Wire } from './wire.ts';

/** Key and certificate of an agent. */
export interface Pair {
  keyPem: string;
  certPem: string;
}

export interface RigOptions {
  /** Of the embedded primary. */
  primary?: DemoPrimaryOptions;
  /** Answers by hand instead, once the proxy knows the primary. */
  raw?: Script;
  /** Certnames with a certificate of the primary's CA, known to the proxy (`identity import`). Default `agent1.example`. */
  certnames?: readonly string[];
  /** Whether the proxy reaches the primary by this name. Default `localhost`. */
  primaryName?: string;
  tape?: MemoryTape;
  proxy?: Partial<Omit<ProxyOptions, 'tape' | 'certsDir' | 'onNotice'>>;
}

/** What {@link Rig.agent} may change. */
export type AgentDial = Partial<Omit<DialOptions, 'pair'>> & { pair?: Pair | null };

/** A proxy between real TLS peers, with everything that it saw. */
export interface Rig extends AsyncDisposable {
  readonly dir: string;
  readonly ca: DemoCa;
  /** Throws in a rig with `raw`. */
  readonly primary: DemoPrimary;
  /** Throws in a rig without `raw`. */
  readonly raw: RawPrimary;
  readonly proxy: RunningProxy;
  readonly tape: MemoryTape;
  readonly notices: readonly string[];
  readonly origin: { host: string; port: number };
  /** For `runDemoAgent`: straight to the proxy, or through CONNECT. */
  place(via?: 'direct' | 'connect'): Place;
  /** The ready-made key and certificate of a certname. */
  pair(certname: string): Pair;
  /** A new certificate of the primary's CA that the proxy knows nothing of. */
  issue(certname: string, options?: CertificateOptions): Promise<Pair>;
  /** A verified TLS connection to the proxy as the first certname, unless told otherwise. */
  agent(options?: AgentDial): Promise<Dialled>;
  /** A plain TCP connection to the proxy. */
  plain(): Promise<Wire>;
  /** A plain connection on which CONNECT was answered with 200. */
  tunnel(target?: string): Promise<Socket>;
  /** The exchange that ended as the n-th (from 1), once it has. */
  exchange(n?: number): Promise<Exchange>;
  /** The first connection that fits, once there is one. */
  connection(fits: (connection: Connection) => boolean, what?: string): Promise<Connection>;
}

/** Waits for something to come true; fails after 5 s, unless told otherwise. */
export async function eventually<T>(
  get: () => T | undefined | null | false,
  what = 'what the test waits for',
  withinMs = 5000,
): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    const value = get();
    if (value !== undefined && value !== null && value !== false) return value;
    if (performance.now() > end) throw new Error(`it never came: ${what}`);
    await pause(5);
  }
}

let madeCa: Promise<Map<string, string>> | null = null;

/** The files of a CA of ours: one for all rigs of a process, as RSA keys take their time. */
export function authorityFiles(): Promise<Map<string, string>> {
  madeCa ??= (async () => {
    const dir = mkdtempSync(join(tmpdir(), 'stringtap-rig-ca-'));
    try {
      await openAuthority(join(dir, 'ca'));
      const names = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter(name => statSync(join(dir, name)).isFile());
      return new Map(names.map(name => [name, readFileSync(join(dir, name), 'utf8')]));
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  })();
  return madeCa;
}

export async function makeRig(options: RigOptions = {}): Promise<Rig> {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-rig-'));
  const certsDir = join(dir, 'certs');
  for (const [name, text] of await authorityFiles()) {
    mkdirSync(dirname(join(certsDir, name)), { recursive: true, mode: 0o700 });
    writeFileSync(join(certsDir, name), text, { mode: 0o600 });
  }
  const tape = options.tape ?? memoryTape();
  const notices: string[] = [];
  const wires = new Set<Wire>();
  const pairs = new Map<string, Pair>();
  const certnames = options.certnames ?? ['agent1.example'];

  let demo: DemoPrimary | null = null;
  let raw: RawPrimary | null = null;
  let ca: DemoCa;
  if (options.raw === undefined) {
    demo = await startDemoPrimary({ keyType: 'ec', ...options.primary });
    ca = demo.ca;
  } else {
    ca = await makeDemoCa('puppet.example.com', 'self', 'ec');
    raw = await startRawPrimary(ca, options.primary?.host === undefined ? {} : { host: options.primary.host });
  }
  const primary = demo;
  const byHand = raw;
  const origin = { host: options.primaryName ?? 'localhost', port: (demo ?? byHand)?.port ?? 0 };

  async function issue(certname: string, certificate: CertificateOptions = {}): Promise<Pair> {
    const key = await makeKey('ec');
    return { keyPem: key.pem, certPem: ca.issue(certname, key.publicKey, certificate) };
  }

  const identities = openIdentities(join(certsDir, 'identities'));
  for (const certname of certnames) {
    const pair = await issue(certname);
    pairs.set(certname, pair);
    identities.importPair(pair.keyPem, pair.certPem);
    demo?.enter(certname, pair.certPem);
  }
  const proxy = await startProxy({
    listen: { host: '127.0.0.1', port: 0 },
    primary: origin,
    certsDir,
    names: ['puppet.example.com'],
    pool: 'pooled',
    connectOnlyPrimary: false,
    caPem: null,
    caFingerprint: null,
    ...options.proxy,
    tape,
    onNotice: line => void notices.push(line),
  });
  if (byHand !== null && options.raw !== undefined) byHand.script = options.raw;

  function pairOf(certname: string): Pair {
    const pair = pairs.get(certname);
    if (pair === undefined) throw new Error(`the rig has no ${certname}`);
    return pair;
  }

  function kept<T extends Wire>(wire: T): T {
    wires.add(wire);
    return wire;
  }

  async function plain(): Promise<Wire> {
    return kept(await dialPlain(proxy.address.host, proxy.address.port));
  }

  return {
    dir,
    ca,
    get primary() {
      if (primary === null) throw new Error('this rig has a raw primary');
      return primary;
    },
    get raw() {
      if (byHand === null) throw new Error('this rig has the embedded primary');
      return byHand;
    },
    proxy,
    tape,
    notices,
    origin,
    place: (via = 'direct') =>
      via === 'direct'
        ? { ...proxy.address, serverName: 'puppet.example.com', via: null }
        : { host: 'puppet.example.com', port: origin.port, serverName: 'puppet.example.com', via: proxy.address },
    pair: pairOf,
    issue,
    async agent(wanted = {}) {
      const pair = wanted.pair === undefined ? pairOf(certnames[0]!) : wanted.pair;
      return kept(
        await dial({
          ...proxy.address,
          serverName: 'puppet.example.com',
          caPem: proxy.trust.bundle().pem,
          crlPem: proxy.trust.crlBundle().pem,
          ...wanted,
          pair,
        }),
      );
    },
    plain,
    async tunnel(target = `puppet.example.com:${origin.port}`) {
      const wire = await plain();
      wire.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
      const head = await wire.until('\r\n\r\n');
      if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(head);
      wire.socket.removeAllListeners('data');
      return wire.socket;
    },
    exchange: (n = 1) => eventually(() => tape.exchanges[n - 1], `exchange ${n}`),
    connection: (fits, what) => eventually(() => tape.connections.find(fits), what ?? `a connection: ${fits}`),
    async [Symbol.asyncDispose]() {
      tape.release();
      for (const wire of wires) wire.destroy();
      await primary?.[Symbol.asyncDispose]();
      await byHand?.[Symbol.asyncDispose]();
      const closed = await Promise.race([proxy.close().then(() => true), pause(5000, false, { ref: false })]);
      rmSync(dir, { recursive: true, force: true });
      if (!closed) throw new Error('the proxy did not close in 5 s');
    },
  };
}
