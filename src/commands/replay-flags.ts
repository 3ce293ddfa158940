import { InvalidArgumentError } from 'commander';
import type { Arrival } from '../replay/agents-load.ts';
import { WRITES, type Write } from '../replay/agents-plan.ts';
import { type Pace, parsePace } from '../replay/pace.ts';
import { parseId } from './ids.ts';
import { CliError } from './io.ts';
import { wholeNumber } from './options.ts';

/** Options of `stringtap replay`, read. */
export interface ReplayFlags {
  to: { host: string; port: number };
  from?: string;
  certs: string;
  ssldir?: string;
  caCert?: string;
  caFingerprint?: string;
  timing: Pace;
  writes: Write[];
  as?: string;
  enrol?: boolean;
  agents?: number;
  ramp?: number;
  herd?: boolean;
  splay?: number;
  waitForCert: number;
  capture?: string;
  only?: number[];
  dryRun?: boolean;
  progress?: boolean;
  json?: boolean;
}

/** Agents of a load begin within this time, unless told otherwise. */
const RAMP_MS = 30_000;

/** @throws commander's InvalidArgumentError, as all that follow */
export function addExchange(text: string, all: number[] | undefined): number[] {
  return [...(all ?? []), parseId('exchange')(text)];
}

export function pace(text: string): Pace {
  const parsed = parsePace(text);
  if (parsed === null) throw new InvalidArgumentError('expected recorded, fast, x2 or max-gap=5');
  return parsed;
}

export function writes(text: string): Write[] {
  return text.split(',').map(name => {
    const known = WRITES.find(write => write === name);
    if (known === undefined) throw new InvalidArgumentError(`expected some of ${WRITES.join(',')}`);
    return known;
  });
}

export function positive(text: string): number {
  const count = wholeNumber(text);
  if (count < 1 || count > 10_000) throw new InvalidArgumentError('expected a number from 1 to 10000');
  return count;
}

/** Ms of `90`, `90s`, `5m`, `500ms`. @throws commander's InvalidArgumentError */
export function timeSpan(text: string): number {
  const match = /^(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)?$/.exec(text);
  if (match === null) throw new InvalidArgumentError('expected a time, as in 60s, 5m');
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[(match[2] ?? 's') as 'ms' | 's' | 'm' | 'h'];
}

/** @throws {CliError} when options contradict each other */
export function arrivalOf(flags: ReplayFlags): Arrival {
  const given = [flags.ramp !== undefined, flags.herd === true, flags.splay !== undefined].filter(Boolean).length;
  if (given > 1) throw new CliError('--ramp, --herd and --splay exclude each other', 'leave all but one of them out', 2);
  if (given > 0 && flags.agents === undefined) {
    throw new CliError('--ramp, --herd and --splay need --agents N', 'stringtap replay r1 --to HOST --agents 200 --ramp 60s', 2);
  }
  if (flags.ssldir !== undefined && (flags.agents !== undefined || flags.enrol === true)) {
    throw new CliError(
      '--ssldir has the identity of one agent',
      'leave --ssldir out: --agents and --enrol keep theirs in --certs',
      2,
    );
  }
  if (flags.agents !== undefined && flags.agents > 1 && flags.as !== undefined && !/%(0\d)?d/.test(flags.as)) {
    throw new CliError(`--as ${flags.as} is one name`, 'a pattern has %d or %04d in it: --as load-%04d.example', 2);
  }
  if (flags.agents === undefined) return { type: 'queue' };
  if (flags.herd === true) return { type: 'herd' };
  return flags.splay === undefined ? { type: 'ramp', ms: flags.ramp ?? RAMP_MS } : { type: 'splay', ms: flags.splay };
}
