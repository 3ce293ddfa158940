import { basename } from 'node:path';
import { counted, sized } from '../analysis/words.ts';
import { withoutSecrets } from '../capture/hidden-store.ts';
import type { PrimaryTime } from '../capture/primary-time.ts';
import type { ConnectionRow, ExchangeDetail, FindingRow, RunRow, Store } from '../capture/store.ts';
import { type Hiding, hideInTarget, hideInText } from '../decode/secrets.ts';
import { hidingOr, type Selection } from '../export/selection.ts';
import { PHASES } from '../model.ts';
import { join, type Markup, markup, pageHead } from './diff-markup.ts';
import { axisOf, DRAWN, lanes, legend, shortTarget, waterfall } from './export-chart.ts';
import { RUN_STYLE } from './export-style.ts';
import { duration } from './present.ts';
import { placeOf, reportSummary } from './show-catalog.ts';
import { eventValueText, tally, valueText } from './show-text.ts';

/* Runs as one HTML file that needs nothing else, to attach to a ticket: no script, no address outside, every text escaped. */

/** Rows of a table on the page; what is left out is said. */
const ROWS = 500;
/** Characters of one value. */
const VALUE = 400;

/** The page of the runs of a selection, in pieces. @param version of stringtap */
export function* runPages(selection: Selection, version: string): Generator<string> {
  const store = selection.reveal ? selection.store : withoutSecrets(selection.store);
  const names: { id: number; name: string }[] = [];
  for (const { id, certname } of selection.runs) names.push({ id, name: `r${id} ${certname}` });
  const title = names.length === 1 ? (names[0]?.name ?? '') : `${names.length} runs`;
  yield pageHead(title, RUN_STYLE).html;
  if (names.length > 1) {
    const links = names.map(({ id, name }) => markup`<li><a href="#r${String(id)}">${name}</a></li>`);
    yield markup`<ul class="tally">${join(links)}</ul>`.html;
  }
  for (const run of selection.runs) yield runSection(selection, store, run).html;
  const secrets = selection.reveal ? 'Secrets are shown as they are.' : 'Secrets are hidden.';
  yield markup`<footer>Made by stringtap ${version} from ${basename(selection.store.file)}. ${secrets} Times of day are UTC.</footer>
</main>
</body>
</html>
`.html;
}

function runSection(selection: Selection, store: Store, run: RunRow): Markup {
  const hiding = hidingOr(selection, run.id);
  const exchanges = [...store.details({ run: run.id })].map(one => ({
    ...one,
    request: { ...one.request, target: hideInTarget(one.request.target, hiding) },
  }));
  const connections = [...store.connections({ run: run.id })];
  const findings = [...store.findings({ run: run.id })].map(row => ({ ...row, summary: hideInText(row.summary, hiding) }));
  const parts = [
    markup`<h1 id="r${String(run.id)}">${run.certname}, run r${String(run.id)}</h1>`,
    verdict(store, run),
    head(store, run, exchanges, connections),
    ...notes(store, run, hiding),
    ...(findings.length === 0 ? [] : [section('Findings', String(findings.length), join(findings.map(finding)))]),
    ...(exchanges.length === 0 ? [] : charts(exchanges, connections, store.primaryTimes({ run: run.id }))),
    phases(exchanges),
    ...catalog(store, run),
    ...report(store, run),
    ...files(store, run),
    requests(exchanges),
    ...facts(store, run),
  ];
  return join(parts);
}

function section(title: string, count: string, body: Markup): Markup {
  return markup`<section><h2>${title} <span class="count">${count}</span></h2>${body}</section>`;
}

/** The one line that a reader needs first. */
function verdict(store: Store, run: RunRow): Markup {
  const refusal = store.decoded.rows('refusal', { run: run.id }).find(row => row.error !== null);
  const summary = reportSummary(store, { run: run.id });
  const status = store.decoded.rows('report', { run: run.id }).at(-1)?.status ?? null;
  const kind = refusal !== undefined || status === 'failed' || (status === null && run.failed > 0) ? 'bad' : (status ?? '');
  const words = summary ?? (run.end === null ? 'no report yet' : 'no report');
  const why =
    refusal === undefined
      ? markup``
      : markup`<br><span class="err">${refusal.error ?? ''}</span> <code>${placeOf(refusal).trim()}</code>`;
  return markup`<p class="verdict ${kind === 'bad' ? 'bad' : kind === 'changed' ? 'changed' : ''}"><strong>Result:</strong> ${words}${why}</p>`;
}

