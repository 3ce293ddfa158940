import type { RunEvent } from '../../src/analysis/run-events.ts';
import { createRunFold, type Run } from '../../src/analysis/runs.ts';
import { routeOf } from '../../src/decode/route.ts';
import type { CloseCause, ConnectionId, ExchangeId } from '../../src/model.ts';
import { toCertname } from '../../src/model.ts';

/**
 * A script is a list of lines, one event each, a second apart:
 *   `c5 open`                          a connection of 10.0.0.1 is opened (no event: it gives the others their openedAt)
 *   `c5@10.0.0.2 open`                 of another address
 *   `c5 [web1] GET /target 200`        an exchange on it; the name in brackets is the client certificate's; `abandoned`, `failed`
 *   `c5 [web1] GET /target 200 uuid=…` with what was read out of its body
 *   `c5 PUT /target 200 body=2`        … with another body than the rest
 *   `c5 GET /target 304 since`         … that had If-Modified-Since
 *   `c5 closed` / `c5 idle-closed`     by the agent / by the proxy, because it was idle; `c5 [web1] closed`: it had proved that name
 *   `wait 30`                          seconds pass
 *   `time` / `cut`                     the events of these names
 */
export function play(script: string): { runs: Run[]; of: (exchange: number) => string; connections: Record<number, string> } {
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
      const name = /^\[(\S+)\]/.exec(what)?.[1];
      const certname = name === undefined ? null : toCertname(name);
      return [{ type: 'closed', connection, certname, via: 'direct', address, openedAt, closedAt: at, by, cause, exchanges }];
    }
    const request =
      /^(?:\[(\S+)\] )?(\S+) (\S+) (\d+|abandoned|failed)(?: uuid=(\S+))?(?: env=(\S+))?(?: body=(\d+))?( since)?$/.exec(what);
    if (!request) throw new Error(line);
    opened.get(connection)!.exchanges++;
    const [, name, method, target, end, uuid, env, body, since] = request;
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
        requestBody: Number(body ?? 1),
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
export function brief(runs: readonly Run[]): string[] {
  return runs.map(run => `${run.certname} ${run.end ?? 'open'} ${run.exchanges}`);
}

export const NODE = 'GET /puppet/v3/node/web1?environment=production&transaction_uuid=';
export const CHECK = 'GET /puppet/v3/file_metadatas/plugins?recurse=false&environment=production';
export const PLUGINS = 'GET /puppet/v3/file_metadatas/plugins?recurse=true&environment=production';
export const CATALOG = 'POST /puppet/v3/catalog/web1?environment=production';
export const FILE = 'GET /puppet/v3/file_content/modules/m/f?environment=production';
export const REPORT = 'PUT /puppet/v3/report/web1?environment=production';
export const CA = 'GET /puppet-ca/v1/certificate/ca';
export const CRL = 'GET /puppet-ca/v1/certificate_revocation_list/ca';
export const CSR = 'PUT /puppet-ca/v1/certificate_request/web1?environment=production';
export const CERTIFICATE = 'GET /puppet-ca/v1/certificate/web1?environment=production';
