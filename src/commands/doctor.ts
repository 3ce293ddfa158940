import { X509Certificate } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync, statfsSync } from 'node:fs';
import { isIP, type Socket } from 'node:net';
import { resolve } from 'node:path';
import { counted, sized } from '../analysis/words.ts';
import { openAuthority } from '../pki/authority.ts';
import { issuingCa, readBundle } from '../pki/bundle.ts';
import { readCrls } from '../pki/crl.ts';
import { openIdentities } from '../pki/identity.ts';
import { certsLayout } from '../pki/layout.ts';
import { pinnedPrimaries } from '../pki/pinned.ts';
import { type Certificate, commonNameOf, readCertificate } from '../pki/x509.ts';
import type { PrimaryAddress } from '../proxy/contact.ts';
import { reasonOf } from '../proxy/failure.ts';
import { clientFields } from '../proxy/header-identity.ts';
import { type AskSrv, srvAsker } from '../proxy/srv.ts';
import { addressesOf, get, type Presenting, tcpSocket, tlsSocket } from './doctor-probe.ts';
import { type Io, printable } from './io.ts';
import { CAPTURES } from './options.ts';
import { duration } from './present.ts';
import { choosePrimaries, type PrimaryOption } from './primary-option.ts';
import { address } from './proxy.ts';

/** One thing that was looked at; also a line of `stringtap doctor --json`. */
export interface Check {
  level: 'ok' | 'warn' | 'fail';
  /** Stable, for programs. */
  name: string;
  detail: string;
  /** What mends it; `null` when nothing is to be done. */
  remedy: string | null;
}

/** What a look at a primary needs of the options. */
interface Known {
  certs: string;
  caCert?: string;
  /** How the primary is told which agent it is, as `stringtap proxy` has it; always by header fields over plain HTTP. */
  identity?: 'certificate' | 'headers';
}

/** Options of `stringtap doctor`, read. */
export interface DoctorFlags extends Known {
  primary?: PrimaryOption;
  json?: boolean;
}

const DAY_MS = 86_400_000;
/** Warned of so long before something ends. */
const SOON_MS = 30 * DAY_MS;
/** Certificates of a CA are back-dated by a day; what differs by less is no trouble to TLS, more than this is to reports. */
const SKEW_MS = 60_000;
/** A capture of a busy day is some 100 MB. */
const LOW_DISK_BYTES = 500_000_000;

/** `stringtap doctor`: what must be right before a proxy is of use, each a line; exit code 3 when something is wrong. @throws {CliError} */
export async function runDoctor(io: Io, flags: DoctorFlags): Promise<void> {
  const checks: Check[] = [];
  const add = (check: Check): void => {
    checks.push(check);
    if (flags.json) io.out(JSON.stringify(check));
    else {
      io.out(`${check.level.padEnd(4)} ${check.name.padEnd(14)} ${printable(check.detail)}`);
      if (check.remedy !== null) io.out(`     ${printable(check.remedy)}`);
    }
  };
  checkDisk(add);
  await checkCerts(flags.certs, add);
  if (flags.primary !== undefined) await checkPrimaries(flags.primary, flags, srvAsker(), add);
  else if (flags.json !== true) io.out('     nothing was asked of a primary: --primary HOST looks at it, too');
  if (checks.some(({ level }) => level === 'fail')) io.exitCode = 3;
}

type Add = (check: Check) => void;

function checkDisk(add: Add): void {
  const folder = existsSync(CAPTURES) ? CAPTURES : '.';
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = statfsSync(folder);
    const free = bavail * bsize;
    const low = free < LOW_DISK_BYTES;
    add({
      level: low ? 'warn' : 'ok',
      name: 'disk',
      detail: `${sized(free)} free for captures in ${resolve(folder)}`,
      remedy: low ? '--capture FILE on another file system, or --max-body BYTES' : null,
    });
  } catch (error) {
    const remedy = '--capture FILE in a folder of yours';
    add({ level: 'fail', name: 'disk', detail: `captures cannot be written in ${resolve(folder)}: ${codeOf(error)}`, remedy });
  }
}

