import { describe, expect, test } from 'vitest';
import { IDLE_MS } from '../../src/analysis/run-beginnings.ts';
import { brief, CA, CATALOG, CERTIFICATE, CHECK, CRL, CSR, FILE, NODE, PLUGINS, play, REPORT } from './runs-rig.ts';

describe('one run', () => {
  test('a first run: probe, CA, CRL, CSR and certificate on connections of their own, then everything else', () => {
    const { runs, of, connections } = play(`
      c1 open
      c1 closed
      c2 open
      c2 ${CA} 200
      c2 closed
      c3 open
      c3 ${CRL} 200
      c4 open
      c4 ${CSR} 200
      c4 ${CERTIFICATE} 200
      c5 open
      c3 closed
      c4 closed
      c5 [web1] ${NODE}u1 200
      c5 [web1] ${CHECK} 200
      c5 [web1] ${CATALOG} 200 uuid=u1
      c5 [web1] ${FILE} 200
      c5 [web1] ${REPORT} 200 uuid=u1
      c5 closed`);
    expect(brief(runs)).toEqual(['web1 report 9']);
    expect(runs[0]).toMatchObject({ transactionUuid: 'u1', environment: 'production', puppetVersion: '7.23.0', failed: 0 });
    expect(runs[0]).toMatchObject({ agentConnections: 5, primaryConnections: 1, requestBytes: 90, responseBytes: 900 });
    expect([1, 2, 3, 4, 5, 6, 7, 8, 9].map(of)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9].map(n => `r1.${n}`));
    expect(connections[1]).toBe('1 2 3 4 5 1000');
  });

  test('a second run: one connection, no node request; started by its first request, ended by its report', () => {
    const { runs } = play(`
      c1 open
      c1 [web1] ${CHECK} 200
      c1 [web1] ${CATALOG} 200 uuid=u1 env=canary
      c1 [web1] ${REPORT} 200 uuid=u1 env=canary
      c1 closed`);
    expect(brief(runs)).toEqual(['web1 report 3']);
    expect(runs[0]).toMatchObject({ startedAt: 1_002_000, endedAt: 1_004_100, environment: 'canary' });
  });

  test('an agent without keep-alive (http_keepalive_timeout = 0) opens connections in the middle only to see that the primary is there', () => {
    const { runs, connections } = play(`
      c1 open
      c1 [web1] closed
      c2 open
      c2 [web1] ${CHECK} 200
      c2 [web1] closed
      c3 open
      c3 [web1] closed
      c4 open
      c4 [web1] ${CATALOG} 200 uuid=u1
      c4 [web1] closed
      c5 open
      c6@10.0.0.1 open
      c6 [web2] closed
      c5 [web1] ${REPORT} 200 uuid=u1
      c5 [web1] closed
      c7 open
      c7 [web1] ${CHECK} 200
      c8 open
      c8 [web2] ${CHECK} 200
      c8 [web2] ${REPORT} 200
      cut`);
    expect(brief(runs)).toEqual(['web1 report 3', 'web1 connections-closed 1', 'web2 report 2']);
    expect(connections).toEqual({ 1: '1 2 1000 3 4 5', 2: '7 1000', 3: '6 8 1000' });
  });

  test('with server_list a run begins with the status of a server, also after one that sent no report', () => {
    const status = 'GET /status/v1/simple/server';
    const { runs, of } = play(`
      c1 open
      c1 [web1] ${status} 200
      c1 [web1] ${CHECK} 200
      c1 [web1] ${CATALOG} 200 uuid=u1
      c1 closed
      wait 1800
      c2 open
      c2 [web1] ${status} 200
      c2 [web1] ${CHECK} 200
      c2 [web1] ${CATALOG} 200 uuid=u2
      c2 closed`);
    expect(brief(runs)).toEqual(['web1 connections-closed 3', 'web1 connections-closed 3']);
    expect([4, 5, 6].map(of)).toEqual(['r2.1', 'r2.2', 'r2.3']);
  });

  test('the agent drops an idle connection in the middle and connects anew', () => {
    const { runs } = play(`
      c1 open
      c1 [web1] ${CHECK} 200
      c1 [web1] ${PLUGINS} 200
      c1 closed
      c2 open
      c2 [web1] ${CATALOG} 200 uuid=u1
      c2 closed
      wait 100
      c3 open
      c3 [web1] ${FILE} 200
      c3 [web1] ${REPORT} 200 uuid=u1
      c3 closed`);
    expect(brief(runs)).toEqual(['web1 report 5']);
    expect(runs[0]?.agentConnections).toBe(3);
  });

  test('the primary changes the environment: pluginsync and catalog again, on the same connection', () => {
    const { runs } = play(`
      c1 open
      c1 [web1] ${NODE}u1 200
      c1 [web1] ${CHECK} 200
      c1 [web1] ${CATALOG} 200 uuid=u1
      c1 [web1] ${CHECK.replace('production', 'canary')} 200
      c1 [web1] ${CATALOG.replace('production', 'canary')} 200 uuid=u1
      c1 [web1] ${REPORT.replace('production', 'canary')} 200 uuid=u1
      c1 closed`);
    expect(brief(runs)).toEqual(['web1 report 6']);
    expect(runs[0]?.environment).toBe('canary');
  });

  test('a catalog that fails: the report ends the run all the same, the 500 is counted, a 404 is not', () => {
    const { runs } = play(`
      c1 open
      c1 [web1] ${CHECK} 200
      c1 [web1] GET /puppet/v3/file_metadata/a/b 404
      c1 [web1] ${CATALOG} 500 uuid=u1
      c1 [web1] ${REPORT} 200 uuid=u1
      c1 closed`);
    expect(brief(runs)).toEqual(['web1 report 4']);
    expect(runs[0]?.failed).toBe(1);
  });

  test('cut off: the agent is killed, its exchange is abandoned, and may be told after its connection', () => {
    const { runs } = play(`
      c1 open
      c1 [web1] ${CHECK} 200
      c1 closed
      c1 [web1] ${CATALOG} abandoned`);
    expect(brief(runs)).toEqual(['web1 connections-closed 2']);
    expect(runs[0]).toMatchObject({ failed: 1, endedAt: 1_003_000 });
  });

  test('the proxy closes a connection while the agent applies a long catalog: the run stays open until the report', () => {
    const script = `
      c1 open
      c1 [web1] ${CHECK} 200
      c1 [web1] ${CATALOG} 200 uuid=u1
      wait 30
      c1 idle-closed`;
    expect(brief(play(script).runs)).toEqual(['web1 open 2']);
    expect(brief(play(`${script}\nwait 600\nc2 open\nc2 [web1] ${REPORT} 200 uuid=u1`).runs)).toEqual(['web1 report 3']);
    const idle = play(`${script}\nwait ${IDLE_MS / 1_000 + 1}\ntime`).runs;
    expect(brief(idle)).toEqual(['web1 idle 2']);
    expect(idle[0]?.endedAt).toBe(1_003_100);
    expect(play(`${script}\ncut`).runs).toEqual(idle);
    expect(brief(play(`${script}\nc2 open\nc2 [web1] ${CHECK} 200`).runs)).toEqual(['web1 idle 2', 'web1 open 1']);
  });

  test('a report that came very late still belongs to its run, by transaction_uuid', () => {
    const { runs } = play(`
      c1 open
      c1 [web1] ${CATALOG} 200 uuid=u1
      c1 closed
      wait 20000
      c2 open
      c2 [web1] ${REPORT} 200 uuid=u1`);
    expect(brief(runs)).toEqual(['web1 report 2']);
  });

  test('the recording ends in the middle', () => {
    const { runs } = play(`
      c1 open
      c1 [web1] ${CHECK} 200
      cut`);
    expect(brief(runs)).toEqual(['web1 connections-closed 1']);
    expect(runs[0]?.endedAt).toBe(1_002_100);
  });

  test('a report that the agent did not wait for ends no run', () => {
    const { runs } = play(`
      c1 open
      c1 [web1] ${REPORT} abandoned
      c1 closed`);
    expect(brief(runs)).toEqual(['web1 connections-closed 1']);
  });
});

