import type {
  CatalogComparison,
  ContentDifference,
  EventChange,
  EventSide,
  ExchangeComparison,
  ExchangeRef,
  FactsComparison,
  FileDifference,
  Part,
  Place,
  ReportComparison,
  ResourceChange,
  RunComparison,
  RunRef,
  TextDiff,
  ValueChange,
} from '../analysis/compare-result.ts';
import { counted, sized } from '../analysis/words.ts';
import { printable } from './io.ts';
import { duration } from './present.ts';
import { eventValueText, valueText } from './show-text.ts';

/** A line for a person. Its text is escaped already. */
export interface DiffLine {
  style: 'head' | 'added' | 'removed' | 'changed' | 'hunk' | 'plain';
  /** Columns to the left. */
  indent: number;
  text: string;
}

/** Parameters of a resource that came or went, requests of a side, log lines: of more than this the rest is counted. */
const MANY = 30;

type Lines = Generator<DiffLine>;

function line(style: DiffLine['style'], indent: number, text: string): DiffLine {
  return { style, indent, text: printable(text) };
}

const SIGN = { added: '+', removed: '-', changed: '~', reordered: '~' } as const;
const STYLE = { added: 'added', removed: 'removed', changed: 'changed', reordered: 'changed' } as const;

/** A comparison of two runs, heading by heading; what has no difference is left out. */
export function* runLines(comparison: RunComparison): Lines {
  const { a, b, run, node, facts, catalog, files, report, notes, counts } = comparison;
  yield line('removed', 0, `- ${runTitle(a)}`);
  yield line('added', 0, `+ ${runTitle(b)}`);
  if (comparison.same) yield line('plain', 0, 'no difference');
  if (run.length > 0) {
    yield* head('run');
    yield* changeLines(run, 2);
  }
  if (node !== null && node.length > 0) {
    yield* head(`node: ${counted(node.length, 'difference')}`);
    yield* changeLines(node, 2);
  }
  if (facts !== null) yield* factLines(facts);
  if (catalog !== null && (counts.resources > 0 || counts.edges > 0 || catalog.ignored > 0)) yield* catalogLines(catalog, facts);
  if (files.length > 0) {
    yield* head(`files: ${counted(files.length, 'difference')}`);
    for (const file of files) yield* fileLines(file);
  }
  if (report !== null && counts.report > 0) yield* reportLines(report);
  yield* requestLines(comparison);
  yield* timingLines(comparison);
  for (const note of notes) yield line('plain', 0, `note: ${note}`);
}

function* head(text: string): Lines {
  yield line('plain', 0, '');
  yield line(
    'head',
    0,
    text.replace(/^[a-z]+/, word => word.toUpperCase()),
  );
}

function runTitle({ id, capture, certname, environment, puppetVersion, startedAt, durationMs }: RunRef): string {
  const parts = [
    certname,
    environment === null ? '' : `environment ${environment}`,
    puppetVersion === null ? '' : `Puppet ${puppetVersion}`,
    startedAt ?? '',
    durationMs === null ? '' : duration(durationMs),
    capture ?? '',
  ];
  return `${id ?? 'run'}  ${parts.filter(part => part !== '').join(', ')}`;
}

