import { createHash } from 'node:crypto';
import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { put } from './site.ts';

/**
 * The Puppet code of the sample: a small site of a web server and a database, everything that they manage below the fact
 * `apply_root`. One kind each of what a run can ask for: inline, template and `source` files, a directory, a binary, a custom type
 * and fact, a mount of its own, a Sensitive and a Deferred value, a filebucket.
 */

const SITE = `# What each machine is for.
node /^web/ { include role::web }
node /^db/ { include role::db }
node default { include profile::base }
`;

/** A typing error, as one meets it. */
const SITE_BROKEN = SITE.replace('include role::web', 'include role::webb');

const BASE = `# What every machine has.
class profile::base {
  $root = $facts['apply_root']
  file { "\${root}/motd":
    ensure  => file,
    mode    => '0644',
    content => epp('profile/motd.epp', { 'name' => $trusted['certname'], 'datacenter' => $facts['datacenter'] }),
  }
  file { "\${root}/ntp.conf": ensure => file, mode => '0644', source => 'puppet:///modules/profile/ntp.conf' }
  file { "\${root}/issue": ensure => file, mode => '0644', content => "Authorised use only\\n" }
  file { "\${root}/banner": ensure => file, mode => '0644', content => Deferred('profile_banner') }
}
`;

const web = (workers: number, status: boolean): string => `# nginx, as far as a demonstration needs it.
class profile::web (Integer $workers = ${workers}) {
  $root = $facts['apply_root']
  file { "\${root}/nginx": ensure => directory, mode => '0755' }
  file { "\${root}/nginx/nginx.conf":
    ensure  => file,
    mode    => '0644',
    content => epp('profile/nginx.conf.epp', { 'workers' => $workers, 'address' => $facts['networking']['ip'] }),
    notify  => Exec['reload nginx'],
  }
  file { "\${root}/nginx/mime.types": ensure => file, mode => '0644', source => 'puppet:///modules/profile/mime.types' }
  file { "\${root}/www": ensure => directory, recurse => true, purge => true, source => 'puppet:///modules/profile/www' }
  file { "\${root}/www/robots.txt": ensure => file, mode => '0644', source => 'puppet:///depot/robots.txt' }
  file { "\${root}/depot": ensure => directory, recurse => true, source => 'puppet:///depot/tree' }
${status ? `  file { "\${root}/www/status.json": ensure => file, mode => '0644', content => "{\\"status\\":\\"ok\\"}\\n" }\n` : ''}  site { 'www.lab': ensure => present, dir => "\${root}/nginx", port => 8080, require => File["\${root}/nginx"] }
  exec { 'reload nginx': command => '/bin/true', refreshonly => true }
  # Fails when somebody has left the maintenance file behind.
  exec { 'maintenance is over': command => '/bin/false', onlyif => "/usr/bin/test -e \${root}/www-maintenance" }
  file { "\${root}/www-ready": ensure => file, mode => '0644', content => "ready\\n", require => Exec['maintenance is over'] }
}
`;

const DB = `# A database's configuration, and where its password lies.
class profile::db {
  $root = $facts['apply_root']
  file { "\${root}/db": ensure => directory, mode => '0750' }
  file { "\${root}/db/server.conf":
    ensure  => file,
    mode    => '0640',
    content => epp('profile/server.conf.epp', { 'memory' => $facts['memory']['system']['total'] }),
  }
  file { "\${root}/db/password": ensure => file, mode => '0600', content => Sensitive('correct horse battery staple') }
  file { "\${root}/db/schema.bin": ensure => file, mode => '0640', source => 'puppet:///modules/profile/schema.bin' }
  file { "\${root}/db/hba.conf": ensure => file, mode => '0640', source => ['puppet:///depot/hba-db01.conf', 'puppet:///depot/hba.conf'] }
}
`;

const role = (name: string): string => `class role::${name} {
  include profile::base
  include profile::${name}
}
`;

const SITE_TYPE = `Puppet::Type.newtype(:site) do
  @doc = 'A web site of the server: a file with its name and port.'
  ensurable
  newparam(:name, namevar: true)
  newparam(:dir)
  newproperty(:port) { munge { |value| value.to_i } }
end
`;

