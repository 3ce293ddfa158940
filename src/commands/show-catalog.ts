import { counted, sized } from '../analysis/words.ts';
import type { RefusalRow, ResourceRow } from '../capture/decoded-shapes.ts';
import type { Store } from '../capture/store.ts';
import { idText } from './ids.ts';
import { printable } from './io.ts';
import { change, type Page, tally, valueText } from './show-text.ts';

/** What node, catalog, files and report are about. */

interface Which {
  run?: number;
  exchange?: number;
}

/** Lines of a long list on the page of a run; the tables have all of it. */
const MANY = 20;

/** @returns how many are shown, and says where the rest is */
function limited<Row>(page: Page, rows: readonly Row[], detail: boolean, rest: string, show: (row: Row) => void): void {
  const shown = detail ? rows : rows.slice(0, MANY);
  shown.forEach(show);
  if (shown.length < rows.length) page.text('     ', `… ${rows.length - shown.length} more: ${rest}`);
}

export function nodes(page: Page, store: Store, which: Which, detail: boolean): void {
  for (const row of store.decoded.rows('node', which)) {
    const asked = row.requestedEnvironment === null ? '' : `, asked for ${row.requestedEnvironment}`;
    const classes = row.classes.length === 0 ? '' : `, ${counted(row.classes.length, 'class', 'classes')}`;
    if (row.environment !== null) page.text('     ', printable(`environment ${row.environment}${asked}${classes}`));
    if (row.classes.length > 0) page.text('       ', printable(row.classes.join(', ')));
    const parameters = Object.entries(row.parameters).filter(([name]) => !NOT_TOLD.has(name));
    if (!detail) {
      if (parameters.length > 0) page.text('     ', `${counted(parameters.length, 'parameter')} besides trusted data`);
      continue;
    }
    for (const [name, value] of parameters) page.text('       ', `${printable(name)} = ${valueText(value)}`);
    if (row.trusted !== null) page.text('       ', `trusted = ${valueText(row.trusted)}`);
    if (row.serverFacts !== null) page.text('       ', `server_facts = ${valueText(row.serverFacts)}`);
  }
}

/** Shown on lines of their own. */
const NOT_TOLD: ReadonlySet<string> = new Set(['trusted', 'server_facts', 'environment']);

/** @param keys of the exchanges of the phase, by their id */
export function files(page: Page, store: Store, which: Which, keys: ReadonlyMap<number, string>, detail: boolean): void {
  const metadata = store.decoded.rows('file_metadata', which).filter(row => keys.has(row.exchange));
  for (const exchange of new Set(metadata.map(row => row.exchange))) {
    const entries = metadata.filter(row => row.exchange === exchange);
    const key = keys.get(exchange) ?? '';
    const kinds = tally(entries.map(row => row.type ?? 'entry')).map(([type, count]) =>
      counted(count, type, `${type.replace(/y$/, 'ie')}s`),
    );
    page.text('     ', printable(`${idText('exchange', exchange)} ${key}: ${kinds.join(', ')}`));
    if (!detail) continue;
    for (const row of entries) {
      const sum = row.checksum === null ? '' : ` {${row.checksumType}}${row.checksum}`;
      page.line(
        printable(
          `       ${row.mode ?? '----'} ${row.owner ?? '-'}:${row.group ?? '-'} ${row.relativePath ?? row.path ?? ''}${sum}`,
        ),
      );
    }
  }
  const contents = store.decoded.rows('file_content', which).filter(row => keys.has(row.exchange));
  if (contents.length === 0) return;
  const total = contents.reduce((sum, row) => sum + row.bytes, 0);
  const verdicts = tally(contents.map(row => row.verdict)).map(
    ([verdict, count]) => `${count} ${VERDICTS[verdict as keyof typeof VERDICTS]}`,
  );
  page.text('     ', `${counted(contents.length, 'file')} fetched, ${sized(total)}: ${verdicts.join(', ')}`);
  const odd = contents.filter(row => row.verdict === 'mismatch' || !row.complete || detail);
  limited(page, odd, detail, `stringtap query "SELECT * FROM v_file_content"`, row => {
    const promise = row.promised === null ? 'nothing was promised' : `promised {${row.promisedType}}${row.promised}`;
    const cut = row.complete ? '' : ', not whole';
    page.text(
      '       ',
      printable(`${row.key ?? ''}: ${sized(row.bytes)}${cut}, {sha256}${row.sha256}, ${promise}: ${VERDICTS[row.verdict]}`),
    );
  });
}