/** Our CA and every identity: readable by us alone, and valid. */
async function checkCerts(certs: string, add: Add): Promise<void> {
  const layout = certsLayout(certs);
  if (!existsSync(layout.ca)) {
    add({ level: 'ok', name: 'our-ca', detail: `none in ${resolve(certs)} yet: the first proxy makes it`, remedy: null });
    return;
  }
  try {
    const authority = await openAuthority(layout.ca);
    const { notAfter } = authority.certificate;
    add(validity('our-ca', 'our CA', notAfter, `move ${resolve(certs)} away: a new CA is made, and agents enrol anew`));
    const identities = openIdentities(layout.identities, { authority });
    for (const { certname, notAfter: end, kind } of identities.list()) {
      add(validity('identity', `the ${kind} identity of ${certname}`, end, `enrol ${certname} anew, or import it again`));
    }
    for (const { message, hint } of identities.damaged()) add({ level: 'fail', name: 'identity', detail: message, remedy: hint });
  } catch (error) {
    add({ level: 'fail', name: 'our-ca', detail: reasonOf(error), remedy: hintOf(error) });
  }
}

function validity(name: string, what: string, notAfter: number, remedy: string): Check {
  const left = notAfter - Date.now();
  const end = new Date(notAfter).toISOString().slice(0, 10);
  if (left <= 0) return { level: 'fail', name, detail: `${what} ended on ${end}`, remedy };
  const soon = left < SOON_MS;
  const detail = `${what} is valid until ${end}${soon ? `, ${counted(Math.floor(left / DAY_MS), 'day')}` : ''}`;
  return { level: soon ? 'warn' : 'ok', name, detail, remedy: soon ? remedy : null };
}

/** The place that was named; of a domain every place that its SRV records name, the CA first. */
export async function checkPrimaries(primary: PrimaryOption, known: Known, ask: AskSrv, add: Add): Promise<void> {
  if (!('srv' in primary)) {
    await checkPrimary(primary, null, known, add);
    return;
  }
  try {
    const { primary: first, standbys, services } = await choosePrimaries([primary], ask);
    const { ca = [], report = [], fileserver = [] } = services ?? {};
    const puppet = [first, ...standbys];
    const named = { ca, puppet, report, fileserver };
    const words = Object.entries(named).map(([service, places]) => `${service} ${places.map(address).join(' ')}`);
    add({ level: 'ok', name: 'srv', detail: `${primary.srv}: ${words.join(', ')}`, remedy: null });
    let authority: Authority | null = null;
    for (const place of ca) {
      const pem = await checkPrimary(place, null, known, add);
      if (pem !== null) authority ??= { pem, from: `what ${address(place)} gives` };
    }
    const others = new Map([...puppet, ...report, ...fileserver].map(place => [address(place), place]));
    for (const place of ca) others.delete(address(place));
    for (const place of others.values()) await checkPrimary(place, authority, known, add);
  } catch (error) {
    add({ level: 'fail', name: 'srv', detail: reasonOf(error), remedy: hintOf(error) });
  }
}

/** A CA, and where it is from. */
interface Authority {
  pem: string;
  from: string;
}

/**
 * From DNS up to an answered request. What a failed step makes pointless is left out.
 *
 * @param authority the CA that another place gave: a compiler has none, and no CRL
 * @returns its CA, `null` when that is not known
 */
async function checkPrimary(
  primary: PrimaryAddress,
  authority: Authority | null,
  flags: Known,
  add: Add,
): Promise<string | null> {
  const where = address(primary);
  const step = async <T>(name: string, remedy: string, look: () => Promise<{ detail: string; value: T }>): Promise<T | null> => {
    try {
      const { detail, value } = await look();
      add({ level: 'ok', name, detail, remedy: null });
      return value;
    } catch (error) {
      add({ level: 'fail', name, detail: `${where}: ${reasonOf(error)}`, remedy });
      return null;
    }
  };
  const found = await step('dns', 'check the name, /etc/hosts and the resolver', async () => {
    const addresses = await addressesOf(primary.host);
    return { detail: `${primary.host} is ${addresses.join(', ')}`, value: addresses };
  });
  if (found === null) return null;
  const reached = await step('tcp', 'is puppetserver up, and does a firewall let this host through?', async () => {
    const start = performance.now();
    const socket = await tcpSocket(primary);
    const took = performance.now() - start;
    socket.destroy();
    return { detail: `connected to ${where} in ${duration(took)}`, value: true };
  });
  if (reached === null) return null;
  const caOf = async (socket: Socket): Promise<string | null> => {
    const { status, body } = await get(socket, primary, '/puppet-ca/v1/certificate/ca');
    socket.destroy();
    return status === 200 ? body : null;
  };
  const given = primary.plain
    ? await step('http', 'is it a Puppet primary behind a TLS terminator?', async () => {
        const ca = await caOf(await tcpSocket(primary));
        return { detail: 'plain HTTP: agents are named to it in X-Client-* fields', value: { leaf: null, ca } };
      })
    : await step('tls', 'is it a Puppet primary that speaks TLS 1.2 or 1.3?', async () => {
        const socket = await tlsSocket(primary, { ca: null });
        const detail = `${socket.getProtocol() ?? 'TLS'}, ${socket.getCipher()?.name ?? ''}`;
        const leaf = readCertificate(socket.getPeerX509Certificate()!.raw);
        return { detail, value: { leaf, ca: await caOf(socket) } };
      });
  if (given === null) return null;
  const bundle = checkCa(pinnedCa(primary, flags) ?? authority, authority === null ? given.ca : null, add);
  if (given.leaf !== null) checkLeaf(primary, given.leaf, add);
  if (bundle !== null) await checkVerified(primary, authority === null, flags, bundle, add);
  return bundle;
}