const SITE_PROVIDER = `Puppet::Type.type(:site).provide(:ruby) do
  desc 'Writes the site into a file of its own.'
  def path; File.join(resource[:dir], resource[:name] + '.site'); end
  def exists?; File.exist?(path); end
  def create; File.write(path, resource[:port].to_s); end
  def destroy; File.delete(path); end
  def port; File.read(path).to_i; end
  def port=(value); File.write(path, value.to_s); end
end
`;

const BANNER_FUNCTION = `Puppet::Functions.create_function(:profile_banner) do
  dispatch(:banner) { return_type 'String' }
  def banner; "made by the agent itself\\n"; end
end
`;

const SLOW_FACT = `# Somebody's well-meant inventory: it walks through everything, on every run.
Facter.add(:inventory) do
  setcode do
    sleep 3
    { 'packages' => 412, 'services' => 37 }
  end
end
`;

const MIME_TYPES = `types {
    text/html   html htm;
    text/css    css;
    image/png   png;
}
`;

const NGINX = `<%- | Integer $workers, String $address | -%>
worker_processes <%= $workers %>;
http {
    include mime.types;
    server { listen <%= $address %>:8080; root /srv/www; }
}
`;

/** What of the site changes while the sample is recorded. */
export interface Chapter {
  /** `true`: the compilation for web servers fails. */
  broken?: boolean;
  /** The slow fact is there. */
  slow?: boolean;
  /** The planted difference: a parameter, a template's result, a file's content, a new resource. */
  changed?: boolean;
}

function moduleFiles({ changed = false, slow = false }: Chapter): Record<string, string | Buffer> {
  const index = `<h1>www.lab</h1>\n<p>${changed ? 'Welcome to the new site' : 'Welcome'}</p>\n`;
  const binary = Buffer.concat([0, 1, 2, 3, 4, 5, 6, 7].map(n => createHash('sha512').update(`schema ${n}`).digest()));
  return {
    'manifests/base.pp': BASE,
    'manifests/web.pp': web(changed ? 4 : 2, changed),
    'manifests/db.pp': DB,
    'templates/motd.epp': '<%- | String $name, String $datacenter | -%>\n<%= $name %> in <%= $datacenter %>\n',
    'templates/nginx.conf.epp': NGINX,
    'templates/server.conf.epp': '<%- | String $memory | -%>\nshared_buffers = "a quarter of <%= $memory %>"\n',
    'files/ntp.conf': 'server ntp.lab iburst\n',
    'files/mime.types': MIME_TYPES,
    'files/schema.bin': binary,
    'files/www/index.html': index,
    'files/www/css/site.css': 'body { font-family: sans-serif }\n',
    'lib/facter/datacenter.rb': "Facter.add(:datacenter) { setcode { 'north-1' } }\n",
    ...(slow && { 'lib/facter/inventory.rb': SLOW_FACT }),
    'lib/puppet/type/site.rb': SITE_TYPE,
    'lib/puppet/provider/site/ruby.rb': SITE_PROVIDER,
    'lib/puppet/functions/profile_banner.rb': BANNER_FUNCTION,
    'facts.d/owner.yaml': 'owner: web team\n',
  };
}

/** Writes the code below `code` as it is in a chapter; what was there goes. */
export function writeSampleCode(code: string, chapter: Chapter = {}): void {
  rmSync(code, { recursive: true, force: true });
  const environment = join(code, 'environments', 'production');
  put(join(environment, 'environment.conf'), 'modulepath = modules\n');
  put(join(environment, 'manifests', 'site.pp'), chapter.broken === true ? SITE_BROKEN : SITE);
  for (const [name, content] of Object.entries(moduleFiles(chapter))) put(join(environment, 'modules', 'profile', name), content);
  for (const name of ['web', 'db']) put(join(environment, 'modules', 'role', 'manifests', `${name}.pp`), role(name));
  // A mount of its own is never part of a static catalog: the agent asks for its metadata and content.
  put(join(code, 'depot', 'robots.txt'), 'User-agent: *\nDisallow:\n');
  put(join(code, 'depot', 'hba.conf'), 'local all all peer\n');
  put(join(code, 'depot', 'tree', 'read me + more.txt'), 'a name that a proxy must not normalise\n');
  symlinkSync('../robots.txt', join(code, 'depot', 'tree', 'link'));
}
