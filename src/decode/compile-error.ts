/** A place in a manifest. */
export interface Location {
  file: string | null;
  line: number | null;
  column: number | null;
}

/** What a compiler's message says beyond its words. */
export interface CompileError {
  /** The message without place, node and the words that every message has. */
  message: string;
  /** The place where it went wrong: of nested errors the innermost. */
  location: Location | null;
  /** Every place that the message names, in its order. */
  locations: Location[];
  /** The first `Type[title]` in it. */
  resource: string | null;
  /** Of `Could not parse for environment …`. */
  environment: string | null;
  /** Of `… on node …`. */
  node: string | null;
}

/** A message is read no further than this: nothing after it says where. */
const MAX_MESSAGE = 64 * 1024;

/**
 * The places of Puppet's messages: `(file: F, line: L, column: C)` since Puppet 5 (`util/errors.rb`, error_location), ` at F:L:C` and
 * ` at F:L` before. Runs are bounded, so that the search is linear.
 */
const LOCATION =
  /\((?:file: (?<file>[^()\n]{1,1024}?)(?:, line: (?<line>\d{1,9}))?(?:, column: (?<column>\d{1,9}))?|line: (?<only>\d{1,9})(?:, column: (?<onlyColumn>\d{1,9}))?)\)| at (?<oldFile>(?:\/|[A-Za-z]:[\\/])[^\s:()]{1,1024}):(?<oldLine>\d{1,9})(?::(?<oldColumn>\d{1,9}))?/g;

const RESOURCE = /\b[A-Z]\w{0,100}(?:::[A-Z]\w{0,100}){0,20}\[[^[\]\n]{1,1024}\]/;

/** Words around every message: who says so, not what (`network/http/error.rb`; Puppet 3: `Error 400 on SERVER:`). */
const PREFIX = /^(?:Error \d{3} on SERVER: |Server Error: |Internal Server Error: |Bad Request: |Not Found: )+/;

/** Takes a failed compilation's message apart. Total; of another message what it finds, often nothing but the message. */
export function compileErrorOf(text: string): CompileError {
  let message = text.slice(0, MAX_MESSAGE).replace(PREFIX, '');
  const node = / on node ([^\s]{1,255})\s*$/.exec(message.slice(-300));
  if (node !== null) message = message.slice(0, message.length - node[0].length);
  const environment = /^Could not parse for environment ([^\s:]{1,255}): /.exec(message);
  if (environment !== null) message = message.slice(environment[0].length);
  const found = [...message.matchAll(LOCATION)].map(match => ({
    start: match.index,
    end: match.index + match[0].length,
    ...placeOf(match),
  }));
  const trailing = trailingRun(message, found);
  const [innermost] = trailing;
  return {
    message: innermost === undefined ? message.trim() : message.slice(0, innermost.start).trim(),
    location: exactest(trailing) ?? found[0]?.location ?? null,
    locations: found.map(({ location }) => location),
    resource: RESOURCE.exec(message)?.[0] ?? null,
    environment: environment?.[1] ?? null,
    node: node?.[1] ?? null,
  };
}

interface Found {
  start: number;
  end: number;
  location: Location;
}

function placeOf(match: RegExpMatchArray): { location: Location } {
  const groups = match.groups!;
  const number = (digits: string | undefined): number | null => (digits === undefined ? null : Number(digits));
  return {
    location: {
      file: groups.file ?? groups.oldFile ?? null,
      line: number(groups.line ?? groups.only ?? groups.oldLine),
      column: number(groups.column ?? groups.onlyColumn ?? groups.oldColumn),
    },
  };
}

/**
 * Each error that wraps another appends its own place, so that the message ends in places, the innermost first. Places before that
 * run are of other things (`is already declared at (file: …)`).
 */
function trailingRun(message: string, found: readonly Found[]): Found[] {
  let end = message.trimEnd().length;
  const run: Found[] = [];
  for (const place of found.toReversed()) {
    if (message.slice(place.end, end).trim() !== '') break;
    run.unshift(place);
    end = place.start;
  }
  return run;
}

/** The innermost place, with the column that an outer error may know for the same line. */
function exactest(run: readonly Found[]): Location | null {
  const innermost = run[0]?.location ?? null;
  if (innermost === null || innermost.column !== null) return innermost;
  const same = run.find(
    ({ location }) => location.file === innermost.file && location.line === innermost.line && location.column !== null,
  );
  return same?.location ?? innermost;
}
