import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Certname } from '../../src/model.ts';
import { type Authority, openAuthority } from '../../src/pki/authority.ts';
import { readCsr } from '../../src/pki/csr.ts';
import { type Enrolment, openEnrolment, type Swap } from '../../src/pki/enrolment.ts';
import { type Identities, openIdentities } from '../../src/pki/identity.ts';
import { readCertificates } from '../../src/pki/x509.ts';
import {
  type AgentFiles,
  agentCsr,
  certname,
  mode,
  openssl,
  type PrimaryCa,
  PUPPET_ATTRIBUTES,
  primaryCa,
  sharedDir,
  tempDir,
  verified,
  write,
} from './rig.ts';

let shared: string;
let primary: PrimaryCa;
let authority: Authority;
beforeAll(async () => {
  shared = sharedDir();
  primary = primaryCa(join(shared, 'primary'));
  authority = await openAuthority(join(shared, 'ca'));
});
afterAll(() => rmSync(shared, { recursive: true, force: true }));

const AGENT = certname('agent.lab');
let dir: string;
let identities: Identities;
let enrolment: Enrolment;
beforeEach(() => {
  dir = tempDir();
  identities = openIdentities(join(dir, 'identities'));
  enrolment = openEnrolment(join(dir, 'enrolment'), authority, identities);
});

const newAgent = (subject = '/CN=agent.lab', config = ''): AgentFiles => agentCsr(shared, subject, 'ec', config);
const pendings = (): string[] => readdirSync(join(dir, 'enrolment'));

async function swap(
  agent: AgentFiles,
  name: Certname = AGENT,
  from: string | null = null,
): Promise<Extract<Swap, { type: 'swap' }>> {
  const swapped = await enrolment.request(name, agent.csrPem, from);
  if (swapped.type !== 'swap') throw new Error(swapped.why);
  return swapped;
}

/** CSR taken and signed, certificate fetched: what the agent has then. */
async function enrol(agent: AgentFiles): Promise<{ agentCert: string; primaryCert: string }> {
  const { csrPem, commit } = await swap(agent);
  await commit(200);
  const primaryCert = primary.sign(csrPem);
  const handed = await enrolment.certificate(AGENT, primaryCert);
  expect(handed.by).toBe('proxy');
  return { agentCert: handed.pem, primaryCert };
}

const hasKey = (certPem: string, agent: AgentFiles): boolean =>
  new X509Certificate(certPem).checkPrivateKey(createPrivateKey(agent.keyPem));

