import type { Certname, Failure } from '../model.ts';

/**
 * What Puppet Server's own auth.conf answers without a certificate (`allow-unauthenticated: true`): the certificates, the CRL, the
 * certificate requests, and the status service. Paths match as prefixes, as they do there, but by whole segments.
 */
const OPEN: readonly { path: string; methods: readonly string[] }[] = [
  { path: '/puppet-ca/v1/certificate/', methods: ['GET'] },
  { path: '/puppet-ca/v1/certificate_revocation_list/ca', methods: ['GET'] },
  { path: '/puppet-ca/v1/certificate_request', methods: ['GET', 'PUT'] },
  { path: '/status/v1/services', methods: ['GET'] },
  { path: '/status/v1/simple', methods: ['GET'] },
];

/** What servers read in more than one way: dot segments, path parameters (Jetty drops them), backslashes, and any of it escaped. */
const AMBIGUOUS = /(^|\/)\.\.?(\/|$)|[;\\]|%(2e|2f|3b|5c)/i;

/** Whether a server may take the path of a target for another one than it seems to be. */
export function isAmbiguous(target: string): boolean {
  return AMBIGUOUS.test(pathOf(target));
}

/** Whether a request may go upstream without any identity. */
export function isOpen(method: string, target: string): boolean {
  if (isAmbiguous(target)) return false;
  const asked = pathOf(target);
  return OPEN.some(({ path, methods }) => {
    const isBelow = asked.startsWith(path) && (path.endsWith('/') || asked[path.length] === '/' || asked.length === path.length);
    return isBelow && methods.includes(method);
  });
}

function pathOf(target: string): string {
  return target.split('?', 1)[0]!;
}

/** What is known of the agent on a connection. */
export interface Standing {
  certname: Certname | null;
  refusal: string | null;
}

/** Which identity a request goes upstream with, or why it does not go. */
export type Admission<Identity> = { admitted: true; identity: Identity | null } | { admitted: false; failure: Failure };

/**
 * The rule that nobody gets in by: the identity is that of the certname that this very connection proved; without one only the
 * open paths go upstream, and they go without an identity.
 */
export function admit<Identity>(
  standing: Standing,
  method: string,
  target: string,
  identityOf: (certname: Certname) => Identity | null,
): Admission<Identity> {
  const identity = standing.certname === null ? null : identityOf(standing.certname);
  if (identity !== null || isOpen(method, target)) return { admitted: true, identity };
  if (standing.certname !== null) return { admitted: false, failure: { reason: 'no-identity', certname: standing.certname } };
  if (standing.refusal !== null) return { admitted: false, failure: { reason: 'certificate-refused', detail: standing.refusal } };
  return { admitted: false, failure: { reason: 'no-certificate' } };
}
