import type { Connection, Failure } from '../model.ts';

/** A connection that failed, mostly before it carried anything, in words that a person can act on. */
export interface TlsFailure {
  /** Stable, for programs. */
  cause: TlsCause;
  what: string;
  remedy: string;
  /** How Puppet says the same on the agent, its own placeholders in <>; `null` where it says nothing. */
  puppet: string | null;
}

export type TlsCause =
  | 'agent-does-not-know-our-ca'
  | 'agent-finds-certificate-ended'
  | 'agent-finds-certificate-revoked'
  | 'agent-refuses-certificate'
  | 'agent-finds-another-name'
  | 'agent-certificate-refused'
  | 'no-shared-version'
  | 'no-shared-cipher'
  | 'not-tls'
  | 'not-http'
  | 'plain-http'
  | 'gave-up'
  | 'local-host-refused'
  | 'primary-not-tls'
  | 'primary-certificate-ended'
  | 'primary-not-yet-valid'
  | 'primary-name'
  | 'primary-unknown-ca'
  | 'primary-revoked'
  | 'primary-crl-missing'
  | 'primary-crl-ended'
  | 'primary-no-shared-version'
  | 'primary-refuses-identity'
  | 'key-mismatch';

/** Where and how the reason of OpenSSL, Node or the HTTP parser reads. The first that fits is taken. */
interface Entry extends TlsFailure {
  leg: Connection['leg'];
  reason: RegExp;
}

const BUNDLES =
  'the agent needs --localcacert and --hostcrl with our CA and our CRL: CERTS/bundle/ca.pem and crl.pem, printed by stringtap proxy';
const CLOCKS = 'compare the clocks (date -u) of the agent and of this host';

const ENROL = 'clean it at the primary (puppetserver ca clean --certname NAME) and enrol the agent anew';

const REFUSED_WHAT = 'the certificate of the agent proves nothing here';

/** What to do about an agent's certificate that is refused, by the reason (pki/verify.ts, or OpenSSL's words). The first that fits is taken. */
const REFUSED: readonly (readonly [RegExp, string])[] = [
  [/revoked by the primary|certificate revoked/i, `if it was not meant to be revoked: ${ENROL}`],
  [
    /revoked by the proxy|enrolment was removed|another key/,
    'the agent has to enrol through this proxy anew: puppet ssl clean, then a run',
  ],
  [/expired/i, `the certificate has ended: ${ENROL}; or the clock of this host is wrong (date -u)`],
  [/not valid yet/i, CLOCKS],
  [/unknown CA|issuer|self.signed/i, 'another primary than this one signed it: is --primary the one of this agent?'],
  [/CRL|revocation list/i, 'the primary must give a revocation list for its CA: stringtap doctor --primary HOST'],
];

