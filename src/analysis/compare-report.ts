import type { LogLine, Report, ReportEvent, ResourceStatus } from '../decode/report.ts';
import type { Rich } from '../decode/rich-data.ts';
import type { EventChange, EventSide, LogChange, ReportComparison } from './compare-result.ts';
import type { Secrecy } from './compare-secrets.ts';
import { type Allowance, allowance, compareValues, equal, jsonOf } from './compare-values.ts';

/** Compares two reports: how the run went, what became of each resource, each event, each log line. */
export function compareReports(before: Report, after: Report, secrecy: Secrecy): ReportComparison {
  const left = allowance();
  const options = { secrecy, allowance: left };
  return {
    fields: compareValues(fieldsOf(before), fieldsOf(after), options),
    resources: compareValues(statusesOf(before.resources), statusesOf(after.resources), options),
    events: compareEvents(before, after, left, secrecy),
    logs: compareLogs(before, after, secrecy),
    omitted: left.omitted,
  };
}

/** How many differences there are. */
export function reportDifferences({ fields, resources, events, logs }: ReportComparison): number {
  return fields.length + resources.length + events.length + logs.length;
}

function fieldsOf(report: Report): Rich {
  const { status, kind, noop, noopPending, correctiveChange, cachedCatalogStatus, environment, puppetVersion } = report;
  return new Map<string, Rich>([
    ['status', status],
    ['kind', kind],
    ['noop', noop],
    ['noop_pending', noopPending],
    ['corrective_change', correctiveChange],
    ['cached_catalog_status', cachedCatalogStatus],
    ['environment', environment],
    ['puppet_version', puppetVersion],
    ['transaction_completed', report.transactionCompleted],
  ]);
}

const FLAGS = ['changed', 'failed', 'failedToRestart', 'skipped', 'outOfSync', 'correctiveChange'] as const;

/**
 * What is true of each resource. One of which nothing is true is the same as one that is not there: Puppet 8 leaves those out
 * (`exclude_unchanged_resources`).
 */
function statusesOf(resources: readonly ResourceStatus[]): Rich {
  const found = new Map<string, Rich>();
  for (const status of resources) {
    const flags = FLAGS.filter(flag => status[flag] === true).map((flag): [string, Rich] => [flag, true]);
    if (flags.length > 0) found.set(status.resource, new Map(flags));
  }
  return found;
}

function compareEvents(before: Report, after: Report, left: Allowance, secrecy: Secrecy): EventChange[] {
  const [ones, others] = [byKey(before.events), byKey(after.events)];
  const changes: EventChange[] = [];
  const tell = (one: ReportEvent | undefined, other: ReportEvent | undefined): void => {
    const named = other ?? one;
    if (named === undefined) return;
    if (left.left <= 0) {
      left.omitted++;
      return;
    }
    left.left--;
    const kind = one === undefined ? 'added' : other === undefined ? 'removed' : 'changed';
    changes.push({
      kind,
      resource: named.resource,
      property: named.property,
      before: sideOf(one, secrecy),
      after: sideOf(other, secrecy),
    });
  };
  for (const [key, one] of ones) {
    const other = others.get(key);
    if (other === undefined || !sameEvent(one, before, other, after)) tell(one, other);
  }
  for (const [key, other] of others) if (!ones.has(key)) tell(undefined, other);
  return changes;
}

/** A resource has one event a property, but for those that fail and are tried again: the n-th stands against the n-th. */
function byKey(events: readonly ReportEvent[]): Map<string, ReportEvent> {
  const found = new Map<string, ReportEvent>();
  const times = new Map<string, number>();
  for (const event of events) {
    const key = JSON.stringify([event.resource, event.property, event.property === null ? event.name : null]);
    const n = times.get(key) ?? 0;
    times.set(key, n + 1);
    found.set(`${key} ${n}`, event);
  }
  return found;
}

function sameEvent(one: ReportEvent, before: Report, other: ReportEvent, after: Report): boolean {
  return (
    one.status === other.status &&
    (one.correctiveChange ?? false) === (other.correctiveChange ?? false) &&
    equal(one.previousValue, other.previousValue) &&
    equal(one.desiredValue, other.desiredValue) &&
    lasting(one.message ?? '', before) === lasting(other.message ?? '', after)
  );
}

function sideOf(event: ReportEvent | undefined, secrecy: Secrecy): EventSide | null {
  if (event === undefined) return null;
  // of a property that is a secret by its name, the message has the values as well
  const hidden = event.property !== null && secrecy.named([event.property]);
  return {
    status: event.status,
    previous: hidden ? HIDDEN : jsonOf(event.previousValue, secrecy),
    desired: hidden ? HIDDEN : jsonOf(event.desiredValue, secrecy),
    message: event.message === null ? null : hidden ? HIDDEN : secrecy.text(event.message).slice(0, MAX_MESSAGE),
    corrective: event.correctiveChange ?? false,
  };
}

const HIDDEN = '(hidden)';

/** Log lines are a bag: their order is that of the resources. */
function compareLogs(before: Report, after: Report, secrecy: Secrecy): LogChange[] {
  const [ones, others] = [counted(before), counted(after)];
  const lacking = (from: typeof ones, to: typeof ones, kind: LogChange['kind']): LogChange[] =>
    [...from].flatMap(([key, { line, count }]) => {
      const more = count - (to.get(key)?.count ?? 0);
      const hidden = secrecy.named((line.source ?? '').split('/').slice(-1));
      const message = hidden ? HIDDEN : secrecy.text(line.message ?? '').slice(0, MAX_MESSAGE);
      return more <= 0 ? [] : [{ kind, level: line.level, source: line.source, message, count: more }];
    });
  return [...lacking(ones, others, 'removed'), ...lacking(others, ones, 'added')];
}

const MAX_MESSAGE = 16_384;

function counted(report: Report): Map<string, { line: LogLine; count: number }> {
  const found = new Map<string, { line: LogLine; count: number }>();
  for (const line of report.logs) {
    const key = JSON.stringify([line.level, line.source, lasting(line.message ?? '', report)]);
    const known = found.get(key);
    if (known === undefined) found.set(key, { line, count: 1 });
    else known.count++;
  }
  return found;
}

/** A message without what is different every time: the run's own ids and version, moments, durations, names of temporary files. */
function lasting(message: string, report: Report): string {
  const own = [report.transactionUuid, report.catalogUuid, report.codeId, report.configurationVersion];
  let text = message;
  for (const id of own) if (id !== null && id.length >= 6) text = text.replaceAll(id, '(id)');
  return text
    .replace(/\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?: ?[+-]\d\d:?\d\d| UTC|Z)?/g, '(time)')
    .replace(/\b\d+(?:\.\d+)? (milli)?seconds\b/g, '(duration)')
    .replace(/\/puppet-file\d{8}-\d+-\w+/g, '/puppet-file');
}
