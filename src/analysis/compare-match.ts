import { path as pathOf, query, routeOf } from '../decode/route.ts';
import type { Phase, Route } from '../model.ts';
import type { ExchangeData } from './compare-data.ts';

/** An exchange with what its target says. */
export interface Routed {
  exchange: ExchangeData;
  route: Route;
}

export interface Matching {
  pairs: readonly (readonly [a: Routed, b: Routed])[];
  onlyA: readonly Routed[];
  onlyB: readonly Routed[];
}

/**
 * Fields of a query that are different in every run (transaction_uuid), that tell what the agent was set to and not what it asks for
 * (configured_environment), or that name the version of the code (code_id). facts: a catalog request of Puppet 3 by GET.
 */
const NOT_ASKED: ReadonlySet<string> = new Set([
  'transaction_uuid',
  'configured_environment',
  'code_id',
  'facts',
  'facts_format',
]);

/**
 * Where a run asks again, the last answer is what counts: they are matched from the end, whatever the environment. An agent whose classifier
 * has moved it asks for a catalog once in the old one, and again in the new one.
 */
const LAST_COUNTS: ReadonlySet<Phase> = new Set(['node', 'catalog', 'report']);

/**
 * Finds for each exchange of a run the one of another run that asks for the same: method, indirection, key (the own certname stands for
 * itself) and query, whatever its order; n-th with n-th. Those that are left are matched once more without regard to the environment, which
 * the whole of a run may have changed.
 */
export function matchExchanges(
  a: { certname: string; exchanges: readonly ExchangeData[] },
  b: { certname: string; exchanges: readonly ExchangeData[] },
): Matching {
  const ones = a.exchanges.map(exchange => routed(exchange));
  const others = b.exchanges.map(exchange => routed(exchange));
  const partner = new Map<Routed, Routed>();
  const taken = new Set<Routed>();
  for (const loose of [false, true]) {
    const left = ones.filter(one => !partner.has(one));
    const right = others.filter(other => !taken.has(other));
    const groups = Map.groupBy(right, other => askedOf(other, b.certname, loose));
    for (const [key, group] of Map.groupBy(left, one => askedOf(one, a.certname, loose))) {
      const fit = groups.get(key) ?? [];
      const shift = LAST_COUNTS.has(group[0]!.route.phase) ? fit.length - group.length : 0;
      for (const [n, one] of group.entries()) {
        const other = fit[n + shift];
        if (other === undefined) continue;
        partner.set(one, other);
        taken.add(other);
      }
    }
  }
  return {
    pairs: ones.flatMap(one => {
      const other = partner.get(one);
      return other === undefined ? [] : [[one, other] as const];
    }),
    onlyA: ones.filter(one => !partner.has(one)),
    onlyB: others.filter(other => !taken.has(other)),
  };
}

export function routed(exchange: ExchangeData): Routed {
  return { exchange, route: routeOf(exchange.method, exchange.target) };
}

/** What a request asks for, as text: equal for requests that ask for the same. */
function askedOf({ exchange, route }: Routed, certname: string, loose: boolean): string {
  const pairs = query(exchange.target)
    .filter(([name]) => !NOT_ASKED.has(name) && name !== 'environment')
    .map(pair => JSON.stringify(pair))
    .sort();
  const key = route.key === certname ? null : [route.key];
  const place = route.indirection === null ? pathOf(exchange.target) : [route.indirection, key];
  return JSON.stringify([exchange.method, place, pairs, loose || LAST_COUNTS.has(route.phase) ? null : [route.environment]]);
}
