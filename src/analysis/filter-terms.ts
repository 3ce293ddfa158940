import { PHASES } from '../model.ts';
import type { Subject } from './filter.ts';

/** What follows a name: nothing, a text, a status, a phase, or a number (or range of numbers) with a text as the other way. */
export type Argument = 'none' | 'text' | 'status' | 'phase' | 'ids';

/** A name of the language, for the parser, the completion and the reference. */
export interface TermInfo {
  name: string;
  argument: Argument;
  subjects: readonly Subject[];
  /** What it asks, in a few words. */
  about: string;
  example: string;
}

const ALL: readonly Subject[] = ['exchange', 'run', 'connection', 'finding'];
const TRAFFIC: readonly Subject[] = ['exchange', 'run'];
const RUNS: readonly Subject[] = ['exchange', 'run', 'finding'];

function term(name: string, argument: Argument, subjects: readonly Subject[], about: string, example: string): TermInfo {
  return { name, argument, subjects, about, example };
}

/** In the order in which a person meets them. */
export const TERMS: readonly TermInfo[] = [
  term('certname', 'text', ALL, 'certname of the agent', '~certname web*'),
  term('phase', 'phase', TRAFFIC, 'phase of the run', '~phase catalog'),
  term('env', 'text', RUNS, 'environment', '~env production'),
  term('run', 'ids', ALL, 'run, a range of runs, or a transaction_uuid', '~run r3'),
  term('conn', 'ids', ALL, 'connection of either leg, a range of them, or its peer', '~conn c5'),
  term('res', 'text', TRAFFIC, 'resource in the catalog or the report, as Type[title]', '~res File[/etc/motd]'),
  term('fact', 'text', TRAFFIC, 'fact, as path=value', '~fact os.family=Debian'),
  term('find', 'text', ALL, 'finding, by its rule, severity or words', '~find crl-expired'),
  term('fault', 'text', TRAFFIC, 'the rule of --fault that interfered with it', '~fault status=503'),
  term('u', 'text', TRAFFIC, 'target of the request', '~u /puppet/v3/file_content'),
  term('m', 'text', TRAFFIC, 'method', '~m PUT'),
  term('c', 'status', TRAFFIC, 'status', '~c 4xx'),
  term('t', 'text', TRAFFIC, 'Content-Type of request or response', '~t pson'),
  term('tq', 'text', TRAFFIC, 'Content-Type of the request', '~tq x-www-form-urlencoded'),
  term('ts', 'text', TRAFFIC, 'Content-Type of the response', '~ts json'),
  term('h', 'text', TRAFFIC, 'a header line, as name: value', '~h "accept-encoding: gzip"'),
  term('hq', 'text', TRAFFIC, 'a header line of the request', '~hq x-puppet-version'),
  term('hs', 'text', TRAFFIC, 'a header line of the response', '~hs "connection: close"'),
  term('b', 'text', TRAFFIC, 'text in a body', '~b nginx.conf'),
  term('bq', 'text', TRAFFIC, 'text in the body of the request', '~bq transaction_uuid'),
  term('bs', 'text', TRAFFIC, 'text in the body of the response', '~bs "Error while evaluating"'),
  term('d', 'text', ['exchange', 'run', 'connection'], 'name of the primary that the agent asked for', '~d puppet.example.com'),
  term('q', 'none', TRAFFIC, 'no response', '~q'),
  term('s', 'none', TRAFFIC, 'has a response', '~s'),
  term('e', 'none', ALL, 'went wrong: failed, abandoned, or a 5xx', '~e'),
];

const BY_NAME = new Map(TERMS.map(info => [info.name, info]));

export function termInfo(name: string): TermInfo | null {
  return BY_NAME.get(name) ?? null;
}

/** What users of mitmproxy will write, and what it is here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  a: 'assets of web pages are no matter here',
  all: 'no filter at all shows everything',
  src: 'an agent is ~certname NAME, an address ~conn ADDRESS',
  dst: 'the primary is ~d NAME, an address ~conn ADDRESS',
  http: 'every exchange is HTTP',
  id: 'exchanges of a run are ~run r3, of a connection ~conn c5',
  status: 'a status is ~c 404',
  url: 'a target is ~u TEXT',
  method: 'a method is ~m PUT',
  body: 'text in a body is ~b TEXT',
  environment: 'an environment is ~env NAME',
  resource: 'a resource is ~res Type[title]',
  finding: 'a finding is ~find NAME',
  connection: 'a connection is ~conn c5',
};

/** A word of advice on a name that is not known. */
export function adviceOn(name: string): string {
  if (Object.hasOwn(ELSEWHERE, name)) return ELSEWHERE[name]!;
  const near = TERMS.filter(
    info => name !== '' && (info.name.startsWith(name) || (info.name.length > 2 && name.startsWith(info.name))),
  );
  return `${near.length === 0 ? 'the names are' : 'near it:'} ${(near.length === 0 ? TERMS : near).map(info => `~${info.name}`).join(' ')}`;
}

/** What an argument may be, where it is one of a few. */
export function argumentValues(argument: Argument): readonly string[] {
  if (argument === 'phase') return PHASES;
  if (argument === 'status') return ['2xx', '3xx', '4xx', '5xx', '404', '500'];
  return [];
}
