import { sized } from '../../src/analysis/words.ts';
import { hideInFields, hideInTarget } from '../../src/decode/secrets.ts';
import type { Fields, Side } from '../../src/model.ts';
import { childError, runStringtap } from '../child.ts';
import { copyText, MAX_COPY } from '../clipboard.ts';
import { type Subject, subjectText } from '../marks.ts';
import type { Env, Step } from '../screen.ts';

/** Copies what the cursor is on: what the command line prints of it, with secrets hidden as there. */

const WHAT = ['url', 'curl', 'body', 'headers', 'json'] as const;
type What = (typeof WHAT)[number];

const NAMES: Record<What, string> = {
  url: 'the URL',
  curl: 'the request as curl',
  body: 'the body',
  headers: 'the header fields',
  json: 'JSON',
};

/** @param argument one of {@link WHAT} */
export function copyStep(argument: string | null, subject: Subject | null, env: Env): Step {
  const what = WHAT.find(known => known === argument);
  if (what === undefined) return { say: { text: `y then u c b h j copies ${WHAT.join(', ')}`, kind: 'info' } };
  if (subject === null) return { say: { text: 'there is nothing to copy here: go to a run or a request', kind: 'info' } };
  if (subject.type === 'run' && what !== 'json' && what !== 'curl') {
    return { say: { text: 'of a run: y j copies JSON, y c its requests as curl', kind: 'info' } };
  }
  return {
    job: {
      label: `copying ${NAMES[what]}`,
      async run(_report, signal) {
        const text = await textOf(what, subject, env, signal);
        if (text === null) return { say: { text: `${subjectText(subject)} has no body`, kind: 'info' } };
        if (text.length > MAX_COPY) {
          return { say: { text: `${sized(text.length)} is too much to copy; x exports, stringtap show prints`, kind: 'error' } };
        }
        const { sequence, tool } = await copyText(text);
        const size = sized(Buffer.byteLength(text));
        const words = `${NAMES[what]} of ${subjectText(subject)}, ${size}`;
        if (sequence === null && tool === null) {
          return {
            say: { text: `${words}: more than a terminal takes, and there is no wl-copy, xclip or pbcopy`, kind: 'error' },
          };
        }
        const how = tool === null ? 'sent to the terminal (OSC 52)' : `copied (${tool})`;
        return { say: { text: `${how}: ${words}`, kind: 'info' }, ...(sequence !== null && { escape: sequence }) };
      },
    },
  };
}

/** `null`: there is none. */
async function textOf(what: What, subject: Subject, env: Env, signal: AbortSignal): Promise<string | null> {
  const { store } = env.source;
  const name = subjectText(subject);
  switch (what) {
    case 'url':
      return urlOf(subject.id, env);
    case 'headers':
      return headersOf(subject.id, env);
    case 'json':
      return await printed(['show', name, '--json', store.file], signal);
    case 'curl':
      return await curlOf(subject, env, signal);
    case 'body': {
      const side = bodyOf(subject.id, env);
      return side === null ? null : await printed(['show', name, '--body', side, store.file], signal);
    }
  }
}

/** Where it went: the name and port that were asked, or the primary's. */
function urlOf(id: number, { source }: Env): string | null {
  const exchange = source.store.exchange(id);
  if (exchange === null) return null;
  const target = hideInTarget(exchange.target, source.hiding(exchange.run));
  if (!target.startsWith('/')) return target;
  const upstream = exchange.primaryConnection === null ? null : source.store.connection(exchange.primaryConnection);
  const primary = upstream?.target ?? source.store.recordings().find(({ id: one }) => one === exchange.recording)?.primaries[0];
  return `https://${primary ?? 'PRIMARY:8140'}${target}`;
}

function headersOf(id: number, { source }: Env): string | null {
  const exchange = source.store.exchange(id);
  if (exchange === null) return null;
  const hiding = source.hiding(exchange.run);
  const lines = (fields: Fields): string[] => hideInFields(fields, hiding).map(([name, value]) => `${name}: ${value}`);
  const { request, response } = exchange;
  const head = `${request.method} ${hideInTarget(request.target, hiding)} HTTP/${request.httpVersion}`;
  const answer = response === null ? [] : ['', `HTTP/1.1 ${response.status} ${response.reason}`, ...lines(response.fields)];
  return `${[head, ...lines(request.fields), ...answer].join('\n')}\n`;
}

/** The answer's body, or the request's where that is all there is. */
function bodyOf(id: number, { source }: Env): Side | null {
  const bodies = source.store.exchange(id)?.bodies ?? [];
  return (['response', 'request'] as const).find(side => bodies.some(body => body.side === side && body.size > 0)) ?? null;
}

/** Of the run's commands that of one exchange, with the comment before it: it has the number, and says what the command changes. */
async function curlOf(subject: Subject, env: Env, signal: AbortSignal): Promise<string> {
  const { store } = env.source;
  const run = subject.type === 'run' ? subject.id : (store.exchange(subject.id)?.run ?? null);
  const of = run === null ? [] : [`r${run}`];
  const all = await printed(['export', ...of, '--format', 'curl', '--capture', store.file], signal);
  if (subject.type === 'run') return all;
  const lines = all.split('\n');
  const from = lines.findIndex(line => line.startsWith(`# e${subject.id} `));
  if (from < 0) throw new Error(`there is no curl command of ${subjectText(subject)}`);
  const end = lines.findIndex((line, i) => i > from && /^# e\d+ /.test(line));
  return `${lines
    .slice(from, end < 0 ? undefined : end)
    .join('\n')
    .trimEnd()}\n`;
}

async function printed(args: readonly string[], signal: AbortSignal): Promise<string> {
  const result = await runStringtap(args, { signal });
  if (result.code !== 0) throw childError(result);
  return result.out;
}