describe('one run after the other', () => {
  test('right after the report, on another connection, without a node request', () => {
    const { runs, of } = play(`
      c1 open
      c1 [web1] ${CHECK} 200
      c1 [web1] ${REPORT} 200 uuid=u1
      c2 open
      c2 [web1] ${CHECK} 200
      c1 closed
      c2 [web1] ${REPORT} 200 uuid=u2
      c2 closed`);
    expect(brief(runs)).toEqual(['web1 report 2', 'web1 report 2']);
    expect([1, 2, 3, 4].map(of)).toEqual(['r1.1', 'r1.2', 'r2.1', 'r2.2']);
  });

  test('on the same connection, after a report', () => {
    const { runs } = play(`
      c1 open
      c1 [web1] ${CHECK} 200
      c1 [web1] ${REPORT} 200
      c1 [web1] ${CHECK} 200
      c1 closed`);
    expect(brief(runs)).toEqual(['web1 report 2', 'web1 connections-closed 1']);
  });

  test('a run that died without a report, and a new one: by its first request, or by another transaction_uuid', () => {
    const died = `
      c1 open
      c1 [web1] ${CHECK} 200
      c1 [web1] ${CATALOG} 200 uuid=u1`;
    for (const first of [`${NODE}u2 200`, `${CHECK} 200`, `${CATALOG} 200 uuid=u2`]) {
      const closed = play(`${died}\nc1 closed\nc2 open\nc2 [web1] ${first}`).runs;
      expect(brief(closed)).toEqual(['web1 connections-closed 2', 'web1 open 1']);
      const open = play(`${died}\nc2 open\nc2 [web1] ${first}`).runs;
      expect(brief(open)).toEqual(['web1 open 2', 'web1 open 1']);
    }
  });

  test('after an hour without connection only transaction_uuid can continue a run', () => {
    const { runs } = play(`
      c1 open
      c1 [web1] ${CATALOG} 200
      c1 closed
      wait 4000
      c2 open
      c2 [web1] ${FILE} 200`);
    expect(brief(runs)).toEqual(['web1 connections-closed 1', 'web1 open 1']);
  });
});

