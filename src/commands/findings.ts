import { type Command, InvalidArgumentError, Option } from 'commander';
import { SEVERITIES, type Severity } from '../analysis/findings/finding.ts';
import { RULES } from '../analysis/findings/registry.ts';
import type { FindingRow } from '../capture/store.ts';
import { CAPTURE_HELP, type Chosen, chosen, FILTER_HELP } from './filter-argument.ts';
import { explain, findingJson, listFindings, ruleJson, tallyText } from './findings-text.ts';
import { parseId, requireRun } from './ids.ts';
import { CliError, type Io } from './io.ts';
import { openCapture, sinceIso } from './options.ts';

interface FindingsOptions {
  run?: number;
  severity?: Severity;
  rule?: string;
  since?: string;
  failOn?: 'error' | 'warning';
  explain?: string | true;
  json?: boolean;
}

/** `stringtap findings`: what the rules found in runs that have ended; `--explain` says what a rule is about. */
export function registerFindings(program: Command, io: Io): void {
  program
    .command('findings')
    .description('what is wrong in the runs of a capture, or costs: with evidence, and with what mends it')
    .argument('[capture]', CAPTURE_HELP)
    .argument('[filter...]', FILTER_HELP)
    .option('--run <RUN>', 'only of this run', parseId('run'))
    .addOption(new Option('--severity <SEVERITY>', 'only of this severity').choices(SEVERITIES))
    .option('--rule <RULE>', 'only of this rule', rule)
    .option('--since <TIME>', 'only of runs that ended since: an ISO 8601 time, or an age as in 30m, 2h, 7d', sinceIso)
    .addOption(
      new Option('--fail-on <SEVERITY>', 'exit code 3 when something is found of this severity, or a worse one').choices([
        'error',
        'warning',
      ]),
    )
    .option('--explain [RULE]', 'say what a rule finds, what that means, and when it speaks; alone: list the rules')
    .option('--json', 'one JSON object a line')
    .action(async (file: string | undefined, words: string[], options: FindingsOptions) => {
      if (options.explain !== undefined) explainRules(io, options.explain, options.json === true);
      else await find(io, chosen(file, words, 'finding'), options);
    });
}

function rule(text: string): string {
  if (!RULES.some(one => one.id === text)) {
    throw new InvalidArgumentError('there is no such rule; stringtap findings --explain lists them');
  }
  return text;
}

function explainRules(io: Io, which: string | true, json: boolean): void {
  const rules = which === true ? RULES : RULES.filter(one => one.id === which);
  if (rules.length === 0) {
    throw new CliError(`there is no rule ${JSON.stringify(which)}`, 'stringtap findings --explain lists them', 2);
  }
  if (json) for (const one of rules) io.out(JSON.stringify(ruleJson(one)));
  else explain(io, rules, which === true);
}

async function find(io: Io, { file, filter }: Chosen, options: FindingsOptions): Promise<void> {
  const store = await openCapture(file, 'bodies');
  try {
    const { run, severity, rule: id, since, failOn } = options;
    if (run !== undefined) requireRun(store, run);
    const wanted = {
      ...(run !== undefined && { run }),
      ...(severity !== undefined && { severity }),
      ...(id !== undefined && { rule: id }),
      ...(since !== undefined && { since }),
      match: filter,
    };
    const counts = new Map<Severity, number>();
    function* counted(): Generator<FindingRow> {
      for (const row of store.findings(wanted)) {
        counts.set(row.severity, (counts.get(row.severity) ?? 0) + 1);
        yield row;
      }
    }
    if (options.json === true) for (const row of counted()) io.out(JSON.stringify(findingJson(row)));
    else listFindings(io, counted());
    io.chatter(tallyText(counts));
    const bad = failOn === undefined ? [] : SEVERITIES.slice(0, SEVERITIES.indexOf(failOn) + 1);
    if (bad.some(one => counts.has(one))) io.exitCode = 3;
  } finally {
    store.close();
  }
}
