import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './agent.ts';
import { listFiles } from './applied.ts';
import { skipLab } from './available.ts';
import { expired, forged, selfSigned } from './forge.ts';
import { exchangesOf, expectCode, ofAgents, SCENARIO_MS, useLab } from './lab.ts';
import { type ConnectionJson, type LabProxy, stringtap, stringtapJson } from './proxy.ts';
import { type Ask, ask, type Credentials, type Reply } from './tls-client.ts';

const ms = { timeout: SCENARIO_MS };

/** What agents ask with their certificate. A body that a catalog request would carry changes nothing for who may ask. */
const PROTECTED: ReadonlyArray<{ method: string; path: (certname: string) => string }> = [
  { method: 'GET', path: certname => `/puppet/v3/catalog/${certname}?environment=production` },
  { method: 'POST', path: certname => `/puppet/v3/catalog/${certname}?environment=production` },
  { method: 'GET', path: certname => `/puppet/v3/node/${certname}?environment=production` },
  { method: 'PUT', path: certname => `/puppet/v3/report/${certname}?environment=production` },
  { method: 'GET', path: () => '/puppet/v3/file_content/modules/base/motd?environment=production' },
  { method: 'GET', path: () => '/puppet/v3/file_metadatas/plugins?recurse=true&environment=production' },
  { method: 'GET', path: () => '/puppet/v3/environments' },
  { method: 'GET', path: () => '/puppet-ca/v1/certificate_statuses/any_key' },
  { method: 'DELETE', path: certname => `/puppet-ca/v1/certificate_status/${certname}` },
  { method: 'GET', path: certname => `/puppet-ca/v1/certificate/../../../puppet/v3/node/${certname}` },
  { method: 'GET', path: certname => `/puppet-ca/v1/certificate/%2e%2e/%2e%2e/%2e%2e/puppet/v3/catalog/${certname}` },
  { method: 'GET', path: certname => `//puppet/v3/catalog/${certname}?environment=production` },
];

function credentialsOf(agent: Agent): Credentials {
  return { cert: agent.ssl(`certs/${agent.certname}.pem`), key: agent.ssl(`private_keys/${agent.certname}.pem`) };
}

/** A status, or a handshake that was refused; never a body of the primary. */
function expectNothing(reply: Reply | { refused: string }, what: string): void {
  if ('refused' in reply) return;
  expect(reply.status, `${what}: ${reply.body}`).toBeGreaterThanOrEqual(400);
  expect(reply.body, what).not.toMatch(/"resources"|motd of|"relative_path"|search_paths|"fingerprint"/);
}

