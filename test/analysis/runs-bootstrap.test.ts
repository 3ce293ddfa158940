import { describe, expect, test } from 'vitest';
import { brief, CA, CATALOG, CERTIFICATE, CHECK, CRL, CSR, play, REPORT } from './runs-rig.ts';

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

  test('an agent that was wiped before its certificate was signed starts over: its CA and CRL are of no other agent', () => {
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
      c4 open
      c4 ${CA} 200
      c4 closed
      c5 open
      c5 ${CRL} 200
      c6 open
      c6 ${CSR} 400 body=2
      c6 ${CERTIFICATE} 404
      c5 closed
      c6 closed
      c7 open
      c7 ${CA} 200
      c7 closed
      c8 open
      c8 ${CRL} 200
      c9 open
      c9 ${CSR.replace('web1', 'web2')} 200
      cut`);
    expect(brief(runs)).toEqual(['web1 connections-closed 4', 'web1 connections-closed 4', 'web2 connections-closed 3']);
    expect([5, 6, 9, 10].map(of)).toEqual(['r2.1', 'r2.2', 'r3.1', 'r3.2']);
  });

  test('an agent that waits for its certificate goes on while another one of its address has asked for the CA', () => {
    const { runs, of } = play(`
      c1 open
      c1 ${CSR} 200
      c1 ${CERTIFICATE} 404
      c1 closed
      c2 open
      c2 ${CA} 200
      c2 closed
      c3 open
      c3 ${CSR} 400
      c3 ${CERTIFICATE} 404
      c4 open
      c4 ${CSR.replace('web1', 'web3')} 200 body=2
      cut`);
    expect(brief(runs)).toEqual(['web1 connections-closed 4', 'web3 connections-closed 2']);
    expect([3, 4].map(of)).toEqual(['r2.1', 'r1.3']);
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
