/** What an agent says of itself: its facts, and its report of a run (report_format 12, `api/schemas/report.json` of Puppet). */

/** A resource of the catalog as the agent applied it. */
export interface Applied {
  type: string;
  title: string;
  file: string | null;
  line: number | null;
  tags: readonly string[];
  event: { property: string; previous: unknown; desired: unknown; message: string } | null;
  tookMs: number;
}

export interface ReportInput {
  certname: string;
  environment: string;
  transactionUuid: string;
  /** `null` when there was no catalog. */
  catalog: { uuid: string; codeId: string; version: number } | null;
  applied: readonly Applied[];
  /** Why the run failed. */
  error: string | null;
  noop: boolean;
  startedAt: number;
  server: string;
}

/** The catalog form's `facts`: JSON, percent-encoded (a second time by the form). */
export function factsParameter(certname: string): string {
  const [hostname = certname, ...domain] = certname.split('.');
  const values = {
    architecture: 'x86_64',
    clientcert: certname,
    clientversion: '7.23.0',
    clientnoop: false,
    environment: 'production',
    facterversion: '4.3.0',
    fips_enabled: false,
    identity: { gid: 0, group: 'root', privileged: true, uid: 0, user: 'root' },
    is_virtual: true,
    kernel: 'Linux',
    kernelrelease: '6.1.0-18-amd64',
    load_averages: { '15m': 0.02, '1m': 0.11, '5m': 0.05 },
    memory: { system: { available: '1.52 GiB', capacity: '21.40%', total: '1.93 GiB', total_bytes: 2_075_701_248 } },
    mountpoints: { '/': { device: '/dev/vda1', filesystem: 'ext4', options: ['rw', 'relatime'], size: '19.6 GiB' } },
    networking: {
      domain: domain.join('.'),
      fqdn: certname,
      hostname,
      interfaces: { eth0: { ip: '192.0.2.31', mac: '02:00:5e:10:00:01', mtu: 1500, netmask: '255.255.255.0' } },
      ip: '192.0.2.31',
      primary: 'eth0',
    },
    os: {
      architecture: 'amd64',
      family: 'Debian',
      name: 'Debian',
      release: { full: '12.5', major: '12', minor: '5' },
      selinux: { enabled: false },
    },
    path: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    processors: { count: 2, isa: 'x86_64', models: ['Virtual CPU', 'Virtual CPU'], physicalcount: 1 },
    puppetversion: '7.23.0',
    ruby: { platform: 'x86_64-linux-gnu', sitedir: '/usr/local/lib/site_ruby/3.1.0', version: '3.1.2' },
    site_role: 'none',
    system_uptime: { days: 3, hours: 77, seconds: 278_941, uptime: '3 days' },
    tier: 'demonstration',
    timezone: 'UTC',
    virtual: 'kvm',
  };
  const facts = { name: certname, values, timestamp: new Date().toISOString(), expiration: '2099-01-01T00:00:00.000Z' };
  return encodeURIComponent(JSON.stringify(facts));
}

