import type { Catalog } from '../decode/catalog.ts';
import type { Decoded } from '../decode/decode.ts';
import type { Facts } from '../decode/facts.ts';
import type { Rich } from '../decode/rich-data.ts';
import type { Leg } from '../model.ts';
import { PHASES } from '../model.ts';
import { compareCatalogs } from './compare-catalog.ts';
import type { ExchangeData, RunData } from './compare-data.ts';
import { createDecoder, type Decoder, valueIn } from './compare-decoded.ts';
import { type CompareOptions, compareBodies, comparisonOf, exchangeRef, skipVolatile, type Tools } from './compare-exchange.ts';
import { compareFacts, reasonsAmong } from './compare-facts.ts';
import { compareFiles, describesFiles, inventory, usersOf } from './compare-files.ts';
import { type Matching, matchExchanges, type Routed } from './compare-match.ts';
import { compareReports, reportDifferences } from './compare-report.ts';
import type {
  ExchangeComparison,
  LegComparison,
  LegTotals,
  Part,
  PhaseTiming,
  PhaseTotals,
  RunComparison,
  RunRef,
  ValueChange,
} from './compare-result.ts';
import { secrecyOf, secretsOf } from './compare-secrets.ts';
import { nodeValue } from './compare-subjects.ts';
import { allowance, compareValues } from './compare-values.ts';

/**
 * Compares two runs: what the classifier said, facts, catalog, files, report, and every exchange with the one that asks for the same. Pure, and
 * never throws, whatever is in the bodies. Each thing is told once: an exchange is told as different only for what its noun does not say.
 */
export function compareRuns(a: RunData, b: RunData, options: CompareOptions = {}): RunComparison {
  const decode = createDecoder();
  const matching = matchExchanges(a, b);
  const [one, other] = [nounsOf(a, decode), nounsOf(b, decode)];
  const secrecy = secrecyOf(options.reveal === true, secretsOf([one.catalog, other.catalog]));
  const tools: Tools = { options, decode, secrecy };
  const told = compareNouns(one, other, tools);
  const files = compareFiles(
    inventory(a, routedOf(matching, 0), one.catalog, decode),
    inventory(b, routedOf(matching, 1), other.catalog, decode),
    usersOf([one.catalog]),
    usersOf([other.catalog]),
    secrecy,
  );
  const different = matching.pairs.flatMap(pair => {
    const comparison = comparePair(pair, [one, other], tools, a.environment !== b.environment);
    return comparison.same ? [] : [comparison];
  });
  const run = compareValues(aboutRun(a), aboutRun(b), { secrecy, allowance: allowance() });
  const counts = {
    run: run.length,
    node: told.node?.length ?? 0,
    facts: (told.facts?.changes.length ?? 0) + (told.facts?.omitted ?? 0),
    resources: told.catalog?.resources.length ?? 0,
    edges: told.catalog?.edges.length ?? 0,
    files: files.length,
    report: told.report === null ? 0 : reportDifferences(told.report) + told.report.omitted,
    exchanges: different.length,
    unmatched: matching.onlyA.length + matching.onlyB.length,
  };
  return {
    a: runRef(a),
    b: runRef(b),
    same: Object.values(counts).every(count => count === 0),
    counts,
    run,
    ...told,
    files,
    exchanges: {
      matched: matching.pairs.length,
      different,
      onlyA: matching.onlyA.map(({ exchange }) => exchangeRef(exchange, secrecy)),
      onlyB: matching.onlyB.map(({ exchange }) => exchangeRef(exchange, secrecy)),
    },
    timing: compareTiming(routedOf(matching, 0), routedOf(matching, 1)),
    connections: (['agent', 'primary'] as const).map(leg => compareLeg(leg, a, b)),
    notes: notesOf(one, other),
  };
}

function routedOf(matching: Matching, side: 0 | 1): Routed[] {
  return [...matching.pairs.map(pair => pair[side]), ...(side === 0 ? matching.onlyA : matching.onlyB)];
}

function aboutRun({ environment, puppetVersion }: RunData): Rich {
  return new Map<string, Rich>([
    ['environment', environment],
    ['puppet_version', puppetVersion],
  ]);
}

function runRef({ id, capture, certname, environment, puppetVersion, startedAt, durationMs, exchanges }: RunData): RunRef {
  return { id, capture, certname, environment, puppetVersion, startedAt, durationMs, exchanges: exchanges.length };
}

type OfPhase<P extends Decoded['phase']> = Extract<Decoded, { phase: P }>;

/** The last exchanges of a run whose bodies can be read: the node, catalog and report that counted. */
interface Nouns {
  node: { exchange: ExchangeData; decoded: OfPhase<'node'> } | null;
  asked: { exchange: ExchangeData; decoded: OfPhase<'catalog'> } | null;
  facts: Facts | null;
  catalog: Catalog | null;
  catalogFrom: ExchangeData | null;
  report: { exchange: ExchangeData; decoded: OfPhase<'report'> } | null;
}

function nounsOf(run: RunData, decode: Decoder): Nouns {
  const nouns: Nouns = { node: null, asked: null, facts: null, catalog: null, catalogFrom: null, report: null };
  for (const exchange of run.exchanges) {
    // file bodies need not be decoded to know that they are none of these
    if (!/\/(?:node|catalog|report)\b/.test(exchange.target)) continue;
    const decoded = decode(exchange);
    if (decoded.phase === 'node' && valueIn(decoded.response) !== null) nouns.node = { exchange, decoded };
    if (decoded.phase === 'report' && valueIn(decoded.request) !== null) nouns.report = { exchange, decoded };
    if (decoded.phase !== 'catalog') continue;
    nouns.asked = { exchange, decoded };
    nouns.facts = valueIn(valueIn(decoded.request)?.facts ?? null) ?? nouns.facts;
    const catalog = valueIn(decoded.response);
    // a run that fails at its last attempt applied none of the catalogs before
    nouns.catalog = catalog;
    nouns.catalogFrom = catalog === null ? null : exchange;
  }
  return nouns;
}

