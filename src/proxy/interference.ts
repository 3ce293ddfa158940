import { open } from 'node:fs/promises';
import type { Exchange, Failure, Fields } from '../model.ts';
import type { Answering } from './attempt.ts';
import type { Delivery } from './delivery.ts';
import { answerTo, reasonOf } from './failure.ts';
import type { FaultAction, FaultRule, Faults } from './faults.ts';
import { field } from './fields.ts';
import { cutAnswer, passedOn, type SlowAnswer, slowAnswer } from './interference-body.ts';

/** A file that is an answer is held whole. */
export const MAX_FILE_BYTES = 16 * 1024 * 1024;

/** What a rule of `--fault` does to one exchange. */
export interface Interference {
  /** `before`: the request goes on when `go` is called; `instead`: it never does; `after`: it goes now, and its answer is changed. */
  readonly when: 'before' | 'instead' | 'after';
  /** Calls `go` when a `delay` is over; not when the agent has gone. */
  delay(go: () => void): void;
  /** Answers in the primary's place, or not at all; its request has come whole. */
  answer(): Promise<void>;
  /** What takes the primary's answer in place of `to`. @param primary what holds the primary back, and gives its answer up */
  through(to: Answering, primary: { resume(): void; abort(): void }): Answering;
  /** The agent can take more. @returns whether the primary may go on, too */
  drained(): boolean;
  /** The agent has gone: nothing waits any more. */
  left(): void;
}

/** @param onNotice what the operator should read: a file that cannot be read any more */
export function interfere(rule: FaultRule, faults: Faults, delivery: Delivery, onNotice: (line: string) => void): Interference {
  const { action } = rule;
  delivery.exchange.fault = rule.text;
  let letGo: (() => void) | null = null;
  let slow: SlowAnswer | null = null;

  return {
    when: whenOf(action),
    delay(go) {
      const on = (): void => {
        letGo?.();
        if (!delivery.over) go();
      };
      const timer = setTimeout(on, action.type === 'delay' ? action.ms : 0);
      const off = faults.waiting(on);
      letGo = () => {
        clearTimeout(timer);
        off();
      };
    },
    async answer() {
      switch (action.type) {
        case 'status': {
          const after =
            action.retryAfterMs === null ? [] : [['Retry-After', String(Math.ceil(action.retryAfterMs / 1000))] as const];
          return sayFailure(delivery, faultOf(`status=${action.status}`), action.status, after);
        }
        case 'reset':
        case 'close':
          return delivery.hangUp(faultOf(action.type), action.type);
        case 'stall':
          delivery.exchange.answeredBy = 'proxy';
          letGo = faults.waiting(() => delivery.hangUp(faultOf('stall', 'the proxy ended'), 'close'));
          return;
        case 'answer':
          return answerWith(action.file, delivery, onNotice);
        case 'delay':
        case 'cut':
        case 'rate':
          throw new Error(`${action.type} is no answer`);
      }
    },
    through(to, primary) {
      if (action.type === 'cut') {
        return cutAnswer(to, action.bytes, () => {
          primary.abort();
          delivery.hangUp(faultOf(`cut=${action.bytes}`), 'close');
        });
      }
      if (action.type !== 'rate') return to;
      const last: Answering = {
        ...passedOn(to),
        onEnd(trailers) {
          letGo?.();
          to.onEnd(trailers);
        },
        onFailure(failure) {
          letGo?.();
          to.onFailure(failure);
        },
      };
      slow = slowAnswer(last, action.bytesPerSecond, () => primary.resume());
      letGo = faults.waiting(() => slow?.hurry());
      return slow;
    },
    drained: () => slow?.drained() ?? true,
    left() {
      letGo?.();
      slow?.stop();
    },
  };
}

function whenOf({ type }: FaultAction): Interference['when'] {
  if (type === 'delay') return 'before';
  return type === 'cut' || type === 'rate' ? 'after' : 'instead';
}

function faultOf(action: string, detail: string | null = null): Failure {
  return { reason: 'fault', action, detail };
}

async function answerWith(file: string, delivery: Delivery, onNotice: (line: string) => void): Promise<void> {
  try {
    const body = await readBounded(file);
    if (!delivery.over) delivery.answer(200, 'OK', [['Content-Type', typeOf(delivery.exchange)]], body);
  } catch (error) {
    const detail = `the file cannot be used: ${(error as NodeJS.ErrnoException).code ?? reasonOf(error)}`;
    onNotice(`--fault answer=${file}: ${detail}`);
    if (!delivery.over) sayFailure(delivery, faultOf('answer', detail), 502, []);
  }
}

/** In the shape of Puppet's own errors, with a phrase that says whose it is. */
function sayFailure(delivery: Delivery, failure: Failure, status: number, fields: Fields): void {
  if (delivery.over) return;
  const { reason, message, issueKind } = answerTo(failure);
  const body = Buffer.from(`${JSON.stringify({ message, issue_kind: issueKind })}\n`);
  delivery.answer(status, reason, [['Content-Type', 'application/json;charset=utf-8'], ...fields], body, failure);
}

/** @throws when it cannot be read, is no file, or is larger than {@link MAX_FILE_BYTES} */
async function readBounded(file: string): Promise<Buffer> {
  const handle = await open(file);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Error('it is no file');
    if (stat.size > MAX_FILE_BYTES) throw new Error(`it is larger than ${MAX_FILE_BYTES / 1024 / 1024} MiB`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

const FILES: ReadonlySet<string> = new Set(['file_content', 'static_file_content', 'file_bucket_file']);

/** The Content-Type that Puppet Server sends for an indirection (PUPPET.md 2.2): rich data for a catalog, if the agent takes it. */
function typeOf({ route, request }: Exchange): string {
  if (FILES.has(route.indirection ?? '')) return 'application/octet-stream';
  const isRich = route.phase === 'catalog' && field(request.fields, 'accept')?.includes('application/vnd.puppet.rich+json');
  return isRich === true ? 'application/vnd.puppet.rich+json; charset=utf-8' : 'application/json;charset=utf-8';
}
