import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { choosePrimaries, primaryOption } from '../../src/commands/primary-option.ts';
import { startProxy } from '../../src/proxy/proxy.ts';
import { srvAsker, srvPlaces } from '../../src/proxy/srv.ts';
import { makeKey } from '../peers/ca.ts';
import { type SrvTuple, startDns } from '../rig/dns.ts';
import { type HeaderPrimary, startHeaderPrimary } from '../rig/header-primary.ts';
import { dial } from '../rig/raw.ts';
import { eventually } from '../rig/rig.ts';
import { memoryTape } from '../rig/tape.ts';
import { statusOf } from '../rig/wire.ts';

describe('the places of a service', () => {
  test('are tried by priority, and by weight among equals, as Puppet does it', async () => {
    await using dns = await startDns({
      '_x-puppet._tcp.example.com': [
        ['last.example.com', 8140, 20, 0],
        ['small.example.com', 8140, 10, 0],
        ['large.example.com', 8141, 10, 3],
      ],
    });
    const ask = srvAsker([dns.address]);
    const hosts = async (chance: number) => (await srvPlaces('example.com', 'puppet', ask, () => chance)).map(one => one.host);
    // Shares of 1 and 30.
    expect(await hosts(0)).toEqual(['small.example.com', 'large.example.com', 'last.example.com']);
    expect(await hosts(0.04)).toEqual(['large.example.com', 'small.example.com', 'last.example.com']);
    expect(await hosts(0.999)).toEqual(['large.example.com', 'small.example.com', 'last.example.com']);
  });

  test('a service without records is where puppet is; a domain without any has none', async () => {
    await using dns = await startDns({
      '_x-puppet._tcp.example.com': [['puppet.example.com', 8140, 0, 0]],
      '_x-puppet-ca._tcp.example.com': [['ca.example.com', 8150, 0, 0]],
    });
    const ask = srvAsker([dns.address]);
    expect(await srvPlaces('example.com.', 'ca', ask)).toEqual([{ host: 'ca.example.com', port: 8150 }]);
    expect(await srvPlaces('example.com', 'report', ask)).toEqual([{ host: 'puppet.example.com', port: 8140 }]);
    expect(await srvPlaces('example.com', 'fileserver', ask)).toEqual([{ host: 'puppet.example.com', port: 8140 }]);
    expect(await srvPlaces('nowhere.example', 'ca', ask)).toEqual([]);
    expect(dns.asked).toContain('_x-puppet-report._tcp.example.com');
    await expect(choosePrimaries([{ srv: 'nowhere.example' }], ask)).rejects.toThrow(
      'nowhere.example has no SRV records of Puppet',
    );
  });

  test('records that name no host or no port are left out, and no more than 64 are looked at', async () => {
    const many = Array.from({ length: 15 }, (_, n): SrvTuple => [`h${n}.example.com`, 8140, n, 0]);
    await using dns = await startDns({
      '_x-puppet._tcp.bad.example': [
        ['', 8140, 0, 0],
        ['a/../b', 8140, 0, 0],
        ['\u001b[2J', 8140, 0, 0],
        ['good.example.com', 0, 0, 0],
        ['good.example.com', 8140, 1, 0],
      ],
      '_x-puppet._tcp.many.example': many,
    });
    const ask = srvAsker([dns.address]);
    expect(await srvPlaces('many.example', 'puppet', ask)).toHaveLength(15);
    const hundred = Array.from({ length: 100 }, () => ({ name: 'h.example.com', port: 8140, priority: 0, weight: 0 }));
    expect(await srvPlaces('x.example', 'puppet', async () => hundred)).toHaveLength(64);
    const good = await srvPlaces('bad.example', 'puppet', ask).catch((error: unknown) => error);
    // c-ares refuses the whole answer when a name in it is none; otherwise one place is left.
    if (Array.isArray(good)) expect(good).toEqual([{ host: 'good.example.com', port: 8140 }]);
    else expect(good).toMatchObject({ code: 'EBADRESP' });
    const raw = [
      { name: 'a/../b', port: 8140, priority: 0, weight: 0 },
      { name: 'ok.example', port: 8140, priority: 0, weight: 0 },
    ];
    expect(await srvPlaces('x.example', 'puppet', async () => raw)).toEqual([{ host: 'ok.example', port: 8140 }]);
  });
});

test('--primary takes hosts, plain HTTP and a domain', () => {
  expect(primaryOption('puppet.example.com')).toEqual({ host: 'puppet.example.com', port: 8140 });
  expect(primaryOption('http://[::1]:8080/')).toEqual({ host: '::1', port: 8080, plain: true });
  expect(primaryOption('SRV:example.com')).toEqual({ srv: 'example.com' });
  for (const wrong of ['SRV:', 'SRV:a b', 'SRV:-/x', 'http://', 'ftp://x']) expect(() => primaryOption(wrong), wrong).toThrow();
});