describe('several agents', () => {
  test('runs of different certnames overlap, on connections of one address', () => {
    const { runs, of } = play(`
      c1 open
      c2 open
      c1 [web1] ${CHECK} 200
      c2 [web2] ${CHECK} 200
      c1 [web1] ${CATALOG} 200 uuid=u1
      c2 [web2] ${CATALOG.replace('web1', 'web2')} 200 uuid=u2
      c2 [web2] ${REPORT.replace('web1', 'web2')} 200 uuid=u2
      c1 [web1] ${REPORT} 200 uuid=u1
      c1 closed
      c2 closed`);
    expect(brief(runs)).toEqual(['web1 report 3', 'web2 report 3']);
    expect(runs.map(run => run.transactionUuid)).toEqual(['u1', 'u2']);
    expect([1, 2, 3, 4, 5, 6].map(of)).toEqual(['r1.1', 'r2.1', 'r1.2', 'r2.2', 'r2.3', 'r1.3']);
  });

  test('machines with the same certname run at once: a report over another connection goes to its own run', () => {
    const { runs, of } = play(`
      c1 open
      c1 [web1] ${CHECK} 200
      c1 [web1] ${CATALOG} 200 uuid=u1
      c1 closed
      c2 open
      c2 [web1] ${CHECK} 200
      c2 [web1] ${CATALOG} 200 uuid=u2
      c3 open
      c3 [web1] ${REPORT} 200 uuid=u1
      c3 closed
      c2 [web1] ${FILE} 200
      c2 [web1] ${REPORT} 200 uuid=u2
      c2 closed`);
    expect(brief(runs)).toEqual(['web1 report 3', 'web1 report 4']);
    expect([5, 6, 7].map(of)).toEqual(['r1.3', 'r2.3', 'r2.4']);
  });

  test('a stranger who sends a CSR for a certname does not get into the run of that agent', () => {
    const { runs, of } = play(`
      c1 open
      c1 [web1] ${CHECK} 200
      c2@10.6.6.6 open
      c2 ${CSR} 400
      c1 [web1] ${CATALOG} 200
      c2 closed
      c1 [web1] ${REPORT} 200
      c1 closed`);
    expect(brief(runs)).toEqual(['web1 report 3', 'web1 connections-closed 1']);
    expect(of(2)).toBe('r2.1');
  });
});

describe('no run', () => {
  test.each([
    ['a curl without a certificate', 'GET /puppet/v3/catalog/web1 403'],
    ['something else without a certificate', 'GET / 404'],
    ['a CSR for what is no certname', 'PUT /puppet-ca/v1/certificate_request/..%2fx 400'],
    ['the CA, asked for by somebody who does nothing more', `${CA} 200`],
  ])('%s', (_, request) => {
    const { runs, of } = play(`
      c1 open
      c1 ${request}
      c1 closed
      wait 1000
      time
      cut`);
    expect(runs).toEqual([]);
    expect(of(1)).toBe('-');
  });
});

describe('bounds', () => {
  test('a flood of CA requests from one address is neither slow nor lost for a run that follows', () => {
    const flood = Array.from({ length: 3_000 }, (_, i) => `c${i + 1} open\nc${i + 1} ${CA} 200\nc${i + 1} closed`).join('\n');
    const { runs } = play(`${flood}\nc9000 open\nc9000 ${CSR} 200`);
    expect(runs).toHaveLength(1);
  });

  test('the same events give the same runs', () => {
    const script = `
      c1 open
      c1 ${CA} 200
      c2 open
      c2 [web1] ${CHECK} 200
      c1 closed
      c2 idle-closed
      cut`;
    expect(play(script)).toMatchObject({ runs: play(script).runs });
  });
});
