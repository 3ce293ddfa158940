/** Made-up facts in the place of Facter's own: nothing of the machine that records a sample is in it. */

/** What differs between two agents of the sample. */
export interface Machine {
  certname: string;
  role: string;
  /** Last octet in 198.51.100.0/24 (RFC 5737) and of a MAC address for documentation (RFC 7042, section 2.1.1). */
  octet: number;
  memoryGib: number;
  cores: number;
  uptimeDays: number;
}

export const WEB: Machine = { certname: 'web01.lab', role: 'web', octet: 21, memoryGib: 4, cores: 2, uptimeDays: 12 };
export const DB: Machine = { certname: 'db01.lab', role: 'db', octet: 31, memoryGib: 16, cores: 4, uptimeDays: 203 };

/** Every core and legacy fact of one machine, by its name; Facter's internal facts are looked up in it. */
export function factsOf(machine: Machine): Record<string, unknown> {
  const [hostname = ''] = machine.certname.split('.');
  const ip = `198.51.100.${machine.octet}`;
  const mac = `00:00:5e:00:53:${machine.octet}`;
  const network = { ip, netmask: '255.255.255.0', network: '198.51.100.0', mac, mtu: 1500 };
  const loopback = { ip: '127.0.0.1', netmask: '255.0.0.0', network: '127.0.0.0', mtu: 65536 };
  const bytes = machine.memoryGib * 2 ** 30;
  const processor = 'Example Processor 2.0 GHz';
  const models = Array.from({ length: machine.cores }, () => processor);
  const seconds = machine.uptimeDays * 86_400;
  const release = { full: '12.11', major: '12', minor: '11' };
  return {
    kernel: 'Linux',
    kernelrelease: '6.1.0-37-amd64',
    kernelversion: '6.1.0',
    kernelmajversion: '6.1',
    os: {
      name: 'Debian',
      family: 'Debian',
      architecture: 'amd64',
      hardware: 'x86_64',
      release,
      distro: { codename: 'bookworm', description: 'Debian GNU/Linux 12 (bookworm)', id: 'Debian', release },
      selinux: { enabled: false },
    },
    osfamily: 'Debian',
    operatingsystem: 'Debian',
    operatingsystemrelease: '12.11',
    operatingsystemmajrelease: '12',
    architecture: 'amd64',
    hardwaremodel: 'x86_64',
    hostname,
    domain: 'lab',
    fqdn: machine.certname,
    ipaddress: ip,
    netmask: network.netmask,
    macaddress: mac,
    networking: {
      hostname,
      domain: 'lab',
      fqdn: machine.certname,
      primary: 'eth0',
      ...network,
      interfaces: {
        eth0: { bindings: [{ address: ip, netmask: network.netmask, network: network.network }], ...network },
        lo: { bindings: [{ address: loopback.ip, netmask: loopback.netmask, network: loopback.network }], ...loopback },
      },
    },
    identity: { uid: 0, gid: 0, user: 'root', group: 'root', privileged: true },
    id: 'root',
    memory: {
      system: {
        total: `${machine.memoryGib}.00 GiB`,
        total_bytes: bytes,
        available: `${machine.memoryGib / 2}.00 GiB`,
        available_bytes: bytes / 2,
        used: `${machine.memoryGib / 2}.00 GiB`,
        used_bytes: bytes / 2,
        capacity: '50.00%',
      },
    },
    memorysize: `${machine.memoryGib}.00 GiB`,
    processors: { count: machine.cores, physicalcount: 1, cores: machine.cores, threads: 1, isa: 'x86_64', models },
    processorcount: machine.cores,
    mountpoints: {
      '/': { device: '/dev/sda1', filesystem: 'ext4', options: ['rw', 'relatime'], size: '20.00 GiB', size_bytes: 20 * 2 ** 30 },
      '/srv': { device: '/dev/sda2', filesystem: 'xfs', options: ['rw'], size: '100.00 GiB', size_bytes: 100 * 2 ** 30 },
    },
    disks: { sda: { model: 'EXAMPLE DISK', size: '120.00 GiB', size_bytes: 120 * 2 ** 30, type: 'ssd' } },
    filesystems: 'ext4,xfs',
    is_virtual: true,
    virtual: 'kvm',
    timezone: 'UTC',
    path: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    system_uptime: { seconds, hours: seconds / 3600, days: machine.uptimeDays, uptime: `${machine.uptimeDays} days` },
    uptime: `${machine.uptimeDays} days`,
    load_averages: { '1m': 0.12, '5m': 0.08, '15m': 0.05 },
    facterversion: '4.3.0',
    ruby: { version: '3.1.7', platform: 'x86_64-linux-gnu', sitedir: '/usr/local/lib/site_ruby/3.1.0' },
    rubyversion: '3.1.7',
  };
}

/**
 * Loaded by the agent's Ruby before anything else: Facter's internal facts are those of a file, and no resolver of them runs.
 * Custom and external facts, which pluginsync brings, are resolved as ever.
 */
export const FACTS_RUBY = `require 'json'
require 'facter'
made_up = JSON.parse(File.read(File.join(__dir__, 'facts.json')))
Facter::InternalFactManager.prepend(Module.new do
  define_method(:resolve_facts) do |searched|
    searched.flat_map do |fact|
      next [] unless %i[core legacy].include?(fact.type)
      value = made_up.key?(fact.name) ? made_up[fact.name] : made_up.dig(*fact.name.split('.')) rescue nil
      next [] if value.nil?
      found = Facter::ResolvedFact.new(fact.name, value, fact.type, fact.user_query)
      [found]
    end.concat(resolve_nil_facts(searched))
  end
end)
`;
