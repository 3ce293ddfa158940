import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * The Puppet code of the lab's primary. Agents steer it by facts that they take from their environment:
 *
 * - `apply_root`     every resource lands below this directory
 * - `break_compile`  the compilation fails
 * - `break_apply`    one resource fails and one is skipped
 * - `speak`          two messages of what the primary knows for sure of the agent; a message is a change, each time
 * - `bucket_server`, `bucket_port`  overwritten files are backed up to that server's file bucket
 */

export const ENVIRONMENTS = ['production', 'canary'] as const;

/** Certnames that start so are put into the environment `canary` by the ENC. */
export const CANARY = 'canary';

/** Environment of an agent whose run is to show its trusted facts. */
export const SPEAK = { FACTER_speak: '1' };

/** Size of the binary file of the module, over a quarter of a megabyte: many TLS records, many chunks. */
export const BLOB_BYTES = 300_000;

/** Bytes that no compressor shrinks, the same ones each time. */
export function blob(): Buffer {
  const parts: Buffer[] = [];
  for (let n = 0; parts.length * 64 < BLOB_BYTES; n++) parts.push(createHash('sha512').update(`blob ${n}`).digest());
  return Buffer.concat(parts).subarray(0, BLOB_BYTES);
}

const INIT = `# Everything goes below one directory, so that what was applied can be listed and compared.
class base {
  $root = base::root()
  file { $root: ensure => directory }
  file { "\${root}/greeting": ensure => file, content => "a plain content\\n" }
  file { "\${root}/unicode": ensure => file, content => "gr\\u{fc}\\u{df} \\u{2603}\\n" }
  file { "\${root}/binary": ensure => file, content => Binary('AAH/gP4=', '%B') }
  file { "\${root}/rendered": ensure => file, content => epp('base/rendered.epp', { 'kernel' => $facts['kernel'] }) }
  file { "\${root}/motd": ensure => file, source => 'puppet:///modules/base/motd' }
  file { "\${root}/mounted": ensure => file, source => 'puppet:///depot/mounted.txt' }
  file { "\${root}/depot": ensure => directory, recurse => true, source => 'puppet:///depot/tree' }
  file { "\${root}/second": ensure => file, source => ['puppet:///depot/none', 'puppet:///depot/mounted.txt'] }
  file { "\${root}/tree": ensure => directory, recurse => true, purge => true, source => 'puppet:///modules/base/tree' }
  file { "\${root}/secret": ensure => file, content => Sensitive('not for everybody'), mode => '0600' }
  file { "\${root}/later": ensure => file, content => Deferred('base_later') }
  marker { 'one': ensure => present, dir => $root, content => 'marker one', require => File[$root] }
  file { "\${root}/where": ensure => file, content => "environment \${server_facts['environment']} role \${enc_role}\\n" }
  if $facts['speak'] {
    notify { 'who': message => "trusted \${trusted['authenticated']} \${trusted['certname']}" }
    notify { 'extensions': message => "extensions \${trusted['extensions']}" }
  }
  exec { 'refreshed': command => '/bin/true', refreshonly => true, subscribe => File["\${root}/greeting"] }
  if $facts['bucket_port'] {
    filebucket { 'main': server => $facts['bucket_server'], port => Integer($facts['bucket_port']), path => false }
    File["\${root}/greeting"] { backup => 'main' }
  }
  if $facts['break_apply'] {
    exec { 'broken': command => '/bin/false', require => File[$root] }
    file { "\${root}/skipped": ensure => file, content => 'never', require => Exec['broken'] }
  }
}
`;

const ROOT_FUNCTION = `function base::root() >> String {
  $facts['apply_root'] ? { undef => fail('the agent names no apply_root'), default => $facts['apply_root'] }
}
`;

const SITE = `if $facts['break_compile'] { fail('the compilation is told to fail') }
node default { include base }
`;

const MARKER_TYPE = `Puppet::Type.newtype(:marker) do
  @doc = 'A text in a file: a type that exists only after pluginsync.'
  ensurable
  newparam(:name, namevar: true)
  newparam(:dir)
  newproperty(:content)
end
`;

