import { describe, expect, test } from 'vitest';
import { createRunFold, IDLE_MS, type Run, type RunEvent } from '../../src/analysis/runs.ts';
import { routeOf } from '../../src/decode/route.ts';
import type { CloseCause, ConnectionId, ExchangeId } from '../../src/model.ts';
import { toCertname } from '../../src/model.ts';

/**
 * A script is a list of lines, one event each, a second apart:
 *   `c5 open`                          a connection of 10.0.0.1 is opened (no event: it gives the others their openedAt)
 *   `c5@10.0.0.2 open`                 of another address
 *   `c5 [web1] GET /target 200`        an exchange on it; the name in brackets is the client certificate's; `abandoned`, `failed`
 *   `c5 [web1] GET /target 200 uuid=…` with what was read out of its body
 *   `c5 GET /target 304 since`         … that had If-Modified-Since
 *   `c5 closed` / `c5 idle-closed`     by the agent / by the proxy, because it was idle
 *   `wait 30`                          seconds pass
 *   `time` / `cut`                     the events of these names
 */
function play(script: string): { runs: Run[]; of: (exchange: number) => string; connections: Record<number, string> } {
  const fold = createRunFold(0);
  const opened = new Map<number, { at: number; address: string; exchanges: number }>();
  const runs = new Map<number, Run>();
  const members = new Map<number, string>();
  const connections = new Map<number, number[]>();
  let at = 1_000_000;
  let exchange = 0;
  for (const line of script.trim().split('\n')) {
    at += 1_000;
    for (const event of parse(line.trim())) fold.apply(event);
    const { runs: changed, exchanges, connections: used } = fold.take();
    for (const run of changed) runs.set(run.id, { ...run });
    for (const { exchange: id, run, n } of exchanges) members.set(id, `r${run}.${n}`);
    for (const { connection, run } of used) connections.set(run, [...new Set([...(connections.get(run) ?? []), connection])]);
  }

  function parse(line: string): RunEvent[] {
    if (line === 'cut') return [{ type: 'cut' }];
    if (line === 'time') return [{ type: 'time', at }];
    const wait = /^wait (\d+)$/.exec(line);
    if (wait) {
      at += Number(wait[1]) * 1_000;
      return [];
    }
    const match = /^c(\d+)(?:@(\S+))? (.*)$/.exec(line);
    if (!match) throw new Error(line);
    const connection = Number(match[1]) as ConnectionId;
    const what = match[3]!;
    if (what === 'open') {
      opened.set(connection, { at, address: match[2] ?? '10.0.0.1', exchanges: 0 });
      return [];
    }
    const { at: openedAt, address, exchanges } = opened.get(connection)!;
    if (what.endsWith('closed')) {
      const [by, cause]: ['agent' | 'proxy', CloseCause] = what === 'idle-closed' ? ['proxy', 'idle-timeout'] : ['agent', 'end'];
      return [{ type: 'closed', connection, via: 'direct', address, openedAt, closedAt: at, by, cause, exchanges }];
    }
    const request = /^(?:\[(\S+)\] )?(\S+) (\S+) (\d+|abandoned|failed)(?: uuid=(\S+))?(?: env=(\S+))?( since)?$/.exec(what);
    if (!request) throw new Error(line);
    opened.get(connection)!.exchanges++;
    const [, name, method, target, end, uuid, env, since] = request;
    const route = routeOf(method!, target!);
    exchange++;
    return [
      {
        type: 'exchange',
        id: exchange as ExchangeId,
        certname: name === undefined ? null : toCertname(name),
        phase: route.phase,
        indirection: route.indirection,
        key: route.key,
        target: target!,
        connection,
        openedAt,
        address,
        primaryConnection: name === undefined ? null : (1000 as ConnectionId),
        startedAt: at,
        endedAt: at + 100,
        status: /^\d/.test(end!) ? Number(end) : end === 'failed' ? 502 : null,
        outcome: end === 'failed' || end === 'abandoned' ? end : 'answered',
        requestBytes: 10,
        responseBytes: 100,
        transactionUuid: uuid ?? route.transactionUuid,
        environment: env ?? route.environment,
        puppetVersion: '7.23.0',
        conditional: since !== undefined,
      },
    ];
  }
  return {
    runs: [...runs.values()],
    of: id => members.get(id) ?? '-',
    connections: Object.fromEntries([...connections].map(([run, ids]) => [run, ids.join(' ')])),
  };
}

/** `certname end exchanges`, for tables. */
function brief(runs: readonly Run[]): string[] {
  return runs.map(run => `${run.certname} ${run.end ?? 'open'} ${run.exchanges}`);
}

const NODE = 'GET /puppet/v3/node/web1?environment=production&transaction_uuid=';
const CHECK = 'GET /puppet/v3/file_metadatas/plugins?recurse=false&environment=production';
const PLUGINS = 'GET /puppet/v3/file_metadatas/plugins?recurse=true&environment=production';
const CATALOG = 'POST /puppet/v3/catalog/web1?environment=production';
const FILE = 'GET /puppet/v3/file_content/modules/m/f?environment=production';
const REPORT = 'PUT /puppet/v3/report/web1?environment=production';
const CA = 'GET /puppet-ca/v1/certificate/ca';
const CRL = 'GET /puppet-ca/v1/certificate_revocation_list/ca';
const CSR = 'PUT /puppet-ca/v1/certificate_request/web1?environment=production';
const CERTIFICATE = 'GET /puppet-ca/v1/certificate/web1?environment=production';

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

