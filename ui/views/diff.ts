import type { ExchangeComparison, RunComparison } from '../../src/analysis/compare-result.ts';
import { type DiffLine, exchangeLines, runLines } from '../../src/commands/diff-lines.ts';
import { askStringtap } from '../child.ts';
import { type Subject, subjectText } from '../marks.ts';
import { titled } from '../panes/titled.ts';
import { treePane } from '../panes/tree.ts';
import type { Env, Screen, Step } from '../screen.ts';
import { span } from '../text.ts';
import type { StyleName } from '../theme.ts';
import type { TreeNode } from '../tree.ts';
import { openExchange } from './exchange.ts';

/** What differs between two runs or two exchanges: what `stringtap diff` prints, as a tree. */

export type Comparison = ({ compared: 'runs' } & RunComparison) | ({ compared: 'exchanges' } & ExchangeComparison);

const STYLES: Record<DiffLine['style'], StyleName> = {
  head: 'bold',
  added: 'ok',
  removed: 'error',
  changed: 'warning',
  hunk: 'name',
  plain: 'value',
};

/** @param argument two names, as in `r3 r4`; `null`: what is marked, or the row under the cursor */
export function diffStep(argument: string | null, subject: Subject | null, env: Env): Step {
  const pair = argument === null ? pairOf(subject, env) : argument.split(/\s+/);
  if (typeof pair === 'string') return { say: { text: pair, kind: 'info' } };
  const odd = pair.find(name => !/^[re]\d{1,15}$/.test(name));
  if (odd !== undefined || pair.length > 2) {
    return { say: { text: 'two runs or two exchanges, as in :diff r3 r4', kind: 'error' } };
  }
  const [a = '', b] = pair;
  const label = b === undefined ? `comparing ${a} with the run before it` : `comparing ${a} with ${b}`;
  return {
    job: {
      label,
      async run(_report, signal) {
        const words = b === undefined ? [a] : [a, b];
        const named = words.map(name => `${env.source.store.file}:${name}`);
        const comparison = await askStringtap<Comparison>(['diff', ...named, '--json'], { signal });
        return { push: diffScreen(withoutCapture(comparison), `stringtap diff ${named.join(' ')}`) };
      },
    },
  };
}

/** Both are of the capture that is named at the top of the screen. */
function withoutCapture(comparison: Comparison): Comparison {
  if (comparison.compared === 'exchanges') return comparison;
  const { a, b } = comparison;
  return { ...comparison, a: { ...a, capture: null }, b: { ...b, capture: null } };
}

/** Names of what is compared, or why there is nothing to compare. */
function pairOf(subject: Subject | null, { marks }: Env): string[] | string {
  const type = subject?.type ?? marks.at(-1)?.type;
  const same = marks.filter(mark => mark.type === type);
  const [first, second] = same;
  if (same.length > 2) return `${same.length} rows are marked: two are compared (U takes all marks away)`;
  if (first !== undefined && second !== undefined) return inTime(first, second);
  const isOther = subject !== null && (first === undefined || first.id !== subject.id);
  if (first !== undefined && isOther) return inTime(first, subject);
  // A run alone is held against the one before it of the same agent.
  if (first === undefined && subject?.type === 'run') return [subjectText(subject)];
  return 'space marks a row: mark two, then d compares them';
}

/** What came first is what the other is held against, whichever was marked first: lists begin with the newest. */
function inTime(a: Subject, b: Subject): string[] {
  return [a, b].sort((one, other) => one.id - other.id).map(subjectText);
}

/** A comparison as a screen of its own. @param command prints the same in a shell, where it has the options that lines speak of */
export function diffScreen(comparison: Comparison, command: string | null = null): Screen {
  const [a, b] = [comparison.a.id ?? '?', comparison.b.id ?? '?'];
  const nodes = comparisonNodes(comparison);
  const where = command === null ? [] : [{ key: 'command', label: [span(`with such options in a shell: ${command}`, 'dim')] }];
  const roots = nodes.some(speaksOfOptions) ? [...nodes, ...where] : nodes;
  const pane = treePane({ roots, levels: 1, open: openLine });
  return titled(pane, { title: `${a} and ${b}${comparison.same ? ', the same' : ''}`, scopes: ['diff'] });
}

function speaksOfOptions({ label, kids }: TreeNode): boolean {
  return label.some(({ text }) => OPTION.test(text)) || (kids?.() ?? []).some(speaksOfOptions);
}

/** As in diff-lines.ts. */
const OPTION = /: --(reveal|all-facts|format html)\b/;

export function comparisonNodes(comparison: Comparison): TreeNode[] {
  const lines = comparison.compared === 'runs' ? runLines(comparison) : exchangeLines(comparison);
  const all = [...lines];
  if (comparison.same && comparison.compared === 'exchanges') all.push({ style: 'plain', indent: 0, text: 'no difference' });
  return nodesOf(all.filter(({ text }) => text !== ''));
}

interface Open {
  readonly indent: number;
  readonly kids: TreeNode[];
}

/** Lines that stand further to the right are below the last one that does not. */
export function nodesOf(lines: readonly DiffLine[]): TreeNode[] {
  const roots: TreeNode[] = [];
  const open: Open[] = [{ indent: -1, kids: roots }];
  lines.forEach(({ style, indent, text }, n) => {
    while (open.length > 1 && open.at(-1)!.indent >= indent) open.pop();
    const ref = /^(?:[+~-] )?e(\d{1,15}) /.exec(text)?.[1];
    const own = { key: String(n), label: [span(text, STYLES[style])], ...(ref !== undefined && { ref: Number(ref) }) };
    const isParent = (lines[n + 1]?.indent ?? 0) > indent;
    const kids: TreeNode[] = [];
    const node: TreeNode = isParent ? { ...own, kids: () => kids } : own;
    open.at(-1)!.kids.push(node);
    if (isParent) open.push({ indent, kids });
  });
  return roots;
}

/** A request that both sides have is opened; anything else folds. */
function openLine(node: TreeNode, env: Env): Step | null {
  return node.ref === undefined || node.kids !== undefined ? null : openExchange(node.ref, env);
}
