import {
  booleanOf,
  type Data,
  entriesOf,
  field,
  has,
  isMapping,
  itemsOf,
  numberOf,
  tagsOf,
  textOf,
  textsOf,
  unwrap,
} from './data.ts';
import { type Budget, budgetOf, type Limits, Malformed } from './limits.ts';
import { type Rich, richOf } from './rich-data.ts';
import { timeAt } from './time.ts';

/** A moment as the agent wrote it, and in ms since the epoch where that can be read. */
export interface Moment {
  text: string;
  at: number | null;
}

/**
 * A report of any format: 0 (Puppet 0.25) to 12 (Puppet 7 and 8). A field that a format does not have is `null`; format 0 and 1 have no
 * number of their own and are told apart by what is in them.
 */
export interface Report {
  format: number;
  host: string | null;
  time: Moment | null;
  /** `failed`, `changed`, `unchanged`; since format 2. */
  status: string | null;
  /** `apply` or `inspect`; of older formats. */
  kind: string | null;
  noop: boolean | null;
  noopPending: boolean | null;
  correctiveChange: boolean | null;
  /** `not_used`, `explicitly_requested`, `on_failure`. */
  cachedCatalogStatus: string | null;
  environment: string | null;
  configurationVersion: string | null;
  puppetVersion: string | null;
  transactionUuid: string | null;
  catalogUuid: string | null;
  codeId: string | null;
  jobId: string | null;
  /** `host:port`; `master_used` up to format 10. */
  serverUsed: string | null;
  transactionCompleted: boolean | null;
  resources: ResourceStatus[];
  events: ReportEvent[];
  logs: LogLine[];
  metrics: Metric[];
}

/** `lib/puppet/resource/status.rb` */
export interface ResourceStatus {
  /** `Type[title]` */
  resource: string;
  type: string | null;
  title: string | null;
  file: string | null;
  line: number | null;
  /** Seconds. */
  evaluationTime: number | null;
  time: Moment | null;
  changed: boolean | null;
  failed: boolean | null;
  failedToRestart: boolean | null;
  skipped: boolean | null;
  outOfSync: boolean | null;
  correctiveChange: boolean | null;
  changeCount: number | null;
  outOfSyncCount: number | null;
  provider: string | null;
  containmentPath: string[];
  tags: string[];
  events: number;
}

/** `lib/puppet/transaction/event.rb` */
export interface ReportEvent {
  resource: string;
  /** `null` for events of a whole resource (failures, refreshes). */
  property: string | null;
  name: string | null;
  /** `success`, `failure`, `noop`, `audit`. */
  status: string | null;
  previousValue: Rich;
  desiredValue: Rich;
  historicalValue: Rich;
  message: string | null;
  time: Moment | null;
  audited: boolean | null;
  correctiveChange: boolean | null;
  /** Values were replaced with `[redacted]` by the agent. */
  redacted: boolean | null;
}

/** `lib/puppet/util/log.rb` */
export interface LogLine {
  level: string | null;
  message: string | null;
  source: string | null;
  time: Moment | null;
  file: string | null;
  line: number | null;
  tags: string[];
}

export interface Metric {
  /** `resources`, `time`, `changes`, `events`. */
  category: string;
  name: string;
  label: string;
  value: number | null;
}

/** @throws Malformed */
export function reportOf(data: Data, limits: Limits): Report {
  const report = unwrap(data);
  if (!has(report, 'logs') && !has(report, 'metrics') && !has(report, 'resource_statuses')) throw new Malformed('no report');
  const text = (key: string): string | null => textOf(field(report, key));
  const flag = (key: string): boolean | null => booleanOf(field(report, key));
  const statuses = statusesOf(field(report, 'resource_statuses'));
  const budget = budgetOf(limits);
  return {
    format: numberOf(field(report, 'report_format')) ?? (has(report, 'resource_statuses') ? 1 : 0),
    host: text('host'),
    time: momentOf(field(report, 'time')),
    status: text('status'),
    kind: text('kind'),
    noop: flag('noop'),
    noopPending: flag('noop_pending'),
    correctiveChange: flag('corrective_change'),
    cachedCatalogStatus: text('cached_catalog_status'),
    environment: text('environment'),
    configurationVersion: text('configuration_version'),
    puppetVersion: text('puppet_version'),
    transactionUuid: text('transaction_uuid'),
    catalogUuid: text('catalog_uuid'),
    codeId: text('code_id'),
    jobId: text('job_id'),
    serverUsed: text('server_used') ?? text('master_used'),
    transactionCompleted: flag('transaction_completed'),
    resources: statuses.map(([resource, status]) => statusOf(resource, status)),
    events: statuses.flatMap(([resource, status]) =>
      itemsOf(field(status, 'events')).map(event => eventOf(resource, event, budget)),
    ),
    logs: itemsOf(field(report, 'logs')).map(logOf),
    metrics: [...entriesOf(field(report, 'metrics'))].flatMap(([category, metric]) => metricsOf(textOf(category) ?? '', metric)),
  };
}