const MARKER_PROVIDER = `Puppet::Type.type(:marker).provide(:ruby) do
  def path; File.join(resource[:dir], resource[:name] + '.marker'); end
  def exists?; File.exist?(path); end
  def create; File.write(path, resource[:content].to_s); end
  def destroy; File.delete(path); end
  def content; File.read(path); end
  def content=(value); File.write(path, value); end
end
`;

const LATER_FUNCTION = `Puppet::Functions.create_function(:base_later) do
  dispatch(:later) { return_type 'String' }
  def later; 'made by the agent'; end
end
`;

const METADATA = `${JSON.stringify({
  name: 'lab-base',
  version: '0.1.0',
  author: 'lab',
  summary: 'lab',
  license: 'MIT',
  source: '',
  dependencies: [],
})}\n`;

/** Name of a file below the module → its content. */
function moduleFiles(environment: string): Record<string, string | Buffer> {
  return {
    'metadata.json': METADATA,
    'manifests/init.pp': INIT,
    'functions/root.pp': ROOT_FUNCTION,
    'templates/rendered.epp': '<%- | String $kernel | -%>\nrendered on <%= $kernel %>\n',
    'files/motd': `motd of ${environment}\n`,
    'files/tree/a.txt': 'sub a\n',
    'files/tree/sub/b.txt': 'sub b\n',
    'files/tree/blob.bin': blob(),
    'lib/facter/rack.rb': `Facter.add(:rack) { setcode { { 'env' => '${environment}', 'text' => "gr\\u00fc\\u00df", 'list' => [1, 2.5, nil, true] } } }\n`,
    'lib/puppet/type/marker.rb': MARKER_TYPE,
    'lib/puppet/provider/marker/ruby.rb': MARKER_PROVIDER,
    'lib/puppet/functions/base_later.rb': LATER_FUNCTION,
    'facts.d/rack_row.yaml': 'rack_row:\n  a: 1\n',
  };
}

/** Writes a file and its folders. */
export function put(file: string, content: string | Buffer, mode = 0o644): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
}

/** Writes environments, the module `base` and the mount `depot` below `code`. */
export function writeCode(code: string): void {
  for (const environment of ENVIRONMENTS) {
    const folder = join(code, 'environments', environment);
    put(join(folder, 'environment.conf'), 'modulepath = modules\n');
    put(join(folder, 'manifests', 'site.pp'), SITE);
    const module = join(folder, 'modules', 'base');
    for (const [name, content] of Object.entries(moduleFiles(environment))) put(join(module, name), content);
    // An external fact that is a program: its mode must survive pluginsync.
    put(join(module, 'facts.d', 'rack_site.sh'), `#!/bin/sh\necho rack_site=${environment}\n`, 0o755);
  }
  // Files of a mount of its own are never part of a static catalog: file_metadata(s) and file_content are asked for.
  put(join(code, 'depot', 'mounted.txt'), 'from a mount of its own\n');
  // A blank, a plus and an ampersand: the request target that a proxy must not normalise.
  put(join(code, 'depot', 'tree', 'a b+c&d.txt'), 'depot a\n');
  put(join(code, 'depot', 'tree', 'sub', 'b.txt'), 'depot b\n');
  symlinkSync('../mounted.txt', join(code, 'depot', 'tree', 'link'));
}

/** The two programs of a static catalog and the external node classifier, below `bin`. */
export function writePrograms(bin: string, code: string): void {
  // $1 environment: a digest of its files
  const digest = `cd "${code}/environments/$1" && find . -type f -print0 | sort -z | xargs -0 sha1sum | sha1sum | cut -c1-40`;
  put(join(bin, 'code-id'), `#!/bin/sh\n${digest}\n`, 0o755);
  // $1 environment, $2 code id (only the present one is kept), $3 path in the environment
  put(join(bin, 'code-content'), `#!/bin/sh\nexec cat "${code}/environments/$1/$3"\n`, 0o755);
  const enc = `#!/bin/sh
case "$1" in ${CANARY}*) environment=canary ;; *) environment=production ;; esac
printf -- '---\\nclasses: {}\\nparameters: {enc_role: lab}\\nenvironment: %s\\n' "$environment"
`;
  put(join(bin, 'enc'), enc, 0o755);
}