export function makeReport(input: ReportInput): Record<string, unknown> {
  const at = (ms: number): string => new Date(ms).toISOString().replace('Z', '000000+00:00');
  const now = Date.now();
  const changed = input.applied.filter(({ event }) => event !== null);
  const took = input.applied.reduce((sum, { tookMs }) => sum + tookMs, 0) / 1000;
  const failed = input.error !== null;
  const count = changed.length;
  const resources: [string, string, number][] = [
    ['total', 'Total', input.applied.length],
    ['skipped', 'Skipped', 0],
    ['failed', 'Failed', 0],
    ['failed_to_restart', 'Failed to restart', 0],
    ['restarted', 'Restarted', 0],
    ['changed', 'Changed', input.noop ? 0 : count],
    ['out_of_sync', 'Out of sync', count],
    ['scheduled', 'Scheduled', 0],
    ['corrective_change', 'Corrective change', 0],
  ];
  const metric = (name: string, label: string, values: [string, string, number][]): Record<string, unknown> => ({
    name,
    label,
    values,
  });
  return {
    host: input.certname,
    time: at(input.startedAt),
    configuration_version: input.catalog?.version ?? null,
    transaction_uuid: input.transactionUuid,
    report_format: 12,
    puppet_version: '7.23.0',
    status: statusOf(failed, count, input.noop),
    noop: input.noop,
    noop_pending: input.noop && count > 0,
    environment: input.environment,
    logs: logs(input, changed, at(now), now),
    metrics: {
      resources: metric('resources', 'Resources', resources),
      time: metric('time', 'Time', [
        ['file', 'File', took],
        ['config_retrieval', 'Config retrieval', 0.21],
        ['total', 'Total', took + 0.21],
      ]),
      changes: metric('changes', 'Changes', [['total', 'Total', input.noop ? 0 : count]]),
      events: metric('events', 'Events', [
        ['total', 'Total', count],
        ['failure', 'Failure', 0],
        [input.noop ? 'noop' : 'success', input.noop ? 'Noop' : 'Success', count],
      ]),
    },
    resource_statuses: Object.fromEntries(
      input.applied.map(applied => [`${applied.type}[${applied.title}]`, resourceStatus(applied, input.noop, at(now))]),
    ),
    corrective_change: false,
    catalog_uuid: input.catalog?.uuid ?? null,
    code_id: input.catalog?.codeId ?? null,
    job_id: null,
    cached_catalog_status: 'not_used',
    server_used: input.server,
  };
}

function statusOf(failed: boolean, changes: number, noop: boolean): 'failed' | 'changed' | 'unchanged' {
  if (failed) return 'failed';
  return changes > 0 && !noop ? 'changed' : 'unchanged';
}

function logs(input: ReportInput, changed: readonly Applied[], time: string, now: number): Record<string, unknown>[] {
  const entry = (level: string, message: string, source: string, of: Applied | null = null): Record<string, unknown> => ({
    level,
    message,
    source,
    tags: [level, ...(of?.tags ?? [])],
    time,
    file: of?.file ?? null,
    line: of?.line ?? null,
  });
  if (input.error !== null) {
    return [
      entry('err', `Could not retrieve catalog from remote server: ${input.error}`, 'Puppet'),
      entry('notice', 'Using cached catalog is disabled; skipping run', 'Puppet'),
    ];
  }
  return [
    entry('info', `Applying configuration version '${input.catalog?.version ?? ''}'`, 'Puppet'),
    ...changed.map(one => {
      const { property, message } = one.event!;
      return entry('notice', message, `/Stage[main]/Profile::Base/${one.type}[${one.title}]/${property}`, one);
    }),
    entry('notice', `Applied catalog in ${((now - input.startedAt) / 1000).toFixed(2)} seconds`, 'Puppet'),
  ];
}

function resourceStatus(applied: Applied, noop: boolean, time: string): Record<string, unknown> {
  const { type, title, event } = applied;
  const events =
    event === null
      ? []
      : [
          {
            audited: false,
            property: event.property,
            previous_value: event.previous,
            desired_value: event.desired,
            historical_value: null,
            message: event.message,
            name: `${type.toLowerCase()}_changed`,
            status: noop ? 'noop' : 'success',
            time,
            redacted: null,
            corrective_change: false,
          },
        ];
  return {
    title,
    file: applied.file,
    line: applied.line,
    resource: `${type}[${title}]`,
    resource_type: type,
    provider_used: type === 'File' ? 'posix' : null,
    containment_path: ['Stage[main]', 'Profile::Base', `${type}[${title}]`],
    evaluation_time: applied.tookMs / 1000,
    tags: applied.tags,
    time,
    failed: false,
    failed_to_restart: false,
    changed: event !== null && !noop,
    out_of_sync: event !== null,
    skipped: false,
    change_count: event !== null && !noop ? 1 : 0,
    out_of_sync_count: event === null ? 0 : 1,
    events,
    corrective_change: false,
  };
}
