import { type FilesHad, OLD_CONTENT } from './apply.ts';
import type { CsrOptions, KeyType, makeKey } from './ca.ts';
import type { Place } from './lines.ts';
import { sha256 } from './site.ts';

/** What an agent keeps from run to run, in memory instead of in its ssldir and vardir. */
export interface AgentState {
  key: Awaited<ReturnType<typeof makeKey>> | null;
  caPem: string | null;
  crlPem: string | null;
  certPem: string | null;
  /** Of the last run (`last_run_summary.yaml`); without it a node request is made. */
  environment: string | null;
  files: FilesHad;
}

/** An agent on a machine where Puppet never ran. */
export function newAgentState(): AgentState {
  const files = new Map([['/etc/motd', sha256(OLD_CONTENT)]]);
  return { key: null, caPem: null, crlPem: null, certPem: null, environment: null, files };
}

export interface AgentOptions {
  certname: string;
  place: Place;
  state: AgentState;
  /** Only says what it would change. Default `false`. */
  noop?: boolean;
  /** How long the facts take; a real agent is silent for about a second. Default 0. */
  factsMs?: number;
  /** Default `rsa`. */
  keyType?: KeyType;
  csr?: CsrOptions;
  /** `waitforcert`: ask again after so long, at most `waitRounds` times. Default: not at all. */
  waitForCertMs?: number;
  waitRounds?: number;
}
