import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, relative } from 'node:path';

/** What an agent run left behind, in a shape in which two runs can be compared. */
export interface AppliedFile {
  path: string;
  type: 'file' | 'directory' | 'link';
  /** Permission bits, octal. */
  mode: string;
  /** Of a file's bytes, or a link's target; `null` for a directory. */
  sha256: string | null;
}

/** Of Puppet's last_run_report.yaml, the parts that are looked at. */
export interface LastReport {
  status: string;
  noop: boolean;
  noop_pending: boolean;
  corrective_change: boolean;
  environment: string;
  host: string;
  transaction_uuid: string;
  catalog_uuid: string | null;
  code_id: string | null;
  cached_catalog_status: string;
  logs: Array<{ level: string; message: string; source: string }>;
  resource_statuses: Record<string, ResourceStatus>;
}

export interface ResourceStatus {
  resource_type: string;
  title: string;
  changed: boolean;
  failed: boolean;
  skipped: boolean;
  out_of_sync: boolean;
  corrective_change: boolean;
  events: Array<{ property: string | null; previous_value: unknown; desired_value: unknown; message: string; status: string }>;
}

/** Of Puppet's last_run_summary.yaml, the parts that are looked at. */
export interface LastSummary {
  version: { config: string | null; puppet: string };
  resources: Record<string, number>;
  events: Record<string, number>;
}

/** Every file below `root`, in the order of its paths. */
export function listFiles(root: string): AppliedFile[] {
  if (!existsSync(root)) return [];
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).sort();
  return names.map(name => {
    const file = join(root, name);
    const stat = lstatSync(file);
    const type = stat.isSymbolicLink() ? 'link' : stat.isDirectory() ? 'directory' : 'file';
    const bytes = type === 'file' ? readFileSync(file) : type === 'link' ? Buffer.from(readlinkSync(file)) : null;
    const sha256 = bytes === null ? null : createHash('sha256').update(bytes).digest('hex');
    return { path: relative(root, file), type, mode: (stat.mode & 0o7777).toString(8), sha256 };
  });
}

/** Puppet's own tags are taken off, so that nothing but plain data is built; Ruby reads what Ruby wrote. */
const YAML_TO_JSON = `
docs = ARGV.map do |file|
  next nil unless File.exist?(file)
  tree = Psych.parse(File.read(file, encoding: 'UTF-8'))
  tree.each { |node| node.tag = nil if node.respond_to?(:tag=) && node.tag.to_s.start_with?('!ruby') }
  tree.to_ruby
end
puts JSON.generate(docs)
`;

/** The files as plain data, `null` for one that does not exist. */
export function readYaml(files: readonly string[]): unknown[] {
  const out = execFileSync('ruby', ['-rpsych', '-rjson', '-e', YAML_TO_JSON, ...files], {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  return JSON.parse(out) as unknown[];
}

/** What two runs of the same catalog must agree on. */
export interface Outcome {
  code: number | null;
  status: string | null;
  noop: boolean | null;
  environment: string | null;
  correctiveChange: boolean | null;
  cachedCatalog: string | null;
  resources: Array<Omit<ResourceStatus, 'resource_type'> & { ref: string }>;
  /** Level and words of the report's log lines, the ones of a changing length left out. */
  logs: string[];
  files: AppliedFile[];
}

interface Ran {
  code: number | null;
  lastRunReport: LastReport | null;
  files: AppliedFile[];
}

/** Log lines that name times or ids. */
const UNSTEADY = /^(Applied catalog in|Applying configuration version|Using environment|Requesting catalog)/;

/**
 * The outcome of a run with the agent's own folder and certname put out of it: two agents that got the same catalog and did
 * the same have equal outcomes.
 */
export function outcome(agent: { dir: string; certname: string }, run: Ran): Outcome {
  const plain = (text: string) => text.replaceAll(agent.dir, '<dir>').replaceAll(agent.certname, '<certname>');
  const value = (data: unknown): unknown => (typeof data === 'string' ? plain(data) : data);
  const report = run.lastRunReport;
  const statuses = Object.entries(report?.resource_statuses ?? {}).sort(([a], [b]) => (plain(a) < plain(b) ? -1 : 1));
  return {
    code: run.code,
    status: report?.status ?? null,
    noop: report?.noop ?? null,
    environment: report?.environment ?? null,
    correctiveChange: report?.corrective_change ?? null,
    cachedCatalog: report?.cached_catalog_status ?? null,
    resources: statuses.map(([ref, status]) => ({
      ref: plain(ref),
      title: plain(status.title),
      changed: status.changed,
      failed: status.failed,
      skipped: status.skipped,
      out_of_sync: status.out_of_sync,
      corrective_change: status.corrective_change,
      events: status.events.map(event => ({
        property: event.property,
        previous_value: value(event.previous_value),
        desired_value: value(event.desired_value),
        message: plain(event.message),
        status: event.status,
      })),
    })),
    logs: (report?.logs ?? [])
      .map(line => `${line.level} ${plain(line.message)}`)
      .filter(line => !UNSTEADY.test(line.slice(line.indexOf(' ') + 1))),
    files: run.files,
  };
}