function head(store: Store, run: RunRow, exchanges: readonly ExchangeDetail[], connections: readonly ConnectionRow[]): Markup {
  const took = run.endedAt === null ? 'still open' : duration(Date.parse(run.endedAt) - Date.parse(run.startedAt));
  const ends = { report: 'ended by its report', 'connections-closed': 'ended with its connections', idle: 'ended by silence' };
  const asked = exchanges.filter(row => row.agentOrdinal > 1).length;
  const upstream = exchanges.filter(row => (row.primaryOrdinal ?? 0) > 1).length;
  const sent = exchanges.filter(row => row.primaryOrdinal !== null).length;
  const recording = store.recordings().find(row => row.id === connections[0]?.recording);
  const rows: [string, string | null][] = [
    ['started', `${run.startedAt.replace('T', ' ').replace('Z', '')} UTC`],
    ['took', `${took}${run.end === null ? '' : `, ${ends[run.end]}`}`],
    ['environment', run.environment],
    ['Puppet', run.puppetVersion],
    ['transaction', run.transactionUuid],
    [
      'requests',
      `${run.exchanges}${run.failed === 0 ? '' : `, ${run.failed} failed`}; ${sized(run.requestBytes)} up, ${sized(run.responseBytes)} down`,
    ],
    ['agent connections', `${run.agentConnections}; ${asked} of ${exchanges.length} requests reused one`],
    ['primary connections', `${run.primaryConnections}; ${upstream} of ${sent} requests reused one`],
    ['primary', recording?.primaries.join(', ') ?? null],
    ['imported', recording?.imported === true ? recording.version : null],
  ];
  const shown = rows.flatMap(([name, value]) => (value === null ? [] : [markup`<dt>${name}</dt><dd>${value}</dd>`]));
  return markup`<div class="card"><dl>${join(shown)}</dl></div>`;
}

function notes(store: Store, run: RunRow, hiding: Hiding): Markup[] {
  const rows = store.notes({ run: run.id });
  if (rows.length === 0) return [];
  const items = rows.map(row => {
    const where = row.exchange === null ? '' : ` e${row.exchange}`;
    return markup`<p>${row.mark ? '★ ' : ''}${hideInText(row.text, hiding)} <span class="remark">${row.at.slice(0, 10)}${where}</span></p>`;
  });
  return [section('Notes', String(rows.length), join(items))];
}

function finding(row: FindingRow): Markup {
  const { exchanges, connections } = row.evidence;
  const where = [...exchanges.slice(0, 8).map(id => `e${id}`), ...connections.slice(0, 8).map(id => `c${id}`)].join(' ');
  return markup`<div class="finding ${row.severity}"><p><span class="badge">${row.severity}</span> ${row.summary}</p><p class="remark">${row.fix}</p><p class="remark"><code>${row.rule}</code> ${where}</p></div>`;
}

function charts(
  exchanges: readonly ExchangeDetail[],
  connections: readonly ConnectionRow[],
  primary: ReadonlyMap<number, PrimaryTime>,
): Markup[] {
  const axis = axisOf(exchanges, connections);
  const byId = new Map(connections.map(row => [row.id as number, row]));
  const rest = exchanges.length - DRAWN;
  const note =
    rest > 0
      ? markup`<p class="note">The first ${String(DRAWN)} requests are drawn; ${String(rest)} more are in the table below.</p>`
      : markup``;
  const colours = legend(
    new Set(exchanges.map(row => row.phase)),
    primary.values().some(time => time.borrowMs !== null),
  );
  const { chart } = lanes(exchanges, connections, axis);
  return [
    section('Time', duration(axis.to - axis.from), markup`${colours}${waterfall(exchanges, byId, axis, primary)}${note}`),
    section(
      'Connections',
      String(connections.length),
      markup`${chart}<p class="note">Agent: between the agent and stringtap. Primary: between stringtap and the primary. A thin line is an open connection with nothing to do; a bar across it is its end, by whom stands on the right.</p>`,
    ),
  ];
}