/** `options.retries`, `packages[0]`; a name that holds a dot or a bracket is quoted. */
export function pathText(path: readonly string[]): string {
  return path
    .map((name, n) => {
      if (n > 0 && /^\d+$/.test(name)) return `[${name}]`;
      const part = /[.[\]"\s]|^$/.test(name) && path.length > 1 ? JSON.stringify(name) : name;
      return n === 0 ? part : `.${part}`;
    })
    .join('');
}

function* changeLines(changes: readonly ValueChange[], indent: number): Lines {
  for (const { path, kind, before, after, sensitive, text } of changes) {
    const name = pathText(path);
    const style = STYLE[kind];
    if (text !== null) {
      yield line(style, indent, `${SIGN[kind]} ${name}:`);
      yield* textLines(text, indent + 4);
    } else if (kind === 'added') yield line(style, indent, `+ ${name}: ${valueText(after)}`);
    else if (kind === 'removed') yield line(style, indent, `- ${name}: ${valueText(before)}`);
    else if (sensitive && before === after) yield line(style, indent, `~ ${name}: differs, and is not shown: --reveal`);
    else {
      const order = kind === 'reordered' ? ' (another order)' : '';
      yield line(style, indent, `~ ${name}${order}: ${valueText(before)} → ${valueText(after)}`);
    }
  }
}

function* textLines({ hunks, addedLines, removedLines, omittedLines }: TextDiff, indent: number): Lines {
  if (hunks.length === 0 && addedLines + removedLines > 0) {
    yield line('hunk', indent, `too different to show: ${counted(removedLines, 'line')} before, ${addedLines} after`);
    return;
  }
  for (const { oldStart, oldLines, newStart, newLines, lines } of hunks) {
    yield line('hunk', indent, `@@ -${oldStart},${oldLines} +${newStart},${newLines} @@`);
    for (const text of lines)
      yield line(text.startsWith('+') ? 'added' : text.startsWith('-') ? 'removed' : 'plain', indent, text);
  }
  if (omittedLines > 0) yield line('hunk', indent, `… ${counted(omittedLines, 'line')} more`);
}

export function* contentLines(content: ContentDifference, indent: number): Lines {
  const id = ({ checksum, bytes: size }: { checksum: string | null; bytes: number | null }): string =>
    [checksum ?? 'no checksum', ...(size === null ? [] : [sized(size)])].join(', ');
  const ids = `${id(content.before)} → ${id(content.after)}`;
  switch (content.type) {
    case 'text':
      yield* textLines(content.text, indent);
      break;
    case 'binary':
      yield line('changed', indent, `no text: ${ids}`);
      break;
    case 'hidden':
      yield line('changed', indent, `differs, and is not shown: --reveal (${ids})`);
      break;
    case 'unknown':
      yield line('changed', indent, `not both in the capture: ${ids}`);
      break;
  }
}

export function* factLines(facts: FactsComparison): Lines {
  const { changes, volatile, omitted } = facts;
  if (changes.length + omitted === 0) return;
  const more = volatile === 0 ? '' : `; ${volatile} more that change by themselves: --all-facts`;
  yield* head(`facts: ${counted(changes.length, 'difference')}${more}`);
  yield* changeLines(changes, 2);
  yield* omittedLine(omitted);
}

function* omittedLine(omitted: number): Lines {
  if (omitted > 0) yield line('plain', 2, `… ${counted(omitted, 'difference')} more`);
}

export function placeText(place: Place | null): string {
  if (place === null || place.file === null) return '';
  return place.line === null ? place.file : `${place.file}:${place.line}`;
}

export function* catalogLines(catalog: CatalogComparison, facts: FactsComparison | null): Lines {
  const { resources, edges, impliedEdges, ignored, omitted } = catalog;
  const count = (kind: ResourceChange['kind']): number => resources.filter(resource => resource.kind === kind).length;
  const parts = (['added', 'removed', 'changed'] as const).flatMap(kind => (count(kind) === 0 ? [] : [`${count(kind)} ${kind}`]));
  const left = ignored === 0 ? '' : `; ${counted(ignored, 'difference')} ignored`;
  yield* head(
    `catalog: ${catalog.resourcesBefore} → ${catalog.resourcesAfter} resources, ${parts.join(', ') || 'none changed'}${left}`,
  );
  if (facts !== null && facts.changes.length > 0 && resources.length > 0) {
    const names = facts.changes.map(({ path }) => pathText(path));
    const rest = names.length > MANY ? `, … ${names.length - MANY} more` : '';
    yield line('plain', 2, `facts that changed as well: ${names.slice(0, MANY).join(', ')}${rest}`);
  }
  for (const resource of resources) yield* resourceLines(resource);
  for (const { kind, source, target } of edges) yield line(kind, 2, `${SIGN[kind]} edge ${source} → ${target}`);
  if (impliedEdges > 0) yield line('plain', 2, `(${counted(impliedEdges, 'edge')} of resources that came or went)`);
  yield* omittedLine(omitted);
}

function* resourceLines({ kind, type, title, before, after, changes, facts }: ResourceChange): Lines {
  const [was, is] = [placeText(before), placeText(after)];
  const place = kind === 'removed' ? was : is;
  const moved = kind === 'changed' && was !== is && was !== '' ? `, was ${was}` : '';
  yield line(kind, 2, `${SIGN[kind]} ${type}[${title}]${place === '' ? '' : `  ${place}`}${moved}`);
  const shown = kind === 'changed' ? changes : changes.slice(0, MANY);
  yield* changeLines(shown.map(withoutParameters), 6);
  if (shown.length < changes.length) yield line('plain', 6, `… ${changes.length - shown.length} more`);
  if (facts.length > 0)
    yield line('plain', 6, `changed with ${counted(facts.length, 'fact')}: ${facts.slice(0, MANY).join(', ')}`);
}

/** Nearly all is parameters: a person need not read that. */
export function withoutParameters(change: ValueChange): ValueChange {
  if (change.path[0] !== 'parameters') return change;
  // a resource without parameters that got some
  return change.path.length === 1 ? change : { ...change, path: change.path.slice(1) };
}

function* fileLines({ kind, path, resources, metadata, content }: FileDifference): Lines {
  const shown = resources.slice(0, 3).join(', ');
  const rest = resources.length > 3 ? `, … ${resources.length - 3} more` : '';
  const users = resources.length === 0 ? '' : `  (${shown}${rest})`;
  yield line(kind, 2, `${SIGN[kind]} ${path}${users}`);
  yield* changeLines(metadata, 6);
  if (content !== null) yield* contentLines(content, 6);
}

export function* reportLines({ fields, resources, events, logs, omitted }: ReportComparison): Lines {
  yield* head(`report: ${counted(events.length, 'event')}, ${counted(logs.length, 'log line')}`);
  yield* changeLines(fields, 2);
  const told = new Set(events.map(({ resource }) => resource));
  for (const change of resources) if (!told.has(change.path[0] ?? '')) yield* statusLines(change);
  for (const event of events) yield* eventLines(event);
  const loud = logs.filter(({ level }) => !QUIET.has(level ?? ''));
  for (const { kind, level, source, message, count } of loud.slice(0, MANY)) {
    const times = count === 1 ? '' : ` (${count} times)`;
    yield line(kind, 2, `${SIGN[kind]} ${level ?? '-'}: ${message} (${source ?? '-'})${times}`);
  }
  const rest = logs.length - Math.min(loud.length, MANY);
  if (rest > 0) yield line('plain', 2, `(${counted(rest, 'log line')} of notice and info not shown: --format html)`);
  yield* omittedLine(omitted);
}

/** Levels that the events tell already. */
const QUIET: ReadonlySet<string> = new Set(['debug', 'info', 'notice']);

/** `File[/x]: skipped`, for a resource of which nothing was true before. */
function* statusLines(change: ValueChange): Lines {
  const { path, kind, before, after } = change;
  const words = (value: ValueChange['before']): string =>
    typeof value === 'object' && value !== null ? Object.keys(value).join(', ') : valueText(value);
  if (path.length > 1) yield* changeLines([change], 2);
  else if (kind === 'removed') yield line('removed', 2, `- ${path[0]}: ${words(before)}`);
  else yield line('added', 2, `+ ${path[0]}: ${words(after)}`);
}

function* eventLines({ kind, resource, property, before, after }: EventChange): Lines {
  const name = `${resource}${property === null ? '' : ` ${property}`}`;
  const side = ({ status, previous, desired, message, corrective }: EventSide): string => {
    const values = property === null ? (message ?? '') : `${eventValueText(previous)} → ${eventValueText(desired)}`;
    return `${status ?? '-'}${corrective ? ', corrective' : ''}: ${values}`;
  };
  yield line(kind, 2, `${SIGN[kind]} event ${name}`);
  if (before !== null) yield line('removed', 6, `- ${side(before)}`);
  if (after !== null) yield line('added', 6, `+ ${side(after)}`);
}

function* requestLines({ a, b, exchanges }: RunComparison): Lines {
  const { matched, different, onlyA, onlyB } = exchanges;
  if (different.length + onlyA.length + onlyB.length === 0) return;
  const [first, second] = [a.id ?? 'the first', b.id ?? 'the second'];
  const alike = `${matched} matched, ${different.length} of them different`;
  yield* head(`requests: ${alike}; ${onlyA.length} only in ${first}, ${onlyB.length} only in ${second}`);
  for (const comparison of different) yield* exchangeLines(comparison);
  for (const [kind, refs] of [
    ['removed', onlyA],
    ['added', onlyB],
  ] as const) {
    for (const ref of refs.slice(0, MANY)) yield line(kind, 2, `${SIGN[kind]} ${refText(ref)}`);
    if (refs.length > MANY) yield line('plain', 2, `… ${refs.length - MANY} more`);
  }
}

export function refText({ id, method, target, status, outcome }: ExchangeRef): string {
  const result = outcome === 'answered' ? String(status ?? '-') : `${outcome}${status === null ? '' : ` ${status}`}`;
  return `${id === null ? '' : `${id} `}${result} ${method} ${target}`;
}

/** One pair of exchanges. */
export function* exchangeLines({ a, b, same, outcome, fields, parts }: ExchangeComparison): Lines {
  yield line(same ? 'plain' : 'changed', 2, `${same ? ' ' : '~'} ${refText(a)}`);
  if (a.id !== b.id || a.target !== b.target) yield line('plain', 4, `and ${refText(b)}`);
  yield* changeLines(outcome, 6);
  for (const { side, name, before, after } of fields) {
    const value = (text: string | null): string => (text === null ? '(absent)' : text);
    yield line('changed', 6, `~ ${side} field ${name}: ${value(before)} → ${value(after)}`);
  }
  for (const part of parts) yield* partLines(part);
}

function* partLines(part: Part): Lines {
  switch (part.type) {
    case 'values':
      yield line('plain', 4, `${part.of}, in the ${part.side}`);
      yield* changeLines(part.changes, 6);
      yield* omittedLine(part.omitted);
      break;
    case 'facts':
      yield* factLines(part.facts);
      break;
    case 'catalog':
      yield* catalogLines(part.catalog, null);
      break;
    case 'report':
      yield* reportLines(part.report);
      break;
    case 'content':
      yield line('plain', 4, `${part.side} body`);
      yield* contentLines(part.content, 6);
      break;
    case 'undecoded': {
      const why = [part.before, part.after].filter(reason => reason !== null);
      yield line('changed', 4, `${part.side} body differs, and cannot be decoded: ${[...new Set(why)].join('; ')}`);
      break;
    }
  }
}

/** Time and connections of both, for whoever looks; they never make a difference. */
function* timingLines({ a, b, timing, connections }: RunComparison): Lines {
  yield* head('time');
  const rows = timing.map(({ phase, a: one, b: other }) => [
    phase,
    `${one.exchanges} in ${duration(one.ms)}`,
    `${other.exchanges} in ${duration(other.ms)}`,
  ]);
  const table = [['', a.id ?? 'before', b.id ?? 'after'], ...rows];
  for (const leg of connections) {
    const text = (one: typeof leg.a): string => `${one.connections} (${one.full} full, ${one.resumed} resumed)`;
    table.push([`${leg.leg} leg`, text(leg.a), text(leg.b)]);
  }
  const widths = [0, 1].map(n => Math.max(...table.map(cells => cells[n]!.length)));
  for (const [name, one, other] of table) {
    yield line('plain', 2, `${name!.padEnd(widths[0]!)}  ${one!.padEnd(widths[1]!)}  ${other}`.trimEnd());
  }
}
