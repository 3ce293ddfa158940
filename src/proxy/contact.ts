import type { X509Certificate } from 'node:crypto';
import { request as requestPlain } from 'node:http';
import { request } from 'node:https';
import { isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { haveSameRoots, isLater, readBundle } from '../pki/bundle.ts';
import type { Trust } from '../pki/trust.ts';
import { ContactError } from './contact-error.ts';
import { reasonOf } from './failure.ts';
import { authority } from './tracking.ts';

/** Where a primary listens. */
export interface PrimaryAddress {
  host: string;
  port: number;
  /** Plain HTTP, as behind a TLS terminator: agents are named in header fields then. */
  plain?: boolean;
}

/** Silence. */
const CONTACT_MS = 15_000;
/** All of a handshake, or of an answer: who waits for the list of a large site over a slow line waits longer than for a word. */
const WHOLE_MS = 60_000;
/** A CRL of a large site: 100,000 revoked certificates are 3.3 MB. */
const MAX_BUNDLE_BYTES = 16 * 1024 * 1024;

/**
 * Gets to know a primary before the first agent comes: its CA is pinned on first contact (as every agent does with `certificate/ca`),
 * its certificate is checked against that CA, and its CRLs are read. A primary that is known already is only refreshed.
 * @param fingerprint of the CA, when the operator gave one
 * @param more `vet`: what the CRLs say against its certificate; `lists`: where the CRLs are, when not there; `wholeMs`: how long one answer
 *   may take, default {@link WHOLE_MS}
 * @throws {ContactError} when it is unknown so far and cannot be known, or is not the one that it was; PkiError when its bundle is refused
 */
export async function contact(
  primary: PrimaryAddress,
  trust: Trust,
  fingerprint: string | null,
  more: { vet?(certificate: X509Certificate): Error | null; lists?: PrimaryAddress; wholeMs?: number } = {},
): Promise<void> {
  const { wholeMs = WHOLE_MS } = more;
  const origin = authority(primary.host, primary.port);
  const known = trust.caPem();
  const bundle =
    known ??
    (
      await get(primary, '/puppet-ca/v1/certificate/ca', null, wholeMs).catch((error: unknown) => {
        throw new ContactError(
          `cannot get the CA of the primary at ${origin}: ${reasonOf(error)}`,
          'check --primary HOST[:PORT]; --ca-cert FILE gives the CA without asking for it',
        );
      })
    ).toString('latin1');
  if (!/-----BEGIN CERTIFICATE-----/.test(bundle)) {
    throw new ContactError(`what ${origin} gave as its CA is no certificate`, 'is --primary a Puppet primary?');
  }
  const isVouched = fingerprint !== null && known !== null && trust.matchesFingerprint(fingerprint);
  // Before anything is kept: whoever gave this bundle must also hold a certificate of it. Over plain HTTP nobody can show that.
  const certificate = await (primary.plain ? null : handshake(primary, bundle, wholeMs))?.catch(async (error: unknown) => {
    // A CA that has ended may have been renewed with its key; who has that key can make any certificate of it.
    const renewed = known === null ? null : await renewedCa(more.lists ?? primary, known, null, wholeMs);
    const found = renewed === null ? null : await handshake(primary, renewed, wholeMs).catch(() => null);
    if (renewed === null || found === null) {
      throw new ContactError(
        `the primary at ${origin} cannot be used: ${reasonOf(error)}`,
        'is it up, and does its certificate carry this name? A CA that was replaced is forgotten with: rm -r CERTS/primaries',
      );
    }
    trust.pin(renewed);
    return found;
  });
  if (known !== null) await renewCa(more.lists ?? primary, trust, wholeMs).catch(() => undefined); // the known one is good
  if (known === null) trust.pin(bundle, fingerprint);
  else if (fingerprint !== null && !isVouched && !trust.matchesFingerprint(fingerprint)) {
    throw new ContactError(
      `the CA of ${origin} does not have the fingerprint ${fingerprint}`,
      'compare with `openssl x509 -noout -fingerprint -sha256 -in ca_crt.pem` on the primary',
    );
  }
  // Optional: without it revoked agents are refused by the primary only.
  await readCrl(more.lists ?? primary, trust, wholeMs).catch(() => undefined);
  const refused = (certificate && more.vet?.(certificate)) ?? null;
  if (refused !== null) {
    throw new ContactError(
      `the primary at ${origin} cannot be used: ${reasonOf(refused)}`,
      'the primary needs a certificate or a CRL that is good; --certificate-revocation leaf|false checks less, as the setting of agents does',
    );
  }
}

/** Takes over a CA that was renewed with its key; one that cannot be had changes nothing. Over plain HTTP nobody vouches for it. */
export async function renewCa(primary: PrimaryAddress, trust: Trust, wholeMs = WHOLE_MS): Promise<void> {
  const known = trust.caPem();
  if (known === null || primary.plain) return;
  const renewed = await renewedCa(primary, known, known, wholeMs);
  if (renewed !== null) trust.pin(renewed);
}

/** The bundle that the primary gives now, when it is one of the same CA that lasts longer. @param ca that verifies the connection */
async function renewedCa(primary: PrimaryAddress, known: string, ca: string | null, wholeMs: number): Promise<string | null> {
  try {
    const text = (await get(primary, '/puppet-ca/v1/certificate/ca', ca, wholeMs)).toString('latin1');
    const [newer, older] = [readBundle(text), readBundle(known)];
    return haveSameRoots(newer, older) && isLater(newer, older) ? text : null;
  } catch {
    return null;
  }
}

/** Reads the primary's CRLs anew. Rejects when it cannot be reached. */
export async function readCrl(primary: PrimaryAddress, trust: Trust, wholeMs = WHOLE_MS): Promise<void> {
  trust.updateCrl(await get(primary, '/puppet-ca/v1/certificate_revocation_list/ca', trust.caPem(), wholeMs));
}

/** One TLS handshake that must verify; the certificate that did. Nothing is requested. */
function handshake(primary: PrimaryAddress, ca: string, wholeMs: number): Promise<X509Certificate | undefined> {
  return new Promise((resolve, reject) => {
    const servername = isIP(primary.host) === 0 ? primary.host : '';
    const socket = connectTls({ host: primary.host, port: primary.port, ca, servername, timeout: CONTACT_MS }, () => {
      resolve(socket.getPeerX509Certificate());
      socket.end();
    });
    socket.once('timeout', () => socket.destroy(new Error(`no TLS handshake in ${CONTACT_MS / 1000} s`)));
    const late = setTimeout(() => socket.destroy(new Error(`no whole handshake in ${wholeMs / 1000} s`)), wholeMs);
    socket.once('close', () => clearTimeout(late));
    socket.once('error', reject);
  });
}

/** The body of an answer of the primary; with `ca` only over a connection that verifies. */
function get(primary: PrimaryAddress, path: string, ca: string | null, wholeMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const outgoing = (primary.plain ? requestPlain : request)(
      {
        host: primary.host,
        port: primary.port,
        path,
        agent: false,
        timeout: CONTACT_MS,
        headers: { Accept: 'text/plain', 'User-Agent': 'stringtap' },
        ...(ca === null ? { rejectUnauthorized: false } : { ca }),
      },
      answer => {
        const chunks: Buffer[] = [];
        let size = 0;
        answer.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > MAX_BUNDLE_BYTES) outgoing.destroy(new Error('the answer is larger than 16 MiB'));
          else chunks.push(chunk);
        });
        answer.once('end', () => {
          if (answer.statusCode === 200) resolve(Buffer.concat(chunks));
          else reject(new Error(`${path} was answered with ${answer.statusCode}`));
        });
        // One that breaks off has no 'end', and its request no 'error'.
        answer.once('close', () => reject(new Error(`the answer to ${path} broke off`)));
      },
    );
    const late = setTimeout(() => outgoing.destroy(new Error(`no whole answer in ${wholeMs / 1000} s`)), wholeMs);
    outgoing.once('close', () => clearTimeout(late));
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer in ${CONTACT_MS / 1000} s`)));
    outgoing.once('error', reject);
    outgoing.end();
  });
}
