import type {
  CatalogComparison,
  ContentDifference,
  EventChange,
  EventSide,
  ExchangeComparison,
  FactsComparison,
  FileDifference,
  Part,
  ReportComparison,
  ResourceChange,
  RunComparison,
  RunRef,
  TextDiff,
  ValueChange,
} from '../analysis/compare-result.ts';
import { counted, sized } from '../analysis/words.ts';
import { pathText, placeText, refText, withoutParameters } from './diff-lines.ts';
import { join, type Markup, markup, pageHead } from './diff-markup.ts';
import { duration } from './present.ts';
import { eventValueText, valueText } from './show-text.ts';

/* A comparison as one HTML file that needs nothing else: no script, no address outside. */

/** The page of two runs. */
export function runPage(comparison: RunComparison): string {
  const { a, b, counts, run, node, facts, catalog, files, report, exchanges, notes } = comparison;
  const requests = exchanges.different.length + exchanges.onlyA.length + exchanges.onlyB.length;
  const body = [
    markup`<h1>${a.id ?? 'run'} and ${b.id ?? 'run'}: ${comparison.same ? 'no difference' : 'what differs'}</h1>`,
    markup`<div class="sides">${runCard(a, 'before')}${runCard(b, 'after')}</div>`,
    tally(comparison),
    ...notes.map(note => markup`<p class="note">${note}</p>`),
    run.length > 0 && section('run', 'Run', String(run.length), changeTable(run)),
    node !== null && node.length > 0 && section('node', 'Node', String(node.length), changeTable(node)),
    catalog !== null && catalogSection(catalog, facts),
    facts !== null && facts.changes.length > 0 && section('facts', 'Facts', String(facts.changes.length), factsOf(facts)),
    files.length > 0 && section('files', 'Files', String(files.length), join(files.map(fileItem))),
    report !== null && counts.report > 0 && section('report', 'Report', String(counts.report), reportOf(report)),
    requests > 0 && section('requests', 'Requests', String(requests), requestsOf(comparison)),
    section('time', 'Time and connections', '', timeTable(comparison)),
  ];
  return page(`${a.id ?? 'run'} and ${b.id ?? 'run'}`, body);
}

/** The page of two exchanges. */
export function exchangePage(comparison: ExchangeComparison): string {
  const { a, b, same } = comparison;
  const heading = markup`<h1>${a.id ?? 'exchange'} and ${b.id ?? 'exchange'}: ${same ? 'no difference' : 'different'}</h1>`;
  return page(`${a.id ?? 'exchange'} and ${b.id ?? 'exchange'}`, [heading, exchangeItem(comparison)]);
}

function page(title: string, body: readonly (Markup | false)[]): string {
  return markup`${pageHead(title)}${join(body.filter(part => part !== false))}
</main>
</body>
</html>`.html;
}

function runCard(
  { id, capture, certname, environment, puppetVersion, startedAt, durationMs, exchanges }: RunRef,
  side: string,
): Markup {
  const rows: [string, string | null][] = [
    ['certname', certname],
    ['environment', environment],
    ['Puppet', puppetVersion],
    ['started', startedAt],
    ['took', durationMs === null ? null : duration(durationMs)],
    ['requests', String(exchanges)],
    ['capture', capture],
  ];
  const cells = rows.flatMap(([name, value]) => (value === null ? [] : [markup`<dt>${name}</dt><dd>${value}</dd>`]));
  return markup`<div class="card ${side}"><h2>${id ?? 'run'}</h2><dl>${join(cells)}</dl></div>`;
}

/** What there is, with the way there. */
function tally({ counts, exchanges }: RunComparison): Markup {
  const places: [string, string, number][] = [
    ['run', 'run', counts.run],
    ['node', 'node', counts.node],
    ['catalog', 'resources', counts.resources],
    ['catalog', 'edges', counts.edges],
    ['facts', 'facts', counts.facts],
    ['files', 'files', counts.files],
    ['report', 'report', counts.report],
    ['requests', 'requests', exchanges.different.length + counts.unmatched],
  ];
  const items = places.map(([id, name, count]) =>
    count === 0
      ? markup`<li class="none">${name} <b>0</b></li>`
      : markup`<li><a href="#${id}">${name} <b>${String(count)}</b></a></li>`,
  );
  return markup`<ul class="tally">${join(items)}</ul>`;
}