/** Who gets in, asked with real certificates by a TLS client that sends what it likes. */
describe.skipIf(skipLab())('with a real agent and a real primary: who gets in', () => {
  const lab = useLab();

  /** A proxy, and two agents that have enrolled through it and run. */
  let proxy: LabProxy;
  let a: Agent;
  let b: Agent;
  beforeAll(async () => {
    proxy = await lab.proxy();
    [a, b] = [lab.through(proxy, 'alpha.lab'), lab.through(proxy, 'beta.lab')];
    for (const agent of [a, b]) expectCode(await agent.run(), 2);
  }, SCENARIO_MS);
  afterAll(() => proxy?.stop());

  /** Asks everything in vain; what the primary's log says of it stays empty, and the capture has a row for each. */
  async function expectShutOut(proxy: LabProxy, certname: string, options: Ask, what: string): Promise<void> {
    const since = await lab.primary.mark();
    const before = (await exchangesOf(proxy)).length;
    const refusedBefore = await refusals(proxy);
    let handshakes = 0;
    for (const { method, path } of PROTECTED) {
      const reply = await ask(proxy.port, path(certname), { ...options, method });
      expectNothing(reply, `${what}: ${method} ${path(certname)}`);
      if ('refused' in reply) handshakes++;
      else expect(reply.status, what).toBe(403);
    }
    expect(ofAgents(await lab.primary.accessLog(since)), what).toEqual([]);
    const rows = (await exchangesOf(proxy)).slice(before);
    expect(rows.length + handshakes, what).toBe(PROTECTED.length);
    for (const row of rows) {
      expect(row, what).toMatchObject({
        status: 403,
        outcome: 'failed',
        answeredBy: 'proxy',
        certname: null,
        primaryConnection: null,
      });
      expect(['no-certificate', 'certificate-refused'], what).toContain(row.failure?.reason);
    }
    if (handshakes > 0) expect((await refusals(proxy)) - refusedBefore, what).toBeGreaterThanOrEqual(handshakes);
  }

  async function refusals(proxy: LabProxy): Promise<number> {
    const rows = await stringtapJson<ConnectionJson>(['connections', proxy.capture, '--leg', 'agent']);
    return rows.filter(row => row.refusal !== null || row.error !== null).length;
  }

  test('certificate A asking for what is B is refused by the primary itself, in its own words', ms, async () => {
    const since = await lab.primary.mark();
    const before = (await exchangesOf(proxy)).length;
    const asked: Array<[method: string, path: string]> = [
      ['GET', `/puppet/v3/catalog/${b.certname}`],
      ['POST', `/puppet/v3/catalog/${b.certname}`],
      ['GET', `/puppet/v3/node/${b.certname}`],
      ['PUT', `/puppet/v3/report/${b.certname}`],
    ];
    for (const tls of ['TLSv1.2', 'TLSv1.3'] as const) {
      for (const [method, path] of asked) {
        const reply = await ask(proxy.port, `${path}?environment=production`, { method, as: credentialsOf(a), tls });
        const body = `Forbidden request: ${path} (method :${method.toLowerCase()}). Please see the server logs for details.`;
        expect(reply).toMatchObject({ status: 403, body });
      }
      // The same connection's certificate is good for what is its own.
      const mine = await ask(proxy.port, `/puppet/v3/node/${a.certname}?environment=production`, { as: credentialsOf(a), tls });
      expect(mine).toMatchObject({ status: 200 });
    }
    const lines = ofAgents(await lab.primary.accessLog(since));
    expect(lines).toHaveLength(10);
    expect(new Set(lines.map(line => line.user))).toEqual(new Set([a.certname]));
    const rows = (await exchangesOf(proxy)).slice(before);
    expect(rows.map(row => [row.certname, row.answeredBy, row.status, row.outcome])).toEqual(
      lines.map(line => [a.certname, 'primary', line.status, 'answered']),
    );
  });

  test('without a certificate only what Puppet leaves open is answered', ms, async () => {
    const victim = b;
    await expectShutOut(proxy, victim.certname, {}, 'no certificate');
    const claims = {
      'x-client-verify': 'SUCCESS',
      'x-client-dn': `CN=${victim.certname}`,
      'x-client-cert': encodeURIComponent(credentialsOf(victim).cert),
    };
    await expectShutOut(proxy, victim.certname, { headers: claims }, 'a certificate claimed in header fields');
    for (const path of ['/puppet-ca/v1/certificate/ca', '/puppet-ca/v1/certificate_revocation_list/ca', '/status/v1/simple']) {
      expect(await ask(proxy.port, path), path).toMatchObject({ status: 200 });
    }
    const other = await ask(proxy.port, `/puppet-ca/v1/certificate/${victim.certname}`);
    // Certificates are public, and this one is by our CA for the key of the agent.
    expect(other).toMatchObject({ status: 200, body: credentialsOf(victim).cert });
  });

  test('who can reach the port cannot enrol as somebody who is there already', ms, async () => {
    const victim = a;
    // Another machine that names itself so: the primary refuses its CSR, and what it can fetch is no certificate for its key.
    const thief = lab.through(proxy, victim.certname);
    const run = await thief.run();
    expectCode(run, 1);
    expect(run.stderr).toContain('does not match its private key');
    expect(run.lastRunReport).toBeNull();
    expectCode(await victim.run(), 0);
  });

  test('a forged, a foreign and a self-signed certificate open nothing', ms, async () => {
    const { certname } = b;
    const ours = await stringtap(['ca', 'export', '--certs', proxy.certs]);
    expect(ours.code, ours.stderr).toBe(0);
    const dir = lab.folder('forged');
    const cases: Array<[what: string, credentials: Credentials]> = [
      ['self-signed', selfSigned(join(dir, 'self'), certname)],
      ['by a CA of the name of the primary’s', forged(join(dir, 'primary'), certname, readFileSync(lab.primary.caFile, 'utf8'))],
      ['by a CA of the name of ours', forged(join(dir, 'ours'), certname, ours.stdout)],
    ];
    for (const [what, as] of cases) {
      for (const tls of ['TLSv1.2', 'TLSv1.3'] as const) await expectShutOut(proxy, certname, { as, tls }, `${what}, ${tls}`);
    }
  });

  test('an expired certificate opens nothing, whoever signed it', ms, async () => {
    const straight = lab.direct('lapsed.lab');
    const { certname } = straight;
    expectCode(await straight.run(), 2);
    const certs = join(lab.folder('lapsed'), 'certs');
    const imported = await stringtap(['identity', 'import', '--ssldir', straight.ssldir, '--certs', certs]);
    expect(imported.code, imported.stderr).toBe(0);
    await using proxy = await lab.proxy('--certs', certs);
    // The agent's own certificate is good: there is an identity to steal.
    const own = await ask(proxy.port, `/puppet/v3/node/${certname}?environment=production`, { as: credentialsOf(straight) });
    expect(own).toMatchObject({ status: 200 });
    const as = expired(join(lab.folder('expired'), 'ca'), certname, {
      certFile: lab.primary.caFile,
      keyFile: lab.primary.caKeyFile,
    });
    for (const tls of ['TLSv1.2', 'TLSv1.3'] as const) await expectShutOut(proxy, certname, { as, tls }, `expired, ${tls}`);
  });

  test('a revoked certificate opens nothing, by the CRL of the primary', ms, async () => {
    const straight = lab.direct('withdrawn.lab');
    const { certname } = straight;
    expectCode(await straight.run(), 2);
    const certs = join(lab.folder('withdrawn'), 'certs');
    const imported = await stringtap(['identity', 'import', '--ssldir', straight.ssldir, '--certs', certs]);
    expect(imported.code, imported.stderr).toBe(0);
    await lab.primary.revoke(certname);
    await using proxy = await lab.proxy('--certs', certs);
    const since = await lab.primary.mark();
    const before = (await exchangesOf(proxy)).length;
    const reply = await ask(proxy.port, `/puppet/v3/node/${certname}?environment=production`, { as: credentialsOf(straight) });
    expectNothing(reply, 'revoked');
    expect(ofAgents(await lab.primary.accessLog(since))).toEqual([]);
    const [row] = (await exchangesOf(proxy)).slice(before);
    if (row === undefined) expect(await refusals(proxy)).toBeGreaterThan(0);
    else expect(row).toMatchObject({ outcome: 'failed', answeredBy: 'proxy' });
  });

  test('keys and captures are for their owner alone', () => {
    const keys = listFiles(proxy.certs).filter(
      file => file.type === 'file' && readFileSync(join(proxy.certs, file.path), 'latin1').includes('PRIVATE KEY'),
    );
    expect(keys.length).toBeGreaterThan(2);
    for (const file of keys) expect(file, file.path).toMatchObject({ mode: '600' });
    expect(statSync(proxy.capture).mode & 0o777).toBe(0o600);
  });
});
