import { generateKeyPair } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Certname, ConnectionId } from '../model.ts';
import { issuingCa, readBundle } from '../pki/bundle.ts';
import { readCsr } from '../pki/csr.ts';
import { encode, integer, sequence, tagged, verbatim } from '../pki/der.ts';
import { PkiError } from '../pki/error.ts';
import type { PrimaryIdentities } from '../pki/identity.ts';
import { toPem } from '../pki/pem.ts';
import { openPendings, type Pendings } from '../pki/pending.ts';
import { commonName, signed } from '../pki/x509.ts';
import type { Primary } from '../proxy/dial.ts';
import { answerTo } from '../proxy/failure.ts';
import { authority } from '../proxy/tracking.ts';
import { openUpstream, type Upstream } from '../proxy/upstream.ts';
import { countingTape } from './agents-tape.ts';

const makeKeys = promisify(generateKeyPair);

export interface EnrolOptions {
  certnames: readonly Certname[];
  primary: Primary;
  identities: PrimaryIdentities;
  /** The folder of `--certs`: requests that wait are kept below it, so that the next try goes on with the same key. */
  certs: string;
  /** How long a certificate is waited for, ms. */
  waitMs: number;
  signal: AbortSignal;
  onProgress?(enrolled: number): void;
}

/** Requests at the same time: a CA signs one after the other. */
const AT_ONCE = 4;
const POLL_MS = 1000;
/** Pending requests that are kept. */
const MAX_PENDING = 10_000;

/**
 * Gets a certificate of the primary for each certname that has no identity: key, CSR, certificate, as an agent does. Keys are EC (P-256),
 * which Puppet's CA signs as well as RSA: hundreds are made in a moment.
 *
 * @returns those that the primary has not signed in time
 * @throws {PkiError} when the primary refuses one, or cannot be asked
 */
export async function enrolAll(options: EnrolOptions): Promise<Certname[]> {
  const wanted = options.certnames.filter(certname => options.identities.get(certname) === null);
  // For each CA: what waits for one is nothing to another.
  const folder = join(options.certs, 'replay', 'pending');
  const caPem = options.primary.caPem();
  const id = caPem === null ? '' : issuingCa(readBundle(caPem)).id;
  const pendings = openPendings(join(folder, id), MAX_PENDING);
  const upstream = openUpstream({ tape: countingTape(), pool: 'mirror' });
  const waiting = new Set<Certname>();
  const until = performance.now() + options.waitMs;
  let enrolled = 0;
  let next = 0;
  async function worker(n: number): Promise<void> {
    while (next < wanted.length && !options.signal.aborted) {
      const certname = wanted[next++]!;
      if (await enrolOne(certname, n as ConnectionId, options, pendings, upstream, until)) options.onProgress?.(++enrolled);
      else waiting.add(certname);
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, wanted.length) }, (_, n) => worker(n + 1)));
  } finally {
    await upstream.close();
  }
  return wanted.filter(certname => waiting.has(certname));
}

async function enrolOne(
  certname: Certname,
  connection: ConnectionId,
  { primary, identities, signal }: EnrolOptions,
  pendings: Pendings,
  upstream: Upstream,
  until: number,
): Promise<boolean> {
  let pending = pendings.get(certname);
  if (pending === null) {
    const key = await makeKeys('ec', { namedCurve: 'prime256v1' });
    pending = { agentKey: key.publicKey, key, csr: readCsr(newCsr(certname, key)) };
    const pem = toPem('CERTIFICATE REQUEST', pending.csr.der);
    const put = await ask(upstream, primary, connection, 'PUT', `/puppet-ca/v1/certificate_request/${certname}`, pem);
    if (put.status !== 200) {
      throw new PkiError(
        `the primary refused the certificate request of ${certname}: ${put.status} ${said(put.body)}`,
        `import the identity of ${certname} (stringtap identity import), choose other names (--as), or puppetserver ca clean --certname ${certname}`,
      );
    }
    // Kept only when the primary has it: what it refused is no request that waits.
    pendings.put(certname, pending);
  }
  for (;;) {
    const got = await ask(upstream, primary, connection, 'GET', `/puppet-ca/v1/certificate/${certname}`, null);
    if (got.status === 200) {
      const keyPem = pending.key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
      identities.importPair(keyPem, got.body.toString('latin1'));
      pendings.remove(certname);
      return true;
    }
    if (got.status !== 404) throw new PkiError(`no certificate for ${certname}: ${got.status} ${said(got.body)}`);
    if (performance.now() + POLL_MS > until || signal.aborted) return false;
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** A request without any attribute; `[0]` is there all the same, as Puppet's own has it. */
function newCsr(certname: Certname, key: Awaited<ReturnType<typeof makeKeys>>): string {
  const info = sequence(
    integer(Buffer.from([0])),
    verbatim(commonName(certname)),
    verbatim(key.publicKey.export({ type: 'spki', format: 'der' })),
    tagged(0),
  );
  return toPem('CERTIFICATE REQUEST', signed(encode(info), key.privateKey));
}

function said(body: Buffer): string {
  return JSON.stringify(body.toString('utf8', 0, 200));
}

/** A certificate is 2 kB, an error less. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/** One request without a certificate. @throws {PkiError} when there is no answer */
function ask(
  upstream: Upstream,
  primary: Primary,
  agentConnection: ConnectionId,
  method: 'GET' | 'PUT',
  target: string,
  text: string | null,
): Promise<{ status: number; body: Buffer }> {
  const body = text === null ? null : Buffer.from(text, 'latin1');
  const fields: [string, string][] = [
    ['Accept', 'text/plain'],
    ['User-Agent', 'stringtap'],
    ['Host', authority(primary.host, primary.port)],
    ...(body === null ? [] : ([['Content-Type', 'text/plain']] as [string, string][])),
  ];
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let status = 0;
    let size = 0;
    upstream.send(
      {
        primary,
        identity: null,
        agentConnection,
        method,
        target,
        fields,
        body: body && { open: () => body, resendable: () => true },
        resendable: true,
      },
      {
        onReady: () => undefined,
        onInformation: () => undefined,
        onHead(head) {
          status = head.status;
        },
        onData(chunk) {
          size += chunk.length;
          if (size <= MAX_ANSWER_BYTES) chunks.push(chunk);
          return true;
        },
        onEnd: () => resolve({ status, body: Buffer.concat(chunks) }),
        onFailure: failure => reject(new PkiError(answerTo(failure).message.replace(/^stringtap: /, ''))),
      },
    );
  });
}