/** The one table of words for TLS failures on both legs. Alerts: RFC 8446 section 6.2; verification: X509_verify_cert_error_string(3). */
const TABLE: readonly Entry[] = [
  {
    leg: 'agent',
    reason: /alert unknown ca/i,
    cause: 'agent-does-not-know-our-ca',
    what: 'the agent does not know our CA, or has no CRL of it',
    remedy: BUNDLES,
    puppet:
      'certificate verify failed [self-signed certificate in certificate chain for CN=stringtap CA <id>], or [unable to get certificate CRL for <subject>]',
  },
  {
    leg: 'agent',
    reason: /alert certificate expired/i,
    cause: 'agent-finds-certificate-ended',
    what: 'to the agent our certificate, our CRL or one of its own CRLs has ended',
    remedy: `${CLOCKS}; give it the CRL bundle anew`,
    puppet: 'certificate verify failed [certificate has expired for <subject>], or [CRL has expired for <issuer>]',
  },
  {
    leg: 'agent',
    reason: /alert certificate revoked/i,
    cause: 'agent-finds-certificate-revoked',
    what: 'to the agent our certificate is revoked',
    remedy: 'its CRL is not the one of our CA: give it CERTS/bundle/crl.pem',
    puppet: 'certificate verify failed [certificate revoked for <subject>]',
  },
  {
    leg: 'agent',
    reason: /alert (bad certificate|certificate unknown|unsupported certificate|access denied|decrypt error)/i,
    cause: 'agent-refuses-certificate',
    what: 'the agent refuses our certificate',
    remedy: `--name NAME puts the name that the agent uses on it; ${BUNDLES}`,
    puppet: "Server hostname '<server>' did not match server certificate; expected one of <names>",
  },
  {
    leg: 'agent',
    reason: /left after the handshake/,
    cause: 'agent-finds-another-name',
    what: 'the agent left after the handshake: mostly because our certificate does not carry the name or address by which it came',
    remedy:
      '--name NAME puts the name that the agent uses (its `server`) on our certificate; when its requests follow, it only looked for the primary (http_keepalive_timeout = 0)',
    puppet:
      'Server hostname \'<server>\' did not match server certificate; expected one of <names>, or: hostname "<server>" does not match the server certificate',
  },
  {
    leg: 'agent',
    reason: /unsupported protocol|alert protocol version|version too low|wrong version number|unknown protocol/i,
    cause: 'no-shared-version',
    what: 'the agent offers no TLS version that we accept',
    remedy: 'TLS 1.2 is the least; Puppet 5 and older on old systems may not have it',
    puppet: 'SSL_connect returned=1 errno=0 state=error: tlsv1 alert protocol version',
  },
  {
    leg: 'agent',
    reason: /no shared cipher|alert handshake failure|no suitable (signature algorithm|key share)/i,
    cause: 'no-shared-cipher',
    what: 'the agent offers no cipher, group or signature that we accept',
    remedy: "look at the agent's `ciphers` setting and at its system's crypto policy",
    puppet: 'SSL_connect returned=1 errno=0 state=error: sslv3 alert handshake failure',
  },
  {
    leg: 'agent',
    reason: /http request|https proxy request|packet length too long|unexpected message|record layer failure|bad record/i,
    cause: 'not-tls',
    what: 'what came is no TLS',
    remedy: 'no Puppet agent does this: a scanner, or a program that takes this port for another',
    puppet: null,
  },
  {
    leg: 'agent',
    reason: /this port speaks TLS/,
    cause: 'plain-http',
    what: 'plain HTTP came to the port for agents',
    remedy: 'use https://, or CONNECT (http_proxy_host)',
    puppet: null,
  },
  {
    leg: 'agent',
    reason: /\(HPE_|Parse Error/,
    cause: 'not-http',
    what: 'what came is neither TLS nor HTTP',
    remedy: 'no Puppet agent does this: a scanner, or a program that takes this port for another',
    puppet: null,
  },
  {
    leg: 'agent',
    reason: /TLS handshake timeout|socket hang up|disconnected before secure|ECONNRESET/i,
    cause: 'gave-up',
    what: 'the other end went away inside the TLS handshake',
    remedy: 'a scanner or a health check; an agent, when its own timeouts are very short',
    puppet: 'Connection reset by peer - SSL_connect',
  },
  {
    leg: 'agent',
    reason: /is local to the machine that stringtap runs on/,
    cause: 'local-host-refused',
    what: 'the agent asked for another host by way of stringtap, and was refused: it is this machine, or on its link',
    remedy: '--connect-local lets CONNECT and plain HTTP lead there',
    puppet: 'Could not retrieve information from environment <environment> source(s) http://<host>/<path>',
  },
  {
    leg: 'primary',
    reason: /key values mismatch/i,
    cause: 'key-mismatch',
    what: 'the key of this identity does not belong to its certificate',
    remedy: 'stringtap identity import --ssldir, again from the ssldir of that agent',
    puppet: 'The certificate for <subject> does not match its private key',
  },
  {
    leg: 'primary',
    reason: /wrong version number|http request|packet length too long/i,
    cause: 'primary-not-tls',
    what: 'what listens at the address of the primary speaks no TLS',
    remedy: 'look at host and port of --primary; http:// is only for a primary behind a TLS terminator',
    puppet: 'SSL_connect returned=1 errno=0 state=error: wrong version number',
  },
  {
    leg: 'primary',
    reason: /alert protocol version|unsupported protocol|alert handshake failure|version too low/i,
    cause: 'primary-no-shared-version',
    what: 'the primary accepts no TLS version or cipher that we offer',
    remedy: 'ssl-protocols and cipher-suites in its webserver.conf must allow TLS 1.2 or 1.3',
    puppet: 'SSL_connect returned=1 errno=0 state=error: tlsv1 alert protocol version',
  },
  {
    leg: 'primary',
    reason: /alert/i,
    cause: 'primary-refuses-identity',
    what: 'the primary refuses the certificate that we present for this certname',
    remedy: 'it may be revoked, cleaned or ended there: puppetserver ca list --certname NAME, on the primary',
    puppet: 'SSL_read: sslv3 alert certificate unknown',
  },
  {
    leg: 'primary',
    reason: /CRL has expired/i,
    cause: 'primary-crl-ended',
    what: "the CRL of the primary's CA has ended",
    remedy: 'the primary must sign a new one (puppetserver ca prune, or any revocation)',
    puppet: 'certificate verify failed [CRL has expired for <issuer>]',
  },
  {
    leg: 'primary',
    reason: /unable to get certificate CRL/i,
    cause: 'primary-crl-missing',
    what: "there is no CRL of a CA on the primary's chain",
    remedy: 'ca_crl.pem on the primary must hold one for each of its CAs',
    puppet: 'certificate verify failed [unable to get certificate CRL for <issuer>]',
  },
  {
    leg: 'primary',
    reason: /certificate has expired/i,
    cause: 'primary-certificate-ended',
    what: "the primary's certificate, or its CA, has ended",
    remedy: `puppetserver ca list --all shows it on the primary; ${CLOCKS}`,
    puppet: 'certificate verify failed [certificate has expired for <subject>]',
  },
  {
    leg: 'primary',
    reason: /not yet valid/i,
    cause: 'primary-not-yet-valid',
    what: "the primary's certificate is not valid yet",
    remedy: CLOCKS,
    puppet: 'certificate verify failed [certificate is not yet valid for <subject>]',
  },
  {
    leg: 'primary',
    reason: /certificate revoked/i,
    cause: 'primary-revoked',
    what: "the primary's certificate is revoked",
    remedy: 'make it a new one on the primary: puppetserver ca generate --certname NAME',
    puppet: 'certificate verify failed [certificate revoked for <subject>]',
  },
  {
    leg: 'primary',
    reason: /does not match certificate|altnames/i,
    cause: 'primary-name',
    what: "the primary's certificate does not carry the name by which we reach it",
    remedy: 'name it in --primary as its certificate does (dns_alt_names)',
    puppet: "Server hostname '<server>' did not match server certificate; expected one of <names>",
  },
  {
    leg: 'primary',
    reason: /unable to (get (local )?issuer|verify)|self-signed certificate/i,
    cause: 'primary-unknown-ca',
    what: "the primary's certificate is not of the CA that is pinned for it",
    remedy: 'after its CA was replaced on purpose: rm -r CERTS/primaries; otherwise somebody else answers at this address',
    puppet: 'certificate verify failed [unable to get local issuer certificate for <subject>]',
  },
];

/** What is known of a connection that needs words. */
export type FailedConnection = Pick<Connection, 'leg' | 'error' | 'refusal'>;

/** `null` for a connection that did not fail, or in a way that is no matter of TLS. */
export function explainTls({ leg, error, refusal }: FailedConnection): TlsFailure | null {
  if (leg === 'agent' && refusal !== null) {
    return {
      cause: 'agent-certificate-refused',
      what: REFUSED_WHAT,
      remedy: REFUSED.find(([reason]) => reason.test(refusal))?.[1] ?? ENROL,
      puppet: "Error 403 on SERVER: stringtap: the agent's certificate was refused: <reason>",
    };
  }
  const entry = error === null ? undefined : TABLE.find(one => one.leg === leg && one.reason.test(error));
  if (entry === undefined) return null;
  const { cause, what, remedy, puppet } = entry;
  return { cause, what, remedy, puppet };
}

/** What is said of a cause whatever its details; `null` for a word that is none. */
export function wordsOf(cause: string): Pick<TlsFailure, 'what' | 'remedy'> | null {
  if (cause === 'agent-certificate-refused') return { what: REFUSED_WHAT, remedy: ENROL };
  return TABLE.find(one => one.cause === cause) ?? null;
}

/**
 * The same for an exchange that failed: what the primary leg met, or why the agent's certificate proves nothing. `null` for a failure
 * that is no matter of TLS.
 */
export function explainFailure(failure: Failure | null): TlsFailure | null {
  switch (failure?.reason) {
    case 'certificate-refused':
      return explainTls({ leg: 'agent', error: null, refusal: failure.detail });
    case 'primary-untrusted':
      return explainTls({ leg: 'primary', error: failure.detail, refusal: null });
    case 'primary-rejected-identity':
      return explainTls({ leg: 'primary', error: failure.alert, refusal: null });
    case 'primary-unreachable':
      return explainTls({ leg: 'primary', error: failure.code, refusal: null });
    case 'internal':
      return explainTls({ leg: 'primary', error: failure.detail, refusal: null });
    default:
      return null;
  }
}