const VERDICTS = { match: 'as promised', mismatch: 'NOT as promised', unchecked: 'not checked' } as const;

export function buckets(page: Page, store: Store, which: Which): void {
  for (const row of store.decoded.rows('filebucket', which)) {
    const sum = row.checksum === null ? '' : ` {${row.checksumType}}${row.checksum}`;
    page.text('     ', printable(`${idText('exchange', row.exchange)} ${row.path ?? ''}${sum}`));
  }
}

export function catalogs(page: Page, store: Store, which: Which, detail: boolean): void {
  for (const row of store.decoded.rows('catalog_request', which)) {
    const job = row.jobUuid === null ? '' : `, job ${row.jobUuid}`;
    const statics = row.staticCatalog === true ? ', static catalog accepted' : '';
    page.text('     ', printable(`asked: environment ${row.environment ?? '-'}${statics}${job}`));
    if (row.facts !== null) {
      page.text(
        '     ',
        printable(`facts: ${row.facts} values below ${row.topLevelFacts} names, ${row.factsFormat ?? 'format not named'}`),
      );
    }
    for (const limit of store.decoded.rows('soft_limit', { exchange: row.exchange })) {
      if (limit.exceeded) {
        page.text(
          '     ',
          printable(`over a soft limit: ${limit.setting} ${limit.actual} of ${limit.limit} ${limit.path ?? ''}`),
        );
      }
    }
  }
  for (const row of store.decoded.rows('catalog', which)) {
    const code = row.codeId === null ? '' : `, code_id ${row.codeId}`;
    page.text('     ', printable(`catalog: version ${row.version ?? '-'}, environment ${row.environment ?? '-'}${code}`));
    if (row.catalogUuid !== null) page.text('       ', printable(`catalog_uuid ${row.catalogUuid}`));
    const inline = row.metadata === 0 ? '' : `, ${counted(row.metadata, 'file')} described inline`;
    const counts = `${counted(row.resources, 'resource')}, ${counted(row.edges, 'edge')}, ${counted(row.classes, 'class', 'classes')}`;
    page.text('       ', `${counts}${inline}`);
    const resources = store.decoded.rows('resource', { exchange: row.exchange });
    page.text(
      '       ',
      printable(
        tally(resources.map(({ type }) => type))
          .map(([type, count]) => `${type} ${count}`)
          .join(', '),
      ),
    );
    const secret = resources.filter(holdsSensitive);
    if (secret.length > 0) page.text('       ', printable(`sensitive: ${secret.map(resourceName).join(', ')}`));
    if (!detail) continue;
    for (const resource of resources) page.line(printable(`       ${resourceName(resource)}${placeOf(resource)}`));
  }
}

/** Whether a parameter of it is Sensitive, or something within one. */
export function holdsSensitive({ sensitive, parameters }: Pick<ResourceRow, 'sensitive' | 'parameters'>): boolean {
  return sensitive.length > 0 || JSON.stringify(parameters).includes('"(sensitive)"');
}

export function resourceName({ type, title }: Pick<ResourceRow, 'type' | 'title'>): string {
  return `${type}[${title}]`;
}

export function placeOf({ file, line, column }: { file: string | null; line: number | null; column?: number | null }): string {
  if (file === null) return line === null ? '' : ` line ${line}`;
  return ` ${file}${line === null ? '' : `:${line}`}${column === null || column === undefined ? '' : `:${column}`}`;
}

export function refusals(page: Page, rows: readonly RefusalRow[]): void {
  for (const row of rows) {
    const words = row.error ?? row.message ?? 'no words';
    page.text('     ', printable(`${idText('exchange', row.exchange)} ${row.status}: ${words}`));
    const where = placeOf(row).trim();
    if (where !== '') page.text('       ', printable(`at ${where}`));
    if (row.resource !== null) page.text('       ', printable(`resource ${row.resource}`));
  }
}

