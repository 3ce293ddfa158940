/** One request as the primary saw it. */
export interface AccessLine {
  /** Certname of the client certificate, `null` when there was none. */
  user: string | null;
  /** Wall-clock ms of the answer's end. */
  at: number;
  method: string;
  /** As it was on the wire. */
  target: string;
  status: number;
  userAgent: string;
  /** The TLS session: lines of one connection share it. */
  session: string;
}

/** What the server's authorization wrote of one request. */
interface Verdict {
  at: number;
  /** Percent-decoded, without the query. */
  path: string;
  user: string | null;
}

/** `Request to '/puppet/v3/…' from 'certname(address)' handled by rule '…' - request allowed`; no name without a certificate. */
const VERDICT = /^Request to '(.*)' from '(?:(.*)\()?[^()']*\)?' (?:handled by rule|did not match any rules)/;

/** A verdict and the start of its request, as the answer's line gives it, lie this far apart at most. */
const SLACK_MS = 50;

/**
 * Reads the access log of a lab primary: answers, which name a TLS session but nobody, and verdicts, which name a certname but no
 * session. One session has one client certificate, so it belongs to the certname that fits every one of its requests.
 *
 * @throws Error when a line is not understood, or a session fits none or several certnames
 */
export function parseAccessLog(lines: readonly string[]): AccessLine[] {
  const verdicts: Verdict[] = [];
  const answers: Array<{ line: AccessLine; startedAt: number }> = [];
  for (const line of lines) {
    const [kind, ...fields] = line.split('\t');
    if (kind === 'verdict' && fields.length >= 2) {
      const found = VERDICT.exec(fields[1]!);
      if (found !== null) verdicts.push({ at: Date.parse(fields[0]!), path: found[1]!, user: found[2] ?? null });
    } else if (kind === 'answer' && fields.length === 6) {
      const [time, took, session, head, status, userAgent] = fields as [string, string, string, string, string, string];
      const [method = '', target = ''] = head.split(' ');
      const at = Date.parse(time);
      const answer = { user: null, at, method, target, status: Number(status), userAgent, session: session.toLowerCase() };
      answers.push({ line: answer, startedAt: at - Number(took) });
    } else throw new Error(`access log line not understood: ${line}`);
  }
  // Plain HTTP has no session: each request is whose its own verdict says.
  const sessions = Map.groupBy(answers, ({ line }, n) => (line.session === '-' ? `- ${n}` : line.session));
  for (const [session, members] of sessions) {
    const user = userOf(session, members, verdicts);
    for (const { line } of members) line.user = user;
  }
  return answers.map(answer => answer.line);
}

function userOf(
  session: string,
  members: ReadonlyArray<{ line: AccessLine; startedAt: number }>,
  verdicts: readonly Verdict[],
): string | null {
  let fitting: Set<string | null> | null = null;
  for (const { line, startedAt } of members) {
    const path = pathOf(line.target);
    const near = verdicts.filter(one => one.path === path && one.at >= startedAt - SLACK_MS && one.at <= line.at + SLACK_MS);
    // A request that the web server itself refuses (400) has no verdict.
    if (near.length === 0) continue;
    const users = new Set(near.map(one => one.user));
    fitting = fitting === null ? users : new Set<string | null>([...fitting].filter((one: string | null) => users.has(one)));
  }
  if (fitting === null) return null;
  const [user, ...others] = fitting;
  if (user === undefined) throw new Error(`TLS session ${session}: its requests were made by different certnames`);
  if (others.length > 0) throw new Error(`TLS session ${session}: it cannot be told which of ${[...fitting].join(', ')} asked`);
  return user;
}

function pathOf(target: string): string {
  const path = target.split('?', 1)[0]!;
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
