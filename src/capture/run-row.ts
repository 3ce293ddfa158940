import type { Run } from '../analysis/runs.ts';
import type { RunRow } from './shapes.ts';

/** A run as it is shown; the same as `v_run` gives. */
export function runRow(run: Run): RunRow {
  return {
    id: run.id,
    certname: run.certname,
    transactionUuid: run.transactionUuid,
    environment: run.environment,
    puppetVersion: run.puppetVersion,
    startedAt: new Date(run.startedAt).toISOString(),
    endedAt: run.endedAt === null ? null : new Date(run.endedAt).toISOString(),
    end: run.end,
    exchanges: run.exchanges,
    failed: run.failed,
    agentConnections: run.agentConnections,
    primaryConnections: run.primaryConnections,
    requestBytes: run.requestBytes,
    responseBytes: run.responseBytes,
  };
}
