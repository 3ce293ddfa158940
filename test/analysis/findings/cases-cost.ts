import { fixture } from '../../decode/rig.ts';
import { type Case, good, json, plugins } from './cases.ts';
import { type Node, resource } from './world.ts';

const metadata = (path: string, sum = 'a'.repeat(64)): object => ({
  path: `/etc/puppetlabs/code/environments/production/modules/m/files/${path}`,
  relative_path: path,
  links: 'manage',
  owner: 0,
  group: 0,
  mode: 420,
  checksum: { type: 'sha256', value: `{sha256}${sum}` },
  type: 'file',
  destination: null,
});

const file = (node: Node, n: number): Promise<number> =>
  node.ask(`GET /puppet/v3/file_metadata/modules/m/f${n}?environment=production`, { response: json(metadata(`f${n}`)) });

const plugin = (node: Node, n: number, ms: number): Promise<number> =>
  node.ask(`GET /puppet/v3/file_content/plugins/f${n}.rb?environment=production`, {
    response: `# ${n}`,
    type: 'application/octet-stream',
    ms,
  });

const content = (node: Node, key: string, text: string): Promise<number> =>
  node.ask(`GET /puppet/v3/file_content/modules/m/${key}?environment=production`, {
    response: text,
    type: 'application/octet-stream',
  });

const facts = (values: object): { request: string } => {
  const text = encodeURIComponent(
    json({ name: 'n', values, timestamp: '2026-11-22T20:48:02Z', expiration: '2026-11-22T21:18:02Z' }),
  );
  return {
    request: `environment=production&facts_format=application%2Fjson&facts=${encodeURIComponent(text)}&static_catalog=true`,
  };
};

const large = json(Array.from({ length: 1_200 }, (_, n) => metadata(`f${n}`)));

