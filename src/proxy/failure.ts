import type { Certname, Failure } from '../model.ts';

/** The answer that an agent gets for a failure: pluginsync prints the reason phrase alone, everything else `message`. */
export interface FailureAnswer {
  /** Never 503 or 429: with Retry-After they crash a Puppet 7 agent. */
  status: 400 | 403 | 502 | 504;
  /** Reason phrase: a few plain ASCII words. */
  reason: string;
  /** One line that says what is wrong and what mends it. */
  message: string;
  /** `STRINGTAP_…`, beside Puppet's own issue kinds. */
  issueKind: string;
}

/** The words for a failure. The one place where a {@link Failure} becomes text. */
export function answerTo(failure: Failure): FailureAnswer {
  const issueKind = `STRINGTAP_${failure.reason.replaceAll('-', '_').toUpperCase()}`;
  const say = (status: FailureAnswer['status'], reason: string, message: string): FailureAnswer => ({
    status,
    reason: ascii(reason),
    message: `stringtap: ${message}`,
    issueKind,
  });
  switch (failure.reason) {
    case 'no-certificate':
      return say(403, 'No client certificate', 'this path needs a client certificate, and the agent sent none');
    case 'certificate-refused':
      return say(403, 'Client certificate refused', `the agent's certificate was refused: ${failure.detail}`);
    case 'no-identity':
      return say(
        403,
        'No identity for this agent',
        `nothing to present to the primary as ${failure.certname}; on the agent's host: stringtap identity import --ssldir "$(puppet config print ssldir)"`,
      );
    case 'primary-rejected-identity':
      return say(
        502,
        'Primary rejected the certificate',
        `the primary rejected the certificate of ${failure.certname ?? 'no certname'} (${failure.alert}); it may be revoked or cleaned there`,
      );
    case 'primary-untrusted':
      return say(502, 'Primary not trusted', `the certificate of ${failure.origin} did not verify: ${failure.detail}`);
    case 'primary-unreachable':
      return say(502, 'Primary unreachable', `cannot connect to the primary at ${failure.origin}: ${failure.code}`);
    case 'primary-timeout':
      return say(
        504,
        'Primary timed out',
        `no answer from the primary at ${failure.origin} in ${Math.round(failure.afterMs / 1000)} s`,
      );
    case 'primary-closed':
      return say(
        502,
        'Primary closed the connection',
        `the primary at ${failure.origin} closed the connection: ${failure.detail}`,
      );
    case 'primary-protocol':
      return say(502, 'Primary does not speak HTTP', `what ${failure.origin} sent is not valid HTTP: ${failure.detail}`);
    case 'not-forwarded':
      return say(400, 'Not forwarded', failure.detail);
    case 'fault':
      return say(
        502,
        'Fault of stringtap',
        `a fault on purpose (--fault ${failure.action})${failure.detail === null ? '' : `: ${failure.detail}`}`,
      );
    case 'internal':
      return say(502, 'stringtap failed', `an error in the proxy itself: ${failure.detail}`);
    default:
      return unreachable(failure);
  }
}

function unreachable(value: never): never {
  throw new Error(`no words for ${JSON.stringify(value)}`);
}

/** A reason phrase is printed by agents as it is: printable ASCII only, and short. */
function ascii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 80);
}

/** What can be read off an error of Node, OpenSSL or undici without trusting its shape. */
interface ErrorFacts {
  code: string;
  message: string;
  /** OpenSSL's own reason, as `sslv3 alert certificate revoked`. */
  reason: string | null;
}

function factsOf(error: unknown): ErrorFacts {
  const seen = new Set<unknown>();
  let current: unknown = error;
  let facts: ErrorFacts = { code: 'UNKNOWN', message: String(error), reason: null };
  while (current instanceof Error && !seen.has(current)) {
    seen.add(current);
    const { code, reason, cause, errors } = current as Error & { code?: unknown; reason?: unknown; errors?: unknown };
    // undici 8 gives its parser's errors a name, but leaves their code out.
    const named = current.name === 'HTTPParserError' ? 'HPE_UNKNOWN' : facts.code;
    facts = {
      code: typeof code === 'string' ? code : named,
      message: current.message || facts.message,
      reason: typeof reason === 'string' ? reason : facts.reason,
    };
    current = cause ?? (Array.isArray(errors) ? errors[0] : undefined);
  }
  return facts;
}

/** Codes that X509_verify_cert's results have in Node (`lib/internal/tls`), and Node's own name check. */
export const UNTRUSTED =
  /^(ERR_TLS_CERT|CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|INVALID_|PATH_LENGTH_|ERROR_IN_|UNSPECIFIED)/;

/** TLS alerts with which a peer says that it does not like our certificate (RFC 8446 section 6.2). */
const CERTIFICATE_ALERT = /alert.*(certificate|unknown ca|access denied|bad certificate)/i;

/** One line of OpenSSL's or Node's reason, without file names and error numbers. */
export function reasonOf(error: unknown): string {
  const { reason, message, code } = factsOf(error);
  const text = reason ?? message.replace(/^[0-9A-F]+:error:[0-9A-F]+:[^:]*:[^:]*:([^:]*):.*$/s, '$1').trim();
  return (text === '' ? code : text).split('\n')[0]!.slice(0, 200);
}

/**
 * Maps whatever a connection or request to the primary threw to a {@link Failure}. The one place that knows foreign error codes.
 * @param context `partial` when part of an answer had arrived
 */
export function failureOf(
  error: unknown,
  context: { origin: string; certname: Certname | null; partial: boolean; timeoutMs: number },
): Failure {
  const { origin } = context;
  const { code, message } = factsOf(error);
  const detail = reasonOf(error);
  if (UNTRUSTED.test(code)) return { reason: 'primary-untrusted', origin, detail: `${detail} (${code})` };
  if (CERTIFICATE_ALERT.test(message)) return { reason: 'primary-rejected-identity', certname: context.certname, alert: detail };
  switch (code) {
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return { reason: 'primary-timeout', origin, afterMs: context.timeoutMs };
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'ETIMEDOUT':
      return { reason: 'primary-unreachable', origin, code: 'ETIMEDOUT' };
    case 'ECONNREFUSED':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
      return { reason: 'primary-unreachable', origin, code };
    case 'ECONNRESET':
    case 'EPIPE':
    case 'UND_ERR_SOCKET':
    case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH':
      return { reason: 'primary-closed', origin, detail, partial: context.partial };
    default:
      if (code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW') return { reason: 'primary-protocol', origin, detail };
      if (code.startsWith('ERR_SSL_') || code === 'EPROTO') return { reason: 'primary-unreachable', origin, code: detail };
      return { reason: 'internal', detail: `${detail} (${code})` };
  }
}
