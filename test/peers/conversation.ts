import { type Credentials, hostField, openLine, type Place, type Reply } from './lines.ts';

/** Which connection of a run a request goes over: c2 to c5 of PUPPET's first run; c1 carries nothing. */
export type LineName = 'ca' | 'crl' | 'csr' | 'main';

/** One request of a run with its answer. */
export interface Step {
  line: LineName;
  method: string;
  target: string;
  reply: Reply;
}

export interface Body {
  type: string;
  bytes: Buffer;
}

export type Ask = (method: string, target: string, accept: string, body?: Body) => Promise<Reply>;

/** All that one run says and hears. */
export interface Conversation {
  readonly place: Place;
  readonly steps: readonly Step[];
  /** Opens a connection of its own for these credentials, as each SSL context of the agent has one. */
  line(name: LineName, credentials: Credentials): Ask;
  /** Closes every connection: at the end of a run, and before a pause of `waitforcert`. */
  closeAll(): void;
}

/** A run that cannot go on; the message is what an agent prints. */
export class RunFailed extends Error {}

const VERSION = '7.23.0';
const USER_AGENT = 'Puppet/7.23.0 Ruby/3.1.2-p20 (x86_64-linux-gnu)';

export const JSON_OR_PSON = 'application/json, text/pson';
export const OCTETS = 'application/octet-stream';

export function openConversation(place: Place): Conversation {
  const steps: Step[] = [];
  const lines = new Set<ReturnType<typeof openLine>>();
  return {
    place,
    steps,
    line(name, credentials) {
      const line = openLine(place, credentials);
      lines.add(line);
      return async (method, target, accept, body) => {
        const reply = await line.send({ method, target, fields: fieldsOf(place, accept, body), body: body?.bytes ?? null });
        steps.push({ line: name, method, target, reply });
        return reply;
      };
    },
    closeAll() {
      for (const line of lines) line.close();
      lines.clear();
    },
  };
}

/** The fields of every request, in the order in which Puppet 7 writes them. */
function fieldsOf(place: Place, accept: string, body: Body | undefined): [string, string][] {
  return [
    ['X-Puppet-Version', VERSION],
    ['User-Agent', USER_AGENT],
    ['Accept', accept],
    ...(body === undefined ? [] : [['Content-Type', body.type] as [string, string]]),
    ['Accept-Encoding', 'gzip;q=1.0,deflate;q=0.6,identity;q=0.3'],
    ['Host', hostField(place)],
    ...(body === undefined ? [] : [['Content-Length', String(body.bytes.length)] as [string, string]]),
  ];
}

/** What an agent prints of an answer: the message of a JSON body, or the body. */
export function said({ status, reason, body }: Reply): string {
  const text = body.toString('utf8');
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && 'message' in parsed) return String(parsed.message);
  } catch {
    // no JSON: the text itself
  }
  return text.trim() === '' ? `${status} ${reason}` : text.trim();
}
