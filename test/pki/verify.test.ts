import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Authority, openAuthority } from '../../src/pki/authority.ts';
import { readCsr } from '../../src/pki/csr.ts';
import { bits, encode, oid, sequence, setOf, utf8 } from '../../src/pki/der.ts';
import { openEnrolment } from '../../src/pki/enrolment.ts';
import { type Identities, openIdentities, removeIdentity } from '../../src/pki/identity.ts';
import { openTrust, type Trust } from '../../src/pki/trust.ts';
import { judge, type Verdict } from '../../src/pki/verify.ts';
import { basicConstraints, commonName, extension, OID, readCertificates, signCertificate } from '../../src/pki/x509.ts';
import { type AgentFiles, agentCsr, certname, openssl, type PrimaryCa, primaryCa, sharedDir, tempDir } from './rig.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const AGENT = certname('agent.lab');

let shared: string;
let primary: PrimaryCa;
let stranger: PrimaryCa;
let authority: Authority;
beforeAll(async () => {
  shared = sharedDir();
  primary = primaryCa(join(shared, 'primary'));
  stranger = primaryCa(join(shared, 'stranger'));
  authority = await openAuthority(join(shared, 'ca'));
});
afterAll(() => rmSync(shared, { recursive: true, force: true }));

let identities: Identities;
let trust: Trust;
let dir: string;
beforeEach(() => {
  dir = tempDir();
  identities = openIdentities(join(dir, 'identities'));
  trust = openTrust(join(dir, 'trust'), authority);
  trust.pin(primary.caPem);
  trust.updateCrl(primary.crlPem());
});

const agent = (subject = '/CN=agent.lab'): AgentFiles => agentCsr(shared, subject);

function verdict(pem: string, now = Date.now(), trusts = [trust]): Verdict {
  return judge(new X509Certificate(pem), { authority, trusts, identities, now });
}

/** A certificate of the primary's CA (or another one) with fields of one's own. */
function forge(fields: { subject?: Buffer; extensions?: Buffer[]; notBefore?: number; notAfter?: number }, ca = primary): string {
  const [issuer] = readCertificates(ca.intermediatePem);
  const { publicKey } = readCsr(agent().csrPem);
  return signCertificate(
    {
      serial: Buffer.from([0x42, Math.floor(Math.random() * 256), 1]),
      issuer: issuer!.subject,
      subject: fields.subject ?? commonName('agent.lab'),
      notBefore: fields.notBefore ?? Date.now() - DAY_MS,
      notAfter: fields.notAfter ?? Date.now() + DAY_MS,
      spki: publicKey.export({ type: 'spki', format: 'der' }),
      extensions: fields.extensions ?? [basicConstraints(false)],
    },
    createPrivateKey(readFileSync(join(ca.dir, 'int.key'), 'utf8')),
  );
}

