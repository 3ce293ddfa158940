import type { Severity } from '../../../src/analysis/findings/finding.ts';
import { fixture } from '../../decode/rig.ts';
import { event, type Node, type NodeOptions, resource } from './world.ts';

/** One rule: what makes it speak, and the nearest thing that must not. */
export interface Case {
  rule: string;
  severity: Severity;
  says: RegExp;
  options?: NodeOptions;
  quietOptions?: NodeOptions;
  fires(node: Node): Promise<void>;
  quiet(node: Node): Promise<void>;
}

export const json = (value: unknown): string => JSON.stringify(value);
const refusal = (message: string): { response: string } => ({ response: json({ message, issue_kind: 'RUNTIME_ERROR' }) });
export const plugins = 'GET /puppet/v3/file_metadatas/plugins?environment=production&recurse=true';
const origin = 'puppet.example.com:8140';

/** What an agent that has its plugins does. */
export async function good(node: Node, catalog: object = {}, report: object = {}): Promise<void> {
  await node.ask(plugins, { response: fixture('file_metadatas.json') });
  node.pause(900);
  await node.catalog(catalog);
  await node.report(report);
  node.end();
}

async function enrol(node: Node, csr: string, put = 200, message = ''): Promise<void> {
  await node.bootstrap(`PUT /puppet-ca/v1/certificate_request/${node.certname}?environment=production`, {
    request: fixture(csr),
    requestType: 'text/plain',
    type: 'text/plain',
    status: put,
    ...(message !== '' && { response: message }),
  });
}
const certificate = (node: Node): string => `GET /puppet-ca/v1/certificate/${node.certname}?environment=production`;
const pem = { type: 'text/plain' };

