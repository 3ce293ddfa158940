import { type Data, entriesOf, field, has, isMapping, textOf, textsOf, unwrap } from './data.ts';
import { budgetOf, type Limits, Malformed } from './limits.ts';
import { type Rich, type RichMap, richMapOf, richOf } from './rich-data.ts';
import { first, query } from './route.ts';

/** What the query of a node request says. */
export interface NodeRequest {
  environment: string | null;
  configuredEnvironment: string | null;
  transactionUuid: string | null;
}

/** The answer: what the node classifier knows of the agent (`lib/puppet/node.rb`, to_data_hash). */
export interface Node {
  name: string | null;
  /** The one that the agent has to use. */
  environment: string | null;
  classes: string[];
  /** Parameters of classes, where the classifier gives them: name to parameters. */
  classParameters: RichMap;
  /** Top-scope variables; facts among them. */
  parameters: RichMap;
  /** `$trusted`, `$server_facts`: `null` where the answer has none. */
  trusted: Rich;
  serverFacts: Rich;
}

export function nodeRequest(target: string): NodeRequest {
  const pairs = query(target);
  return {
    environment: first(pairs, 'environment'),
    configuredEnvironment: first(pairs, 'configured_environment'),
    transactionUuid: first(pairs, 'transaction_uuid'),
  };
}

/** @throws Malformed */
export function nodeOf(data: Data, limits: Limits): Node {
  const node = unwrap(data);
  if (!isMapping(node) || !has(node, 'name')) throw new Malformed('a node without a name');
  const budget = budgetOf(limits);
  const parameters = field(node, 'parameters');
  const classes = field(node, 'classes');
  const either = (key: string, other: string): Data => field(node, key) ?? field(parameters, other);
  return {
    name: textOf(field(node, 'name')),
    environment: textOf(field(node, 'environment')) ?? textOf(field(parameters, 'environment')),
    // an array, or a hash of name to parameters (external node classifiers may give either)
    classes: isMapping(classes) ? [...entriesOf(classes)].map(([name]) => textOf(name) ?? '') : textsOf(classes),
    classParameters: richMapOf(classes, budget, false),
    parameters: richMapOf(parameters, budget, false),
    trusted: richOf(either('trusted_data', 'trusted'), budget, false),
    serverFacts: richOf(either('server_facts', 'server_facts'), budget, false),
  };
}
