import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { apply, type Catalog, pluginSync } from './apply.ts';
import { type Conversation, JSON_OR_PSON, openConversation, type Step, said } from './conversation.ts';
import { enrol } from './enrol.ts';
import { hostField } from './lines.ts';
import type { AgentOptions } from './options.ts';
import { factsParameter, makeReport } from './report.ts';

/** What a run came to. */
export interface AgentRun {
  /** As `puppet agent --test` exits: 0 nothing to do, 1 failed, 2 changed something. */
  exitCode: 0 | 1 | 2;
  steps: readonly Step[];
  transactionUuid: string;
  /** Resources that were changed. */
  changed: number;
  /** Why there was no certificate or no catalog. */
  error: string | null;
}

const RICH_OR_JSON = 'application/vnd.puppet.rich+json, application/json, text/pson';

/**
 * One run of a Puppet agent over the wire: connections, requests and their order are those of puppet-agent 7.23, the verification is
 * real, nothing is changed on this machine. Never rejects: what goes wrong is in {@link AgentRun.error}.
 */
export async function runDemoAgent(options: AgentOptions): Promise<AgentRun> {
  const conversation = openConversation(options.place);
  const transactionUuid = randomUUID();
  let outcome: { changed: number; error: string | null };
  try {
    if (options.state.certPem === null) await enrol(options, conversation);
    outcome = await converge(options, conversation, transactionUuid);
  } catch (error) {
    outcome = { changed: 0, error: error instanceof Error ? error.message : String(error) };
  } finally {
    conversation.closeAll();
  }
  const exitCode = outcome.error !== null ? 1 : outcome.changed > 0 ? 2 : 0;
  return { exitCode, steps: conversation.steps, transactionUuid, ...outcome };
}

/** All that goes over c5: node, pluginsync, catalog, files, report. */
async function converge(
  { certname, place, state, noop = false, factsMs = 0 }: AgentOptions,
  conversation: Conversation,
  transactionUuid: string,
): Promise<{ changed: number; error: string | null }> {
  const startedAt = Date.now();
  const pair = { keyPem: state.key?.pem ?? '', certPem: state.certPem ?? '' };
  const ask = conversation.line('main', { caPem: state.caPem, crlPem: state.crlPem, pair });
  const environment = state.environment ?? 'production';
  const query = `environment=${environment}`;
  if (state.environment === null) {
    const rest = `configured_environment=${environment}&transaction_uuid=${transactionUuid}`;
    await ask('GET', `/puppet/v3/node/${certname}?${query}&${rest}`, JSON_OR_PSON);
  }
  await pluginSync(ask, state.files, query);
  if (factsMs > 0) await pause(factsMs);
  const compiled = await ask('POST', `/puppet/v3/catalog/${certname}?${query}`, RICH_OR_JSON, {
    type: 'application/x-www-form-urlencoded',
    bytes: Buffer.from(catalogForm(certname, environment, transactionUuid)),
  });
  const error = compiled.status === 200 ? null : `Error ${compiled.status} on SERVER: ${said(compiled)}`;
  const catalog = error === null ? (JSON.parse(compiled.body.toString()) as Catalog) : null;
  const applied = catalog === null ? [] : await apply(catalog, ask, state.files, query, noop);
  const report = makeReport({
    certname,
    environment,
    transactionUuid,
    catalog: catalog === null ? null : { uuid: catalog.catalog_uuid, codeId: catalog.code_id, version: catalog.version },
    applied,
    error,
    noop,
    startedAt,
    server: hostField(place),
  });
  await ask('PUT', `/puppet/v3/report/${certname}?${query}`, JSON_OR_PSON, {
    type: 'application/json',
    bytes: Buffer.from(JSON.stringify(report)),
  });
  if (error === null) state.environment = environment;
  return { changed: noop ? 0 : applied.filter(({ event }) => event !== null).length, error };
}

/** The form of a catalog request, its fields in Puppet's order; the facts are encoded twice. */
function catalogForm(certname: string, environment: string, transactionUuid: string): string {
  return new URLSearchParams([
    ['facts_format', 'application/json'],
    ['facts', factsParameter(certname)],
    ['environment', environment],
    ['configured_environment', environment],
    ['check_environment', 'true'],
    ['transaction_uuid', transactionUuid],
    ['job_uuid', ''],
    ['static_catalog', 'true'],
    ['checksum_type', 'sha256.sha384.sha512.sha224.md5'],
  ]).toString();
}
