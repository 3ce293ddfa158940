import { existsSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { compareRuns } from '../analysis/compare.ts';
import type { RunData } from '../analysis/compare-data.ts';
import { type CompareOptions, compareExchanges } from '../analysis/compare-exchange.ts';
import { IgnoreError, type IgnoreRule, parseIgnore, parseIgnoreAttribute } from '../analysis/compare-ignore.ts';
import type { ExchangeComparison, RunComparison } from '../analysis/compare-result.ts';
import { counted } from '../analysis/words.ts';
import { exchangeData, runData } from '../capture/run-data.ts';
import type { Store } from '../capture/store.ts';
import { exchangePage, runPage } from './diff-html.ts';
import { type DiffLine, exchangeLines, runLines } from './diff-lines.ts';
import { requireExchange, requireRun } from './ids.ts';
import { CliError, type Io } from './io.ts';
import { openCapture } from './options.ts';
import { takesColour } from './terminal.ts';

interface DiffOptions {
  other?: string;
  ignore?: IgnoreRule[];
  ignoreAttr?: IgnoreRule[];
  tags?: boolean;
  allFacts?: boolean;
  reveal?: boolean;
  json?: boolean;
  format: 'text' | 'json' | 'html';
}

/** `stringtap diff A B`: what differs between two runs, or two exchanges, of one capture or two. */
export function registerDiff(program: Command, io: Io): void {
  program
    .command('diff')
    .description(
      'compare two runs (r3 r4) or two exchanges (e17 e42): catalog, files, facts, report, requests; exit 3: they differ',
    )
    .argument('<run>', 'r3: run 3, e17: exchange 17; of another capture FILE:r3; alone, a run is compared with the one before it')
    .argument('[other]', 'what it is compared with')
    .argument('[capture]', 'capture file (default: the newest in captures/)')
    .option('--other <CAPTURE>', 'capture that the other is in')
    .option('--ignore <RULE>', "leave out of catalogs: 'Type[title]', 'File[/tmp/*]::parameters::mode'; repeatable", addRule)
    .option('--ignore-attr <NAME>', 'leave out this attribute of any resource; repeatable', addAttribute)
    .option('--tags', 'compare the tags of resources, too')
    .option('--all-facts', 'tell also facts that change by themselves (uptime, free memory)')
    .option('--reveal', 'Sensitive values, passwords and tokens as they are (private keys never)')
    .option('--json', 'as one JSON object')
    .addOption(new Option('--format <FORMAT>', 'html: one file, on stdout').choices(['text', 'json', 'html']).default('text'))
    .action(async (a: string, b: string | undefined, capture: string | undefined, options: DiffOptions) => {
      await diff(
        io,
        a,
        [b, capture].filter(word => word !== undefined),
        options,
      );
    });
}

/** octocatalog-diff takes several with commas between; titles may hold commas, so only one before `Type[` parts two rules. */
function addRule(text: string, all: IgnoreRule[] | undefined): IgnoreRule[] {
  return [...(all ?? []), ...text.split(/,(?=(?:\*|[A-Za-z][\w:]*)\[)/).map(rule => read(rule, parseIgnore))];
}

function addAttribute(text: string, all: IgnoreRule[] | undefined): IgnoreRule[] {
  return [...(all ?? []), ...text.split(',').map(name => read(name, parseIgnoreAttribute))];
}

function read(text: string, parse: (text: string) => IgnoreRule): IgnoreRule {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof IgnoreError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

/** A run or an exchange, and the capture that it was said to be in. */
interface Named {
  kind: 'run' | 'exchange';
  id: number;
  file: string | null;
}

const NAME = /^(?:(.+):)?([re]?)(\d{1,15})$/s;

function named(text: string): Named {
  const match = NAME.exec(text);
  if (match === null) {
    throw new CliError(`diff takes runs or exchanges, not ${JSON.stringify(text)}`, 'as in: stringtap diff r3 r4', 2);
  }
  return { kind: match[2] === 'e' ? 'exchange' : 'run', id: Number(match[3]), file: match[1] ?? null };
}

async function diff(io: Io, first: string, words: readonly string[], options: DiffOptions): Promise<void> {
  if (options.json === true && options.format === 'html')
    throw new CliError('--json and --format html exclude each other', 'leave one of them out', 2);
  const [word, ...more] = words;
  // `diff r3 FILE`: the run before r3 in that file
  const alone = word === undefined || (!NAME.test(word) && (existsSync(word) || /[/.]/.test(word)));
  const file = (alone ? word : more[0]) ?? null;
  const a = named(first);
  const b = alone ? null : named(word);
  if (b === null && options.other !== undefined) {
    throw new CliError(
      '--other is the capture that a second run or exchange is in',
      'as in: stringtap diff r3 r4 --other FILE',
      2,
    );
  }
  if (b === null && a.kind === 'exchange') throw new CliError('diff takes two exchanges', 'as in: stringtap diff e17 e42', 2);
  if (b !== null && a.kind !== b.kind) {
    throw new CliError('a run and an exchange cannot be compared', 'as in: stringtap diff r3 r4, stringtap diff e17 e42', 2);
  }
  const one = await openCapture(a.file ?? file ?? undefined, 'bodies');
  const elsewhere = b === null ? null : (b.file ?? options.other ?? null);
  try {
    const other = elsewhere === null ? one : await openCapture(elsewhere, 'bodies');
    try {
      if (b === null) show(io, compareWithPrevious(io, one, a.id, options), options);
      else if (a.kind === 'run') {
        show(
          io,
          comparedRuns(io, runData(one, requireRun(one, a.id)), runData(other, requireRun(other, b.id)), options),
          options,
        );
      } else {
        const comparison = compareExchanges(exchangeOf(one, a.id), exchangeOf(other, b.id), compareOptions(options));
        show(io, comparison, options);
      }
    } finally {
      if (other !== one) other.close();
    }
  } finally {
    one.close();
  }
}

function compareOptions({ ignore, ignoreAttr, tags, allFacts, reveal }: DiffOptions): CompareOptions {
  const flag = (value: boolean | undefined): boolean => value === true;
  return { ignore: [...(ignore ?? []), ...(ignoreAttr ?? [])], tags: flag(tags), allFacts: flag(allFacts), reveal: flag(reveal) };
}

function exchangeOf(store: Store, id: number): ReturnType<typeof exchangeData> {
  return exchangeData(store, requireExchange(store, id));
}

function compareWithPrevious(io: Io, store: Store, id: number, options: DiffOptions): RunComparison {
  const run = requireRun(store, id);
  const before = [...store.runs({ certname: run.certname })].filter(one => one.id < id).at(-1);
  if (before === undefined) {
    throw new CliError(
      `r${id} is the first run of ${run.certname} in ${store.file}`,
      'name two runs, as in: stringtap diff r3 r4',
    );
  }
  return comparedRuns(io, runData(store, before), runData(store, run), options);
}

/** Says on stderr which of the two met faults on purpose: what differs may be of them. */
function comparedRuns(io: Io, a: RunData, b: RunData, options: DiffOptions): RunComparison {
  for (const { id, exchanges } of [a, b]) {
    const faults = exchanges.filter(({ fault }) => fault !== null).length;
    if (faults === 0) continue;
    io.err(
      `stringtap: ${id ?? 'a run'} met a fault on purpose in ${counted(faults, 'request')}: what differs may be of it (docs/faults.md)`,
    );
  }
  return compareRuns(a, b, compareOptions(options));
}

function show(io: Io, comparison: RunComparison | ExchangeComparison, options: DiffOptions): void {
  if (!comparison.same) io.exitCode = 3;
  const isRun = 'counts' in comparison;
  if (options.json === true || options.format === 'json') {
    io.out(JSON.stringify({ compared: isRun ? 'runs' : 'exchanges', ...comparison }));
  } else if (options.format === 'html') {
    io.out(isRun ? runPage(comparison) : exchangePage(comparison));
  } else {
    const paint = painter(io);
    for (const line of isRun ? runLines(comparison) : exchangeLines(comparison)) for (const text of paint(line)) io.out(text);
    if (!isRun && comparison.same) io.out('no difference');
  }
}

/** SGR codes; meaning is never in the colour alone: every line has its sign. */
const COLOURS: Record<DiffLine['style'], string> = {
  head: '1',
  added: '32',
  removed: '31',
  changed: '33',
  hunk: '36',
  plain: '',
};

/** Lines for the terminal: long ones go on below with the same indent. Without a terminal nothing is broken or coloured. */
export function painter(io: Io): (line: DiffLine) => string[] {
  const { stdoutIsTerminal, columns } = io;
  const colour = takesColour(io);
  return ({ style, indent, text }) => {
    const room = stdoutIsTerminal ? Math.max(20, columns - indent) : Number.MAX_SAFE_INTEGER;
    const count = Math.max(1, Math.ceil(text.length / room));
    return Array.from({ length: count }, (_, n) => {
      const piece = text.slice(n * room, (n + 1) * room);
      const shown = colour && COLOURS[style] !== '' ? `\u001b[${COLOURS[style]}m${piece}\u001b[0m` : piece;
      return text === '' ? '' : `${' '.repeat(indent)}${shown}`;
    });
  };
}