/** The line that says how a report went. */
export function reportSummary(store: Store, which: Which): string | null {
  const report = store.decoded.rows('report', which).at(-1);
  if (report === undefined) return null;
  const { exchange } = report;
  const counts = new Map(
    store.decoded
      .rows('metric', { exchange })
      .filter(row => row.category === 'resources')
      .map(row => [row.name, row.value ?? 0]),
  );
  const words = ['changed', 'failed', 'failed_to_restart', 'skipped', 'out_of_sync', 'corrective_change']
    .filter(name => (counts.get(name) ?? 0) > 0)
    .map(name => `${counts.get(name)} ${name.replaceAll('_', ' ')}`);
  const of = counts.has('total')
    ? `, ${counted(counts.get('total') ?? 0, 'resource')}${words.length === 0 ? '' : `: ${words.join(', ')}`}`
    : '';
  const flags = [report.noop === true ? 'noop' : '', report.correctiveChange === true ? 'corrective' : ''].filter(
    word => word !== '',
  );
  return printable(`${[report.status ?? 'a report without a status', ...flags].join(', ')}${of}`);
}

export function reports(page: Page, store: Store, which: Which, detail: boolean): void {
  for (const row of store.decoded.rows('report', which)) {
    const { exchange } = row;
    const run = row.run === null ? `e${exchange}` : `r${row.run}`;
    page.text('     ', reportSummary(store, { exchange }) ?? '');
    const cached = row.cachedCatalogStatus === null ? '' : `, cached catalog ${row.cachedCatalogStatus.replaceAll('_', ' ')}`;
    page.text(
      '       ',
      printable(
        `format ${row.format ?? '-'}, Puppet ${row.puppetVersion ?? '-'}, environment ${row.environment ?? '-'}${cached}`,
      ),
    );
    const events = store.decoded.rows('event', { exchange });
    for (const [status, word] of [
      ['failure', 'failed'],
      ['success', 'changed'],
      ['noop', 'would change'],
      ['audit', 'audited'],
    ] as const) {
      const some = events.filter(event => event.status === status);
      limited(page, some, detail, `stringtap show ${run} events`, event => {
        const corrective = event.correctiveChange === true ? ' (corrective)' : '';
        page.text(
          '     ',
          printable(`${word} ${event.resource}${event.property === null ? '' : ` ${event.property}`}${corrective}`),
        );
        if (status === 'failure' || event.property === null) page.text('       ', printable(event.message ?? ''));
        else page.line(`       ${change(event.previousValue, event.desiredValue, page.width - 7)}`);
      });
    }
    const told = new Set(events.filter(event => event.status === 'failure').map(event => event.resource));
    const statuses = store.decoded.rows('resource_status', { exchange });
    limited(
      page,
      statuses.filter(status => status.failed === true && !told.has(status.resource)),
      detail,
      'see its report',
      status => {
        page.text('     ', printable(`failed ${status.resource}${placeOf(status)}`));
      },
    );
    limited(
      page,
      statuses.filter(status => status.failedToRestart === true),
      detail,
      'see its report',
      status => {
        page.text('     ', printable(`failed to restart ${status.resource}${placeOf(status)}`));
      },
    );
    limited(
      page,
      statuses.filter(status => status.skipped === true),
      detail,
      'see its report',
      status => {
        page.text('     ', printable(`skipped ${status.resource}`));
      },
    );
    const loud = store.decoded.rows('log_line', { exchange }).filter(line => detail || !QUIET.has(line.level ?? ''));
    const same = Map.groupBy(loud, ({ level, message, source }) => JSON.stringify([level, message, source]));
    limited(page, detail ? loud.map(line => [line]) : [...same.values()], detail, `stringtap show ${run} logs`, lines => {
      const line = lines[0]!;
      // A message of many lines is a file's diff, mostly.
      const [first = '', ...more] = (line.message ?? '').trim().split('\n');
      const times = lines.length === 1 ? '' : `, ${lines.length} times`;
      page.text('     ', printable(`${line.level ?? '-'}: ${first} (${line.source ?? '-'})${times}`));
      for (const text of more) page.text('       ', printable(text.replaceAll('\t', '    ')));
    });
  }
}

/** Levels of log lines that the page of a run leaves to the table: the changes are told by the events. */
const QUIET: ReadonlySet<string> = new Set(['debug', 'info', 'notice']);