function phases(exchanges: readonly ExchangeDetail[]): Markup {
  const total = exchanges.reduce((sum, row) => sum + row.durationMs, 0);
  const rows = PHASES.flatMap(phase => {
    const some = exchanges.filter(row => row.phase === phase);
    if (some.length === 0) return [];
    const sum = (of: (row: ExchangeDetail) => number): number => some.reduce((all, row) => all + of(row), 0);
    const time = sum(row => row.durationMs);
    const failed = some.filter(row => row.outcome !== 'answered' || (row.status ?? 0) >= 500).length;
    return [
      markup`<tr><th>${phase}</th><td class="n">${String(some.length)}</td><td class="n ${failed > 0 ? 'err' : ''}">${String(failed)}</td><td class="n">${sized(sum(row => row.requestBytes))}</td><td class="n">${sized(sum(row => row.responseBytes))}</td><td class="n">${duration(time)}</td><td class="n">${total === 0 ? '-' : `${Math.round((100 * time) / total)} %`}</td></tr>`,
    ];
  });
  const table = markup`<table class="figures"><tr><th>phase</th><th class="n">requests</th><th class="n">failed</th><th class="n">up</th><th class="n">down</th><th class="n">time in requests</th><th class="n">share</th></tr>${join(rows)}</table>`;
  return section('Phases', '', table);
}

function catalog(store: Store, run: RunRow): Markup[] {
  const refusals = store.decoded.rows('refusal', { run: run.id }).filter(row => row.error !== null);
  const errors = refusals.map(
    row =>
      markup`<div class="item removed"><p class="err">${row.error ?? row.message ?? ''}</p><p class="remark">e${String(row.exchange)}, status ${String(row.status)}<code>${placeOf(row)}</code> ${row.resource ?? ''}</p></div>`,
  );
  const catalogs = store.decoded.rows('catalog', { run: run.id }).map(row => {
    const resources = store.decoded.rows('resource', { exchange: row.exchange });
    const types = tally(resources.map(resource => resource.type)).slice(0, 14);
    const secret = resources.filter(resource => resource.sensitive.length > 0).length;
    const rest: [string, string | null][] = [
      ['version', row.version],
      ['environment', row.environment],
      ['code_id', row.codeId],
      ['resources', `${row.resources}, ${row.edges} edges, ${counted(row.classes, 'class', 'classes')}`],
      ['types', types.map(([type, count]) => `${count} ${type}`).join(', ')],
      ['Sensitive', secret === 0 ? null : counted(secret, 'resource')],
      ['static', row.metadata === 0 ? null : `${counted(row.metadata, 'file')} described in the catalog`],
    ];
    const shown = rest.flatMap(([name, value]) => (value === null ? [] : [markup`<dt>${name}</dt><dd>${value}</dd>`]));
    const lines = resources.slice(0, ROWS).map(
      resource =>
        markup`<tr><td>${resource.type}[${cut(resource.title)}]</td><td><code>${cut(
          Object.entries(resource.parameters)
            .map(([name, value]) => `${name} => ${valueText(value)}`)
            .join(', '),
        )}</code></td><td><code>${placeOf(resource).trim()}</code></td></tr>`,
    );
    return markup`<dl>${join(shown)}</dl><details><summary>${counted(resources.length, 'resource')}</summary><table class="wide"><tr><th>resource</th><th>parameters</th><th>place</th></tr>${join(lines)}</table>${more(resources.length)}</details>`;
  });
  return errors.length + catalogs.length === 0 ? [] : [section('Catalog', '', join([...errors, ...catalogs]))];
}

function report(store: Store, run: RunRow): Markup[] {
  const events = store.decoded.rows('event', { run: run.id });
  const logs = store.decoded.rows('log_line', { run: run.id });
  const sections: Markup[] = [];
  if (events.length > 0) {
    const order = ['failure', 'success', 'noop', 'audit'];
    const sorted = [...events].sort((a, b) => order.indexOf(a.status ?? '') - order.indexOf(b.status ?? ''));
    const rows = sorted.slice(0, ROWS).map(event => {
      const change =
        event.property === null || event.status === 'failure'
          ? (event.message ?? '')
          : `${eventValueText(event.previousValue)} → ${eventValueText(event.desiredValue)}`;
      return markup`<tr class="${event.status ?? ''}"><td>${event.status ?? '-'}${event.correctiveChange === true ? ' (corrective)' : ''}</td><td>${cut(event.resource)}</td><td>${event.property ?? ''}</td><td><code>${cut(change)}</code></td></tr>`;
    });
    sections.push(
      section(
        'Events',
        String(events.length),
        markup`<table class="wide"><tr><th>status</th><th>resource</th><th>property</th><th>change</th></tr>${join(rows)}</table>${more(events.length)}`,
      ),
    );
  }
  if (logs.length > 0) {
    const loud = logs.filter(line => !['debug', 'info', 'notice'].includes(line.level ?? ''));
    const line = (row: (typeof logs)[number]): Markup =>
      markup`<tr><td class="id">${row.at?.slice(11, 23) ?? ''}</td><td class="word ${row.level === 'err' ? 'err' : row.level === 'warning' ? 'warning-line' : ''}">${row.level ?? '-'}</td><td><code>${cut(row.message ?? '')}</code></td><td class="source">${cut(row.source ?? '')}</td></tr>`;
    const table = (some: typeof logs): Markup =>
      markup`<table class="wide">${join(some.slice(0, ROWS).map(line))}</table>${more(some.length)}`;
    const first = loud.length === 0 ? markup`<p class="none">No warnings and no errors.</p>` : table(loud);
    sections.push(
      section(
        'Log',
        `${loud.length} of ${logs.length} lines are warnings or errors`,
        markup`${first}<details><summary>all ${String(logs.length)} lines</summary>${table(logs)}</details>`,
      ),
    );
  }
  return sections;
}