describe("the primary's own agents", () => {
  test('are who the certificate says', () => {
    const pem = primary.sign(agent().csrPem);
    const cert = new X509Certificate(pem);
    expect(verdict(pem)).toEqual({
      ok: true,
      certname: 'agent.lab',
      issuer: 'primary',
      serial: cert.serialNumber,
      notAfter: cert.validToDate.getTime(),
    });
  });

  test('are refused before and after their time', () => {
    const pem = primary.sign(agent().csrPem, { days: 30 });
    expect(verdict(pem, Date.now() + 31 * DAY_MS)).toEqual({ ok: false, name: 'agent.lab', reason: 'expired' });
    expect(verdict(pem, Date.now() - DAY_MS)).toMatchObject({ reason: 'not valid yet' });
  });

  test('are refused when revoked, from the moment that the list is here', () => {
    const pem = primary.sign(agent().csrPem);
    primary.revoke(pem);
    expect(verdict(pem).ok).toBe(true);
    trust.updateCrl(primary.crlPem());
    expect(verdict(pem)).toEqual({ ok: false, name: 'agent.lab', reason: 'revoked by the primary' });
  });

  test("of a CA that has ended, or was never the primary's, are refused", () => {
    const pem = primary.sign(agent().csrPem, { days: 7000 });
    expect(verdict(pem, Date.now() + 5200 * DAY_MS)).toMatchObject({ ok: false, reason: 'its CA has ended' });
    expect(verdict(stranger.sign(agent().csrPem))).toEqual({ ok: false, name: 'agent.lab', reason: 'issued by an unknown CA' });
    expect(verdict(pem, Date.now(), [])).toMatchObject({ reason: 'issued by an unknown CA' });
  });

  test('of an intermediate CA that the root has revoked are refused', () => {
    const own = primaryCa(join(dir, 'own'), 'Puppet CA: other.lab');
    const theirs = openTrust(join(dir, 'other'), authority);
    theirs.pin(own.caPem);
    const pem = own.sign(agent().csrPem);
    theirs.updateCrl(own.crlPem());
    expect(verdict(pem, Date.now(), [theirs]).ok).toBe(true);
    openssl('ca', '-config', join(own.dir, 'root.cnf'), '-revoke', join(own.dir, 'int.pem'));
    theirs.updateCrl(own.crlPem());
    expect(verdict(pem, Date.now(), [theirs])).toMatchObject({ ok: false, reason: 'its CA is revoked' });
  });

  test('with a forged signature under the right issuer are refused', () => {
    // The same names, another key: `checkIssued` alone would believe it when the key identifiers are left out.
    expect(verdict(forge({}, stranger))).toMatchObject({ ok: false, reason: 'issued by an unknown CA' });
    expect(verdict(forge({})).ok).toBe(true);
  });

  test('without a revocation list: only where the primary sees the same certificate and judges itself', async () => {
    const bare = openTrust(join(dir, 'bare'), authority);
    bare.pin(primary.caPem);
    const [own, other] = [agent(), agent()];
    const pem = primary.sign(own.csrPem);
    const bareVerdict = (): Verdict => verdict(pem, Date.now(), [bare]);
    expect(bareVerdict().ok).toBe(true); // nothing to speak with anyway
    identities.importPair(other.keyPem, primary.sign(other.csrPem));
    expect(bareVerdict()).toMatchObject({ ok: false, reason: "its CA's revocation list is not known yet" });
    identities.importPair(own.keyPem, pem + primary.caPem);
    expect(bareVerdict().ok).toBe(true);
    bare.updateCrl(primary.crlPem());
    expect(bareVerdict().ok).toBe(true);
  });
});

describe('names', () => {
  const CN = '2.5.4.3';
  const bmp = (text: string) => ({ ...utf8(''), type: 30, value: text });
  const name = (...rdns: ReturnType<typeof setOf>[]): Buffer => encode(sequence(...rdns));
  const attribute = (type: string, value: ReturnType<typeof utf8>) => sequence(oid(type), value);

  test.each([
    ['two CNs', name(setOf(attribute(CN, utf8('agent.lab'))), setOf(attribute(CN, utf8('other.lab')))), null],
    ['a multi-valued RDN', name(setOf(attribute(CN, utf8('agent.lab')), attribute('2.5.4.11', utf8('x')))), null],
    ['BMPString', name(setOf(attribute(CN, bmp('agent.lab')))), null],
    ['no CN', name(setOf(attribute('2.5.4.10', utf8('agent.lab')))), null],
    ['an empty CN', commonName(''), ''],
    ['NUL', commonName('agent.lab\0.evil.lab'), 'agent.lab\0.evil.lab'],
    ['upper case', commonName('Agent.lab'), 'Agent.lab'],
    ['a blank at the end', commonName('agent.lab '), 'agent.lab '],
    ['a line break at the end', commonName('agent.lab\n'), 'agent.lab\n'],
    ['a path', commonName('../agent.lab'), '../agent.lab'],
    ['two dots', commonName('..'), '..'],
    ['other letters', commonName('аgent.lab'), 'аgent.lab'], // Cyrillic а
    ['a wildcard', commonName('*'), '*'],
  ])('%s: nobody', (_, subject, shown) => {
    const result = verdict(forge({ subject }));
    expect(result.ok).toBe(false);
    expect(result).toMatchObject({ name: shown });
  });

  test('other RDNs beside one CN are somebody', () => {
    const subject = name(setOf(attribute('2.5.4.10', utf8('Example'))), setOf(attribute(CN, utf8('agent.lab'))));
    expect(verdict(forge({ subject }))).toMatchObject({ ok: true, certname: 'agent.lab' });
  });
});

