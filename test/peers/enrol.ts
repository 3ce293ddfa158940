import { X509Certificate } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { makeCsr, makeKey } from './ca.ts';
import { type Conversation, RunFailed, said } from './conversation.ts';
import { openTls } from './lines.ts';
import type { AgentOptions } from './options.ts';

/**
 * From an empty ssldir to a certificate (`lib/puppet/ssl/state_machine.rb`): a probe without a request, the CA bundle unverified, the
 * CRLs, the CSR, the certificate; each with the credentials that the agent has by then.
 * @throws {RunFailed} and TLS errors
 */
export async function enrol(options: AgentOptions, conversation: Conversation): Promise<void> {
  const { certname, state } = options;
  (await openTls(conversation.place, { caPem: null, crlPem: null, pair: null })).end();
  if (state.caPem === null) {
    const ask = conversation.line('ca', { caPem: null, crlPem: null, pair: null });
    const reply = await ask('GET', '/puppet-ca/v1/certificate/ca', 'text/plain');
    conversation.closeAll(); // Puppet never keeps a connection that it has not verified
    if (reply.status !== 200) throw new RunFailed(`CA certificate is missing from the server: ${said(reply)}`);
    state.caPem = reply.body.toString('latin1');
  }
  const ask = conversation.line('crl', { caPem: state.caPem, crlPem: null, pair: null });
  const reply = await ask('GET', '/puppet-ca/v1/certificate_revocation_list/ca', 'text/plain');
  if (reply.status !== 200) throw new RunFailed(`CRL is missing from the server: ${said(reply)}`);
  state.crlPem = reply.body.toString('latin1');
  state.key ??= await makeKey(options.keyType ?? 'rsa');
  const csr = { type: 'text/plain', bytes: Buffer.from(makeCsr(certname, state.key, options.csr)) };
  for (let round = 0; ; round++) {
    const toCa = conversation.line('csr', { caPem: state.caPem, crlPem: state.crlPem, pair: null });
    const put = await toCa('PUT', `/puppet-ca/v1/certificate_request/${certname}`, 'text/plain', csr);
    // 400 says that the primary has one already: the agent goes on and asks for the certificate.
    if (put.status !== 200 && put.status !== 400) throw new RunFailed(`Failed to submit the CSR: ${said(put)}`);
    const got = await toCa('GET', `/puppet-ca/v1/certificate/${certname}`, 'text/plain');
    if (got.status === 200) {
      state.certPem = got.body.toString('latin1');
      const wrong = objection(options);
      if (wrong === null) return;
      state.certPem = null;
      throw new RunFailed(wrong);
    }
    conversation.closeAll();
    if (round >= (options.waitRounds ?? 0)) throw new RunFailed(`Exiting; no certificate found: ${said(got)}`);
    await pause(options.waitForCertMs ?? 0);
  }
}

/** The certificate must be for our key and by a CA of the bundle, before it is saved (`lib/puppet/ssl/ssl_provider.rb`). */
function objection({ state }: AgentOptions): string | null {
  const certificate = new X509Certificate(state.certPem ?? '');
  const subject = certificate.subject.replace('\n', ', ');
  if (state.key === null || !certificate.checkPrivateKey(state.key.privateKey)) {
    return `The certificate for '${subject}' does not match its private key`;
  }
  const cas = (state.caPem ?? '').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const isSigned = cas.some(ca => certificate.verify(new X509Certificate(ca).publicKey));
  return isSigned ? null : `certificate verify failed [unable to get local issuer certificate for ${subject}]`;
}