/** Rules of what costs, and what is worth knowing. */
export const COSTS: readonly Case[] = [
  {
    rule: 'keepalive-gap',
    severity: 'warning',
    says: /1 pause of up to 6\.0 s cost 1 new connection, 0\.30 s of handshakes/,
    options: { handshakeMs: 300 },
    async fires(node) {
      await node.ask(plugins, { response: fixture('file_metadatas.json') });
      node.pause(6_000);
      node.dropAgent();
      await node.catalog();
      await node.report();
    },
    async quiet(node) {
      await node.ask(plugins, { response: fixture('file_metadatas.json') });
      node.pause(3_500);
      await node.catalog();
      await node.report();
    },
  },
  {
    rule: 'server-closes',
    severity: 'warning',
    says: /closed 4 connections of this run after 4 answers/,
    async fires(node) {
      for (let n = 0; n < 4; n += 1) {
        await node.ask(plugins, { response: fixture('file_metadatas.json') });
        node.dropPrimary('connection-close');
      }
      await node.report();
    },
    async quiet(node) {
      await node.ask(plugins, { response: fixture('file_metadatas.json') });
      node.dropPrimary('connection-close');
      await node.catalog();
      await node.report();
      node.pause(30_000);
      node.dropPrimary();
    },
  },
  {
    rule: 'metadata-storm',
    severity: 'warning',
    says: /51 requests for file metadata took .*; 51 of them a static catalog saves/,
    async fires(node) {
      await node.catalog({ code_id: null });
      for (let n = 0; n < 51; n += 1) await file(node, n);
      await node.report();
    },
    async quiet(node) {
      await node.catalog({ code_id: null });
      for (let n = 0; n < 50; n += 1) await file(node, n);
      await node.report();
    },
  },
  {
    rule: 'static-catalog-inactive',
    severity: 'info',
    says: /no static catalog: 1 request for metadata/,
    async fires(node) {
      await node.catalog({ code_id: null });
      await file(node, 1);
      await node.report();
    },
    async quiet(node) {
      await node.catalog({ code_id: null });
      await node.report();
    },
  },
  {
    rule: 'faults-injected',
    severity: 'info',
    says: /2 requests met a fault on purpose: delay=20s ~phase catalog \(1\), status=503 ~phase report \(1\)$/,
    async fires(node) {
      await node.catalog({}, { fault: 'delay=20s ~phase catalog', ms: 300_000 });
      await node.report({}, { fault: 'status=503 ~phase report', by: 'proxy', status: 503 });
    },
    quiet: node => good(node),
  },
  {
    rule: 'pluginsync-serial',
    severity: 'warning',
    says: /100 plugin files \(.*\) came one by one in 6\.0 s, 60 ms each/,
    async fires(node) {
      for (let n = 0; n < 100; n += 1) await plugin(node, n, 60);
      await good(node);
    },
    async quiet(node) {
      for (let n = 0; n < 99; n += 1) await plugin(node, n, 60);
      await good(node);
    },
  },
  {
    rule: 'recurse-large',
    severity: 'warning',
    says: /recurses over more than 1000 files: modules\/m\/tree: 1200 entries/,
    async fires(node) {
      await node.catalog();
      await node.ask('GET /puppet/v3/file_metadatas/modules/m/tree?environment=production&recurse=true', { response: large });
      await node.report();
    },
    async quiet(node) {
      // pluginsync of a large site is no File resource
      await node.ask(plugins, { response: large });
      await good(node);
    },
  },
  {
    rule: 'report-large',
    severity: 'warning',
    says: /the report has 1\.1 MB/,
    fires: node => good(node, {}, { padding: 'x'.repeat(1_050_000) }),
    quiet: node => good(node, {}, { padding: 'x'.repeat(1_000_000) }),
  },
  {
    rule: 'binary-fallback',
    severity: 'warning',
    says: /came as PSON/,
    async fires(node) {
      await node.catalog({}, { response: fixture('catalog.pson'), type: 'text/pson' });
      await node.report();
    },
    async quiet(node) {
      // preferred_serialization_format = pson: as it was wanted
      await node.ask(`POST /puppet/v3/catalog/${node.certname}?environment=production`, {
        ...facts({}),
        requestType: 'application/x-www-form-urlencoded',
        response: fixture('catalog.pson'),
        type: 'text/pson',
        accept: 'text/pson, application/vnd.puppet.rich+json',
      });
      await node.report();
    },
  },
  {
    rule: 'mid-run-deploy',
    severity: 'warning',
    says: /1 file changed on the primary during the run, first modules\/m\/f1/,
    async fires(node) {
      await node.catalog();
      await file(node, 1);
      await content(node, 'f1', 'other bytes than were promised');
      await node.report();
    },
    async quiet(node) {
      await node.catalog();
      // a source that is not there: [a, b] tries in turn
      const missing = { status: 404, response: json({ message: 'Not Found', issue_kind: 'RESOURCE_NOT_FOUND' }) };
      await node.ask('GET /puppet/v3/file_metadata/modules/m/f2?environment=production', missing);
      await content(node, 'f3', 'nothing was promised');
      await node.report();
    },
  },
  {
    rule: 'environment-restart',
    severity: 'warning',
    says: /2 catalogs in one run: asked in production, answered for canary/,
    async fires(node) {
      await node.catalog({ environment: 'canary' });
      await node.catalog(
        { environment: 'canary' },
        { request: 'environment=canary&facts_format=application%2Fjson&static_catalog=true' },
      );
      await node.report();
    },
    quiet: node => good(node),
  },
  {
    rule: 'fact-limit',
    severity: 'warning',
    says: /number_of_facts_soft_limit: 2102 of 2048; most of it: mounts \(2100 values/,
    async fires(node) {
      const mounts = Object.fromEntries(Array.from({ length: 2_100 }, (_, n) => [`m${n}`, `/mnt/${n}`]));
      await node.catalog({}, facts({ os: 'Debian', mounts }));
      await node.report();
    },
    async quiet(node) {
      const mounts = Object.fromEntries(Array.from({ length: 2_000 }, (_, n) => [`m${n}`, `/mnt/${n}`]));
      await node.catalog({}, facts({ os: 'Debian', mounts }));
      await node.report();
    },
  },
  {
    rule: 'clock-skew',
    severity: 'warning',
    says: /the clock of the agent is 2 h 0 min ahead of/,
    async fires(node) {
      await node.catalog();
      const time = new Date(Date.now() + 7_200_000).toISOString();
      await node.report({
        logs: [{ level: 'notice', message: 'Applied', source: 'Puppet', tags: [], time, file: null, line: null }],
      });
    },
    async quiet(node) {
      await node.catalog();
      const time = new Date(Date.now() - 60_000).toISOString();
      await node.report({
        time,
        logs: [{ level: 'notice', message: 'Applied', source: 'Puppet', tags: [], time, file: null, line: null }],
      });
    },
  },
  {
    rule: 'refetched-file',
    severity: 'info',
    says: /1 file \(.*\) fetched again as in earlier runs, first modules\/m\/f7/,
    async fires(node) {
      for (let run = 0; run < 3; run += 1) {
        await content(node, 'f7', 'the same bytes');
        await good(node);
      }
    },
    async quiet(node) {
      for (let run = 0; run < 3; run += 1) {
        await content(node, 'f7', `new bytes ${run}`);
        await good(node, {}, { noop: true });
      }
    },
  },
  {
    rule: 'uncompressed',
    severity: 'info',
    says: /of text in 1 answers? came uncompressed/,
    fires: node => good(node, { padding: 'x'.repeat(120_000) }),
    quiet: node => good(node, { padding: 'x'.repeat(60_000) }),
  },
  {
    rule: 'first-run-stall',
    severity: 'info',
    says: /would pause 30 s after its CSR/,
    async fires(node) {
      await node.bootstrap(`PUT /puppet-ca/v1/certificate_request/${node.certname}`, {
        request: fixture('csr-rsa.pem'),
        type: 'text/plain',
      });
      await good(node);
    },
    quietOptions: { tls: 'TLSv1.2' },
    async quiet(node) {
      await node.bootstrap(`PUT /puppet-ca/v1/certificate_request/${node.certname}`, {
        request: fixture('csr-rsa.pem'),
        type: 'text/plain',
      });
      await good(node);
    },
  },
];

/** A run in which nothing is remarkable; any finding of it is a false one. */
export async function goodRuns(node: Node): Promise<void> {
  for (let run = 0; run < 6; run += 1) {
    await good(node, {
      resources: [
        resource('Class', 'main', {}),
        resource('File', '/etc/motd', { ensure: 'file', content: 'hello' }),
        resource('File', '/etc/secret', { content: 'hidden', mode: '0600' }, ['content']),
      ],
    });
  }
}
