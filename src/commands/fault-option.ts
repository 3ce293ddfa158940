import { accessSync, constants, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import type { Filter } from '../analysis/filter.ts';
import { requestFilter } from '../analysis/filter-request.ts';
import { BODY_ACTIONS, BOOTSTRAP_PHASES, type FaultAction, type FaultLimit, type FaultRule } from '../proxy/faults.ts';
import { MAX_FILE_BYTES } from '../proxy/interference.ts';
import { CliError } from './io.ts';
import { byteCount, wholeNumber } from './options.ts';
import { timeSpan } from './replay-flags.ts';

/** Help for `--fault`. */
export const FAULT_HELP =
  "do something to exchanges on purpose, as in 'delay=20s ~phase catalog'; again for more rules (docs/faults.md)";

/** Words of a rule before its filter. */
const SETTINGS = ['delay', 'status', 'retry-after', 'cut', 'rate', 'answer', 'times', 'every', 'chance'] as const;
type Setting = (typeof SETTINGS)[number];
const FLAGS = ['reset', 'close', 'stall'] as const;

const ACTIONS = 'delay=20s status=503 reset close stall cut=1k rate=10k answer=FILE';

/** Agents wait for an answer as long by default (http_read_timeout), and nothing may stand still here for 15 minutes. */
const MAX_DELAY_MS = 600_000;
const MAX_RETRY_AFTER_MS = 86_400_000;
const MAX_RATE = 10_000_000;
/** All of a rule; its filter has a limit of its own. */
const MAX_RULE_CHARS = 5_000;

/**
 * The rules of `--fault`, each `ACTION [LIMIT] FILTER`.
 * @throws {CliError} for one that is none, with what is wrong in it
 */
export function faultRules(texts: readonly string[]): FaultRule[] {
  return texts.map(text => {
    try {
      return ruleOf(text);
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      throw new CliError(`--fault '${text.slice(0, 200)}': ${error.message}`, error.hint, 2);
    }
  });
}

class Wrong extends Error {
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

function ruleOf(text: string): FaultRule {
  if (text.length > MAX_RULE_CHARS)
    throw new Wrong(`it is longer than ${MAX_RULE_CHARS} characters`, 'write more, and shorter, rules');
  const { words, rest } = settingsOf(text);
  const action = actionOf(words, rest);
  const limit = limitOf(words);
  const read = requestFilter(rest);
  if (read.type === 'wrong') {
    const { message, at, end, hint } = read.problem;
    throw new Wrong(`${message} (${rest.slice(at, Math.min(end, at + 40))})`, hint ?? 'docs/filter.md has the language');
  }
  checkReach(action, read.filter);
  if (action.type === 'answer') checkFile(action.file);
  const { asks } = read;
  return {
    text: [printed(action), ...printedLimit(limit), ...(rest === '' ? [] : [rest])].join(' '),
    action,
    limit,
    matches: asks,
  };
}

/** The words before the filter; a file may be quoted. */
function settingsOf(text: string): { words: ReadonlyMap<string, string>; rest: string } {
  const words = new Map<string, string>();
  let rest = text.trim();
  for (;;) {
    const [all, name = '', quoted, plain] = /^([a-z-]+)(?:=(?:"([^"]*)"|(\S*)))?(?=\s|$)/.exec(rest) ?? [];
    if (all === undefined) return { words, rest };
    const value = quoted ?? plain;
    const isSetting = value !== undefined && (SETTINGS as readonly string[]).includes(name);
    const isFlag = value === undefined && (FLAGS as readonly string[]).includes(name);
    if (!isSetting && !isFlag) {
      if (words.size === 0) throw new Wrong(`${all.slice(0, 40)} is no action`, `the actions: ${ACTIONS}`);
      return { words, rest };
    }
    if (words.has(name)) throw new Wrong(`${name} is there twice`, 'another --fault is another rule');
    if (value === '') throw new Wrong(`${name}= wants a value`, `as in: ${ACTIONS}`);
    words.set(name, value ?? '');
    rest = rest.slice(all.length).trimStart();
  }
}

function actionOf(words: ReadonlyMap<string, string>, rest: string): FaultAction {
  const given = [...words.keys()].filter(name => !/^(times|every|chance|retry-after)$/.test(name));
  const [type, second] = given;
  if (type === undefined) throw new Wrong('it has no action', `the actions: ${ACTIONS}, before limits and filter`);
  if (second !== undefined) throw new Wrong(`${type} and ${second} are two actions`, 'another --fault is another rule');
  if (words.has('retry-after') && type !== 'status')
    throw new Wrong('retry-after is of status', "as in --fault 'status=503 retry-after=5s'");
  const value = words.get(type) ?? '';
  switch (type) {
    case 'delay':
      return { type, ms: duration(type, value, MAX_DELAY_MS) };
    case 'status': {
      if (!/^[45]\d\d$/.test(value)) throw new Wrong(`status=${value} is no error`, 'from 400 to 599, as in status=503');
      const after = words.get('retry-after');
      const retryAfterMs = after === undefined ? null : duration('retry-after', after, MAX_RETRY_AFTER_MS);
      return { type, status: Number(value), retryAfterMs };
    }
    case 'cut':
      return { type, bytes: count(type, value, byteCount) };
    case 'rate': {
      const bytesPerSecond = count(type, value, byteCount);
      if (bytesPerSecond < 1 || bytesPerSecond > MAX_RATE)
        throw new Wrong(`rate=${value} is no pace`, 'bytes a second, from 1 to 10M, as in rate=10k');
      return { type, bytesPerSecond };
    }
    case 'answer':
      if (rest === '')
        throw new Wrong('answer needs a filter', "as in --fault 'answer=catalog.json ~phase catalog ~certname web1*'");
      return { type, file: resolve(value) };
    case 'reset':
    case 'close':
    case 'stall':
      return { type };
    default:
      throw new Error(`${type} has no meaning`);
  }
}

function limitOf(words: ReadonlyMap<string, string>): FaultLimit {
  const positive = (name: Setting): number | null => {
    const value = words.get(name);
    if (value === undefined) return null;
    const found = count(name, value, wholeNumber);
    if (found < 1) throw new Wrong(`${name}=${value} would take nothing`, `as in ${name}=2`);
    return found;
  };
  const chance = words.get('chance');
  const [, percent] = /^(\d{1,3}(?:\.\d{1,3})?)%$/.exec(chance ?? '') ?? [];
  if (chance !== undefined && (percent === undefined || Number(percent) <= 0 || Number(percent) > 100))
    throw new Wrong(`chance=${chance} is no chance`, 'as in chance=10%');
  return { times: positive('times'), every: positive('every'), chance: percent === undefined ? null : Number(percent) / 100 };
}

function duration(name: string, text: string, maxMs: number): number {
  const ms = count(name, text, timeSpan);
  if (ms > maxMs)
    throw new Wrong(`${name}=${text} is too long`, `at most ${maxMs / 60_000} minutes; stall waits until the agent gives up`);
  return ms;
}

/** A value by the parser of options; what is wrong is said in its words. */
function count(name: string, text: string, parse: (text: string) => number): number {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new Wrong(`${name}=${text} cannot be read`, error.message);
  }
}

/** A rule that could never take anything is a mistake. */
function checkReach({ type }: FaultAction, filter: Filter | null): void {
  const terms = filter === null ? [] : filter.type === 'and' ? filter.terms : [filter];
  const phase = terms.flatMap(term => (term.type === 'phase' ? [term.phase] : [])).find(one => BOOTSTRAP_PHASES.has(one));
  if (phase === undefined || !BODY_ACTIONS.has(type)) return;
  throw new Wrong(
    `${type} is not for the bootstrap (~phase ${phase})`,
    'CA, CRL, CSR and certificate take delay, status, reset, close and stall',
  );
}

function checkFile(file: string): void {
  try {
    const stat = statSync(file);
    if (!stat.isFile()) throw new Wrong(`${file} is no file`, 'answer=FILE takes the bytes of a file as the body of the answer');
    if (stat.size > MAX_FILE_BYTES)
      throw new Wrong(`${file} is larger than ${MAX_FILE_BYTES / 1024 / 1024} MiB`, 'it would be held in memory');
    accessSync(file, constants.R_OK);
  } catch (error) {
    if (error instanceof Wrong) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new Wrong(`cannot read ${file}: ${code ?? 'unknown error'}`, 'a name with blanks is written answer="my catalog.json"');
  }
}

function printed(action: FaultAction): string {
  switch (action.type) {
    case 'delay':
      return `delay=${span(action.ms)}`;
    case 'status':
      return `status=${action.status}${action.retryAfterMs === null ? '' : ` retry-after=${span(action.retryAfterMs)}`}`;
    case 'cut':
      return `cut=${action.bytes}`;
    case 'rate':
      return `rate=${action.bytesPerSecond}`;
    case 'answer':
      return `answer=${/\s/.test(action.file) ? `"${action.file}"` : action.file}`;
    case 'reset':
    case 'close':
    case 'stall':
      return action.type;
  }
}

function printedLimit({ times, every, chance }: FaultLimit): string[] {
  return [
    ...(every === null ? [] : [`every=${every}`]),
    ...(chance === null ? [] : [`chance=${+(chance * 100).toFixed(3)}%`]),
    ...(times === null ? [] : [`times=${times}`]),
  ];
}

function span(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}

/** What `proxy` and `run` say at the start: nobody must forget that what is seen is not the primary alone. */
export function faultLines(rules: readonly FaultRule[]): string[] {
  if (rules.length === 0) return [];
  return [
    'FAULTS       agents get answers that the primary did not give; the capture says which',
    ...rules.map(rule => `             ${rule.text}`),
  ];
}

/** Gathers the values of an option that is given several times. */
export function gatherFaults(text: string, all: string[] = []): string[] {
  return [...all, text];
}
