import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Certname, Connection } from '../model.ts';
import type { Authority } from '../pki/authority.ts';
import { PkiError } from '../pki/error.ts';
import type { IdentitySource } from '../pki/identity.ts';
import type { Identity } from '../pki/identity-file.ts';
import { judge, type Verdict } from '../pki/verify.ts';
import type { AgentConnection } from './intercept.ts';
import type { Known, Primaries } from './primaries.ts';

/** Of the name in a certificate that proves nothing: anybody makes one of any length. */
const MAX_NAME_CHARACTERS = 300;

/** From here on the operator is told that an agent's certificate ends: Puppet 8 renews it from then on (hostcert_renewal_interval). */
const ENDING_MS = 30 * 86_400_000;

/** Certificates that were told of; more than a fleet has. */
const MAX_TOLD = 20_000;

export interface ProofOptions {
  authority: Authority;
  primaries: Primaries;
  identitiesOf(primary: Known): IdentitySource;
  /** A line that the operator should read. */
  onNotice(line: string): void;
}

/** What the connections of agents have proved. */
export interface Proofs {
  /** The verdict on the certificate of a new connection, put on its record: OpenSSL's on the path, then ours (issuer, revocation, certname). */
  judge(record: Connection, socket: TLSSocket): void;
  /**
   * The identities by which a connection was judged, those of one primary's CA: what the same certname is elsewhere is another's. When what
   * there is for the certname is not what it was then, the connection is judged again, and is nobody when another agent has enrolled since.
   * @throws PkiError for an identity that is damaged
   */
  identities(certname: Certname, agent: AgentConnection): IdentitySource;
}

export function openProofs({ authority, primaries, identitiesOf, onNotice }: ProofOptions): Proofs {
  const proved = new WeakMap<Connection, { to: Known; by: Identity | null }>();
  const nobody: IdentitySource = { get: () => null };

  function verdictOn(certificate: X509Certificate, to: Known): Verdict {
    return judge(certificate, { authority, trusts: [to.trust], identities: identitiesOf(to), now: Date.now() });
  }

  const told = new Map<Certname, number>();

  function tellOfEnd(certname: Certname, notAfter: number): void {
    const left = notAfter - Date.now();
    if (left > ENDING_MS || told.get(certname) === notAfter) return;
    if (told.size >= MAX_TOLD) told.clear();
    told.set(certname, notAfter);
    const day = new Date(notAfter).toISOString().slice(0, 10);
    onNotice(
      `the certificate of ${certname} ends on ${day}; puppetserver ca clean --certname ${certname} on the CA, puppet ssl clean on the node, and a run renew it (Puppet 8 does it by itself when allow-auto-renewal is on)`,
    );
  }

  /** A damaged one is none here; whoever asks for it hears why. */
  function at(certname: Certname, to: Known): Identity | null {
    try {
      return identitiesOf(to).get(certname);
    } catch (error) {
      if (error instanceof PkiError) return null;
      throw error;
    }
  }

  return {
    judge(record, socket) {
      const certificate = socket.getPeerX509Certificate();
      if (!certificate) return;
      const to = primaries.of(record);
      const verdict = verdictOn(certificate, to);
      record.peerName = verdict.ok ? verdict.certname : (verdict.name?.slice(0, MAX_NAME_CHARACTERS) ?? null);
      if (!verdict.ok) record.refusal = verdict.reason;
      else if (!socket.authorized) record.refusal = String(socket.authorizationError ?? 'not verified');
      else {
        record.certname = verdict.certname;
        proved.set(record, { to, by: at(verdict.certname, to) });
        tellOfEnd(verdict.certname, verdict.notAfter);
      }
    },
    identities(certname, agent) {
      const proof = proved.get(agent.record);
      if (proof === undefined) return nobody;
      const source = identitiesOf(proof.to);
      const identity = source.get(certname);
      if (identity === proof.by) return source;
      const shown = agent.certificatePem();
      const verdict = shown === null ? null : verdictOn(new X509Certificate(shown), proof.to);
      if (verdict?.ok === true && verdict.certname === certname) {
        proof.by = identity;
        return source;
      }
      agent.record.certname = null;
      agent.record.refusal = verdict?.ok === false ? verdict.reason : 'not verified';
      agent.closeWhenIdle();
      return nobody;
    },
  };
}