describe('purpose', () => {
  const purposes = (...oids: string[]): Buffer => extension(OID.extendedKeyUsage, false, sequence(...oids.map(oid)));

  test('clients, any, or not said', () => {
    expect(verdict(forge({ extensions: [basicConstraints(false), purposes(OID.serverAuth, OID.clientAuth)] })).ok).toBe(true);
    expect(verdict(forge({ extensions: [purposes(OID.serverAuth)] }))).toMatchObject({ reason: 'not made for TLS clients' });
  });

  test('a CA and a server are no agents: the CA of the primary, our own, and a leaf of ours', async () => {
    expect(verdict(primary.intermediatePem).ok).toBe(false);
    expect(verdict(authority.caPem).ok).toBe(false);
    const cert = forge({ extensions: [basicConstraints(true), extension(OID.keyUsage, true, bits(Buffer.from([6]), 1))] });
    expect(verdict(cert)).toMatchObject({ ok: false, reason: "a CA's certificate" });
    // Its name is a certname, and it is signed by our CA: the key of it is on the agent leg only, but it says nothing there.
    expect(verdict((await authority.leaf(['agent.lab'])).certPem)).toMatchObject({
      ok: false,
      reason: 'not made for TLS clients',
    });
  });
});

describe('agents that enrolled through the proxy', () => {
  async function enrol(files: AgentFiles): Promise<string> {
    const enrolment = openEnrolment(join(dir, 'enrolment'), authority, identities);
    const swap = await enrolment.request(AGENT, files.csrPem);
    if (swap.type !== 'swap') throw new Error(swap.why);
    await swap.commit(200);
    return (await enrolment.certificate(AGENT, primary.sign(swap.csrPem))).pem;
  }

  test('are who the certificate says, while they are enrolled', async () => {
    const pem = await enrol(agent());
    expect(verdict(pem)).toMatchObject({ ok: true, certname: 'agent.lab', issuer: 'proxy' });
    expect(verdict(pem, Date.now(), [])).toMatchObject({ ok: true, issuer: 'proxy' });
    await removeIdentity(identities, authority, AGENT);
    expect(verdict(pem)).toEqual({ ok: false, name: 'agent.lab', reason: 'revoked by the proxy' });
  });

  test('another key was enrolled since: the first is nobody, even if it were not revoked', async () => {
    const first = agent();
    const old = await enrol(first);
    const now = await enrol(agent());
    expect(verdict(old)).toMatchObject({ ok: false, reason: 'revoked by the proxy' });
    expect(verdict(now).ok).toBe(true);
    const again = await authority.issue({ publicKey: readCsr(first.csrPem).publicKey, like: primary.sign(first.csrPem) });
    expect(verdict(again)).toMatchObject({ ok: false, reason: 'another key has been enrolled since' });
  });

  test('a certificate of our CA without an enrolment is nobody', async () => {
    const files = agent();
    const pem = await authority.issue({ publicKey: readCsr(files.csrPem).publicKey, like: primary.sign(files.csrPem) });
    expect(verdict(pem)).toEqual({
      ok: false,
      name: 'agent.lab',
      reason: 'not enrolled at this primary, or its enrolment was removed',
    });
    identities.importPair(files.keyPem, primary.sign(files.csrPem));
    expect(verdict(pem)).toMatchObject({ ok: false, reason: 'not enrolled at this primary, or its enrolment was removed' });
  });

  test('one that was renewed is good beside the new one, as its answer may have been lost', async () => {
    const files = agent();
    const old = await enrol(files);
    const identity = identities.get(AGENT)!;
    const renewed = await authority.issue({ publicKey: readCsr(files.csrPem).publicKey, like: identity.certPem });
    identities.store({ ...identity, agentCertPem: renewed });
    expect([verdict(old).ok, verdict(renewed).ok]).toEqual([true, true]);
  });

  test('a certificate of another CA of the same name is nobody', async () => {
    await enrol(agent());
    const other = await openAuthority(join(dir, 'other-ca'));
    const files = agent();
    const pem = await other.issue({ publicKey: readCsr(files.csrPem).publicKey, like: primary.sign(files.csrPem) });
    expect(verdict(pem)).toMatchObject({ ok: false, reason: 'issued by an unknown CA' });
  });

  test('an identity whose file cannot be read refuses its agent, and nobody else', async () => {
    const pem = await enrol(agent());
    chmodSync(join(dir, 'identities', 'agent.lab.pem'), 0o644);
    identities = openIdentities(join(dir, 'identities'));
    expect(verdict(pem)).toMatchObject({ ok: false, name: 'agent.lab', reason: expect.stringContaining('others may read') });
    expect(verdict(primary.sign(agent('/CN=b.lab').csrPem)).ok).toBe(true);
  });
});