/** A connection that verifies the primary, where that can be done. */
function reach(primary: PrimaryAddress, presenting: Presenting): Promise<Socket> {
  return primary.plain ? tcpSocket(primary) : tlsSocket(primary, presenting);
}

/** The CA that is known already: given, or pinned by a proxy. */
function pinnedCa({ host, port, plain }: PrimaryAddress, flags: Known): Authority | null {
  const file = flags.caCert ?? `${certsLayout(flags.certs).primary(host, port, plain)}/ca.pem`;
  try {
    return { pem: readFileSync(file, 'utf8'), from: file };
  } catch (error) {
    if (flags.caCert === undefined) return null;
    return { pem: '', from: `${file} (${codeOf(error)})` };
  }
}

/** @returns the bundle to verify with */
function checkCa(pinned: Authority | null, given: string | null, add: Add): string | null {
  const remedy = 'after the CA was replaced on purpose: rm -r CERTS/primaries; otherwise somebody else answers there';
  try {
    const known = pinned === null ? null : readBundle(pinned.pem);
    const offered = given === null ? null : readBundle(given);
    const bundle = known ?? offered;
    if (bundle === null) {
      add({ level: 'fail', name: 'ca', detail: 'the primary gives no CA, and none is known', remedy: '--ca-cert FILE' });
      return null;
    }
    const same =
      known === null || offered === null || offered.roots.every(root => known.roots.some(one => one.spki.equals(root.spki)));
    const from = known === null ? 'not pinned yet' : `as in ${pinned!.from}`;
    if (same) add({ level: 'ok', name: 'ca', detail: `${bundle.roots[0]!.fingerprint}, ${from}`, remedy: null });
    else add({ level: 'fail', name: 'ca', detail: `the primary gives another CA than ${pinned!.from}`, remedy });
    for (const one of bundle.certificates) {
      add(validity('ca-validity', subjectText(one), one.notAfter, "renew the primary's CA (puppetlabs-ca_extend)"));
    }
    return bundle.pem;
  } catch (error) {
    add({
      level: 'fail',
      name: 'ca',
      detail: `${pinned?.from ?? 'what the primary gives'}: ${reasonOf(error)}`,
      remedy: hintOf(error) ?? '--ca-cert takes the CA bundle of the primary, PEM: certs/ca.pem of an ssldir',
    });
    return null;
  }
}

function subjectText({ x509 }: Certificate): string {
  return x509.subject.replaceAll('\n', ', ');
}

function checkLeaf({ host }: PrimaryAddress, leaf: Certificate, add: Add): void {
  const remedy = `puppetserver ca generate with this name in dns_alt_names, or another name in --primary`;
  const names = leaf.x509.subjectAltName ?? leaf.x509.subject;
  const fits = (isIP(host) === 0 ? leaf.x509.checkHost(host) : leaf.x509.checkIP(host)) !== undefined;
  if (fits) add({ level: 'ok', name: 'name', detail: `its certificate carries ${host}`, remedy: null });
  else add({ level: 'fail', name: 'name', detail: `its certificate does not carry ${host}, but ${names.slice(0, 300)}`, remedy });
  add(validity('certificate', "the primary's certificate", leaf.notAfter, 'puppetserver ca generate makes it a new one'));
}

/** Everything that needs a connection which verifies: CRLs, clock, keep-alive, identities. */
async function checkVerified(primary: PrimaryAddress, givesCrl: boolean, flags: Known, ca: string, add: Add): Promise<void> {
  try {
    const socket = await reach(primary, { ca });
    if (!primary.plain) add({ level: 'ok', name: 'trust', detail: 'its certificate verifies against that CA', remedy: null });
    const list = await get(socket, primary, '/puppet-ca/v1/certificate_revocation_list/ca');
    checkClock(list.headers.date, list.at, add);
    if (givesCrl) checkCrls(list.status === 200 ? list.body : null, ca, add);
    checkKeepAlive(socket.destroyed || list.headers.connection === 'close', add);
    socket.destroy();
  } catch (error) {
    const remedy = 'compare --ca-cert, or CERTS/primaries, with ca_crt.pem on the primary';
    add({ level: 'fail', name: 'trust', detail: reasonOf(error), remedy });
    return;
  }
  await checkIdentities(primary, flags, ca, add);
}

