/*
 * The views of decoded bodies: what people and programs read; docs/capture.md describes their columns. Append only, like schema.ts.
 */

/** ISO 8601 in UTC with milliseconds, of a column of milliseconds. */
const iso = (column: string): string => `strftime('%Y-%m-%dT%H:%M:%fZ', ${column} / 1000.0, 'unixepoch')`;

/** A view of a table whose rows belong to an exchange: the rows with their run. */
const ofExchange = (view: string, table: string, columns: string): string =>
  `CREATE VIEW ${view} AS SELECT t.exchange, m.run, ${columns} FROM ${table} t LEFT JOIN run_exchange m ON m.exchange = t.exchange;\n`;

/** A view of a table whose rows belong to a body: one row for each exchange whose answer it is, of the agent leg or of the primary's. */
const ofBody = (view: string, table: string, columns: string): string =>
  `CREATE VIEW ${view} AS ${['response', 'primary-response']
    .map(
      side => `SELECT e.id AS exchange, m.run, '${side}' AS side, ${columns}
FROM exchange e JOIN ${table} t ON t.body = e.${side.replace('-', '_')}_body LEFT JOIN run_exchange m ON m.exchange = e.id`,
    )
    .join(' UNION ALL ')};\n`;

const CERTIFICATE = `t.n, t.subject, t.common_name, t.issuer, t.serial, ${iso('t.not_before')} AS not_before, ${iso('t.not_after')} AS not_after,
  t.key_type, t.key_bits, t.curve, t.key_sha256, t.signature_algorithm, t.fingerprint, t.alternative_names, t.extensions, t.authority`;

export const DECODED_VIEWS = `
DROP VIEW v_exchange;
CREATE VIEW v_exchange AS
SELECT e.id, m.run, m.n, e.phase, e.method, e.target, e.status, e.outcome, e.certname,
  e.agent_connection, e.agent_ordinal, e.primary_connection, e.primary_ordinal,
  e.request_bytes, e.response_bytes, ${iso('e.started_at')} AS started_at, round(e.end_mono - e.start_mono, 3) AS duration_ms,
  e.answered_by, e.failure, e.indirection, e.key, e.environment, e.reason, e.primary_status, e.resent, e.early,
  q.lines AS request_fields, s.lines AS response_fields,
  lower(hex(qb.sha256)) AS request_sha256, lower(hex(sb.sha256)) AS response_sha256,
  e.recording, e.start_mono, e.primary_ready_mono, e.end_mono,
  (SELECT group_concat(d.side || ': ' || d.text, '; ') FROM decode_note d WHERE d.exchange = e.id AND d.error = 1) AS decode_error
FROM exchange e
LEFT JOIN run_exchange m ON m.exchange = e.id
LEFT JOIN fields q ON q.id = e.request_fields
LEFT JOIN fields s ON s.id = e.response_fields
LEFT JOIN body qb ON qb.id = e.request_body
LEFT JOIN body sb ON sb.id = e.response_body;
CREATE VIEW v_body AS ${(['request', 'response', 'primary-request', 'primary-response'] as const)
  .map(
    side => `SELECT e.id AS exchange, m.run, '${side}' AS side, d.format, d.mime, d.codings, d.bytes, d.sha256