function section(id: string, title: string, count: string, content: Markup): Markup {
  const badge = count === '' ? markup`` : markup` <span class="count">${count}</span>`;
  return markup`<section id="${id}"><h2>${title}${badge}</h2>${content}</section>`;
}

const SIGN = { added: '+', removed: '−', changed: '~', reordered: '~' } as const;

function changeTable(changes: readonly ValueChange[]): Markup {
  return markup`<table class="changes"><tbody>${join(changes.map(changeRow))}</tbody></table>`;
}

function changeRow({ path, kind, before, after, sensitive, text }: ValueChange): Markup {
  const name = markup`<th scope="row" class="${kind}"><span class="sign">${SIGN[kind]}</span> ${pathText(path)}</th>`;
  if (text !== null) return markup`<tr>${name}<td colspan="2">${textBlock(text)}</td></tr>`;
  if (sensitive && kind === 'changed')
    return markup`<tr>${name}<td colspan="2" class="hidden">differs, and is not shown</td></tr>`;
  const cell = (side: string, value: unknown, absent: boolean): Markup =>
    absent ? markup`<td></td>` : markup`<td class="${side}"><code>${valueText(value)}</code></td>`;
  return markup`<tr>${name}${cell('before', before, kind === 'added')}${cell('after', after, kind === 'removed')}</tr>`;
}

function textBlock({ hunks, addedLines, removedLines, omittedLines }: TextDiff): Markup {
  if (hunks.length === 0) {
    return markup`<p class="hidden">too different to show: ${counted(removedLines, 'line')} before, ${String(addedLines)} after</p>`;
  }
  const style = (text: string): string => (text.startsWith('+') ? 'ins' : text.startsWith('-') ? 'del' : 'same');
  const lines = hunks.flatMap(({ oldStart, oldLines, newStart, newLines, lines: texts }) => [
    markup`<span class="hunk">@@ -${String(oldStart)},${String(oldLines)} +${String(newStart)},${String(newLines)} @@</span>`,
    ...texts.map(text => markup`<span class="${style(text)}">${text}</span>`),
  ]);
  const more = omittedLines === 0 ? markup`` : markup`<span class="hunk">… ${counted(omittedLines, 'line')} more</span>`;
  return markup`<pre class="text">${join(lines)}${more}</pre>`;
}

function contentBlock(content: ContentDifference): Markup {
  if (content.type === 'text') return textBlock(content.text);
  const words = {
    binary: 'no text',
    hidden: 'differs, and is not shown',
    unknown: 'not both contents are in the capture',
  }[content.type];
  const id = ({ checksum, bytes: size }: ContentDifference['before']): string =>
    [checksum ?? 'no checksum', ...(size === null ? [] : [sized(size)])].join(', ');
  return markup`<p class="hidden">${words}</p><p><code class="before">${id(content.before)}</code><br><code class="after">${id(content.after)}</code></p>`;
}

/** Resources on the left, the facts that changed beside them. */
function catalogSection(catalog: CatalogComparison, facts: FactsComparison | null): Markup | false {
  const { resources, edges, impliedEdges, ignored, omitted, resourcesBefore, resourcesAfter } = catalog;
  if (resources.length + edges.length + ignored + omitted === 0) return false;
  const kinds = (['added', 'removed', 'changed'] as const).flatMap(kind => {
    const some = resources.filter(resource => resource.kind === kind);
    return some.length === 0 ? [] : [`${some.length} ${kind}`];
  });
  const remarks = [
    `${resourcesBefore} → ${resourcesAfter} resources${kinds.length === 0 ? '' : `: ${kinds.join(', ')}`}`,
    ...(impliedEdges === 0 ? [] : [`${counted(impliedEdges, 'edge')} of resources that came or went`]),
    ...(ignored === 0 ? [] : [`${counted(ignored, 'difference')} ignored`]),
    ...(omitted === 0 ? [] : [`${counted(omitted, 'difference')} left out`]),
  ];
  const edgeItems = edges.map(({ kind, source, target }) => markup`<li class="${kind}">${SIGN[kind]} ${source} → ${target}</li>`);
  const main = markup`<div>${join(resources.map(resourceItem))}${edges.length === 0 ? markup`` : markup`<h3>Edges</h3><ul class="plain">${join(edgeItems)}</ul>`}</div>`;
  const aside =
    facts === null || facts.changes.length === 0
      ? markup``
      : markup`<aside><h3>Facts that changed as well</h3><ul class="plain">${join(facts.changes.slice(0, 40).map(factItem))}</ul></aside>`;
  const content = markup`<p class="remark">${remarks.join('; ')}</p><div class="beside">${main}${aside}</div>`;
  return section('catalog', 'Catalog', String(resources.length + edges.length), content);
}