function files(store: Store, run: RunRow): Markup[] {
  const rows = store.decoded.rows('file_content', { run: run.id });
  if (rows.length === 0) return [];
  const words = { match: 'as promised', mismatch: 'NOT as promised', unchecked: 'not checked' };
  const lines = rows
    .slice(0, ROWS)
    .map(
      row =>
        markup`<tr><td class="id">e${String(row.exchange)}</td><td>${cut(row.key ?? '')}</td><td class="n">${sized(row.bytes)}</td><td class="${row.verdict === 'mismatch' ? 'err' : ''}">${words[row.verdict]}</td><td><code>${row.sha256.slice(0, 16)}</code></td></tr>`,
    );
  const wrong = rows.filter(row => row.verdict === 'mismatch').length;
  const open = wrong > 0 ? markup`<p class="err">${counted(wrong, 'file')} came other than promised</p>` : markup``;
  return [
    section(
      'Files',
      String(rows.length),
      markup`${open}<details><summary>${counted(rows.length, 'file')} fetched, ${sized(rows.reduce((sum, row) => sum + row.bytes, 0))}</summary><table class="wide">${join(lines)}</table>${more(rows.length)}</details>`,
    ),
  ];
}

function requests(exchanges: readonly ExchangeDetail[]): Markup {
  const rows = exchanges.slice(0, ROWS * 4).map(row => {
    const bad = row.outcome !== 'answered' || (row.status ?? 0) >= 500;
    return markup`<tr><td class="id">e${String(row.id)}</td><td class="id">${row.startedAt.slice(11, 23)}</td><td>${row.phase}</td><td class="n ${bad ? 'err' : ''}">${String(row.status ?? row.outcome)}${row.fault === null ? '' : ' FAULT'}</td><td>${row.request.method}</td><td>${cut(shortTarget(row.request.target))}</td><td class="n">${sized(row.requestBytes)}</td><td class="n">${sized(row.responseBytes)}</td><td class="n">${duration(row.durationMs)}</td><td class="id">c${String(row.agentConnection)}#${String(row.agentOrdinal)}</td></tr>`;
  });
  const titles = ['', 'time', 'phase', 'status', 'method', 'target', 'up', 'down', 'took', 'connection'];
  const heads = join(titles.map(title => markup`<th>${title}</th>`));
  return section(
    'Requests',
    String(exchanges.length),
    markup`<details><summary>all ${String(exchanges.length)} requests</summary><table class="wide"><tr>${heads}</tr>${join(rows)}</table></details>`,
  );
}

function facts(store: Store, run: RunRow): Markup[] {
  const rows = store.decoded.rows('fact', { run: run.id });
  if (rows.length === 0) return [];
  const lines = rows.slice(0, ROWS).map(row => markup`<tr><td>${cut(row.path)}</td><td><code>${cut(row.value)}</code></td></tr>`);
  return [
    section(
      'Facts',
      String(rows.length),
      markup`<details><summary>${counted(rows.length, 'value')}</summary><table class="wide">${join(lines)}</table>${more(rows.length)}</details>`,
    ),
  ];
}

function more(count: number): Markup {
  return count > ROWS ? markup`<p class="note">${String(count - ROWS)} more are in the capture.</p>` : markup``;
}

function cut(text: string): string {
  return text.length <= VALUE ? text : `${text.slice(0, VALUE)}…`;
}