test('behind one proxy the first that answers takes catalogs, and CA, reports and files go where their records say', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-srv-'));
  await using main = await startHeaderPrimary(false);
  await using reports = await startHeaderPrimary(false, main.ca);
  await using files = await startHeaderPrimary(false, main.ca);
  const gone = await startHeaderPrimary(false, main.ca);
  await gone[Symbol.asyncDispose]();
  await using dns = await startDns({
    '_x-puppet._tcp.example.com': [
      ['localhost', gone.port, 0, 0],
      ['localhost', main.port, 10, 0],
    ],
    '_x-puppet-ca._tcp.example.com': [['localhost', main.port, 0, 0]],
    '_x-puppet-report._tcp.example.com': [['localhost', reports.port, 0, 0]],
    '_x-puppet-fileserver._tcp.example.com': [
      ['localhost', gone.port, 0, 0],
      ['localhost', files.port, 1, 0],
    ],
  });
  // Neither gives a list of its CA: as compilers without a CA.
  reports.givesCrl = false;
  files.givesCrl = false;
  const chosen = await choosePrimaries([{ srv: 'example.com' }], srvAsker([dns.address]));
  const notices: string[] = [];
  const proxy = await startProxy({
    listen: { host: '127.0.0.1', port: 0 },
    primary: chosen.primary,
    standbys: chosen.standbys,
    services: chosen.services!,
    certsDir: join(dir, 'certs'),
    names: [],
    pool: 'pooled',
    connectOnlyPrimary: false,
    caPem: null,
    caFingerprint: null,
    identity: 'headers',
    tape: memoryTape(),
    onNotice: line => void notices.push(line),
  });
  try {
    expect(notices).toEqual(Array(2).fill(expect.stringMatching(/cannot be used: .*ECONNREFUSED.*; the next one is taken$/)));
    const key = await makeKey('ec');
    const pair = { keyPem: key.pem, certPem: main.ca.issue('agent1.example', key.publicKey) };
    const agent = await dial({ ...proxy.address, serverName: null, caPem: null, pair });
    const ask = async (line: string): Promise<number> => {
      agent.write(`${line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
      return statusOf(await agent.answer(line.split(' ', 1)[0]));
    };
    expect(await ask('GET /puppet/v3/node/agent1.example?environment=production')).toBe(200);
    expect(await ask('PUT /puppet/v3/report/agent1.example?environment=production')).toBe(200);
    expect(await ask('GET /puppet/v3/file_metadatas/plugins?environment=production')).toBe(200);
    expect(await ask('HEAD /puppet/v3/file_bucket_file/sha256/00?environment=production')).toBe(200);
    const seen = (primary: HeaderPrimary) => primary.seen.map(one => one.target.split('/')[3]);
    expect(seen(main)).toEqual(['node', 'file_bucket_file']);
    expect(seen(reports)).toEqual(['report']);
    expect(seen(files)).toEqual(['file_metadatas']);
    agent.destroy();
  } finally {
    await proxy.close();
    rmSync(dir, { recursive: true, force: true });
  }
});

describe('a proxy that runs for long', () => {
  /** A proxy for the domain, and whom an agent of its CA reaches by it. */
  async function running(zone: { [name: string]: SrvTuple[] }, followEveryMs: number, main: HeaderPrimary) {
    const dir = mkdtempSync(join(tmpdir(), 'stringtap-srv-'));
    const dns = await startDns(zone);
    const choose = () => choosePrimaries([{ srv: 'example.com' }], srvAsker([dns.address]));
    const chosen = await choose();
    const notices: string[] = [];
    const proxy = await startProxy({
      listen: { host: '127.0.0.1', port: 0 },
      primary: chosen.primary,
      standbys: chosen.standbys,
      services: chosen.services!,
      follow: choose,
      followEveryMs,
      certsDir: join(dir, 'certs'),
      names: [],
      pool: 'pooled',
      connectOnlyPrimary: false,
      caPem: null,
      caFingerprint: null,
      identity: 'headers',
      standingMs: 60_000,
      tape: memoryTape(),
      onNotice: line => void notices.push(line),
    });
    const key = await makeKey('ec');
    const pair = { keyPem: key.pem, certPem: main.ca.issue('agent1.example', key.publicKey) };
    return {
      notices,
      dns,
      /** Folders of primaries. */
      pinned: () => readdirSync(join(dir, 'certs', 'primaries')),
      async ask(): Promise<number> {
        const agent = await dial({ ...proxy.address, serverName: null, caPem: null, pair });
        agent.write('GET /puppet/v3/node/agent1.example?environment=production HTTP/1.1\r\nHost: x\r\n\r\n');
        const status = statusOf(await agent.answer());
        agent.destroy();
        return status;
      },
      async [Symbol.asyncDispose]() {
        await proxy.close();
        await dns[Symbol.asyncDispose]();
        rmSync(dir, { recursive: true, force: true });
      },
    };
  }

  test('follows records that changed', async () => {
    await using one = await startHeaderPrimary(false);
    await using two = await startHeaderPrimary(false, one.ca);
    const zone: { [name: string]: SrvTuple[] } = { '_x-puppet._tcp.example.com': [['localhost', one.port, 0, 0]] };
    await using rig = await running(zone, 50, one);
    expect(await rig.ask()).toBe(200);
    expect([one.seen.length, two.seen.length]).toEqual([1, 0]);
    // Records that are gone, or a second place of the same priority, change nothing.
    zone['_x-puppet._tcp.example.com'] = [];
    await eventually(() => rig.notices.some(line => line.includes('has no SRV records')));
    zone['_x-puppet._tcp.example.com'] = [two, one].map(({ port }) => ['localhost', port, 0, 0]);
    const asked = rig.dns.asked.length;
    await eventually(() => rig.dns.asked.length > asked + 12);
    expect(await rig.ask()).toBe(200);
    expect([one.seen.length, two.seen.length]).toEqual([2, 0]);
    zone['_x-puppet._tcp.example.com'] = [['localhost', two.port, 0, 0]];
    await eventually(() => rig.notices.some(line => line.includes('is the primary now')));
    expect(await rig.ask()).toBe(200);
    expect([one.seen.length, two.seen.length]).toEqual([2, 1]);
  });

  test('stays with the CA that it knows: who speaks for DNS is not its CA', async () => {
    await using one = await startHeaderPrimary(false);
    await using stranger = await startHeaderPrimary(false);
    const zone: { [name: string]: SrvTuple[] } = { '_x-puppet._tcp.example.com': [['localhost', one.port, 0, 0]] };
    await using rig = await running(zone, 50, one);
    expect(await rig.ask()).toBe(200);
    zone['_x-puppet._tcp.example.com'] = [['localhost', stranger.port, 0, 0]];
    await eventually(() => rig.notices.some(line => line.includes('is the primary now') || line.includes('cannot be used')));
    expect(await rig.ask()).toBe(200);
    expect([one.seen.length, stranger.seen.length]).toEqual([2, 0]);
    expect(rig.notices.join('\n')).toContain(`localhost:${stranger.port}`);
    zone['_x-puppet._tcp.example.com'] = [['localhost', one.port, 0, 0]];
    await eventually(() => !rig.pinned().includes(`localhost_${stranger.port}`));
    expect(rig.pinned()).toEqual([`localhost_${one.port}`]);
  });

  test.each(['has the CA, too', 'is another than the CA'])('goes to a standby when its primary is down, which %s', async what => {
    const one = await startHeaderPrimary(false);
    await using two = await startHeaderPrimary(false, one.ca);
    await using rig = await running(
      {
        '_x-puppet._tcp.example.com': [
          ['localhost', one.port, 0, 0],
          ['localhost', two.port, 10, 0],
        ],
        '_x-puppet-ca._tcp.example.com': [['localhost', what === 'has the CA, too' ? one.port : two.port, 0, 0]],
      },
      60_000,
      one,
    );
    expect(await rig.ask()).toBe(200);
    await one[Symbol.asyncDispose]();
    expect(await rig.ask()).toBe(502);
    await eventually(() => rig.notices.some(line => line.includes('is the primary now')));
    // Named in header fields, nobody gets in without a list of the CA.
    expect(await rig.ask()).toBe(what === 'has the CA, too' ? 403 : 200);
    expect(two.seen).toHaveLength(what === 'has the CA, too' ? 0 : 1);
  });
});

test('at a start it is said that DNS names a place with another CA than what is known', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-srv-'));
  await using one = await startHeaderPrimary(false);
  await using same = await startHeaderPrimary(false, one.ca);
  await using stranger = await startHeaderPrimary(false);
  const said: string[][] = [];
  for (const { port } of [one, same, stranger, stranger]) {
    const primary = { host: 'localhost', port };
    const notices: string[] = [];
    const proxy = await startProxy({
      listen: { host: '127.0.0.1', port: 0 },
      primary,
      services: { ca: [primary], report: [primary], fileserver: [primary] },
      certsDir: join(dir, 'certs'),
      names: [],
      pool: 'pooled',
      connectOnlyPrimary: false,
      caPem: null,
      caFingerprint: null,
      tape: memoryTape(),
      onNotice: line => void notices.push(line),
    });
    await proxy.close();
    said.push(notices);
  }
  rmSync(dir, { recursive: true, force: true });
  const place = `localhost:${stranger.port}, which DNS names, has another CA than localhost:`;
  expect(said).toEqual([[], [], [expect.stringContaining(place)], []]);
});
