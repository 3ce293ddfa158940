import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type {
  CatalogRow,
  EdgeRow,
  EventRow,
  FactRow,
  LogLineRow,
  MetricRow,
  ReportRow,
  ResourceRow,
  ResourceStatusRow,
} from '../../src/capture/decoded-shapes.ts';
import type { Agent, AgentRun } from './agent.ts';
import { type LabProxy, type RunJson, stringtap, stringtapJson } from './proxy.ts';

/** What Puppet wrote down itself, beside what stringtap shows of the same run. */

/** Of the cached catalog, as the agent keeps it (`client_data/catalog/NAME.json`). */
interface CachedCatalog {
  version: unknown;
  code_id: string | null;
  catalog_uuid: string;
  environment: string;
  resources: {
    type: string;
    title: string;
    parameters?: Record<string, unknown>;
    sensitive_parameters?: string[];
    line?: number;
  }[];
  edges: { source: string; target: string }[];
  classes: string[];
  metadata?: Record<string, unknown>;
}

interface FullReport {
  report_format: number;
  metrics: Record<string, { values: [name: string, label: string, value: number][] }>;
}

/** The run of a report in a capture, by its transaction_uuid. */
export async function runOf(proxy: LabProxy, run: AgentRun): Promise<string> {
  const uuid = run.lastRunReport!.transaction_uuid;
  const rows = await stringtapJson<RunJson>(['runs', proxy.capture]);
  const found = rows.find(row => row.transactionUuid === uuid);
  if (found === undefined) throw new Error(`no run with transaction_uuid ${uuid}: ${JSON.stringify(rows)}`);
  return (found as RunJson & { id: string }).id;
}

export async function table<Row>(proxy: LabProxy, run: string, name: string, ...more: string[]): Promise<Row[]> {
  const flags = more.filter(word => word.startsWith('--'));
  const filter = more.filter(word => !word.startsWith('--'));
  return stringtapJson<Row>(['show', run, name, ...filter, proxy.capture, ...flags]);
}

export async function query<Row>(proxy: LabProxy, sql: string): Promise<Row[]> {
  return stringtapJson<Row>(['query', sql, proxy.capture]);
}

export async function page(proxy: LabProxy, id: string): Promise<string> {
  const shown = await stringtap(['show', id, proxy.capture]);
  expect(shown.code, shown.stderr).toBe(0);
  return shown.stdout;
}

const bare = (id: string): string => id.slice(1);

/** Symbols of Ruby's YAML come with or without their colon. */
const word = (value: unknown): unknown => (typeof value === 'string' ? value.replace(/^:/, '') : value);

/** Events, statuses, log lines and metrics are those of last_run_report.yaml. */
export async function expectReport(proxy: LabProxy, run: AgentRun, id: string): Promise<void> {
  const report = run.lastRunReport!;
  const full = report as unknown as FullReport;
  const [shown] = await query<Record<string, unknown>>(proxy, `SELECT * FROM v_report WHERE run = ${bare(id)}`);
  expect(shown).toMatchObject({
    format: full.report_format,
    host: report.host,
    status: report.status,
    noop: Number(report.noop),
    noop_pending: Number(report.noop_pending),
    corrective_change: Number(report.corrective_change),
    cached_catalog_status: report.cached_catalog_status,
    environment: report.environment,
    transaction_uuid: report.transaction_uuid,
    catalog_uuid: report.catalog_uuid ?? null,
    code_id: report.code_id ?? null,
  } satisfies Partial<Record<keyof ReportRow | string, unknown>>);

  const statuses = Object.entries(report.resource_statuses);
  const events = await table<EventRow>(proxy, id, 'events');
  const told = statuses.flatMap(([resource, status]) =>
    status.events.map(event => [
      resource,
      event.property ?? null,
      event.status,
      event.message,
      word(event.previous_value),
      word(event.desired_value),
    ]),
  );
  expect(events.map(row => [row.resource, row.property, row.status, row.message, row.previousValue, row.desiredValue])).toEqual(
    told,
  );

  const rows = await query<{ resource: string } & Record<string, unknown>>(
    proxy,
    `SELECT resource, changed, failed, skipped, out_of_sync, corrective_change FROM v_resource_status WHERE run = ${bare(id)}`,
  );
  expect(new Map(rows.map(({ resource, ...rest }) => [resource, rest]))).toEqual(
    new Map(
      statuses.map(([resource, status]) => [
        resource,
        {
          changed: Number(status.changed),
          failed: Number(status.failed),
          skipped: Number(status.skipped),
          out_of_sync: Number(status.out_of_sync),
          corrective_change: Number(status.corrective_change),
        } satisfies Partial<Record<keyof ResourceStatusRow | string, unknown>>,
      ]),
    ),
  );

  const logs = await table<LogLineRow>(proxy, id, 'logs');
  // The agent writes the file after the report is sent; what it logs of the sending is in the file alone.
  const lines = logs.map(line => `${line.level} ${line.source}: ${line.message}`);
  expect(report.logs.map(line => `${word(line.level)} ${line.source}: ${line.message}`).slice(0, lines.length)).toEqual(lines);

  const metrics = await table<MetricRow>(proxy, id, 'metrics');
  const wanted = Object.entries(full.metrics).flatMap(([category, { values }]) =>
    values.map(([name, , value]) => [category, name, value]),
  );
  expect(metrics.map(row => [row.category, row.name, row.value])).toEqual(wanted);
}

