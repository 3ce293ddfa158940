import { join } from 'node:path';

/** What lies where below the folder that `--certs` names. */
export interface CertsLayout {
  /** Our CA, its key, its revocation list. */
  ca: string;
  /** What we present to primaries: one file a certname, and a folder for each CA that gave one of these certnames as well. */
  identities: string;
  /** CSRs that wait for a primary's signature: a folder for its CA, one file a certname. */
  enrolment: string;
  /** What may be fetched once by the host of an agent. */
  handouts: string;
  /** A folder for each primary. */
  primaries: string;
  /** A primary's CA and revocation lists. What came over plain HTTP is never taken for what TLS has shown. */
  primary(host: string, port: number, plain?: boolean): string;
}

export function certsLayout(certs: string): CertsLayout {
  return {
    ca: join(certs, 'ca'),
    identities: join(certs, 'identities'),
    enrolment: join(certs, 'enrolment'),
    handouts: join(certs, 'handouts'),
    primaries: join(certs, 'primaries'),
    primary: (host, port, plain = false) => join(certs, 'primaries', `${folderName(host)}_${port}${plain ? '_http' : ''}`),
  };
}

/** A host name or an address as a folder name: `[::1]` becomes `--1`, and nothing becomes `..`. */
function folderName(host: string): string {
  return host
    .toLowerCase()
    .replace(/[[\]]/g, '')
    .replace(/[^a-z0-9.-]/g, '-')
    .replace(/^\.+/, '-');
}