function momentOf(data: Data): Moment | null {
  const text = textOf(data);
  return text === null ? null : { text, at: timeAt(text) };
}

/** A hash by reference in Puppet's reports, an array in those that other tools print. An entry may be empty (`report.rb`). */
function statusesOf(data: Data): [resource: string, status: Data][] {
  const named = isMapping(data)
    ? [...entriesOf(data)].map(([key, status]): [string, Data] => [textOf(key) ?? '', status])
    : itemsOf(data).map((status): [string, Data] => [textOf(field(status, 'resource')) ?? '', status]);
  return named.filter(([, status]) => isMapping(status));
}

function statusOf(resource: string, status: Data): ResourceStatus {
  const text = (key: string): string | null => textOf(field(status, key));
  const flag = (key: string): boolean | null => booleanOf(field(status, key));
  // Format 1 has neither type nor title
  const ref = /^([A-Z][\w:]*)\[(.*)\]$/s.exec(resource);
  return {
    resource,
    type: text('resource_type') ?? ref?.[1] ?? null,
    title: text('title') ?? ref?.[2] ?? null,
    file: text('file'),
    line: numberOf(field(status, 'line')),
    evaluationTime: numberOf(field(status, 'evaluation_time')),
    time: momentOf(field(status, 'time')),
    changed: flag('changed'),
    failed: flag('failed'),
    failedToRestart: flag('failed_to_restart'),
    skipped: flag('skipped'),
    outOfSync: flag('out_of_sync'),
    correctiveChange: flag('corrective_change'),
    changeCount: numberOf(field(status, 'change_count')),
    outOfSyncCount: numberOf(field(status, 'out_of_sync_count')),
    provider: text('provider_used'),
    containmentPath: textsOf(field(status, 'containment_path')),
    tags: tagsOf(field(status, 'tags')),
    events: itemsOf(field(status, 'events')).length,
  };
}

function eventOf(resource: string, event: Data, budget: Budget): ReportEvent {
  const text = (key: string): string | null => textOf(field(event, key));
  const flag = (key: string): boolean | null => booleanOf(field(event, key));
  const value = (key: string): Rich => richOf(field(event, key), budget, false);
  return {
    resource,
    property: text('property') || null,
    name: text('name'),
    status: text('status'),
    previousValue: value('previous_value'),
    desiredValue: value('desired_value'),
    historicalValue: value('historical_value'),
    message: text('message'),
    time: momentOf(field(event, 'time')),
    audited: flag('audited'),
    correctiveChange: flag('corrective_change'),
    redacted: flag('redacted'),
  };
}

function logOf(log: Data): LogLine {
  return {
    level: textOf(field(log, 'level')),
    message: textOf(field(log, 'message')),
    source: textOf(field(log, 'source')),
    time: momentOf(field(log, 'time')),
    file: textOf(field(log, 'file')),
    line: numberOf(field(log, 'line')),
    tags: tagsOf(field(log, 'tags')),
  };
}

/** `values: [[name, label, value], …]` (`lib/puppet/util/metric.rb`). */
function metricsOf(category: string, metric: Data): Metric[] {
  return itemsOf(field(metric, 'values')).map(row => {
    const [name, label, value] = itemsOf(row);
    return { category, name: textOf(name ?? null) ?? '', label: textOf(label ?? null) ?? '', value: numberOf(value ?? null) };
  });
}