function resourceItem({ kind, type, title, before, after, changes, facts }: ResourceChange): Markup {
  const [was, is] = [placeText(before), placeText(after)];
  const place = kind === 'removed' ? was : is;
  const moved = kind === 'changed' && was !== is && was !== '' ? ` (was ${was})` : '';
  const why = facts.length === 0 ? markup`` : markup`<p class="why">changed with ${facts.slice(0, 20).join(', ')}</p>`;
  const open = kind === 'changed' ? markup` open` : markup``;
  return markup`<details class="item ${kind}"${open}><summary><span class="sign">${SIGN[kind]}</span> <b>${type}[${title}]</b> <small>${place}${moved}</small></summary>${why}${changeTable(changes.map(withoutParameters))}</details>`;
}

/** A name above its values: the column beside the resources is narrow. */
function factItem({ path, kind, before, after }: ValueChange): Markup {
  const was = kind === 'added' ? markup`` : markup`<code class="before">${valueText(before)}</code> `;
  const is = kind === 'removed' ? markup`` : markup`<code class="after">${valueText(after)}</code>`;
  return markup`<li class="fact"><span class="sign ${kind}">${SIGN[kind]}</span> ${pathText(path)}<br>${was}${is}</li>`;
}

function factsOf(facts: FactsComparison): Markup {
  const { changes, volatile, omitted } = facts;
  const more =
    volatile === 0 ? markup`` : markup`<p class="remark">${counted(volatile, 'fact')} that change by themselves left out</p>`;
  const rest = omitted === 0 ? markup`` : markup`<p class="remark">${counted(omitted, 'difference')} left out</p>`;
  return markup`${more}${changeTable(changes)}${rest}`;
}

function fileItem({ kind, path, resources, metadata, content }: FileDifference): Markup {
  const traits = metadata.length === 0 ? markup`` : changeTable(metadata);
  const block = content === null ? markup`` : contentBlock(content);
  return markup`<details class="item ${kind}" open><summary><span class="sign">${SIGN[kind]}</span> <b>${path}</b> <small>${resources.slice(0, 5).join(', ')}</small></summary>${traits}${block}</details>`;
}

function reportOf({ fields, resources, events, logs, omitted }: ReportComparison): Markup {
  const told = new Set(events.map(({ resource }) => resource));
  const values = [...fields, ...resources.filter(({ path }) => !told.has(path[0] ?? ''))];
  const lines = logs.map(
    ({ kind, level, source, message, count }) =>
      markup`<li class="${kind}">${SIGN[kind]} <b>${level ?? '-'}</b> ${message} <small>${source ?? ''}${count === 1 ? '' : ` (${count} times)`}</small></li>`,
  );
  return join([
    values.length === 0 ? markup`` : changeTable(values),
    events.length === 0
      ? markup``
      : markup`<h3>Events</h3><table class="changes"><tbody>${join(events.map(eventRow))}</tbody></table>`,
    logs.length === 0
      ? markup``
      : markup`<details><summary>Log: ${counted(logs.length, 'line')}</summary><ul class="plain">${join(lines)}</ul></details>`,
    omitted === 0 ? markup`` : markup`<p class="remark">${counted(omitted, 'difference')} left out</p>`,
  ]);
}

