import type { Report } from '../decode/report.ts';
import { int, json, keyless, rich } from './decoded-cells.ts';
import { row } from './decoded-statements.ts';
import type { Cells, Lists } from './lists.ts';
import type { DerivedWrite } from './messages.ts';

/**
 * Rows of a report, each kind numbered from 1 in the report's order.
 *
 * @param processors the answer: names of the report processors that ran
 */
export function* reportRows(
  exchange: number,
  report: Report,
  processors: readonly string[],
  lists: Lists,
): Generator<DerivedWrite> {
  yield row('report', {
    exchange,
    format: int(report.format),
    host: report.host,
    at: report.time?.at,
    status: report.status,
    kind: report.kind,
    noop: report.noop,
    noop_pending: report.noopPending,
    corrective_change: report.correctiveChange,
    cached_catalog_status: report.cachedCatalogStatus,
    environment: report.environment,
    configuration_version: report.configurationVersion,
    puppet_version: report.puppetVersion,
    transaction_uuid: report.transactionUuid,
    catalog_uuid: report.catalogUuid,
    code_id: report.codeId,
    job_id: report.jobId,
    server_used: report.serverUsed,
    transaction_completed: report.transactionCompleted,
    processors: json(processors),
  });
  const { events, logs, metrics, resources } = report;
  yield* lists.rows('event', exchange, events.length, i => eventCells(events[i]!));
  yield* lists.rows('log_line', exchange, logs.length, i => logCells(logs[i]!));
  yield* lists.rows('metric', exchange, metrics.length, i => {
    const { category, name, label, value } = metrics[i]!;
    return { category, name, label, value };
  });
  yield* lists.rows('resource_status', exchange, resources.length, i => statusCells(resources[i]!));
}

function eventCells(event: Report['events'][number]): Cells {
  return {
    resource: event.resource,
    property: event.property,
    name: event.name,
    status: event.status,
    previous_value: rich(event.previousValue),
    desired_value: rich(event.desiredValue),
    historical_value: rich(event.historicalValue),
    message: keyless(event.message),
    at: event.time?.at,
    audited: event.audited,
    corrective_change: event.correctiveChange,
    redacted: event.redacted,
  };
}

function logCells(line: Report['logs'][number]): Cells {
  return {
    level: line.level,
    message: keyless(line.message),
    source: line.source,
    at: line.time?.at,
    file: line.file,
    line: int(line.line),
    tags: json(line.tags),
  };
}

function statusCells(status: Report['resources'][number]): Cells {
  return {
    resource: status.resource,
    type: status.type,
    title: status.title,
    file: status.file,
    line: int(status.line),
    evaluation_time: status.evaluationTime,
    at: status.time?.at,
    changed: status.changed,
    failed: status.failed,
    failed_to_restart: status.failedToRestart,
    skipped: status.skipped,
    out_of_sync: status.outOfSync,
    corrective_change: status.correctiveChange,
    change_count: int(status.changeCount),
    out_of_sync_count: int(status.outOfSyncCount),
    provider: status.provider,
    containment_path: json(status.containmentPath),
    tags: json(status.tags),
    events: status.events,
  };
}
