import { type Certname, type ConnectionId, toCertname } from '../model.ts';
import type { ExchangeEvent } from './run-events.ts';

/**
 * How long a run without a connection may go on: longer than any pause in the middle of a run, but for its report (by
 * transaction_uuid).
 */
export const IDLE_MS = 3_600_000;

/**
 * How far a run has come; an agent never goes back within one, but for pluginsync and catalog on the same connection
 * (environments).
 */
export type Stage = 0 | 1 | 2 | 3 | 4 | 5;

/** What an exchange is held against: the latest run of its certname. */
export interface Progress {
  readonly run: { readonly transactionUuid: string | null };
  readonly stage: Stage;
  readonly reported: boolean;
  /** Connections of the agent: all of them, and those that are open. */
  readonly agent: ReadonlySet<ConnectionId>;
  readonly open: ReadonlySet<ConnectionId>;
  readonly lastAt: number;
}

/** The certname that an exchange is of, proved or, while the agent has no certificate, asked for. */
export function named(e: ExchangeEvent): Certname | null {
  if (e.certname !== null) return e.certname;
  return (e.phase === 'csr' || e.phase === 'certificate') && e.key !== null ? toCertname(e.key) : null;
}

/** Requests without a name that an agent begins with; with server_list it first asks for the server's status. */
export function opensRuns(e: ExchangeEvent): boolean {
  return e.phase === 'ca' || e.phase === 'crl' || asksStatus(e);
}

export function stageOf(e: ExchangeEvent): Stage {
  switch (e.phase) {
    case 'ca':
    case 'crl':
    case 'csr':
    case 'certificate':
    case 'other':
      return 0;
    case 'node':
      return 1;
    case 'pluginsync':
      return 2;
    case 'catalog':
      return 3;
    case 'file':
    case 'filebucket':
      return 4;
    case 'report':
      return 5;
    default:
      return e.phase satisfies never;
  }
}

/** Whether an exchange begins a new run instead of going on with the latest one of its certname. */
export function begins(e: ExchangeEvent, { run, reported, agent, open, lastAt, stage }: Progress): boolean {
  if (e.transactionUuid !== null && run.transactionUuid !== null) return e.transactionUuid !== run.transactionUuid;
  if (reported) return true; // the report is an agent's last request
  if (agent.has(e.connection)) return false;
  if (open.size === 0 && e.startedAt - lastAt > IDLE_MS) return true;
  switch (e.phase) {
    case 'ca':
    case 'crl':
    case 'csr':
    case 'certificate':
      return stage > 0;
    case 'node':
      return stage >= 1;
    case 'pluginsync':
      return stage >= 2 && checksEnvironment(e);
    case 'other':
      return stage >= 1 && asksStatus(e);
    default:
      return false;
  }
}

/** With server_list an agent looks for a server that answers, first of all in each run (configurer.rb, find_functional_server). */
function asksStatus(e: ExchangeEvent): boolean {
  return e.target.startsWith('/status/v1/simple');
}

/**
 * The first request of pluginsync: does the environment exist? (configurer.rb; the run's first of all when it remembers its
 * environment)
 */
function checksEnvironment(e: ExchangeEvent): boolean {
  return e.indirection === 'file_metadatas' && e.key === 'plugins' && /[?&]recurse=false(&|$)/.test(e.target);
}