FROM exchange e JOIN decoded_body d ON d.body = e.${side.replace('-', '_')}_body LEFT JOIN run_exchange m ON m.exchange = e.id`,
  )
  .join(' UNION ALL ')};
${ofExchange('v_decode_note', 'decode_note', 't.side, t.error, t.text')}
${ofExchange(
  'v_csr',
  'csr',
  `t.side, t.subject, t.common_name, t.key_type, t.key_bits, t.curve, t.key_sha256, t.signature_algorithm, t.signature_valid,
  t.fingerprint, t.alternative_names, t.extensions, t.attributes, t.challenge_password`,
)}
${ofBody('v_certificate', 'certificate', CERTIFICATE)}
${ofBody(
  'v_crl',
  'crl',
  `t.n, t.issuer, t.number, ${iso('t.this_update')} AS this_update, ${iso('t.next_update')} AS next_update, t.signature_algorithm,
  t.fingerprint, t.revoked, t.extensions`,
)}
${ofBody('v_revoked', 'revoked', `t.crl, t.n, t.serial, ${iso('t.revoked_at')} AS revoked_at, t.reason`)}
${ofExchange(
  'v_node',
  'node',
  `t.name, t.environment, t.requested_environment, t.configured_environment, t.transaction_uuid, t.classes, t.class_parameters,
  t.parameters, t.trusted, t.server_facts`,
)}
${ofBody(
  'v_file_metadata',
  'file_metadata',
  `t.n, t.resource, t.path, t.relative_path, t.type, t.mode, t.owner, t."group", t.checksum_type, t.checksum, t.size, t.links,
  t.destination, t.source, t.content_uri`,
)}
CREATE VIEW v_file_content AS SELECT t.exchange, m.run, t.side, e.indirection, e.key, t.bytes, t.sha256, t.md5, t.text, t.complete,
  t.promised_by, t.promised_type, t.promised, t.verdict
FROM file_content t JOIN exchange e ON e.id = t.exchange LEFT JOIN run_exchange m ON m.exchange = t.exchange;
${ofExchange('v_filebucket', 'filebucket', 't.checksum_type, t.checksum, t.path, t.diff_with')}
${ofExchange(
  'v_catalog_request',
  'catalog_request',
  `t.environment, t.configured_environment, t.check_environment, t.transaction_uuid, t.job_uuid, t.static_catalog, t.checksum_types,
  t.facts_format, t.facts_name, t.facts_timestamp, t.top_level_facts, t.facts`,
)}
${ofExchange('v_fact', 'fact', 't.n, t.path, t.type, t.value, t.bytes')}
${ofExchange('v_soft_limit', 'soft_limit', 't.setting, t."limit", t.actual, t.path, t.exceeded')}
${ofExchange(
  'v_catalog',
  'catalog',
  't.name, t.version, t.code_id, t.catalog_uuid, t.catalog_format, t.environment, t.tags, t.resources, t.edges, t.classes, t.metadata',
)}
${ofExchange(
  'v_resource',
  'resource',
  't.n, t.type, t.title, t.parameters, t.sensitive, t.tags, t.file, t.line, t.exported, t.virtual, t.kind',
)}
${ofExchange('v_edge', 'edge', 't.n, t.source, t.target')}
${ofExchange('v_class', 'class', 't.n, t.name')}
${ofExchange(
  'v_refusal',
  'refusal',
  't.status, t.message, t.issue_kind, t.error, t.file, t.line, t."column", t.resource, t.node, t.environment',
)}
${ofExchange(
  'v_report',
  'report',
  `t.format, t.host, ${iso('t.at')} AS at, t.status, t.kind, t.noop, t.noop_pending, t.corrective_change, t.cached_catalog_status,
  t.environment, t.configuration_version, t.puppet_version, t.transaction_uuid, t.catalog_uuid, t.code_id, t.job_id, t.server_used,
  t.transaction_completed, t.processors`,
)}
${ofExchange(
  'v_resource_status',
  'resource_status',
  `t.n, t.resource, t.type, t.title, t.file, t.line, t.evaluation_time, ${iso('t.at')} AS at, t.changed, t.failed, t.failed_to_restart,
  t.skipped, t.out_of_sync, t.corrective_change, t.change_count, t.out_of_sync_count, t.provider, t.containment_path, t.tags, t.events`,
)}
${ofExchange(
  'v_event',
  'event',
  `t.n, t.resource, t.property, t.name, t.status, t.previous_value, t.desired_value, t.historical_value, t.message,
  ${iso('t.at')} AS at, t.audited, t.corrective_change, t.redacted`,
)}
${ofExchange('v_log_line', 'log_line', `t.n, t.level, t.message, t.source, ${iso('t.at')} AS at, t.file, t.line, t.tags`)}
${ofExchange('v_metric', 'metric', 't.n, t.category, t.name, t.label, t.value')}
`;
