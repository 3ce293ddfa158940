import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ExchangeId, Side } from '../../src/model.ts';
import { readCrls } from '../../src/pki/crl.ts';
import { readCsr } from '../../src/pki/csr.ts';
import { encode, utf8 } from '../../src/pki/der.ts';
import { openIdentities } from '../../src/pki/identity.ts';
import type { Identity } from '../../src/pki/identity-file.ts';
import { extension, OID, readCertificates } from '../../src/pki/x509.ts';
import { type AgentRun, runDemoAgent } from '../peers/agent.ts';
import { type AgentState, newAgentState } from '../peers/options.ts';
import { eventually, makeRig, type Rig } from '../rig/rig.ts';
import { memoryTape } from '../rig/tape.ts';
import { fieldIn, type Message, statusOf } from '../rig/wire.ts';

const CERTNAME = 'fresh1.example';
/** pp_role, of Puppet's own arc. */
const PP_ROLE = '1.3.6.1.4.1.34380.1.1.13';

function run(rig: Rig, state: AgentState, via: 'direct' | 'connect' = 'direct', more = {}): Promise<AgentRun> {
  return runDemoAgent({ certname: CERTNAME, place: rig.place(via), state, keyType: 'ec', ...more });
}

function identityOf(rig: Rig, certname = CERTNAME): Identity | undefined {
  return openIdentities(join(rig.dir, 'certs', 'identities'))
    .list()
    .find(identity => identity.certname === certname);
}

/** One request over a connection of its own, without a client certificate. */
async function bare(rig: Rig, text: string, pair: { keyPem: string; certPem: string } | null = null): Promise<Message> {
  const wire = await rig.agent({ pair });
  wire.write(text);
  const answer = await wire.answer();
  wire.end();
  return answer;
}

function get(target: string, ...lines: string[]): string {
  return [`GET ${target} HTTP/1.1`, 'Host: puppet.example.com:8140', 'Accept: text/plain', ...lines, '', ''].join('\r\n');
}

