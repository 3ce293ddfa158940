import { describe, expect, test } from 'vitest';
import type { Dialled } from '../rig/raw.ts';
import { eventually, makeRig } from '../rig/rig.ts';
import { statusOf } from '../rig/wire.ts';

/**
 * A TLS session belongs to the certificate that it was made with: a server that resumes one sees the certname of the first handshake,
 * whatever certificate is presented now. So sessions must never be shared between certnames, on either leg.
 */

const CERTNAMES = ['agent1.example', 'agent2.example', 'agent3.example'] as const;
const ROUNDS = 12;

async function ask(agent: Dialled, certname: string, n: number): Promise<number> {
  agent.write(
    `GET /puppet/v3/node/${certname}?environment=production&n=${n} HTTP/1.1\r\nHost: puppet.example.com:8140\r\nX-Who: ${certname}\r\n\r\n`,
  );
  return statusOf(await agent.answer());
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('with %s on both legs', version => {
  const tls = { minVersion: version, maxVersion: version };

  test('the primary sees on each request the certname of the agent that made it; sessions are resumed within one certname only', async () => {
    await using rig = await makeRig({ certnames: CERTNAMES, primary: { closeEach: true, tls } });
    const { primary } = rig;
    const agents = await Promise.all(
      CERTNAMES.map(async certname => ({ certname, wire: await rig.agent({ pair: rig.pair(certname), ...tls }) })),
    );
    // Every answer closes the primary connection, so each request needs a new one: first by turns, then all at once.
    for (let n = 0; n < ROUNDS; n++) {
      for (const { certname, wire } of agents) expect(await ask(wire, certname, n)).toBe(200);
    }
    for (let n = 0; n < ROUNDS; n++) {
      const statuses = await Promise.all(agents.map(({ certname, wire }) => ask(wire, certname, ROUNDS + n)));
      expect(statuses).toEqual([200, 200, 200]);
    }
    const seen = primary.seen.filter(({ target }) => target.startsWith('/puppet/v3/node/'));
    expect(seen).toHaveLength(2 * ROUNDS * CERTNAMES.length);
    for (const { certname, fields, tls: protocol } of seen) {
      expect(certname).toBe(fields.find(([name]) => name === 'X-Who')?.[1]);
      expect(protocol).toBe(version);
    }
    // The very first connection of a certname cannot resume anything; later ones do, or this test would prove nothing.
    for (const certname of CERTNAMES) {
      const [first, ...later] = seen.filter(one => one.certname === certname);
      expect(first!.resumed).toBe(false);
      expect(later.some(({ resumed }) => resumed)).toBe(true);
    }
    // The capture tells the same story as the primary.
    await eventually(() => rig.tape.connections.filter(({ leg, closed }) => leg === 'primary' && closed).length >= seen.length);
    for (const exchange of rig.tape.exchanges) {
      const connection = rig.tape.connections.find(({ id }) => id === exchange.primary?.connection);
      expect(connection?.certname).toBe(exchange.certname);
    }
    for (const certname of CERTNAMES) {
      const resumed = (list: readonly { resumed: boolean }[]): number => list.filter(one => one.resumed).length;
      const taped = rig.tape.connections.filter(one => one.leg === 'primary' && one.certname === certname).map(({ tls }) => tls!);
      expect(resumed(taped)).toBe(resumed(seen.filter(one => one.certname === certname)));
    }
  });

  test('a session that an agent resumes keeps the certname that it was made with', async () => {
    await using rig = await makeRig({ certnames: CERTNAMES, primary: { tls } });
    const [one, two] = CERTNAMES;
    const first = await rig.agent({ pair: rig.pair(one), ...tls });
    const sessions: Buffer[] = [];
    first.tls.on('session', ticket => sessions.push(ticket));
    expect(await ask(first, one, 1)).toBe(200);
    const session = await eventually(() => sessions.at(-1) ?? first.tls.getSession(), 'a session ticket');
    first.end();
    // Resumed with the certificate of another agent: the session is still the first one's, and so is what it may do.
    const again = await rig.agent({ pair: rig.pair(two), session, ...tls });
    expect(again.tls.isSessionReused()).toBe(true);
    expect(await ask(again, one, 2)).toBe(200);
    expect(await ask(again, two, 3)).toBe(403);
    const taken = rig.primary.seen.filter(({ target }) => target.includes('/node/'));
    expect(taken.map(({ certname, status }) => [certname, status])).toEqual([
      [one, 200],
      [one, 200],
      [one, 403],
    ]);
    const connection = rig.tape.connections.find(({ leg, tls: facts }) => leg === 'agent' && facts?.resumed);
    expect(connection?.certname).toBe(one);
  });

  test('two certnames never share a primary connection, even one after the other', async () => {
    await using rig = await makeRig({ certnames: CERTNAMES, primary: { tls } });
    for (let n = 0; n < 3; n++) {
      for (const certname of CERTNAMES) {
        const agent = await rig.agent({ pair: rig.pair(certname), ...tls });
        expect(await ask(agent, certname, n)).toBe(200);
        agent.end();
        await agent.ended;
      }
    }
    const used = rig.tape.exchanges.map(({ certname, primary }) => `${certname} ${primary?.connection}`);
    expect(new Set(used).size).toBe(CERTNAMES.length);
    expect(new Set(rig.tape.exchanges.map(({ primary }) => primary?.connection)).size).toBe(CERTNAMES.length);
  });
});

test('a connection has one handshake: what it proved is not made another by a second one', async () => {
  await using rig = await makeRig({ certnames: CERTNAMES });
  const [certname] = CERTNAMES;
  const agent = await rig.agent({ pair: rig.pair(certname), maxVersion: 'TLSv1.2' });
  expect(await ask(agent, certname, 1)).toBe(200);
  const second = new Promise<string>(resolve => {
    agent.tls.renegotiate({ rejectUnauthorized: false }, error => resolve(error === null ? 'done' : 'refused'));
  });
  expect(await Promise.race([second, agent.ended])).not.toBe('done');
  const connection = await rig.connection(({ leg, closed }) => leg === 'agent' && closed !== null);
  expect(connection).toMatchObject({ error: 'TLS session renegotiation disabled for this socket', closed: { by: 'proxy' } });
});
