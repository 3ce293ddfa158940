import { type Rule, SEVERITIES, type Severity } from '../analysis/findings/finding.ts';
import { counted } from '../analysis/words.ts';
import type { FindingRow, Store } from '../capture/store.ts';
import { idText } from './ids.ts';
import { type Io, printable } from './io.ts';
import { clock, day } from './present.ts';
import { type Page, pageOf } from './show-text.ts';

/** Ids of the evidence that a line names. */
const NAMED = 8;

/** Findings that the page of a run, and what is said after one, shows; `stringtap findings` has the rest. */
const SHOWN = 6;

/** A finding as `--json` gives it: the row, with ids as people meet them. */
export function findingJson(row: FindingRow): object {
  const { exchanges, connections, rows, figures } = row.evidence;
  return {
    ...row,
    run: idText('run', row.run),
    evidence: {
      exchanges: exchanges.map(id => idText('exchange', id)),
      connections: connections.map(id => idText('connection', id)),
      rows: rows.map(({ kind, exchange, n }) => ({ kind, exchange: idText('exchange', exchange), n })),
      figures,
    },
  };
}

/** A rule as `--json` gives it. */
export function ruleJson({ id, severities, title, meaning, fix, threshold, page }: Rule): object {
  return { rule: id, severities, title, meaning, fix, threshold, page };
}

/** Findings run by run, each with what mends it and where to look. */
export function listFindings(io: Io, rows: Iterable<FindingRow>): void {
  const page = pageOf(io);
  let before: string | null = null;
  for (const row of rows) {
    const whose = `${row.run ?? ''} ${row.subject}`;
    if (whose !== before) {
      if (before !== null) page.line();
      const at = `${day(Date.parse(row.at))} ${clock(Date.parse(row.at)).slice(0, 8)}`;
      const name = row.run === null ? `no run  agent at ${row.subject}` : `${idText('run', row.run)}  ${row.subject}`;
      page.line(printable(`${name}  ${at}`));
    }
    before = whose;
    page.text('  ', printable(`${row.severity.padEnd(8)} ${row.rule}: ${row.summary}`));
    page.text('           ', printable(`fix: ${row.fix}`));
    const where = whereText(row);
    if (where !== '') page.text('           ', where);
  }
}

/** `see e12 e13 … (40 in all), c5`. */
function whereText({ evidence: { exchanges, connections } }: FindingRow): string {
  const ids = [
    ...exchanges.slice(0, NAMED).map(id => idText('exchange', id)),
    ...connections.slice(0, NAMED).map(id => idText('connection', id)),
  ];
  if (ids.length === 0) return '';
  const more = exchanges.length > NAMED || connections.length > NAMED ? ' …' : '';
  return `see: ${ids.join(' ')}${more}`;
}

/** `1 error, 2 warnings`. */
export function tallyText(counts: ReadonlyMap<Severity, number>): string {
  const parts = SEVERITIES.flatMap(one => {
    const count = counts.get(one) ?? 0;
    return count === 0 ? [] : [counted(count, one, one === 'info' ? 'info' : `${one}s`)];
  });
  return parts.length === 0 ? 'no findings' : parts.join(', ');
}

/** The findings of a run in a few lines: each its severity, rule and summary. */
export function findingLines(store: Store, run: number): string[] {
  const rows = [...store.findings({ run })];
  const lines = rows.slice(0, SHOWN).map(row => printable(`${row.severity.padEnd(7)} ${row.rule}: ${row.summary}`));
  return rows.length <= SHOWN
    ? lines
    : [...lines, `… ${rows.length - SHOWN} more: stringtap findings --run ${idText('run', run)}`];
}

/** Rules as pages, or as a list. */
export function explain(io: Io, rules: readonly Rule[], short: boolean): void {
  const page = pageOf(io, 11);
  const width = Math.max(...rules.map(one => one.id.length));
  rules.forEach((one, n) => {
    if (short) page.line(`${one.id.padEnd(width)}  ${one.severities.join(' or ').padEnd(16)}  ${one.title}`);
    else {
      if (n > 0) page.line();
      explainOne(page, one);
    }
  });
}

function explainOne(page: Page, rule: Rule): void {
  page.pair('rule', rule.id);
  page.pair('severity', rule.severities.join(' or '));
  page.pair('finds', rule.title);
  page.pair('means', rule.meaning);
  page.pair('fix', rule.fix);
  page.pair('speaks on', rule.threshold);
  page.pair('read', rule.page);
}