describe('an agent enrols', () => {
  test('the primary gets our CSR, the agent a certificate of our CA for its own key with the same extensions', async () => {
    const agent = newAgent('/CN=agent.lab', PUPPET_ATTRIBUTES);
    const swapped = await swap(agent);
    expect(openssl('req', '-verify', '-noout', '-in', write(dir, 'our.csr', swapped.csrPem))).toContain('verify OK');
    expect(readCsr(swapped.csrPem).attributesDer).toEqual(readCsr(agent.csrPem).attributesDer);
    expect(swapped.agentFingerprint).toBe(readCsr(agent.csrPem).fingerprint);
    expect(swapped.fingerprint).toBe(readCsr(swapped.csrPem).fingerprint);
    await swapped.commit(200);
    expect(identities.get(AGENT)).toBeNull(); // nothing before the primary signed

    const primaryCert = primary.sign(swapped.csrPem);
    const handed = await enrolment.certificate(AGENT, primaryCert);
    expect(handed.by).toBe('proxy');
    expect(hasKey(handed.pem, agent)).toBe(true);
    expect(verified(dir, authority.caPem, authority.crl().pem, handed.pem, '-purpose', 'sslclient')).toBe('OK');
    const [ours, theirs] = readCertificates(handed.pem + primaryCert);
    expect(ours!.subject).toEqual(theirs!.subject);
    for (const oid of ['2.5.29.17', '1.3.6.1.4.1.34380.1.1.1', '1.3.6.1.4.1.34380.1.3.1']) {
      expect(ours!.extensions.find(e => e.oid === oid)?.der).toEqual(theirs!.extensions.find(e => e.oid === oid)?.der);
    }

    const identity = identities.get(AGENT);
    expect(identity).toMatchObject({ kind: 'enrolled', agentCertPem: handed.pem, fingerprint: theirs!.fingerprint });
    expect(new X509Certificate(identity!.certPem).checkPrivateKey(createPrivateKey(identity!.keyPem))).toBe(true);
    expect(hasKey(identity!.certPem, agent)).toBe(false);
    expect(pendings()).toEqual([]);
  });

  test('waiting for a signature: the same CSR each round, on disk 0600, and one 400 after the other changes nothing', async () => {
    const agent = newAgent();
    const first = await swap(agent);
    expect(pendings()).toEqual([]); // not before the primary took it
    await first.commit(200);
    expect(pendings()).toEqual(['agent.lab.pem']);
    expect(mode(join(dir, 'enrolment', 'agent.lab.pem'))).toBe('600');
    expect(mode(join(dir, 'enrolment'))).toBe('700');
    for (let round = 0; round < 3; round++) {
      const again = await swap(agent);
      expect(again.csrPem).toBe(first.csrPem);
      await again.commit(400);
    }
    expect((await enrolment.certificate(AGENT, primary.sign(first.csrPem))).by).toBe('proxy');
  });

  test('a proxy that is started anew between CSR and signature goes on', async () => {
    const agent = newAgent();
    const first = await swap(agent);
    await first.commit(200);
    identities = openIdentities(join(dir, 'identities'));
    enrolment = openEnrolment(join(dir, 'enrolment'), authority, identities);
    expect((await swap(agent)).csrPem).toBe(first.csrPem);
    const handed = await enrolment.certificate(AGENT, primary.sign(first.csrPem));
    expect(handed.by).toBe('proxy');
    expect(hasKey(handed.pem, agent)).toBe(true);
  });

  test('asking again gives the same certificate, byte for byte, also after a restart', async () => {
    const { agentCert, primaryCert } = await enrol(newAgent());
    expect(await enrolment.certificate(AGENT, primaryCert)).toEqual({ pem: agentCert, by: 'proxy' });
    enrolment = openEnrolment(join(dir, 'enrolment'), authority, openIdentities(join(dir, 'identities')));
    expect(await enrolment.certificate(AGENT, primaryCert)).toEqual({ pem: agentCert, by: 'proxy' });
  });

  test('the agent that changes its csr_attributes keeps our key, and the primary sees what it asks for now', async () => {
    const agent = newAgent();
    const first = await swap(agent);
    await first.commit(200);
    const file = write(dir, 'again.cnf', PUPPET_ATTRIBUTES.replace('prompt=no', ''));
    const csr = join(dir, 'again.csr');
    openssl('req', '-new', '-key', agent.key, '-out', csr, '-subj', '/CN=agent.lab', '-config', file);
    const changed = { ...agent, csrPem: readFileSync(csr, 'utf8') };
    const second = await swap(changed);
    expect(readCsr(second.csrPem).publicKey.equals(readCsr(first.csrPem).publicKey)).toBe(true);
    expect(readCsr(second.csrPem).attributesDer).toEqual(readCsr(changed.csrPem).attributesDer);
    await second.commit(200);
    expect((await swap(changed)).csrPem).toBe(second.csrPem);
  });

  test('RSA keys: 2048 bits upstream, whatever the agent has', async () => {
    const agent = agentCsr(shared, '/CN=agent.lab', 'rsa');
    const { csrPem } = await swap(agent);
    expect(readCsr(csrPem).publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
  });
});

describe('somebody else asks under the same certname', () => {
  test('while the first waits: refused by the primary, so nothing changes, and his key never gets a certificate', async () => {
    const [agent, other] = [newAgent(), newAgent()];
    const first = await swap(agent);
    await first.commit(200);
    const second = await swap(other);
    expect(readCsr(second.csrPem).publicKey.equals(readCsr(first.csrPem).publicKey)).toBe(false);
    await second.commit(400);
    expect((await swap(agent)).csrPem).toBe(first.csrPem);
    const handed = await enrolment.certificate(AGENT, primary.sign(first.csrPem));
    expect(hasKey(handed.pem, agent)).toBe(true);
    expect(hasKey(handed.pem, other)).toBe(false);
  });

  test('after the first was enrolled: he gets the certificate of the first, which is of no use to him', async () => {
    const [agent, other] = [newAgent(), newAgent()];
    const { agentCert, primaryCert } = await enrol(agent);
    const { commit } = await swap(other);
    await commit(400);
    expect(await enrolment.certificate(AGENT, primaryCert)).toEqual({ pem: agentCert, by: 'proxy' });
    expect(identities.get(AGENT)?.agentCertPem).toBe(agentCert);
    expect(authority.isRevoked(new X509Certificate(agentCert).serialNumber)).toBe(false);
  });

  test('and the primary takes it (cleaned before): he waits like anyone, the old identity stands until the primary signs', async () => {
    const [agent, other] = [newAgent(), newAgent()];
    const { agentCert, primaryCert } = await enrol(agent);
    const { csrPem, commit } = await swap(other);
    await commit(200);
    expect(identities.get(AGENT)?.agentCertPem).toBe(agentCert);
    expect((await enrolment.certificate(AGENT, primaryCert)).pem).toBe(agentCert);
    const handed = await enrolment.certificate(AGENT, primary.sign(csrPem));
    expect(hasKey(handed.pem, other)).toBe(true);
    expect(identities.get(AGENT)?.agentCertPem).toBe(handed.pem);
    // What was, is over: for openssl by the CRL, for us by the identity.
    expect(verified(dir, authority.caPem, authority.crl().pem, agentCert)).toContain('certificate revoked');
    expect(verified(dir, authority.caPem, authority.crl().pem, handed.pem)).toBe('OK');
  });

  test('a CSR of his that the primary took replaces the one that waited', async () => {
    const [agent, other] = [newAgent(), newAgent()];
    const first = await swap(agent);
    await first.commit(200);
    const second = await swap(other);
    await second.commit(200);
    const untouched = primary.sign(first.csrPem);
    expect(await enrolment.certificate(AGENT, untouched)).toEqual({ pem: untouched, by: 'primary' });
    expect(hasKey((await enrolment.certificate(AGENT, primary.sign(second.csrPem))).pem, other)).toBe(true);
  });

  test('at the same time: the one whose CSR the primary took wins, in any order of the answers', async () => {
    const agents = [newAgent(), newAgent(), newAgent()];
    const swaps = await Promise.all(agents.map(agent => swap(agent)));
    expect(new Set(swaps.map(({ fingerprint }) => fingerprint)).size).toBe(3);
    await Promise.all([swaps[0]!.commit(400), swaps[1]!.commit(200), swaps[2]!.commit(400)]);
    for (const loser of [0, 2]) {
      const pem = primary.sign(swaps[loser]!.csrPem); // the primary would never, but if it did not tell the truth
      expect(await enrolment.certificate(AGENT, pem)).toEqual({ pem, by: 'primary' });
    }
    expect(hasKey((await enrolment.certificate(AGENT, primary.sign(swaps[1]!.csrPem))).pem, agents[1]!)).toBe(true);
  });

  test('a certificate that the primary made for a key of nobody here passes unchanged', async () => {
    const direct = newAgent();
    const pem = `# text before\n${primary.sign(direct.csrPem)}`;
    expect(await enrolment.certificate(AGENT, pem)).toEqual({ pem, by: 'primary' });
    await enrol(newAgent());
    expect(await enrolment.certificate(AGENT, pem)).toEqual({ pem, by: 'primary' });
  });

  test('our key in a certificate of another name is no enrolment, nor in a CA certificate', async () => {
    const { csrPem, commit } = await swap(newAgent());
    await commit(200);
    const other = certname('other.lab');
    const pem = primary.sign(csrPem);
    expect(await enrolment.certificate(other, pem)).toEqual({ pem, by: 'primary' });
    expect(identities.get(other)).toBeNull();
    const renamed = primary.sign(csrPem, { subject: '/CN=other.lab' });
    expect(await enrolment.certificate(AGENT, renamed)).toEqual({ pem: renamed, by: 'primary' });
    for (const text of ['', 'rubbish', primary.caPem]) {
      expect(await enrolment.certificate(AGENT, text)).toEqual({ pem: text, by: 'primary' });
    }
  });
});

describe('a CSR that is passed on as it is', () => {
  test.each([
    ['garbage', () => 'garbage', 'there is no certificate request in PEM'],
    ['for another name', () => newAgent('/CN=other.lab').csrPem, 'the request is not for agent.lab'],
    ['with two names', () => newAgent('/CN=agent.lab/CN=other.lab').csrPem, 'the request is not for agent.lab'],
    ['in upper case', () => newAgent('/CN=AGENT.lab').csrPem, 'the request is not for agent.lab'],
    ['of a kind of key that Puppet has not', () => agentCsr(shared, '/CN=agent.lab', 'ed25519').csrPem, 'is not signed'],
    ['over 64 KiB', () => 'x'.repeat(70_000), 'characters'],
  ])('%s', async (_, make, why) => {
    expect(await enrolment.request(AGENT, make())).toEqual({ type: 'pass', why: expect.stringContaining(why) });
    expect(pendings()).toEqual([]);
  });

  test("with a signature that is not its key's", async () => {
    const [one, two] = [readCsr(newAgent().csrPem), readCsr(newAgent().csrPem)];
    const hex = one.der.toString('hex');
    const key = (csr: typeof one): string => csr.publicKey.export({ type: 'spki', format: 'der' }).toString('hex');
    const forged = Buffer.from(hex.replace(key(one), key(two)), 'hex');
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${forged.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    expect(readCsr(pem).publicKey.equals(two.publicKey)).toBe(true);
    expect(await enrolment.request(AGENT, pem)).toEqual({ type: 'pass', why: 'the request is not signed with the key in it' });
  });
});

describe('answers that are lost', () => {
  test('the primary took the CSR, but we never heard: a 400 to the next try is about this very CSR', async () => {
    for (const lost of [null, 0, 502]) {
      const agent = newAgent();
      const first = await swap(agent);
      if (lost !== null) await first.commit(lost);
      const second = await swap(agent);
      expect(second.csrPem).toBe(first.csrPem);
      await second.commit(400);
      const handed = await enrolment.certificate(AGENT, primary.sign(first.csrPem));
      expect(handed.by).toBe('proxy');
      expect(hasKey(handed.pem, agent)).toBe(true);
    }
  });

  test('a plain 400 drops it', async () => {
    const agent = newAgent();
    const first = await swap(agent);
    await first.commit(400);
    await first.commit(200); // a second word counts for nothing
    expect(pendings()).toEqual([]);
    const pem = primary.sign(first.csrPem);
    expect(await enrolment.certificate(AGENT, pem)).toEqual({ pem, by: 'primary' });
    expect((await swap(agent)).csrPem).not.toBe(first.csrPem);
  });

  test('a process killed between the identity and the end of the request: the same certificate, and the request is cleared', async () => {
    const agent = newAgent();
    const { csrPem, commit } = await swap(agent);
    await commit(200);
    const left = readFileSync(join(dir, 'enrolment', 'agent.lab.pem'), 'utf8');
    const primaryCert = primary.sign(csrPem);
    const { pem } = await enrolment.certificate(AGENT, primaryCert);
    writeFileSync(join(dir, 'enrolment', 'agent.lab.pem'), left, { mode: 0o600 });
    expect((await enrolment.certificate(AGENT, primaryCert)).pem).toBe(pem);
    expect(pendings()).toEqual([]);
  });
});

describe('imported identities', () => {
  test("the agent's own certificate passes, and a new enrolment takes its place only when the primary signed", async () => {
    const agent = newAgent();
    const cert = primary.sign(agent.csrPem);
    identities.importPair(agent.keyPem, cert);
    expect(await enrolment.certificate(AGENT, cert)).toEqual({ pem: cert, by: 'primary' });
    const fresh = newAgent();
    const { csrPem, commit } = await swap(fresh);
    await commit(400);
    expect(identities.get(AGENT)?.kind).toBe('imported');
    const anew = await swap(fresh);
    await anew.commit(200);
    expect(identities.get(AGENT)?.kind).toBe('imported');
    expect((await enrolment.certificate(AGENT, primary.sign(anew.csrPem))).by).toBe('proxy');
    expect(identities.get(AGENT)?.kind).toBe('enrolled');
    expect(csrPem).not.toBe(anew.csrPem);
  });

  test('renewed by the primary for its own key: kept, and handed on', async () => {
    const agent = newAgent();
    const cert = primary.sign(agent.csrPem);
    identities.importPair(agent.keyPem, cert);
    const renewed = primary.sign(agent.csrPem, { days: 3000 });
    expect(await enrolment.renewed(AGENT, cert, renewed)).toEqual({ pem: renewed, by: 'primary' });
    expect(identities.get(AGENT)).toMatchObject({ kind: 'imported', fingerprint: new X509Certificate(renewed).fingerprint256 });
  });
});

describe('renewal', () => {
  test('of the identity: the agent gets a certificate of our CA for the key that it has', async () => {
    const agent = newAgent();
    const { agentCert } = await enrol(agent);
    const ourCsr = renewal();
    const renewed = primary.sign(ourCsr, { days: 3000 });
    const handed = await enrolment.renewed(AGENT, agentCert, renewed);
    expect(handed.by).toBe('proxy');
    expect(hasKey(handed.pem, agent)).toBe(true);
    expect(new X509Certificate(handed.pem).validToDate).toEqual(new X509Certificate(renewed).validToDate);
    expect(identities.get(AGENT)).toMatchObject({
      agentCertPem: handed.pem,
      fingerprint: new X509Certificate(renewed).fingerprint256,
    });
    expect(verified(dir, authority.caPem, authority.crl().pem, handed.pem)).toBe('OK');
    expect(verified(dir, authority.caPem, authority.crl().pem, agentCert)).toBe('OK'); // good until it ends: the answer may be lost
    expect((await enrolment.certificate(AGENT, renewed)).pem).toBe(handed.pem);
  });

  test('asked by somebody with another key gives him nothing of ours', async () => {
    const agent = newAgent();
    const { agentCert } = await enrol(agent);
    const renewed = primary.sign(renewal());
    const stranger = primary.sign(newAgent().csrPem);
    for (const shown of [stranger, '', 'rubbish']) {
      expect(await enrolment.renewed(AGENT, shown, renewed)).toEqual({ pem: renewed, by: 'primary' });
    }
    expect(identities.get(AGENT)?.agentCertPem).toBe(agentCert);
  });

  test("by the primary alone, seen when the agent asks for its certificate: the identity is new, the agent's stays", async () => {
    const { agentCert } = await enrol(newAgent());
    const renewed = primary.sign(renewal(), { days: 3000 });
    expect(await enrolment.certificate(AGENT, renewed)).toEqual({ pem: agentCert, by: 'proxy' });
    expect(identities.get(AGENT)?.fingerprint).toBe(new X509Certificate(renewed).fingerprint256);
  });

  test("the agent's certificate has ended, the primary's was renewed: a new one for the same key", async () => {
    const agent = newAgent();
    const { csrPem, commit } = await swap(agent);
    await commit(200);
    const first = await enrolment.certificate(AGENT, primary.sign(csrPem, { days: 30 }));
    const later = Date.now() + 40 * 24 * 3600 * 1000;
    enrolment = openEnrolment(join(dir, 'enrolment'), authority, identities, { now: () => later });
    const handed = await enrolment.certificate(AGENT, primary.sign(csrPem, { days: 300 }));
    expect(handed.pem).not.toBe(first.pem);
    expect(hasKey(handed.pem, agent)).toBe(true);
    expect(identities.get(AGENT)?.agentCertPem).toBe(handed.pem);
  });

  test("our CA was made anew: the agent's key gets a certificate of the new one", async () => {
    const agent = newAgent();
    const { agentCert, primaryCert } = await enrol(agent);
    const other = await openAuthority(join(dir, 'other-ca'));
    enrolment = openEnrolment(join(dir, 'enrolment'), other, identities);
    const handed = await enrolment.certificate(AGENT, primaryCert);
    expect(handed.pem).not.toBe(agentCert);
    expect(hasKey(handed.pem, agent)).toBe(true);
    expect(verified(dir, other.caPem, other.crl().pem, handed.pem)).toBe('OK');
  });

  /** The CSR that the primary has of us, signed with the identity's key. */
  function renewal(): string {
    const key = write(dir, 'identity.key', identities.get(AGENT)!.keyPem);
    const csr = join(dir, 'renewal.csr');
    openssl('req', '-new', '-key', key, '-out', csr, '-subj', '/CN=agent.lab');
    return readFileSync(csr, 'utf8');
  }
});

describe('what callers without a certificate can fill', () => {
  test('the oldest of the waiting CSRs go', async () => {
    enrolment = openEnrolment(join(dir, 'enrolment'), authority, identities, { maxPending: 2 });
    for (const [i, name] of ['a.lab', 'b.lab', 'c.lab'].entries()) {
      const { commit } = await swap(newAgent(`/CN=${name}`), certname(name));
      await commit(200);
      if (i < 2) utimesSync(join(dir, 'enrolment', `${name}.pem`), i, i);
    }
    expect(pendings().sort()).toEqual(['b.lab.pem', 'c.lab.pem']);
    expect(statSync(join(dir, 'enrolment', 'b.lab.pem')).size).toBeLessThan(5000);
  });

  test('of those from as many places the oldest goes', async () => {
    enrolment = openEnrolment(join(dir, 'enrolment'), authority, identities, { maxPending: 2 });
    for (const [i, name] of ['c.lab', 'b.lab', 'a.lab'].entries()) {
      const { commit } = await swap(newAgent(`/CN=${name}`), certname(name), `192.0.2.${i}`);
      await commit(200);
      if (i < 2) utimesSync(join(dir, 'enrolment', `${name}.pem`), 1 + i, 1 + i);
    }
    expect(pendings().sort()).toEqual(['a.lab.pem', 'b.lab.pem']);
  });

  test.each([
    ['192.0.2.1', ['198.51.100.7', '::ffff:198.51.100.7', '198.51.100.7', '198.51.100.7']],
    ['2001:db8:0:1::1', ['2001:db8:0:2::1', '2001:db8:0:2::2', '2001:db8:0:2:ffff::3', '2001:db8::2:0:0:0:4']],
    [null, ['198.51.100.7', '198.51.100.7', '198.51.100.7', '198.51.100.7']],
  ])('who sends many from one place pushes out his own, not the older one of %s', async (honest, flood) => {
    enrolment = openEnrolment(join(dir, 'enrolment'), authority, identities, { maxPending: 3 });
    const agent = newAgent();
    const waiting = await swap(agent, AGENT, honest);
    await waiting.commit(200);
    utimesSync(join(dir, 'enrolment', 'agent.lab.pem'), 1, 1);
    for (const [i, from] of flood.entries()) {
      const name = `x${i}.lab`;
      const { commit } = await swap(newAgent(`/CN=${name}`), certname(name), from);
      await commit(200);
      utimesSync(join(dir, 'enrolment', `${name}.pem`), 2 + i, 2 + i);
    }
    expect(pendings().sort()).toEqual(['agent.lab.pem', 'x2.lab.pem', 'x3.lab.pem']);
    const handed = await enrolment.certificate(AGENT, primary.sign(waiting.csrPem));
    expect(handed.by).toBe('proxy');
    expect(hasKey(handed.pem, agent)).toBe(true);
  });

  test('a waiting CSR whose file is damaged counts as none', async () => {
    const agent = newAgent();
    const first = await swap(agent);
    await first.commit(200);
    writeFileSync(join(dir, 'enrolment', 'agent.lab.pem'), 'rubbish');
    const second = await swap(agent);
    expect(second.csrPem).not.toBe(first.csrPem);
    await second.commit(200);
    expect((await enrolment.certificate(AGENT, primary.sign(second.csrPem))).by).toBe('proxy');
  });
});

test('a CSR that the primary took is not lost when it cannot be written down', async () => {
  const agent = newAgent();
  const first = await swap(agent);
  chmodSync(join(dir, 'enrolment'), 0o777); // nothing is written into such a folder
  await expect(first.commit(200)).rejects.toThrow('others may write into');
  chmodSync(join(dir, 'enrolment'), 0o700);
  const again = await swap(agent);
  expect(again.csrPem).toBe(first.csrPem);
  await again.commit(400); // "already has a requested certificate"
  const handed = await enrolment.certificate(AGENT, primary.sign(first.csrPem));
  expect(handed.by).toBe('proxy');
  expect(hasKey(handed.pem, agent)).toBe(true);
});