function put(certname: string, body: string): string {
  return `PUT /puppet-ca/v1/certificate_request/${certname} HTTP/1.1\r\nHost: puppet.example.com:8140\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

const CA = '/puppet-ca/v1/certificate/ca';
const CRL = '/puppet-ca/v1/certificate_revocation_list/ca';

test.each(['direct', 'connect'] as const)(
  'a fresh and a second run, %s: the primary sees each request once, in order, as that agent',
  async via => {
    await using rig = await makeRig({ primary: { ca: 'chain' } });
    const before = rig.primary.seen.length;
    const connectionsBefore = rig.primary.connections.total;
    const state = newAgentState();
    const first = await run(rig, state, via);
    expect(first).toMatchObject({ exitCode: 2, error: null });
    const second = await run(rig, state, via);
    expect(second).toMatchObject({ exitCode: 0, error: null });

    const steps = [...first.steps, ...second.steps];
    const seen = rig.primary.seen.slice(before);
    expect(seen.map(({ method, target, status }) => [method, target, status])).toEqual(
      steps.map(({ method, target, reply }) => [method, target, reply.status]),
    );
    expect(rig.tape.exchanges.map(({ request, response }) => [request.method, request.target, response?.status])).toEqual(
      steps.map(({ method, target, reply }) => [method, target, reply.status]),
    );
    expect(rig.tape.exchanges.every(({ outcome }) => outcome.type === 'answered')).toBe(true);
    // Before the certificate nobody; after it that agent alone.
    const bootstrap = seen.findIndex(({ target }) => target.startsWith('/puppet/'));
    expect(new Set(seen.slice(0, bootstrap).map(({ certname }) => certname))).toEqual(new Set([null]));
    expect(new Set(seen.slice(bootstrap).map(({ certname }) => certname))).toEqual(new Set([CERTNAME]));

    // Connections: the probe of the agent has no exchange, and opens none upstream; both runs share one pooled one.
    const agents = await eventually(() => {
      const all = rig.tape.connections.filter(({ leg }) => leg === 'agent');
      return all.every(({ closed }) => closed) && all;
    });
    expect(agents.map(({ exchanges }) => exchanges)).toEqual([0, 1, 1, 2, first.steps.length - 4, second.steps.length]);
    expect(new Set(agents.map(one => one.via))).toEqual(new Set([via]));
    expect(rig.primary.connections.total - connectionsBefore).toBe(2);
  },
);

test('the CSR is swapped: the primary sees our key with what the agent asked for, the agent gets its own key certified by our CA', async () => {
  await using rig = await makeRig();
  const state = newAgentState();
  const role = extension(PP_ROLE, false, utf8('webserver'));
  const result = await run(rig, state, 'direct', { csr: { names: ['fresh1', 'fresh1.example'], extensions: [role] } });
  expect(result.error).toBeNull();

  const sent = rig.primary.seen.find(({ method, target }) => method === 'PUT' && target.includes('certificate_request'))!;
  const upstream = readCsr(sent.body.toString());
  const csrExchange = rig.tape.exchanges.find(({ route }) => route.phase === 'csr')!;
  const agents = readCsr(rig.tape.body(csrExchange.id, 'request')!.bytes.toString());
  expect(rig.tape.body(csrExchange.id, 'primary-request')!.bytes).toEqual(sent.body);
  expect(upstream.signatureValid).toBe(true);
  expect(upstream.publicKey.equals(agents.publicKey)).toBe(false);
  expect(upstream.commonName).toBe(CERTNAME);
  expect(upstream.attributesDer).toEqual(agents.attributesDer);
  expect(fieldIn({ fields: sent.fields } as Message, 'content-length')).toBe(String(sent.body.length));

  // The primary's certificate is for our key; the agent's is for its own, by our CA, with the same extensions.
  const [signed] = readCertificates(rig.primary.certificateOf(CERTNAME)!);
  const [given] = readCertificates(state.certPem!);
  expect(signed!.x509.publicKey.equals(upstream.publicKey)).toBe(true);
  expect(given!.x509.publicKey.equals(state.key!.publicKey)).toBe(true);
  expect(given!.x509.verify(rig.proxy.authority.certificate.x509.publicKey)).toBe(true);
  for (const oid of [PP_ROLE, OID.subjectAltName]) {
    const valueIn = (list: typeof given): Buffer | undefined => list?.extensions.find(one => one.oid === oid)?.value;
    expect(valueIn(given)).toBeDefined();
    expect(valueIn(given)).toEqual(valueIn(signed));
  }
  expect(encode(utf8('webserver'))).toEqual(given!.extensions.find(one => one.oid === PP_ROLE)?.value);
  expect(given!.notAfter).toBeLessThanOrEqual(signed!.notAfter);

  // Both certificates are in the capture, and the identity is kept.
  const certExchange = rig.tape.exchanges.find(({ route }) => route.phase === 'certificate')!;
  expect(certExchange).toMatchObject({ answeredBy: 'proxy', primaryStatus: 200 });
  expect(rig.tape.body(certExchange.id, 'primary-response')!.bytes.toString()).toBe(rig.primary.certificateOf(CERTNAME));
  expect(rig.tape.body(certExchange.id, 'response')!.bytes.toString()).toBe(state.certPem);
  expect(identityOf(rig)).toMatchObject({ kind: 'enrolled', agentCertPem: state.certPem });
});

test('the bundles have our CA first, then those of the primary in its order; the primary is asked as the agent asked', async () => {
  await using rig = await makeRig({ primary: { ca: 'chain' } });
  const before = rig.primary.seen.length;
  const ca = await bare(rig, get(CA));
  expect(ca.start).toBe('HTTP/1.1 200 OK');
  expect(ca.body.toString()).toBe(rig.proxy.authority.caPem + rig.primary.ca.caPem);
  expect(readCertificates(ca.body.toString())).toHaveLength(3);
  expect(fieldIn(ca, 'content-type')).toBe('text/plain');

  const crl = await bare(rig, get(CRL));
  expect(readCrls(crl.body.toString()).map(list => list.issuer.toString('hex'))).toEqual(
    readCertificates(ca.body.toString()).map(one => one.subject.toString('hex')),
  );
  expect(rig.primary.seen.slice(before).map(({ target, certname }) => [target, certname])).toEqual([
    [CA, null],
    [CRL, null],
  ]);
  const [one, two] = rig.tape.exchanges;
  expect(one).toMatchObject({ answeredBy: 'proxy', primaryStatus: 200, primary: { ordinal: 1 } });
  expect(rig.tape.body(one!.id, 'primary-response')!.bytes.toString()).toBe(rig.primary.ca.caPem);
  expect(rig.tape.body(two!.id, 'primary-response')!.bytes.toString()).toBe(rig.primary.ca.crlPem);
});

test.each([CA, CRL])('%s: If-Modified-Since is answered for our bundle, whatever the primary says of its part', async target => {
  await using rig = await makeRig();
  const whole = await bare(rig, get(target));
  const modified = fieldIn(whole, 'last-modified')!;
  const same = await bare(rig, get(target, `If-Modified-Since: ${modified}`));
  expect([statusOf(same), same.body.length]).toEqual([304, 0]);
  expect(fieldIn(same, 'content-length')).toBeNull();
  const later = await bare(rig, get(target, `If-Modified-Since: ${new Date(Date.now() + 86_400_000).toUTCString()}`));
  expect(statusOf(later)).toBe(304);
  const older = await bare(rig, get(target, `If-Modified-Since: ${new Date(Date.parse(modified) - 1000).toUTCString()}`));
  expect([statusOf(older), older.body.equals(whole.body)]).toEqual([200, true]);
  const nonsense = await bare(rig, get(target, 'If-Modified-Since: yesterday'));
  expect([statusOf(nonsense), nonsense.body.equals(whole.body)]).toEqual([200, true]);
});

test('what the primary revokes is in the next CRL bundle, also for an agent that has a younger copy of ours', async () => {
  await using rig = await makeRig();
  await bare(rig, get(CRL));
  // As an agent asks: with the time at which it wrote its copy.
  const copied = new Date().toUTCString();
  const pair = await rig.issue('lost.example');
  rig.primary.enter('lost.example', pair.certPem);
  rig.primary.revoke('lost.example');
  const fresh = await bare(rig, get(CRL, `If-Modified-Since: ${copied}`));
  expect(statusOf(fresh)).toBe(200);
  const serial = new X509Certificate(pair.certPem).serialNumber;
  expect(readCrls(fresh.body.toString()).some(list => list.revoked.has(serial))).toBe(true);
});

test('a CSR for a name that has a certificate gets the 400 of the primary; another key is never certified', async () => {
  await using rig = await makeRig();
  const owner = newAgentState();
  expect((await run(rig, owner)).error).toBeNull();
  const thief = newAgentState();
  const result = await run(rig, thief);
  expect(result.exitCode).toBe(1);
  expect(result.error).toMatch(/does not match its private key/);
  const [, , refused, handed] = result.steps;
  expect(refused!.reply.status).toBe(400);
  expect(refused!.reply.body.toString()).toBe(`${CERTNAME} already has a signed certificate; ignoring certificate request`);
  expect(handed!.reply.body.toString()).toBe(owner.certPem);
  // The owner goes on as if nothing had happened.
  expect(await run(rig, owner)).toMatchObject({ exitCode: 0 });
});

test('an agent that waits for its signature sends the same CSR again and gets what the primary says', async () => {
  await using rig = await makeRig({ primary: { autosign: false } });
  const state = newAgentState();
  const tired = await run(rig, state);
  expect(tired.error).toBe(`Exiting; no certificate found: Could not find certificate ${CERTNAME}`);
  expect(tired.steps.slice(2).map(({ reply }) => reply.status)).toEqual([200, 404]);

  const waiting = run(rig, state, 'direct', { waitForCertMs: 100, waitRounds: 50 });
  await eventually(() => rig.primary.seen.filter(({ method, status }) => method === 'PUT' && status === 400).length >= 2);
  rig.primary.sign(CERTNAME);
  const patient = await waiting;
  expect(patient).toMatchObject({ exitCode: 2, error: null });
  const csrs = rig.primary.seen.filter(({ target }) => target.includes('certificate_request'));
  expect(csrs[0]!.status).toBe(200);
  expect(new Set(csrs.slice(1).map(({ status }) => status))).toEqual(new Set([400]));
  expect(new Set(csrs.map(({ body }) => body.toString())).size).toBe(1);
  const conflict = rig.tape.exchanges.find(({ response }) => response?.status === 400)!;
  expect(conflict.answeredBy).toBe('primary');
});

test('CA and CRL are answered while the primary is down; a CSR is not', async () => {
  await using rig = await makeRig();
  const up = [(await bare(rig, get(CA))).body, (await bare(rig, get(CRL))).body];
  await rig.primary.stop();
  const down = [(await bare(rig, get(CA))).body, (await bare(rig, get(CRL))).body];
  expect(down).toEqual(up);
  const exchange = await rig.exchange(3);
  expect(exchange).toMatchObject({ outcome: { type: 'answered' }, answeredBy: 'proxy', primaryStatus: null, primary: null });
  const csr = await bare(rig, put('new.example', 'no matter'));
  expect(csr.start).toBe('HTTP/1.1 502 Primary unreachable');
});

test('another CA at the same place is not believed: the known one is kept, and the operator is told', async () => {
  await using rig = await makeRig();
  const known = await bare(rig, get(CA));
  await using other = await makeRig();
  // The agent's requests reach the true primary; what it says is its CA is another's.
  Object.assign(rig.primary.ca, { caPem: other.ca.caPem });
  const later = await bare(rig, get(CA));
  expect(later.body).toEqual(known.body);
  expect(rig.notices.some(line => line.includes('another CA') && line.includes('the known CA is kept'))).toBe(true);
});

test('a certname that the primary cleaned enrols anew; the certificate of before is nobody', async () => {
  await using rig = await makeRig({ proxy: { idleMs: 50 } });
  const old = newAgentState();
  expect((await run(rig, old)).error).toBeNull();
  rig.primary.clean(CERTNAME);
  // A primary looks at its CRL at a handshake, so what is revoked goes on over a connection that is open.
  await eventually(() => rig.primary.connections.open === 0, 'idle connections are closed');
  const gone = await run(rig, old);
  expect(gone.exitCode).toBe(1);
  const fresh = newAgentState();
  expect(await run(rig, fresh)).toMatchObject({ exitCode: 2, error: null });
  const wire = await rig.agent({ pair: { keyPem: old.key!.pem, certPem: old.certPem! }, crlPem: null });
  wire.write(get(`/puppet/v3/node/${CERTNAME}?environment=production`));
  const answer = await wire.answer();
  expect(answer.start).toBe('HTTP/1.1 403 Client certificate refused');
});

test('a connection of before does not go on as the agent that enrolled in its place', async () => {
  await using rig = await makeRig();
  const old = newAgentState();
  expect((await run(rig, old)).error).toBeNull();
  const asked = get(`/puppet/v3/node/${CERTNAME}?environment=production`);
  const open = await rig.agent({ pair: { keyPem: old.key!.pem, certPem: old.certPem! } });
  open.write(asked);
  expect(statusOf(await open.answer())).toBe(200);
  rig.primary.clean(CERTNAME);
  expect(await run(rig, newAgentState())).toMatchObject({ exitCode: 2, error: null });
  const before = rig.primary.seen.length;
  open.write(asked);
  expect((await open.answer()).start).toBe('HTTP/1.1 403 Client certificate refused');
  expect(await open.ended).toBe('end'); // the next one is judged anew
  expect(rig.primary.seen).toHaveLength(before);
});

test('a renewal of the primary becomes a certificate of ours for the key of the agent', async () => {
  await using rig = await makeRig({ primary: { renewal: true } });
  const state = newAgentState();
  expect((await run(rig, state)).error).toBeNull();
  const before = identityOf(rig)!;
  const pair = { keyPem: state.key!.pem, certPem: state.certPem! };
  const post =
    'POST /puppet-ca/v1/certificate_renewal HTTP/1.1\r\nHost: puppet.example.com:8140\r\nAccept: text/plain\r\nContent-Length: 0\r\n\r\n';
  const renewed = await bare(rig, post, pair);
  expect(statusOf(renewed)).toBe(200);
  const [given] = readCertificates(renewed.body.toString());
  expect(given!.x509.publicKey.equals(state.key!.publicKey)).toBe(true);
  expect(given!.x509.verify(rig.proxy.authority.certificate.x509.publicKey)).toBe(true);
  expect(given!.serial).not.toBe(readCertificates(state.certPem!)[0]!.serial);
  const after = identityOf(rig)!;
  expect([after.keyPem, after.fingerprint === before.fingerprint]).toEqual([before.keyPem, false]);
  expect(after.certPem).toBe(rig.primary.certificateOf(CERTNAME));
  // The new one works, upstream too.
  state.certPem = renewed.body.toString();
  expect(await run(rig, state)).toMatchObject({ exitCode: 0 });
  const nobody = await bare(rig, post);
  expect(nobody.start).toBe('HTTP/1.1 403 No client certificate');
});

test('a renewal that the primary refuses is refused', async () => {
  await using rig = await makeRig({ primary: { renewal: false } });
  const post = 'POST /puppet-ca/v1/certificate_renewal HTTP/1.1\r\nHost: puppet.example.com:8140\r\nContent-Length: 0\r\n\r\n';
  const refused = await bare(rig, post, rig.pair('agent1.example'));
  expect([refused.start, refused.body.toString()]).toEqual([
    'HTTP/1.1 403 Forbidden',
    'Forbidden request: /puppet-ca/v1/certificate_renewal (method :post). Please see the server logs for details.',
  ]);
});

test('what is no CSR goes to the primary as it is, and so does its answer', async () => {
  await using rig = await makeRig();
  const answer = await bare(rig, put('new.example', 'this is no CSR'));
  expect(answer.start).toBe('HTTP/1.1 400 Bad Request');
  expect(rig.primary.seen.at(-1)!.body.toString()).toBe('this is no CSR');
  expect(rig.notices.some(line => line.includes('goes to the primary as it is'))).toBe(true);
});

test('a CSR of more than 1 MiB is answered with 400, not with silence', async () => {
  await using rig = await makeRig();
  const wire = await rig.agent({ pair: null });
  const body = 'x'.repeat(3 * 1024 * 1024);
  wire.write(put('new.example', body));
  const answer = await wire.answer();
  expect(answer.start).toBe('HTTP/1.1 400 Not forwarded');
  const exchange = await rig.exchange();
  expect(exchange.outcome).toMatchObject({ type: 'failed', failure: { reason: 'not-forwarded' } });
});

test.each(['self', 'chain'] as const)(
  'an agent that the primary has signed already needs nothing but the bundles; CA: %s',
  async ca => {
    await using rig = await makeRig({ primary: { ca } });
    const { keyPem, certPem } = rig.pair('agent1.example');
    const privateKey = createPrivateKey(keyPem);
    const state = {
      ...newAgentState(),
      key: { publicKey: createPublicKey(privateKey), privateKey, pem: keyPem },
      caPem: rig.proxy.trust.bundle().pem,
      crlPem: rig.proxy.trust.crlBundle().pem,
      certPem,
    };
    const result = await runDemoAgent({ certname: 'agent1.example', place: rig.place(), state });
    expect(result).toMatchObject({ exitCode: 2, error: null });
    expect(
      rig.tape.exchanges.every(({ certname, answeredBy }) => certname === 'agent1.example' && answeredBy === 'primary'),
    ).toBe(true);
  },
);

test('a large CRL passes in pieces, and all agents get the same buffer', async () => {
  // A tape that asks for a pause after each piece, as one does whose disk is slow.
  let go: (() => void) | null = null;
  let isSlow = false;
  const tape = Object.assign(memoryTape(), {
    ready(next: () => void) {
      if (isSlow) go = next;
      return !isSlow;
    },
  });
  await using rig = await makeRig({ tape });
  rig.ca.revokeMany(60_000);
  const asked = get(CRL);
  const whole = await bare(rig, asked);
  const size = whole.body.length;
  expect(size).toBeGreaterThan(1_500_000);
  expect(whole.body.equals(rig.proxy.trust.crlBundle().bytes)).toBe(true);
  expect(rig.proxy.trust.crlBundle().bytes).toBe(rig.proxy.trust.crlBundle().bytes);

  isSlow = true;
  const slow = await rig.agent({ pair: null });
  slow.write(asked);
  const copied = (side: Side): number => tape.body(2 as ExchangeId, side)?.size ?? 0;
  const from: number[] = [];
  const to: number[] = [];
  while (tape.exchanges.length < 2) {
    await eventually(() => go !== null || tape.exchanges.length === 2);
    from.push(copied('primary-response'));
    to.push(copied('response'));
    const next = go;
    go = null;
    (next as (() => void) | null)?.();
  }
  // Neither came at once.
  expect(new Set(from).size).toBeGreaterThan(10);
  expect(new Set(to).size).toBeGreaterThan(10);
  expect((await slow.answer()).body.equals(whole.body)).toBe(true);
  expect(tape.exchanges[1]).toMatchObject({
    answeredBy: 'proxy',
    primaryStatus: 200,
    responseBytes: size,
    outcome: { type: 'answered' },
  });
  expect(tape.body(2 as ExchangeId, 'primary-response')!.bytes.toString()).toBe(rig.ca.crlPem);
  expect(tape.body(2 as ExchangeId, 'response')!.bytes.equals(whole.body)).toBe(true);

  // The list as it is known, and more: all of it counts.
  isSlow = false;
  rig.ca.revokeMany(1);
  const more = await bare(rig, asked);
  expect(Math.max(...readCrls(more.body.toString()).map(crl => crl.revoked.size))).toBe(60_001);
});

test('what is none of the requests of an agent passes as it is, body and all', async () => {
  await using rig = await makeRig();
  const agent = await rig.agent();
  const list = 'an uploaded list';
  for (const [method, target] of [
    ['PUT', CRL],
    ['DELETE', '/puppet-ca/v1/certificate_request/agent1.example'],
    ['PUT', '/puppet-ca/v1/certificate/agent1.example'],
  ] as const) {
    agent.write(`${method} ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: ${list.length}\r\n\r\n${list}`);
    const answer = await agent.answer();
    expect(rig.primary.seen.at(-1)).toMatchObject({ method, target, certname: 'agent1.example' });
    expect(rig.primary.seen.at(-1)!.body.toString(), `${method} ${target}`).toBe(list);
    expect(statusOf(answer), `${method} ${target}`).toBe(rig.primary.seen.at(-1)!.status);
    expect(rig.tape.exchanges.at(-1)).toMatchObject({ answeredBy: 'primary' });
  }
});
