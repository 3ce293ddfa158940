import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FILES } from '../peers/site.ts';
import { parsed, record, replay, to } from './agents-rig.ts';

const AGENT = 'agent1.example';

describe('load', () => {
  test('200 agents: nothing is lost, and the summary is what the primary saw', async () => {
    await using recorded = await record([AGENT, AGENT]);
    const args = ['r2', ...to(recorded), '--agents', '200', '--ramp', '3s', '--timing', 'fast', '--as', 'load-%04d.example'];
    const connections = recorded.primary.connections.total;
    const ran = await replay(recorded, ...args, '--writes', 'report', '--json');
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.err).toContain('enrolling 200 names');
    const { summary, agents, interrupted } = parsed(ran);
    const seen = recorded.since();
    expect(interrupted).toBe(false);
    expect(summary.requests).toBe(seen.length);
    expect(seen.length).toBe(200 * 7);
    expect(summary).toMatchObject({ failed: 0, otherStatus: 0, agents: { done: 200, gaveUp: 0 } });
    expect(summary.statuses).toEqual(
      Object.fromEntries([...Map.groupBy(seen, one => String(one.status))].map(([status, those]) => [status, those.length])),
    );
    const asked = (part: string): number => seen.filter(({ target }) => target.includes(part)).length;
    expect(summary.phases.find(({ phase }) => phase === 'catalog')?.requests).toBe(asked('/catalog/'));
    expect(summary.phases.find(({ phase }) => phase === 'report')?.requests).toBe(asked('/report/'));
    // One connection for each recorded one; beside them those of the enrolment and of the first contact.
    expect(summary.connections).toMatchObject({ opened: 200, recorded: 200 });
    expect(recorded.primary.connections.total - connections).toBeGreaterThanOrEqual(200);
    expect(new Set(seen.map(one => one.connection)).size).toBe(200);
    // Nobody spoke as another: each certificate asked for its own catalog, on a session of its own.
    for (const one of seen) {
      expect(one.resumed).toBe(false);
      if (one.target.includes('/v3/catalog/')) expect(one.target).toContain(`/${one.certname}?`);
    }
    expect(new Set(agents.map(({ certname }) => certname)).size).toBe(200);
    expect(
      new Set(seen.flatMap(({ body }) => /transaction_uuid=([0-9a-f-]{36})/.exec(body.toString('latin1'))?.[1] ?? [])).size,
    ).toBe(200);
    // The identities stay: the next time nobody is enrolled.
    const again = await replay(
      recorded,
      ...args.slice(0, 3),
      '--agents',
      '3',
      '--herd',
      '--timing',
      'fast',
      '--as',
      'load-%04d.example',
    );
    expect(again.err).not.toContain('enrolling');
    const file = join(recorded.dir, 'load.db');
    const args3 = [
      'r1',
      ...to(recorded),
      '--agents',
      '3',
      '--herd',
      '--timing',
      'fast',
      '--as',
      'load-%04d.example',
      '--capture',
      file,
    ];
    recorded.primary.failing.add('load-0002.example');
    const compared = await replay(recorded, ...args3);
    expect(compared.code).toBe(3);
    expect(compared.out).toContain('2 of 3 agents: no difference\nthe first of the others, load-0002.example:');
  });

  test('names that are not signed: the command that signs them, then the same keys', async () => {
    await using recorded = await record([AGENT]);
    recorded.primary.autosign = false;
    const args = [
      'r1',
      ...to(recorded),
      '--agents',
      '2',
      '--herd',
      '--timing',
      'fast',
      '--as',
      'load-%d.example',
      '--wait-for-cert',
      '0s',
    ];
    const refused = await replay(recorded, ...args);
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.err).toContain('2 of 2 certificate requests are not signed');
    expect(refused.err).toContain('puppetserver ca sign --certname load-1.example,load-2.example');
    for (const name of ['load-1.example', 'load-2.example']) recorded.primary.sign(name);
    const ran = await replay(recorded, ...args);
    expect(ran).toMatchObject({ code: 0 });
  });

  test('Ctrl-C while certificates are waited for: nothing is replayed', async () => {
    await using recorded = await record([AGENT]);
    recorded.primary.autosign = false;
    const running = replay(recorded, 'r1', ...to(recorded), '--agents', '1', '--as', 'load-%d.example', '--wait-for-cert', '10m');
    const isAsked = () => recorded.primary.seen.some(({ target }) => target.includes('/certificate/load-1.example'));
    while (!isAsked()) await new Promise(go => setTimeout(go, 5));
    process.emit('SIGINT', 'SIGINT');
    expect(await running).toMatchObject({
      code: 130,
      out: '',
      err: expect.stringMatching(/interrupted before anything was replayed$/),
    });
  });

  test('a file with another content is found', async () => {
    await using recorded = await record([AGENT]);
    const file = FILES.find(({ path }) => path === 'logo.bin')!;
    const { content } = file;
    file.content = Buffer.from('another logo');
    try {
      const ran = await replay(recorded, 'r1', ...to(recorded), '--agents', '2', '--herd', '--timing', 'fast', '--json');
      expect(ran.code).toBe(3);
      expect(parsed(ran).summary).toMatchObject({ failed: 0, otherStatus: 0, otherContent: 2 });
    } finally {
      file.content = content;
    }
  });

  test('a primary that goes away in the middle: failures are counted, agents give up, and it ends', async () => {
    await using recorded = await record([AGENT], { factsMs: 400 });
    const running = replay(recorded, 'r1', ...to(recorded), '--agents', '5', '--herd', '--json');
    while (recorded.since().filter(({ target }) => target.includes('/node/')).length < 5)
      await new Promise(go => setTimeout(go, 5));
    await recorded.primary.stop();
    const ran = await running;
    expect(ran.code).toBe(3);
    const { summary, same } = parsed(ran);
    expect(same).toBe(false);
    expect(summary.agents.gaveUp).toBe(5);
    expect(summary.failed).toBeGreaterThanOrEqual(15);
    expect(summary.failures.map(({ reason }) => reason)).toContain('primary-unreachable');
  });

  test('Ctrl-C ends it with the result so far', async () => {
    await using recorded = await record([AGENT], { factsMs: 1000 });
    const running = replay(recorded, 'r1', ...to(recorded), '--agents', '8', '--ramp', '4s', '--json');
    while (recorded.since().filter(({ target }) => target.includes('/node/')).length < 2)
      await new Promise(go => setTimeout(go, 5));
    // A terminal's reaches the program and what started it, which passes it on.
    process.emit('SIGINT', 'SIGINT');
    process.emit('SIGINT', 'SIGINT');
    const from = performance.now();
    const ran = await running;
    expect(ran.code).toBe(130);
    const { interrupted, summary, agents } = parsed(ran);
    expect(performance.now() - from).toBeLessThan(5000);
    expect(interrupted).toBe(true);
    // What was broken off may or may not have reached the primary.
    expect(recorded.since().length).toBeLessThanOrEqual(summary.requests);
    expect(recorded.since().length).toBeGreaterThanOrEqual(summary.requests - summary.abandoned);
    expect(agents.some(({ end }) => end === 'interrupted')).toBe(true);
  });
});