function eventRow({ kind, resource, property, before, after }: EventChange): Markup {
  const cell = (side: string, event: EventSide | null): Markup => {
    if (event === null) return markup`<td></td>`;
    const values =
      property === null ? (event.message ?? '') : `${eventValueText(event.previous)} → ${eventValueText(event.desired)}`;
    return markup`<td class="${side}">${event.status ?? '-'}${event.corrective ? ', corrective' : ''} <code>${values}</code></td>`;
  };
  const name = markup`<span class="sign">${SIGN[kind]}</span> ${resource} <small>${property ?? ''}</small>`;
  return markup`<tr><th scope="row" class="${kind}">${name}</th>${cell('before', before)}${cell('after', after)}</tr>`;
}

function requestsOf({ a, b, exchanges: { matched, different, onlyA, onlyB } }: RunComparison): Markup {
  const only = (title: string, kind: 'added' | 'removed', refs: typeof onlyA): Markup => {
    if (refs.length === 0) return markup``;
    const items = refs.map(ref => markup`<li class="${kind}">${SIGN[kind]} <code>${refText(ref)}</code></li>`);
    return markup`<details${refs.length <= 40 ? markup` open` : markup``}><summary>${title}: ${String(refs.length)}</summary><ul class="plain">${join(items)}</ul></details>`;
  };
  return join([
    markup`<p class="remark">${String(matched)} matched, ${String(different.length)} of them different</p>`,
    ...different.map(exchangeItem),
    only(`only in ${a.id ?? 'the first'}`, 'removed', onlyA),
    only(`only in ${b.id ?? 'the second'}`, 'added', onlyB),
  ]);
}

function exchangeItem({ a, b, same, outcome, fields, parts }: ExchangeComparison): Markup {
  const other = a.id === b.id && a.target === b.target ? markup`` : markup`<br><code>${refText(b)}</code>`;
  const rows = fields.map(
    ({ side, name, before, after }) =>
      markup`<tr><th scope="row"><span class="sign">~</span> ${side} field ${name}</th><td class="before"><code>${before ?? '(absent)'}</code></td><td class="after"><code>${after ?? '(absent)'}</code></td></tr>`,
  );
  const table =
    rows.length + outcome.length === 0
      ? markup``
      : markup`<table class="changes"><tbody>${join(outcome.map(changeRow))}${join(rows)}</tbody></table>`;
  return markup`<details class="item ${same ? '' : 'changed'}" open><summary><code>${refText(a)}</code>${other}</summary>${table}${join(parts.map(partOf))}</details>`;
}

function partOf(part: Part): Markup {
  switch (part.type) {
    case 'values':
      return markup`<h3>${part.of}, in the ${part.side}</h3>${changeTable(part.changes)}`;
    case 'facts':
      return markup`<h3>Facts</h3>${factsOf(part.facts)}`;
    case 'catalog':
      return catalogSection(part.catalog, null) || markup``;
    case 'report':
      return markup`<h3>Report</h3>${reportOf(part.report)}`;
    case 'content':
      return markup`<h3>${part.side} body</h3>${contentBlock(part.content)}`;
    case 'undecoded':
      return markup`<p class="hidden">the ${part.side} bodies differ, and cannot be decoded: ${[part.before, part.after].filter(Boolean).join('; ')}</p>`;
  }
}

function timeTable({ a, b, timing, connections }: RunComparison): Markup {
  const rows = timing.map(
    ({ phase, a: one, b: other }) =>
      markup`<tr><th scope="row">${phase}</th><td>${String(one.exchanges)}</td><td>${duration(one.ms)}</td><td>${sized(one.requestBytes + one.responseBytes)}</td><td>${String(other.exchanges)}</td><td>${duration(other.ms)}</td><td>${sized(other.requestBytes + other.responseBytes)}</td></tr>`,
  );
  const legs = connections.map(({ leg, a: one, b: other }) => {
    const text = ({ connections: count, full, resumed }: typeof one): string =>
      `${counted(count, 'connection')}: ${full} full, ${resumed} resumed`;
    return markup`<tr><th scope="row">${leg} leg</th><td colspan="3">${text(one)}</td><td colspan="3">${text(other)}</td></tr>`;
  });
  return markup`<table class="figures"><thead><tr><td></td><th colspan="3" scope="col">${a.id ?? 'before'}</th><th colspan="3" scope="col">${b.id ?? 'after'}</th></tr></thead><tbody>${join(rows)}${join(legs)}</tbody></table>`;
}