describe('bootstrap', () => {
  test('waitforcert: CSR and certificate over new connections until it is signed, then the run goes on', () => {
    const { runs, of } = play(`
      c1 open
      c1 ${CA} 200
      c1 closed
      c2 open
      c2 ${CRL} 200
      c3 open
      c3 ${CSR} 200
      c3 ${CERTIFICATE} 404
      c2 closed
      c3 closed
      wait 120
      c4 open
      c4 ${CSR} 400
      c4 ${CERTIFICATE} 404
      c4 closed
      wait 120
      c5 open
      c5 ${CSR} 400
      c5 ${CERTIFICATE} 200
      c6 open
      c5 closed
      c6 [web1] ${CHECK} 200
      c6 [web1] ${REPORT} 200 uuid=u1
      c6 closed`);
    expect(brief(runs)).toEqual(['web1 report 10']);
    expect(of(1)).toBe('r1.1');
    expect(runs[0]).toMatchObject({ agentConnections: 6, failed: 0 });
  });

  test('only bootstrap (puppet ssl bootstrap), and a run later', () => {
    const { runs } = play(`
      c1 open
      c1 ${CSR} 200
      c1 ${CERTIFICATE} 200
      c1 closed
      wait 4000
      c2 open
      c2 [web1] ${CHECK} 200`);
    expect(brief(runs)).toEqual(['web1 connections-closed 2', 'web1 open 1']);
  });

  test('an agent that was wiped bootstraps in a new run', () => {
    const { runs } = play(`
      c1 open
      c1 [web1] ${CHECK} 200
      c1 closed
      c2 open
      c2 ${CSR} 400
      c2 ${CERTIFICATE} 200
      c2 closed`);
    expect(brief(runs)).toEqual(['web1 connections-closed 1', 'web1 connections-closed 2']);
  });

  test('Puppet 8 refreshes CA and CRL without a certificate: they belong to the run that follows', () => {
    const { runs, of } = play(`
      c1 open
      c1 ${CA} 304 since
      c1 closed
      c2 open
      c2 ${CRL} 200 since
      c3 open
      c3 [web1] ${CHECK} 200
      c2 closed
      c3 [web1] ${REPORT} 200 uuid=u1
      c3 closed`);
    expect(brief(runs)).toEqual(['web1 report 4']);
    expect([1, 2, 3].map(of)).toEqual(['r1.1', 'r1.2', 'r1.3']);
  });

  test('agents behind one address bootstrap at the same time: each gets the CA and CRL of its own', () => {
    const { runs, of } = play(`
      c1 open
      c1 ${CA} 200
      c1 closed
      c11 open
      c2 open
      c2 ${CRL} 200
      c11 ${CA} 200
      c11 closed
      c12 open
      c12 ${CRL} 200
      c3 open
      c3 ${CSR} 200
      c13 open
      c13 ${CSR.replace('web1', 'web2')} 200
      cut`);
    expect(brief(runs)).toEqual(['web1 connections-closed 3', 'web2 connections-closed 3']);
    expect([1, 2, 3, 4, 5, 6].map(of)).toEqual(['r1.1', 'r1.2', 'r2.1', 'r2.2', 'r1.3', 'r2.3']);
  });

  test('an agent with a certificate begins its run while another one of that address bootstraps, or refreshes', () => {
    const { runs, of } = play(`
      c1 open
      c1 ${CA} 200
      c1 closed
      c11 open
      c11 [web2] ${CHECK} 200
      c2 open
      c2 ${CRL} 200
      c31 open
      c31 ${CA} 304 since
      c31 closed
      c21 open
      c21 [web4] ${CHECK} 200
      c3 open
      c3 ${CSR} 200
      cut`);
    expect(brief(runs)).toEqual(['web2 connections-closed 1', 'web4 connections-closed 2', 'web1 connections-closed 3']);
    expect([1, 2, 3, 4, 5, 6].map(of)).toEqual(['r3.1', 'r1.1', 'r3.2', 'r2.1', 'r2.2', 'r3.3']);
  });

  test('an agent that has its certificate, but lost the CA files', () => {
    const { runs, of } = play(`
      c1 open
      c1 ${CA} 200
      c1 closed
      c2 open
      c2 ${CRL} 200
      c3 open
      c3 [web1] ${CHECK} 200`);
    expect(brief(runs)).toEqual(['web1 open 3']);
    expect([1, 2, 3].map(of)).toEqual(['r1.1', 'r1.2', 'r1.3']);
  });

  test('agents at other addresses get nothing of it', () => {
    const { runs, of } = play(`
      c1@10.0.0.2 open
      c1 ${CA} 200
      c2 open
      c2 [web1] ${CHECK} 200
      wait 300
      c2 [web1] ${REPORT} 200
      cut`);
    expect(brief(runs)).toEqual(['web1 report 2']);
    expect(of(1)).toBe('-');
  });

  test('a CA request in the middle of a run that nothing follows belongs to the run that was open', () => {
    const { runs, of } = play(`
      c1 open
      c1 [web1] ${CHECK} 200
      c2 open
      c2 ${CA} 200
      c2 closed
      c1 [web1] ${CATALOG} 200
      wait 200
      c1 [web1] ${REPORT} 200
      c1 closed`);
    expect(brief(runs)).toEqual(['web1 report 4']);
    expect(of(2)).toBe('r1.3');
  });

  test('CA, CRL and CSR over one connection', () => {
    const { runs } = play(`
      c1 open
      c1 ${CA} 200
      c1 ${CRL} 200
      c1 ${CSR} 200
      c1 closed`);
    expect(brief(runs)).toEqual(['web1 connections-closed 3']);
    expect(runs[0]?.agentConnections).toBe(1);
  });

  test('the closing of the empty probe connection is seen late', () => {
    const { connections } = play(`
      c1 open
      c2 open
      c2 [web1] ${CHECK} 200
      c1 closed
      cut`);
    expect(connections[1]).toBe('2 1000 1');
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
