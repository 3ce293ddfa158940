import { createHash } from 'node:crypto';

/**
 * What the embedded primary serves: a small module, its plugins, and the catalog that it compiles. Shapes are those of Puppet 7
 * (`puppet catalog`, `puppet facts`), so that everything that reads a capture has something real to read.
 */

/** Names that a mount serves below `/puppet/v3/file_metadata(s)` and `file_content`. */
export type Mount = 'plugins' | 'pluginfacts' | 'locales' | 'modules' | 'site_files';

export interface SiteFile {
  mount: Mount;
  /** Below the mount; a directory has no content. */
  path: string;
  content: Buffer | null;
  mode: number;
}

const CODE = '/etc/puppetlabs/code/environments/production';

export const MOTD = Buffer.from('Welcome. This machine is looked after by Puppet: changes made by hand do not last.\n');

const TYPE = `Puppet::Type.newtype(:site_banner) do
  @doc = 'A line that is shown at login.'
  ensurable
  newparam(:name, namevar: true)
  newproperty(:text)
end
`;

const FACT = `Facter.add(:site_role) do
  setcode { File.exist?('/etc/site_role') ? File.read('/etc/site_role').strip : 'none' }
end
`;

/** No text, so that nothing may take it for one: all byte values, over one TLS record. */
function logo(): Buffer {
  return Buffer.from(Array.from({ length: 20_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
}

export const FILES: readonly SiteFile[] = [
  { mount: 'plugins', path: '.', content: null, mode: 0o755 },
  { mount: 'plugins', path: 'facter', content: null, mode: 0o755 },
  { mount: 'plugins', path: 'facter/site_role.rb', content: Buffer.from(FACT), mode: 0o644 },
  { mount: 'plugins', path: 'puppet', content: null, mode: 0o755 },
  { mount: 'plugins', path: 'puppet/type', content: null, mode: 0o755 },
  { mount: 'plugins', path: 'puppet/type/site_banner.rb', content: Buffer.from(TYPE), mode: 0o644 },
  { mount: 'pluginfacts', path: '.', content: null, mode: 0o755 },
  { mount: 'pluginfacts', path: 'tier.txt', content: Buffer.from('tier=demonstration\n'), mode: 0o644 },
  { mount: 'locales', path: '.', content: null, mode: 0o755 },
  { mount: 'modules', path: 'motd/motd', content: MOTD, mode: 0o644 },
  // Raw `+` and `&` and an escaped blank: names that a proxy must not touch in the request target.
  { mount: 'site_files', path: 'tree/a b+c&d.txt', content: Buffer.from('a name with signs\n'), mode: 0o644 },
  { mount: 'site_files', path: 'logo.bin', content: logo(), mode: 0o644 },
];

export function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** One entry of `file_metadata(s)` (`lib/puppet/file_serving/metadata.rb`, to_data_hash). */
export function metadata(file: SiteFile): Record<string, unknown> {
  const base = file.mount === 'modules' ? `${CODE}/modules/${file.path.replace('/', '/files/')}` : `${CODE}/${file.mount}`;
  return {
    path: base,
    relative_path: file.mount === 'modules' ? null : file.path,
    links: 'manage',
    owner: 0,
    group: 0,
    mode: file.mode,
    checksum:
      file.content === null
        ? { type: 'ctime', value: '{ctime}2024-05-02 10:15:00 UTC' }
        : { type: 'sha256', value: `{sha256}${sha256(file.content)}` },
    type: file.content === null ? 'directory' : 'file',
    destination: null,
  };
}

/** The version of the code, as a primary with static catalogs names it. */
export const CODE_ID = 'b7d1c5f2a9e84360';

interface Resource {
  type: string;
  title: string;
  tags: string[];
  file?: string;
  line?: number;
  exported: boolean;
  parameters: Record<string, unknown>;
  sensitive_parameters?: string[];
}

function resource(type: string, title: string, line: number, parameters: Record<string, unknown>): Resource {
  return {
    type,
    title,
    tags: [type.toLowerCase(), 'class', 'profile', 'base', 'node', 'default'],
    file: `${CODE}/modules/profile/manifests/base.pp`,
    line,
    exported: false,
    parameters,
  };
}

function container(type: string, title: string, parameters: Record<string, unknown> = {}): Resource {
  return { type, title, tags: [type.toLowerCase(), title.toLowerCase()], exported: false, parameters };
}

/** The catalog of an agent: rich data, a static one with one file inlined, and one file left to `file_metadata`. */
export function compile(certname: string, environment: string, catalogUuid: string): Record<string, unknown> {
  const managed: Resource[] = [
    resource('File', '/etc/motd', 4, {
      ensure: 'file',
      source: 'puppet:///modules/motd/motd',
      mode: '0644',
      backup: 'main',
    }),
    resource('File', '/etc/site/logo.bin', 9, { ensure: 'file', source: 'puppet:///site_files/logo.bin' }),
    resource('File', '/etc/site/a b+c&d.txt', 10, { ensure: 'file', source: 'puppet:///site_files/tree/a b+c&d.txt' }),
    {
      ...resource('File', '/etc/site/token', 12, { ensure: 'file', content: `token of ${certname}\n`, mode: '0600' }),
      sensitive_parameters: ['content'],
    },
    resource('File', '/etc/site/key.bin', 15, {
      ensure: 'file',
      content: { __ptype: 'Binary', __pvalue: 'AAH/gP4=' },
    }),
    resource('Site_banner', 'login', 18, {
      ensure: 'present',
      text: { __ptype: 'Deferred', name: 'site_text', arguments: ['login'] },
    }),
    resource('Notify', 'role', 21, { message: `${certname} is a demonstration` }),
  ];
  const inlined = FILES.find(({ mount, path }) => mount === 'modules' && path === 'motd/motd')!;
  return {
    tags: ['settings', 'profile', 'base', 'node', 'default', 'class'],
    name: certname,
    version: 1_714_644_900,
    code_id: CODE_ID,
    catalog_uuid: catalogUuid,
    catalog_format: 2,
    environment,
    resources: [
      container('Stage', 'main', { name: 'main' }),
      container('Class', 'Settings'),
      container('Class', 'main', { name: 'main' }),
      container('Node', 'default'),
      container('Class', 'Profile::Base'),
      container('Filebucket', 'main', { server: null, path: false }),
      ...managed,
    ],
    edges: [
      { source: 'Stage[main]', target: 'Class[Settings]' },
      { source: 'Stage[main]', target: 'Class[main]' },
      { source: 'Class[main]', target: 'Node[default]' },
      { source: 'Node[default]', target: 'Class[Profile::Base]' },
      ...managed.map(({ type, title }) => ({ source: 'Class[Profile::Base]', target: `${type}[${title}]` })),
    ],
    classes: ['settings', 'default', 'profile::base'],
    metadata: {
      '/etc/motd': {
        ...metadata(inlined),
        relative_path: null,
        source: 'puppet:///modules/motd/motd',
        content_uri: 'puppet:///modules/motd/files/motd',
      },
    },
    recursive_metadata: {},
  };
}

/** The answer to a node request (`lib/puppet/node.rb`, to_data_hash). */
export function node(certname: string, environment: string): Record<string, unknown> {
  return {
    name: certname,
    parameters: {
      tier: 'demonstration',
      environment,
      serverversion: '7.23.0',
      servername: 'puppet.example.com',
      serverip: '192.0.2.10',
      trusted: { authenticated: 'remote', certname, extensions: {}, hostname: certname.split('.')[0], domain: 'example' },
    },
    environment,
  };
}
