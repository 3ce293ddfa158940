import { execFileSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { AccessLine } from './access-log.ts';
import { type Agent, connect, direct, makeAgent } from './agent.ts';
import { listFiles, outcome } from './applied.ts';
import { skipLab } from './available.ts';
import { exchangesOf, expectCode, expectSameStory, ofAgents, SCENARIO_MS, shape, useLab } from './lab.ts';
import { type ConnectionJson, stringtap, stringtapJson } from './proxy.ts';
import { SPEAK } from './site.ts';
import { type Ask, ask } from './tls-client.ts';

const ms = { timeout: SCENARIO_MS };

/** Words of an agent's stderr with its port and name put out of them. */
function words(agent: Agent, stderr: string): string {
  return stderr
    .replaceAll(agent.dir, '<dir>')
    .replaceAll(agent.certname, '<certname>')
    .replace(/localhost:\d+/g, 'localhost:<port>')
    .replace(/[0-9A-F]{2}(:[0-9A-F]{2}){31}/g, '<fingerprint>');
}

/** Certificates: asked for, waited for, refused, revoked, and brought along. */
describe.skipIf(skipLab())('with a real agent and a real primary: certificates', () => {
  const lab = useLab();

  test('an agent waits until the primary signs, and gets nothing before', ms, async () => {
    await using proxy = await lab.proxy();
    const certname = 'waiting.manual';
    const agent = lab.through(proxy, certname);
    const since = await lab.primary.mark();
    const early = await agent.run();
    expectCode(early, 1);
    expect(early.stdout).toContain(`Certificate for ${certname} has not been signed yet`);
    expect(await lab.primary.requests()).toContain(certname);

    const waiting = agent.run(['--waitforcert', '2']);
    // Once in the run before, and twice in this one, two seconds apart.
    const inVain = (line: AccessLine): boolean => line.target.endsWith(`/certificate/${certname}`) && line.status === 404;
    while ((await lab.primary.accessLog(since)).filter(inVain).length < 3) await sleep(250);
    expect(existsSync(join(agent.ssldir, 'certs', `${certname}.pem`))).toBe(false);
    await lab.primary.sign(certname);
    expectCode(await waiting, 2);

    const exchanges = await expectSameStory(lab, proxy, since, certname);
    const asked = exchanges.filter(one => one.phase === 'csr' || one.phase === 'certificate');
    const statuses = asked.map(one => `${one.phase} ${one.status}`);
    // The first CSR is taken, each later one is a duplicate, and the certificate is there when it is signed.
    expect(statuses.slice(0, 4)).toEqual(['csr 200', 'certificate 404', 'csr 400', 'certificate 404']);
    expect(statuses.at(-1)).toBe('certificate 200');
    expect(exchanges.filter(one => one.certname === null && one.target.startsWith('/puppet/'))).toEqual([]);
    // The primary signed the key that the proxy keeps, the agent got a certificate for its own.
    const upstream = new X509Certificate(readFileSync(join(lab.primary.dir, 'ca', 'signed', `${certname}.pem`)));
    const own = new X509Certificate(agent.ssl(`certs/${certname}.pem`));
    const key = createPrivateKey(agent.ssl(`private_keys/${certname}.pem`));
    expect([own.checkPrivateKey(key), upstream.checkPrivateKey(key)]).toEqual([true, false]);
  });

  test('a wiped ssldir conflicts as it does without a proxy, until the primary forgets the certname', ms, async () => {
    await using proxy = await lab.proxy();
    const seen: unknown[] = [];
    for (const agent of [lab.direct('wiped-direct.lab'), lab.through(proxy, 'wiped.lab')]) {
      const since = await lab.primary.mark();
      expectCode(await agent.run(), 2);
      agent.wipeSsl();
      const conflict = await agent.run();
      expectCode(conflict, 1);
      expect(conflict.stderr).toContain('does not match its private key');
      await lab.primary.clean(agent.certname);
      agent.wipeSsl();
      const again = await agent.run();
      expectCode(again, 0);
      const lines = ofAgents(await lab.primary.accessLog(since));
      seen.push({
        conflict: words(agent, conflict.stderr),
        again: outcome(agent, again),
        lines: lines.map(line => shape(line, agent.certname)),
      });
      if (agent.certname === 'wiped.lab') await expectSameStory(lab, proxy, since, agent.certname);
    }
    expect(seen[1]).toEqual(seen[0]);
  });

  test.for(['pooled', 'mirror'])('an agent that the primary revoked gets nothing any more, %s connections', ms, async policy => {
    await using proxy = await lab.proxy('--pool', policy);
    const certname = `revoked-${policy}.lab`;
    const agent = lab.through(proxy, certname);
    expectCode(await agent.run(), 2);
    await lab.primary.revoke(certname);
    // A connection of the run before is still open, and older than what is taken for granted (src/proxy/standing.ts).
    await sleep(10_000);
    const since = await lab.primary.mark();
    const run = await agent.run();
    const granted = ofAgents(await lab.primary.accessLog(since)).filter(line => line.user === certname);
    expect(granted.map(line => shape(line, certname))).toEqual([]);
    expectCode(run, 1);
    // The words name the cause, not only that something failed.
    expect(run.stderr).toMatch(/revoked|rejected the certificate/i);
    const refused = (await exchangesOf(proxy)).filter(one => one.outcome === 'failed');
    expect(refused.length).toBeGreaterThan(0);
    expect(new Set(refused.map(one => one.failure!.reason)).size).toBe(1);
    expect(refused[0]!.failure!.reason).toMatch(/^(primary-rejected-identity|certificate-refused)$/);
  });

  test('csr_attributes.yaml and dns_alt_names reach the primary, the catalog and the certificate', ms, async () => {
    await using proxy = await lab.proxy();
    const csrAttributes = `---
custom_attributes:
  1.2.840.113549.1.9.7: 'a challenge'
  1.3.6.1.4.1.34380.1.2.1.1: 'a private attribute'
extension_requests:
  pp_role: webserver
  pp_uuid: ED803750-E3C7-44F5-BB08-41A04433FE2E
  pp_auth_role: front
  1.3.6.1.4.1.34380.1.2.1.2: 'a private extension'
`;
    const settings = { dns_alt_names: 'alias-one,alias-two' };
    const seen: Array<{ extensions: string; csr: string }> = [];
    let certificate = '';
    for (const agent of [
      lab.direct('extended-direct.manual', { csrAttributes, settings }),
      lab.through(proxy, 'extended.manual', { csrAttributes, settings }),
    ]) {
      const { certname } = agent;
      expectCode(await agent.run(), 1);
      const csr = execFileSync(
        'openssl',
        ['req', '-in', join(lab.primary.dir, 'ca', 'requests', `${certname}.pem`), '-noout', '-text', '-nameopt', 'RFC2253'],
        { encoding: 'utf8' },
      );
      await lab.primary.sign(certname);
      const run = await agent.run([], SPEAK);
      expectCode(run, 2);
      const extensions = /^Notice: extensions (.*)$/m.exec(run.stdout)![1]!;
      expect(extensions).toContain('pp_role => webserver');
      expect(extensions).toContain('pp_auth_role => front');
      seen.push({ extensions, csr: attributesOf(csr).replaceAll(certname, '<certname>') });
      certificate = agent.ssl(`certs/${certname}.pem`);
    }
    expect(seen[1]!.extensions).toBe(seen[0]!.extensions);
    expect(seen[1]!.csr).toBe(seen[0]!.csr);
    // The agent's certificate is by another CA, and says of the agent what the primary's says.
    const signed = new X509Certificate(readFileSync(join(lab.primary.dir, 'ca', 'signed', 'extended.manual.pem')));
    const ours = new X509Certificate(certificate);
    expect(ours.subjectAltName?.split(', ').sort()).toEqual(signed.subjectAltName?.split(', ').sort());
    expect(ours.subject).toBe(signed.subject);
    expect(ours.issuer).not.toBe(signed.issuer);
    expect(ours.publicKey.equals(signed.publicKey)).toBe(false);
    for (const oid of [
      '1.3.6.1.4.1.34380.1.1.13',
      '1.3.6.1.4.1.34380.1.1.1',
      '1.3.6.1.4.1.34380.1.3.13',
      '1.3.6.1.4.1.34380.1.2.1.2',
    ]) {
      expect(extension(ours, oid), oid).toBe(extension(signed, oid));
    }
  });

  test('an agent with an EC key', ms, async () => {
    const baseline = await lab.baseline();
    await using proxy = await lab.proxy();
    const certname = 'elliptic.lab';
    const agent = lab.through(proxy, certname, { settings: { key_type: 'ec' } });
    const since = await lab.primary.mark();
    // Puppet 7 cannot make such a CSR on OpenSSL 3 ("pkeys are immutable"), so openssl makes it and the agent finds it done.
    await enrolElliptic(agent, proxy.port);
    const run = await agent.run([], SPEAK);
    expectCode(run, 2);
    expect(outcome(agent, run)).toEqual(baseline.runs[0]);
    expect(outcome(agent, await agent.run())).toEqual(baseline.runs[1]);
    await expectSameStory(lab, proxy, since, certname);
  });

  test('an agent that was enrolled without us is told what is missing, then runs with its imported identity', ms, async () => {
    const straight = lab.direct('imported.lab');
    const { certname } = straight;
    expectCode(await straight.run(), 2);
    const before = listFiles(straight.ssldir);
    await using proxy = await lab.proxy();
    const through = makeAgent({ dir: straight.dir, certname, ...direct(proxy.port) });

    const stranger = await through.run();
    expectCode(stranger, 1);
    expect(stranger.stderr).toContain('certificate verify failed');
    expect(await exchangesOf(proxy)).toEqual([]);
    const handshakes = await stringtapJson<ConnectionJson>(['connections', proxy.capture, '--leg', 'agent']);
    expect(handshakes.map(one => one.error).filter(error => /unknown ca/i.test(error ?? '')).length).toBeGreaterThan(0);

    const bundles: string[] = [];
    for (const path of ['certificate/ca', 'certificate_revocation_list/ca']) {
      // Fetched as a person would: nothing is known of the proxy's certificate yet.
      const answer = execFileSync('curl', ['-sk', `https://127.0.0.1:${proxy.port}/puppet-ca/v1/${path}`]);
      bundles.push(join(straight.dir, path.replace('/', '-')));
      writeFileSync(bundles.at(-1)!, answer);
    }
    const trusting = ['--localcacert', bundles[0]!, '--hostcrl', bundles[1]!];
    const nobody = await through.run(trusting);
    expectCode(nobody, 1);
    expect(nobody.stderr).toContain('stringtap identity import');
    const rows = (await exchangesOf(proxy)).filter(one => one.certname === certname);
    expect(rows.length).toBeGreaterThan(0);
    for (const row of rows) {
      expect(row).toMatchObject({ status: 403, primaryConnection: null, failure: { reason: 'no-identity' } });
    }

    // While the proxy runs: the command that the agent's words name mends it at once.
    const imported = await stringtap(['identity', 'import', '--ssldir', straight.ssldir, '--certs', proxy.certs]);
    expect(imported.code, imported.stderr).toBe(0);
    const since = await lab.primary.mark();
    for (const way of [direct(proxy.port), connect(lab.primary.port, proxy.port)]) {
      const agent = makeAgent({ dir: straight.dir, certname, ...way });
      expectCode(await agent.run(trusting), 0);
    }
    expect(listFiles(straight.ssldir)).toEqual(before);
    const lines = ofAgents(await lab.primary.accessLog(since));
    expect(lines.length).toBeGreaterThan(10);
    expect(new Set(lines.map(line => line.user))).toEqual(new Set([certname]));
    const captured = (await exchangesOf(proxy, '--certname', certname)).filter(one => one.primaryConnection !== null);
    expect(captured.map(one => shape(one, certname))).toEqual(lines.map(line => shape(line, certname)));
  });
});

/** What an agent's bootstrap does, for a key on P-256: CA, CRL, CSR, certificate. */
async function enrolElliptic(agent: Agent, port: number): Promise<void> {
  const { certname, dir } = agent;
  const path = (name: string) => join(agent.ssldir, name);
  for (const folder of ['certs', 'private_keys']) mkdirSync(path(folder), { recursive: true });
  const key = path(`private_keys/${certname}.pem`);
  execFileSync('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', key]);
  const csr = execFileSync('openssl', ['req', '-new', '-key', key, '-subj', `/CN=${certname}`, '-config', emptyConfig(dir)]);
  const get = async (name: string, request: Ask = {}) => {
    // What an agent says of itself, so that the request counts as one of an agent.
    const headers = { 'user-agent': 'Puppet/7 (openssl)', accept: 'text/plain', 'content-type': 'text/plain' };
    const reply = await ask(port, `/puppet-ca/v1/${name}`, { ...request, headers });
    if ('refused' in reply || reply.status !== 200) throw new Error(`${name}: ${JSON.stringify(reply)}`);
    return reply.body;
  };
  writeFileSync(path('certs/ca.pem'), await get('certificate/ca'));
  writeFileSync(path('crl.pem'), await get('certificate_revocation_list/ca'));
  await get(`certificate_request/${certname}`, { method: 'PUT', body: csr.toString() });
  const certificate = await get(`certificate/${certname}`);
  expect(createPublicKey(certificate).asymmetricKeyType).toBe('ec');
  writeFileSync(path(`certs/${certname}.pem`), certificate);
}

function emptyConfig(dir: string): string {
  const file = join(dir, 'req.cnf');
  writeFileSync(file, '[req]\ndistinguished_name = dn\n[dn]\n');
  return file;
}

/** Of `openssl req -text`, what the agent asked for: attributes and extensions, without key and signature. */
function attributesOf(text: string): string {
  const from = text.indexOf('Attributes:');
  const to = text.indexOf('Signature Algorithm', from);
  if (from < 0 || to < 0) throw new Error(`no attributes in ${text}`);
  return text
    .slice(from, to)
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
    .sort()
    .join('\n');
}

/** The value of a private extension as openssl prints it. */
function extension(certificate: X509Certificate, oid: string): string {
  const text = execFileSync('openssl', ['x509', '-noout', '-text', '-certopt', 'ext_dump'], {
    input: certificate.toString(),
    encoding: 'utf8',
  });
  const found = new RegExp(`${oid.replaceAll('.', '\\.')}: ?\\n((?:\\s+[0-9a-f]{4} - .*\\n)+)`).exec(text);
  if (found === null) throw new Error(`no extension ${oid} in ${text}`);
  return found[1]!.trim();
}