/** Resources, edges and classes are those of the catalog that the agent keeps; what is Sensitive is hidden until it is asked for. */
export async function expectCatalog(proxy: LabProxy, agent: Agent, id: string): Promise<void> {
  const file = join(agent.dir, 'var', 'client_data', 'catalog', `${agent.certname}.json`);
  const cached = JSON.parse(readFileSync(file, 'utf8')) as CachedCatalog;
  const [catalog] = await query<Record<string, unknown>>(proxy, `SELECT * FROM v_catalog WHERE run = ${bare(id)}`);
  expect(catalog).toMatchObject({
    version: String(cached.version),
    code_id: cached.code_id ?? null,
    catalog_uuid: cached.catalog_uuid,
    environment: cached.environment,
    resources: cached.resources.length,
    edges: cached.edges.length,
    classes: cached.classes.length,
  } satisfies Partial<Record<keyof CatalogRow | string, unknown>>);
  // The agent capitalises the title of `Class[main]` when it writes the catalog down.
  const name = ({ type, title }: { type: string; title: string }): string => `${type}[${title}]`.replace('[main]', '[Main]');
  const hidden = await table<ResourceRow>(proxy, id, 'resources');
  const revealed = await table<ResourceRow>(proxy, id, 'resources', '--reveal');
  expect(hidden.map(name)).toEqual(cached.resources.map(name));
  for (const [at, resource] of cached.resources.entries()) {
    const secret = resource.sensitive_parameters ?? [];
    const parameters = whole(resource.parameters ?? {});
    const row = hidden[at]!;
    // The agent leaves out a name that is the title.
    for (const shown of [row, revealed[at]!]) {
      if (!('name' in parameters) && shown.parameters.name === shown.title) delete shown.parameters.name;
    }
    expect(row.sensitive, name(row)).toEqual(secret);
    expect(row.line, name(row)).toBe(resource.line ?? null);
    expect(row.parameters, name(row)).toEqual({ ...parameters, ...Object.fromEntries(secret.map(key => [key, '(sensitive)'])) });
    const marked = Object.fromEntries(secret.map(key => [key, { __ptype: 'Sensitive', __pvalue: parameters[key] }]));
    expect(revealed[at]!.parameters, name(row)).toEqual({ ...parameters, ...marked });
  }
  const edges = await query<EdgeRow>(proxy, `SELECT source, target FROM v_edge WHERE run = ${bare(id)} ORDER BY n`);
  const ends = ({ source, target }: { source: string; target: string }): string =>
    `${source} ${target}`.replaceAll('[main]', '[Main]');
  expect(edges.map(ends).sort()).toEqual(cached.edges.map(ends).sort());
  const classes = await query<{ name: string }>(proxy, `SELECT name FROM v_class WHERE run = ${bare(id)} ORDER BY n`);
  expect(classes.map(row => row.name)).toEqual(cached.classes);
  const metadata = await query<{ resource: string }>(
    proxy,
    `SELECT resource FROM v_file_metadata WHERE run = ${bare(id)} AND resource IS NOT NULL AND content_uri IS NOT NULL`,
  );
  for (const title of Object.keys(cached.metadata ?? {})) expect(metadata.map(row => row.resource)).toContain(title);
}

/** Puppet writes a Deferred without arguments with none, or without the list. */
function whole(parameters: Record<string, unknown>): Record<string, unknown> {
  return JSON.parse(JSON.stringify(parameters), (_, value: unknown) =>
    typeof value === 'object' && value !== null && '__ptype' in value && value.__ptype === 'Deferred'
      ? { arguments: [], ...value }
      : value,
  ) as Record<string, unknown>;
}

/** Facts that are others a moment later. */
const UNSTEADY =
  /^(_timestamp|uptime|system_uptime|load_averages|memory|swap|disks|partitions|mountpoints|processors\.speed|processes|timezone|blockdevice|env_|puppet_|client|agent_)|free|used|available|speed|\.dhcp/;

/** Facts are those that `puppet facts` prints for the same agent. */
export async function expectFacts(proxy: LabProxy, agent: Agent, id: string): Promise<void> {
  const args = ['facts', 'show', '--config', join(agent.dir, 'conf', 'puppet.conf'), '--render-as', 'json'];
  const env = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: join(agent.dir, 'home'),
    LANG: 'C.UTF-8',
    FACTER_apply_root: agent.root,
  };
  const printed = execFileSync('puppet', args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const wanted = new Map<string, string>();
  leaves(JSON.parse(printed) as unknown, [], wanted);
  const rows = await table<FactRow>(proxy, id, 'facts');
  const shown = new Map(rows.map(row => [row.path, row.value]));
  const steady = [...wanted].filter(([path]) => !UNSTEADY.test(path));
  expect(steady.length).toBeGreaterThan(30);
  for (const [path, value] of steady) expect([path, shown.get(path)]).toEqual([path, value]);
  const [asked] = await query<{ facts: number }>(proxy, `SELECT facts FROM v_catalog_request WHERE run = ${bare(id)}`);
  expect(asked?.facts).toBe(rows.length);
}

function leaves(value: unknown, path: readonly string[], found: Map<string, string>): void {
  if (typeof value === 'object' && value !== null && Object.keys(value).length > 0) {
    for (const [key, item] of Object.entries(value)) leaves(item, [...path, /[."]/.test(key) ? JSON.stringify(key) : key], found);
    return;
  }
  const empty = Array.isArray(value) ? '[]' : '{}';
  found.set(path.join('.'), value === null ? 'undef' : typeof value === 'object' ? empty : String(value));
}

/** `openssl` on text. */
export function openssl(args: readonly string[], input: string): string {
  return execFileSync('openssl', args, { input, encoding: 'utf8' });
}