function compareNouns(
  one: Nouns,
  other: Nouns,
  { options, secrecy }: Tools,
): Pick<RunComparison, 'node' | 'facts' | 'catalog' | 'report'> {
  const facts =
    one.facts !== null && other.facts !== null ? compareFacts(one.facts, other.facts, options.allFacts === true, secrecy) : null;
  const [before, after] = [
    one.report && valueIn(one.report.decoded.request),
    other.report && valueIn(other.report.decoded.request),
  ];
  return {
    node: compareNodes(one, other, { options, secrecy }),
    facts: facts?.told ?? null,
    catalog:
      one.catalog === null || other.catalog === null
        ? null
        : compareCatalogs(one.catalog, other.catalog, {
            ignore: options.ignore ?? [],
            tags: options.tags === true,
            secrecy,
            reasons: reasonsAmong(facts?.all ?? []),
          }),
    report: before && after ? compareReports(before, after, secrecy) : null,
  };
}

function compareNodes(one: Nouns, other: Nouns, { options, secrecy }: Pick<Tools, 'options' | 'secrecy'>): ValueChange[] | null {
  const [before, after] = [one.node && valueIn(one.node.decoded.response), other.node && valueIn(other.node.decoded.response)];
  if (!before || !after) return null;
  const skip = skipVolatile(options);
  return compareValues(nodeValue(before), nodeValue(after), {
    secrecy,
    allowance: allowance(),
    ...(skip !== undefined && { skip }),
  });
}

/** A pair, without what the nouns of the run tell, and without that the whole run `moved` to another environment. */
function comparePair(
  [x, y]: readonly [Routed, Routed],
  [one, other]: readonly [Nouns, Nouns],
  tools: Tools,
  moved: boolean,
): ExchangeComparison {
  const [a, b] = [x.exchange, y.exchange];
  const parts = isToldWhole(x, y, one, other, tools.decode) ? [] : compareBodies(a, b, tools);
  const left = parts.filter(part => !isTold(part, x, y, one, other)).flatMap(part => (moved ? withoutEnvironment(part) : [part]));
  return comparisonOf(a, b, tools, left);
}

const ENVIRONMENTS: ReadonlySet<string> = new Set(['environment', 'configured_environment']);

function withoutEnvironment(part: Part): Part[] {
  if (part.type !== 'values' || part.of !== 'catalog request') return [part];
  const changes = part.changes.filter(({ path }) => !ENVIRONMENTS.has(path[0] ?? ''));
  return changes.length === 0 ? [] : [{ ...part, changes }];
}

/** All of the answer is told elsewhere: no need to compare it. */
function isToldWhole(x: Routed, y: Routed, one: Nouns, other: Nouns, decode: Decoder): boolean {
  const { phase } = x.route;
  if (phase === 'file' || phase === 'pluginsync') return describesFiles(x.exchange, decode) && describesFiles(y.exchange, decode);
  return phase === 'node' && one.node?.exchange === x.exchange && other.node?.exchange === y.exchange;
}

function isTold(part: Part, x: Routed, y: Routed, one: Nouns, other: Nouns): boolean {
  switch (part.type) {
    case 'catalog':
      return one.catalogFrom === x.exchange && other.catalogFrom === y.exchange;
    case 'facts':
      return one.asked?.exchange === x.exchange && other.asked?.exchange === y.exchange;
    case 'report':
      return one.report?.exchange === x.exchange && other.report?.exchange === y.exchange;
    case 'values':
    case 'content':
    case 'undecoded':
      return false;
  }
}

function compareTiming(ones: readonly Routed[], others: readonly Routed[]): PhaseTiming[] {
  const totals = (all: readonly Routed[], phase: PhaseTiming['phase']): PhaseTotals => {
    const some = all.filter(({ route }) => route.phase === phase).map(({ exchange }) => exchange);
    const sum = (of: (exchange: ExchangeData) => number): number => some.reduce((total, exchange) => total + of(exchange), 0);
    return {
      exchanges: some.length,
      ms: Math.round(sum(({ durationMs }) => durationMs) * 1000) / 1000,
      requestBytes: sum(({ request }) => request?.sizeBytes ?? 0),
      responseBytes: sum(({ response }) => response?.sizeBytes ?? 0),
    };
  };
  return PHASES.map(phase => ({ phase, a: totals(ones, phase), b: totals(others, phase) })).filter(
    ({ a, b }) => a.exchanges + b.exchanges > 0,
  );
}

function compareLeg(leg: Leg, a: RunData, b: RunData): LegComparison {
  const totals = ({ connections }: RunData): LegTotals => {
    const own = connections.filter(connection => connection.leg === leg);
    const resumed = own.filter(connection => connection.resumed === true).length;
    return { connections: own.length, full: own.filter(connection => connection.resumed === false).length, resumed };
  };
  return { leg, a: totals(a), b: totals(b) };
}

function notesOf(one: Nouns, other: Nouns): string[] {
  const notes: string[] = [];
  const lacking = (what: string, first: unknown, second: unknown): void => {
    const where = first === null ? (second === null ? 'both runs' : 'the first run') : second === null ? 'the second run' : null;
    if (where !== null) notes.push(`${what} not compared: none in ${where} that can be read`);
  };
  lacking('catalogs', one.catalog, other.catalog);
  lacking('facts', one.facts, other.facts);
  lacking('reports', one.report, other.report);
  return notes;
}
