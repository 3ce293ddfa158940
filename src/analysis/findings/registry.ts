import { authDenied } from './auth-denied.ts';
import { binaryFallback } from './binary-fallback.ts';
import { cachedCatalogUsed } from './cached-catalog-used.ts';
import { catalogCompileFailed } from './catalog-compile-failed.ts';
import { certExpiring } from './cert-expiring.ts';
import { clockSkew } from './clock-skew.ts';
import { crlExpired } from './crl-expired.ts';
import { crlExpiresSoon } from './crl-expires-soon.ts';
import { csrConflict } from './csr-conflict.ts';
import { csrKeyMismatch } from './csr-key-mismatch.ts';
import { environmentMissing } from './environment-missing.ts';
import { environmentRestart } from './environment-restart.ts';
import { factLimit } from './fact-limit.ts';
import type { RunFacts } from './facts.ts';
import { faultsInjected } from './faults-injected.ts';
import { type Found, type Rule, SEVERITIES } from './finding.ts';
import { firstRunStall } from './first-run-stall.ts';
import { keepaliveGap } from './keepalive-gap.ts';
import { maskedByCache } from './masked-by-cache.ts';
import { metadataStorm } from './metadata-storm.ts';
import { midRunDeploy } from './mid-run-deploy.ts';
import { nameMismatch } from './name-mismatch.ts';
import { notIdempotent } from './not-idempotent.ts';
import { plaintextSecret } from './plaintext-secret.ts';
import { pluginsyncSerial } from './pluginsync-serial.ts';
import { primaryUnreachable } from './primary-unreachable.ts';
import { recurseLarge } from './recurse-large.ts';
import { refetchedFile } from './refetched-file.ts';
import { reportLarge } from './report-large.ts';
import { reportMissing } from './report-missing.ts';
import { reportRejected } from './report-rejected.ts';
import { resourceFailed } from './resource-failed.ts';
import { serverBusy } from './server-busy.ts';
import { serverCloses } from './server-closes.ts';
import { slowCompile } from './slow-compile.ts';
import { staleReuseFailed } from './stale-reuse-failed.ts';
import { staticCatalogInactive } from './static-catalog-inactive.ts';
import { uncompressed } from './uncompressed.ts';
import { untrustedTls } from './untrusted-tls.ts';
import { waitingForSignature } from './waiting-for-signature.ts';

/** Every rule, in the order in which findings of one severity are shown: what stops a run, what endangers it, what it costs, what is worth knowing. */
export const RULES: readonly Rule[] = [
  primaryUnreachable,
  catalogCompileFailed,
  environmentMissing,
  resourceFailed,
  maskedByCache,
  cachedCatalogUsed,
  reportRejected,
  reportMissing,
  authDenied,
  untrustedTls,
  nameMismatch,
  crlExpired,
  certExpiring,
  csrKeyMismatch,
  csrConflict,
  serverBusy,
  staleReuseFailed,
  slowCompile,
  plaintextSecret,
  notIdempotent,
  midRunDeploy,
  environmentRestart,
  factLimit,
  binaryFallback,
  clockSkew,
  crlExpiresSoon,
  serverCloses,
  keepaliveGap,
  metadataStorm,
  pluginsyncSerial,
  recurseLarge,
  reportLarge,
  waitingForSignature,
  staticCatalogInactive,
  refetchedFile,
  uncompressed,
  firstRunStall,
  faultsInjected,
];

/** What was found, with its rule, and the rule's fix where the case tells none. */
export type JudgedFinding = Required<Found> & { rule: string };

/** What the rules say of one run. */
export interface Judgement {
  /** The most severe first. */
  found: readonly JudgedFinding[];
  /** Rules that could not judge, with why. */
  notes: readonly { rule: string; text: string }[];
}

/** Lets every rule look at a run. A rule that throws is noted, and the others go on. */
export function judge(run: RunFacts, rules: readonly Rule[] = RULES): Judgement {
  const found: JudgedFinding[] = [];
  const notes: { rule: string; text: string }[] = [];
  for (const rule of rules) {
    try {
      for (const one of rule.judge(run)) found.push({ rule: rule.id, fix: rule.fix, ...one });
    } catch (error) {
      notes.push({ rule: rule.id, text: (error instanceof Error ? error.message : String(error)).slice(0, 300) });
    }
  }
  found.sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
  return { found, notes };
}
