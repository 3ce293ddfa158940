import { readFileSync, writeFileSync } from 'node:fs';
import type { Rule } from '../../../src/analysis/findings/finding.ts';
import { RULES } from '../../../src/analysis/findings/registry.ts';

/*
 * Makes docs/findings.md out of the rules: `npm run docs:findings` writes it, a test compares.
 */

export const FILE = new URL('../../../docs/findings.md', import.meta.url);

const HEAD = `<!-- Made from src/analysis/findings by npm run docs:findings: change the rules, not this page. -->

# Findings

When a run has ended and its bodies are decoded, rules look at it, and at the runs of the same node before it. What they find is kept in the capture
(the view [\`v_finding\`](capture.md#v_finding)) and shown by \`stringtap findings\`, \`show RUN\` and \`stringtap run\`. Connections that failed and
belong to no run are told by address.

\`\`\`
stringtap findings                              # what was found, what mends it, where to look
stringtap findings --run r5 --severity error
stringtap findings --fail-on warning            # exit code 3 when there is a warning or an error: for CI
stringtap findings --explain masked-by-cache    # this page's words on one rule
stringtap findings --json                       # one object a line
\`\`\`

- **error**: something did not work. **warning**: it worked, and costs or will fail. **info**: worth knowing.
- A finding names its evidence: exchanges (\`e17\`), connections (\`c5\`), rows of decoded bodies, and the figures that its summary speaks of. The value of
  a secret is never among them.
- \`stringtap redecode\` lets the rules of this program look at all runs of an older capture again.
- A rule that fails on a run is noted in the capture, and the others go on.

\`--json\` gives \`{run, rule, severity, subject, at, summary, fix, evidence: {exchanges, connections, rows: [{kind, exchange, n}], figures}}\`. \`run\` is
\`null\` for connections without a run. Figures differ from rule to rule; the rest is stable.
`;

/** The whole page. */
export function findingsPage(): string {
  const rows = RULES.map(rule => `| [\`${rule.id}\`](#${rule.id}) | ${rule.severities.join(', ')} | ${cell(rule.title)} |`);
  const table = ['| rule | severity | finds |', '| --- | --- | --- |', ...rows].join('\n');
  return `${[HEAD, table, '', ...RULES.map(section)].join('\n')}`;
}

function section({ id, severities, title, meaning, threshold, fix, page }: Rule): string {
  return `## ${id}

${severities.join(', ')}: ${title}.

${meaning}

- **When it speaks:** ${threshold}.
- **What mends it:** ${fix}.
- **Read:** <${page}>
`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

/** The page as it is in the repository. */
export function writtenPage(): string {
  return readFileSync(FILE, 'utf8');
}

if (process.argv[1] === import.meta.filename) writeFileSync(FILE, findingsPage());