function checkClock(date: string | undefined, at: number, add: Add): void {
  const theirs = Date.parse(date ?? '');
  if (Number.isNaN(theirs)) {
    add({ level: 'warn', name: 'clock', detail: 'the primary tells no Date', remedy: null });
    return;
  }
  const skew = theirs + 500 - at; // Date counts whole seconds
  const apart =
    Math.abs(skew) < 1000
      ? 'as this one, to the second'
      : `${duration(Math.abs(skew))} ${skew < 0 ? 'behind' : 'ahead of'} this one`;
  const wrong = Math.abs(skew) > SKEW_MS;
  add({
    level: wrong ? 'fail' : 'ok',
    name: 'clock',
    detail: `the clock of the primary is ${apart}`,
    remedy: wrong ? 'set both by NTP: certificates and CRLs are judged by it' : null,
  });
}

/** @param ca bundle of the primary, whose CAs the lists are of */
function checkCrls(pem: string | null, ca: string, add: Add): void {
  const remedy = 'puppetserver ca prune, or any revocation, signs the list anew on the primary';
  const lists = pem === null ? [] : readCrls(pem);
  if (lists.length === 0) {
    const detail = 'the primary gives no CRL: agents with certificate_revocation=chain or leaf refuse it';
    add({ level: 'fail', name: 'crl', detail, remedy });
    return;
  }
  const { certificates } = readBundle(ca);
  for (const { issuer, nextUpdate, revoked } of lists) {
    const its = certificates.find(({ subject }) => subject.equals(issuer));
    const name = its === undefined ? `${commonNameOf(issuer) ?? 'a CA'}, which is not in that bundle,` : subjectText(its);
    const what = `the CRL of ${name} with ${counted(revoked.size, 'certificate')}`;
    if (nextUpdate !== null) add(validity('crl', what, nextUpdate, remedy));
  }
}

function checkKeepAlive(closed: boolean, add: Add): void {
  const remedy = 'nothing to do with stringtap: a proxy or load balancer before the primary closes each connection';
  if (closed) add({ level: 'warn', name: 'keep-alive', detail: 'the primary closes each connection after its answer', remedy });
  else add({ level: 'ok', name: 'keep-alive', detail: 'the primary keeps connections open', remedy: null });
}

/** Whether the primary takes each identity that we would present: a node request of its own certname. */
async function checkIdentities(primary: PrimaryAddress, flags: Known, ca: string, add: Add): Promise<void> {
  const layout = certsLayout(flags.certs);
  if (!existsSync(layout.identities)) return;
  const isSaid = primary.plain === true || flags.identity === 'headers';
  const here = issuingCa(readBundle(ca));
  const others = pinnedPrimaries(layout).filter(({ ca: { id } }) => id !== here.id);
  for (const { certname, keyPem, certPem } of openIdentities(layout.identities).list()) {
    const certificate = new X509Certificate(certPem);
    // Of another primary, to which it is presented.
    if (!here.issued(certificate) && others.some(other => other.ca.issued(certificate))) continue;
    const remedy = isSaid
      ? 'allow-header-cert-info: true in auth.conf of the primary, which believes the fields then'
      : `puppetserver ca list --certname ${certname}, on the primary: it may be revoked, cleaned or of another CA; with allow-header-cert-info in its auth.conf: --identity headers`;
    try {
      const socket = await reach(primary, isSaid ? { ca } : { ca, key: keyPem, cert: certPem });
      const said = isSaid ? clientFields(certname, certificate.toString()) : [];
      const { status } = await get(socket, primary, `/puppet/v3/node/${certname}?environment=production`, said);
      socket.destroy();
      const taken = status !== 401 && status !== 403;
      const detail = `the primary answers ${status} to ${certname}`;
      add({ level: taken ? 'ok' : 'fail', name: 'authorization', detail, remedy: taken ? null : remedy });
    } catch (error) {
      add({ level: 'fail', name: 'authorization', detail: `${certname}: ${reasonOf(error)}`, remedy });
    }
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? reasonOf(error);
}

function hintOf(error: unknown): string | null {
  return error instanceof Error && 'hint' in error && typeof error.hint === 'string' ? error.hint : null;
}