/** Rules whose findings are errors, and those of certificates. */
export const ERRORS: readonly Case[] = [
  {
    rule: 'catalog-compile-failed',
    severity: 'error',
    says: /did not compile: .*Could not find class ::nosuch::thing.*unknown-class\.pp:1\)/,
    async fires(node) {
      await node.catalog({}, { status: 500, response: fixture('error-unknown-class.json'), type: 'application/json' });
      await node.report({ status: 'failed' });
    },
    async quiet(node) {
      await node.catalog({}, { status: 503, ...refusal('busy'), type: 'application/json' });
      await node.report({ status: 'failed' });
    },
  },
  {
    rule: 'primary-unreachable',
    severity: 'error',
    says: /^the primary puppet\.example\.com:8140 could not be reached for 2 requests \(ECONNREFUSED\), first for pluginsync$/,
    async fires(node) {
      const failure = { reason: 'primary-unreachable', origin, code: 'ECONNREFUSED' } as const;
      await node.ask(plugins, { by: 'proxy', failure });
      await node.report({}, { by: 'proxy', failure });
    },
    async quiet(node) {
      await good(node);
      node.pause(2_000);
      await node.catalog({}, { failure: { reason: 'primary-closed', origin, detail: 'other side closed', partial: false } });
    },
  },
  {
    rule: 'resource-failed',
    severity: 'error',
    says: /^2 resources failed: Exec\[migrate\], Service\[app\]$/,
    async fires(node) {
      const failed = [event('Exec[migrate]', 'returns', 'failure'), event('Service[app]', 'ensure', 'failure')];
      await good(node, {}, { status: 'failed', resource_statuses: Object.fromEntries(failed) });
    },
    async quiet(node) {
      await good(node, {}, { status: 'changed', resource_statuses: Object.fromEntries([event('Exec[migrate]', 'returns')]) });
      await node.catalog({}, { status: 500, response: fixture('error-syntax.json'), type: 'application/json' });
      await node.report({ status: 'failed' });
    },
  },
  {
    rule: 'environment-missing',
    severity: 'error',
    says: /no environment nope$/,
    async fires(node) {
      const words = { status: 404, ...refusal("Could not find environment 'nope'") };
      await node.ask('GET /puppet/v3/file_metadatas/plugins?environment=nope&recurse=false', words);
      await node.ask(`POST /puppet/v3/catalog/${node.certname}?environment=nope`, { status: 500, ...refusal('no such code') });
    },
    async quiet(node) {
      await node.ask('GET /puppet/v3/file_metadata/modules/a/none?environment=production', {
        status: 404,
        ...refusal("Not Found: Could not find file_metadata modules/a/none in environment 'production'"),
      });
      await good(node);
    },
  },
  {
    rule: 'report-missing',
    severity: 'warning',
    says: /^the agent got a catalog and sent no report: it went away 2\.0 s after its last request$/,
    async fires(node) {
      await good(node);
      node.pause(2_000);
      await node.catalog();
      await node.ask('GET /puppet/v3/file_content/modules/m/a?environment=production', {
        response: 'a',
        type: 'application/octet-stream',
      });
      node.pause(2_000);
      node.end();
    },
    async quiet(node) {
      await good(node);
      await node.catalog();
      await node.report({}, { status: 500 });
      node.end();
      // puppet plugin download
      await node.ask(plugins, { response: fixture('file_metadatas.json') });
    },
  },
  {
    rule: 'masked-by-cache',
    severity: 'error',
    says: /report says unchanged, but there was no new catalog \(500 to the catalog request\)/,
    async fires(node) {
      await node.catalog({}, { status: 500, response: fixture('error-syntax.json'), type: 'application/json' });
      await node.report({ cached_catalog_status: 'on_failure' });
    },
    quiet: node => good(node, {}, { cached_catalog_status: 'explicitly_requested' }),
  },
  {
    rule: 'cached-catalog-used',
    severity: 'warning',
    says: /applied the cached catalog 1795380482: it got no new one/,
    fires: node => good(node, {}, { status: 'failed', cached_catalog_status: 'on_failure' }),
    quiet: node => good(node, {}, { cached_catalog_status: 'not_used' }),
  },
  {
    rule: 'report-rejected',
    severity: 'error',
    says: /was not taken: status 413, too large/,
    async fires(node) {
      await node.catalog();
      await node.report({}, { status: 413, response: 'too large', type: 'text/plain' });
    },
    async quiet(node) {
      await node.catalog();
      await node.report({}, { abandoned: true });
    },
  },
  {
    rule: 'auth-denied',
    severity: 'error',
    says: /first POST \/puppet\/v3\/catalog\/other\.example: the certificate is of auth-denied\.fires, the path of other\.example/,
    async fires(node) {
      const words = 'Forbidden request: /puppet/v3/catalog/other.example (method :post). Please see the server logs for details.';
      await node.ask('POST /puppet/v3/catalog/other.example?environment=production', { status: 403, response: words });
    },
    async quiet(node) {
      await node.ask('POST /puppet-ca/v1/certificate_renewal', {
        status: 403,
        response: 'Forbidden request',
        type: 'text/plain',
      });
      await good(node);
    },
  },
  {
    rule: 'untrusted-tls',
    severity: 'error',
    says: /the primary refuses the certificate.*alert certificate revoked/,
    async fires(node) {
      const failure = { reason: 'primary-rejected-identity', certname: null, alert: 'sslv3 alert certificate revoked' } as const;
      await node.ask(plugins, { by: 'proxy', failure });
    },
    async quiet(node) {
      await node.ask(plugins, { by: 'proxy', failure: { reason: 'primary-unreachable', origin, code: 'ECONNREFUSED' } });
    },
  },
  {
    rule: 'name-mismatch',
    severity: 'error',
    says: /Hostname\/IP does not match certificate's altnames/,
    async fires(node) {
      const detail = "Hostname/IP does not match certificate's altnames: Host: a. is not in the cert's altnames: DNS:b";
      await node.ask(plugins, { by: 'proxy', failure: { reason: 'primary-untrusted', origin, detail } });
    },
    async quiet(node) {
      const detail = 'unable to get local issuer certificate (UNABLE_TO_GET_ISSUER_CERT_LOCALLY)';
      await node.ask(plugins, { by: 'proxy', failure: { reason: 'primary-untrusted', origin, detail } });
    },
  },
  {
    rule: 'crl-expired',
    severity: 'error',
    says: /CRL of CN=Intermediate CA: primary\.example ended on 2029-01-01/,
    options: { at: '2029-02-01T00:00:00Z' },
    quietOptions: { at: '2028-12-30T00:00:00Z' },
    async fires(node) {
      await node.ask('GET /puppet-ca/v1/certificate_revocation_list/ca', { response: fixture('crl.pem'), ...pem });
      await good(node);
    },
    async quiet(node) {
      await node.ask('GET /puppet-ca/v1/certificate_revocation_list/ca', { response: fixture('crl.pem'), ...pem });
      await good(node);
    },
  },
  {
    rule: 'crl-expires-soon',
    severity: 'warning',
    says: /ends on 2029-01-01, in 12 days/,
    options: { at: '2028-12-20T00:00:00Z' },
    // it has ended, which is another finding
    quietOptions: { at: '2029-02-01T00:00:00Z' },
    async fires(node) {
      await node.ask('GET /puppet-ca/v1/certificate_revocation_list/ca', { response: fixture('crl.pem'), ...pem });
      await good(node);
    },
    async quiet(node) {
      await node.ask('GET /puppet-ca/v1/certificate_revocation_list/ca', { response: fixture('crl.pem'), ...pem });
      await good(node);
    },
  },
  {
    rule: 'cert-expiring',
    severity: 'warning',
    says: /the certificate CN=agent\.example ends on 2049-12-31, in 16 days/,
    options: { at: '2049-12-15T00:00:00Z' },
    quietOptions: { at: '2049-11-15T00:00:00Z' },
    async fires(node) {
      await node.bootstrap(certificate(node), { response: fixture('certificate.pem'), ...pem });
      await good(node);
    },
    async quiet(node) {
      await node.bootstrap(certificate(node), { response: fixture('certificate.pem'), ...pem });
      await good(node);
    },
  },
  {
    rule: 'csr-key-mismatch',
    severity: 'error',
    says: /certificate for agent\.example of another key/,
    async fires(node) {
      await enrol(node, 'csr-rsa.pem');
      await node.bootstrap(certificate(node), { response: fixture('certificate-other-key.pem'), ...pem });
    },
    async quiet(node) {
      await enrol(node, 'csr-rsa.pem');
      await node.bootstrap(certificate(node), { response: fixture('certificate.pem'), ...pem });
    },
  },
  {
    rule: 'csr-conflict',
    severity: 'error',
    says: /it has a signed certificate of that name/,
    async fires(node) {
      await enrol(node, 'csr-rsa.pem', 400, 'x already has a signed certificate; ignoring certificate request');
      await node.bootstrap(certificate(node), { response: fixture('certificate-other-key.pem'), ...pem });
    },
    async quiet(node) {
      // waitforcert sends the same CSR at every try, and once more after it was signed
      const waits = 'x already has a requested certificate; ignoring certificate request';
      await enrol(node, 'csr-rsa.pem');
      await node.bootstrap(certificate(node), { status: 404, response: 'Could not find certificate x', ...pem });
      node.pause(120_000);
      await enrol(node, 'csr-rsa.pem', 400, waits);
      await node.bootstrap(certificate(node), { status: 404, response: 'Could not find certificate x', ...pem });
      await enrol(node, 'csr-rsa.pem', 400, 'x already has a signed certificate; ignoring certificate request');
      await node.bootstrap(certificate(node), { response: fixture('certificate.pem'), ...pem });
      // refused, cleaned, and taken
      await enrol(node, 'csr-ec.pem', 400, 'x already has a signed certificate; ignoring certificate request');
      await enrol(node, 'csr-ec.pem');
    },
  },
  {
    rule: 'waiting-for-signature',
    severity: 'info',
    says: /is not signed yet: asked 2 times, waiting since/,
    async fires(node) {
      for (const put of [200, 400]) {
        await enrol(node, 'csr-rsa.pem', put, put === 400 ? 'x already has a requested certificate; ignoring' : '');
        await node.bootstrap(certificate(node), { status: 404, response: 'Could not find certificate x', ...pem });
        node.pause(1_000);
      }
    },
    async quiet(node) {
      await enrol(node, 'csr-rsa.pem');
      await node.bootstrap(certificate(node), { status: 404, response: 'Could not find certificate x', ...pem });
      await node.bootstrap(certificate(node), { response: fixture('certificate.pem'), ...pem });
    },
  },
  {
    rule: 'server-busy',
    severity: 'error',
    says: /too busy for 1 request \(503, Retry-After: 1200\), first for catalog/,
    async fires(node) {
      await node.catalog({}, { status: 503, response: 'busy', type: 'text/plain', responseFields: [['Retry-After', '1200']] });
    },
    async quiet(node) {
      await node.catalog({}, { by: 'proxy', failure: { reason: 'primary-timeout', origin, afterMs: 1_000 } });
    },
  },
  {
    rule: 'stale-reuse-failed',
    severity: 'error',
    says: /1 request \(first: catalog\) met a closed connection and failed/,
    async fires(node) {
      await node.ask(plugins, { response: fixture('file_metadatas.json') });
      await node.catalog(
        {},
        { by: 'proxy', failure: { reason: 'primary-closed', origin, detail: 'other side closed', partial: false } },
      );
    },
    async quiet(node) {
      // a primary that went away while it compiled, and an answer that was cut
      await node.ask(plugins, { response: fixture('file_metadatas.json') });
      const failure = { reason: 'primary-closed', origin, detail: 'other side closed', partial: false } as const;
      await node.catalog({}, { by: 'proxy', failure, ms: 4_000 });
      await node.catalog({}, { by: 'proxy', failure: { ...failure, partial: true } });
    },
  },
  {
    rule: 'slow-compile',
    severity: 'warning',
    says: /the catalog took 20 s; usual for this node: 0\.40 s/,
    async fires(node) {
      for (let run = 0; run < 5; run += 1) await good(node);
      await node.catalog({}, { ms: 20_000 });
      await node.report();
    },
    async quiet(node) {
      // a cold JRuby: four times what is usual
      for (let run = 0; run < 5; run += 1) await good(node);
      await node.catalog({}, { ms: 8_000 });
      await node.report();
    },
  },
  {
    rule: 'plaintext-secret',
    severity: 'warning',
    says: /2 secrets in clear in the catalog: Db_user\[app\] password .*site\.pp:12/,
    fires: node =>
      good(node, {
        resources: [
          resource('Db_user', 'app', { password: 'hunter2 in clear' }),
          resource('Class', 'App', { config: { database: { db_password: 'hunter2 in clear' } } }),
        ],
      }),
    quiet: node =>
      good(node, {
        resources: [
          resource('User', 'app', { password: '$6$salt$abcdef', password_max_age: 90 }),
          resource('User', 'locked', { password: '!!' }),
          resource('Db_user', 'app', { password: 'hidden' }, ['password']),
          resource('Class', 'Pg', { password: 'md50123456789abcdef0123456789abcdef', manage_password: 'yes, please' }),
          resource('Class', 'Tls', { private_key: '/etc/ssl/private/a.key', secret: '', password: true }),
          resource('File', '/etc/password_policy', { content: 'password rules' }),
        ],
      }),
  },
  {
    rule: 'not-idempotent',
    severity: 'warning',
    says: /1 resource changed in each of the last 3 runs: Exec\[sync\] returns/,
    async fires(node) {
      const report = { status: 'changed', resource_statuses: Object.fromEntries([event('Exec[sync]', 'returns')]) };
      for (let run = 0; run < 3; run += 1) await good(node, {}, report);
    },
    async quiet(node) {
      const report = { status: 'changed', resource_statuses: Object.fromEntries([event('Exec[sync]', 'returns')]) };
      await good(node, {}, report);
      await good(node);
      await good(node, {}, report);
      await good(node, {}, report);
    },
  },
];
