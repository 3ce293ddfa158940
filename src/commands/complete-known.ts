import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Store } from '../capture/store.ts';
import type { Candidate, Known } from './complete.ts';
import { idText } from './ids.ts';
import { CAPTURES, captureFile } from './options.ts';
import { clock, day } from './present.ts';

/** The newest so many runs, notes and captures are offered. */
const MOST = 200;

/** What a shell may put in without quotes: a capture holds anybody's words. */
const PLAIN = /^[\w.:@%+~/-]{1,200}$/;

/** Reads what is there and derives nothing: a shell waits. */
export function knownValues(): Known {
  return async (name, capture) => {
    try {
      const found = await valuesOf(name, capture);
      return found.filter(({ text }) => PLAIN.test(text));
    } catch {
      return []; // no capture, or one that cannot be read: nothing is known
    }
  };
}

async function valuesOf(name: string, capture: string | undefined): Promise<Candidate[]> {
  switch (name) {
    case 'capture':
      return captures();
    case 'run':
    case 'id':
    case 'other':
      return ask(capture, runs);
    case 'certname':
      return ask(capture, store => distinct(store, 'certname'));
    case 'environment':
      return ask(capture, store => distinct(store, 'environment'));
    case 'note':
      return ask(capture, store =>
        store
          .notes()
          .slice(-MOST)
          .map(({ id, text }) => ({ text: `n${id}`, about: text })),
      );
    case 'rule': {
      const { RULES } = await import('../analysis/findings/registry.ts');
      return RULES.map(({ id, title }) => ({ text: id, about: title }));
    }
    case 'table': {
      const { TABLE_NAMES } = await import('./show-tables.ts');
      return TABLE_NAMES.map(text => ({ text, about: 'one table in place of the page' }));
    }
    default:
      return [];
  }
}

/** Newest first, by their names, which begin with the time. */
function captures(): Candidate[] {
  const names = readdirSync(CAPTURES).filter(name => name.endsWith('.db'));
  return names
    .sort()
    .reverse()
    .slice(0, MOST)
    .map(name => ({ text: join(CAPTURES, name), about: 'capture' }));
}

async function ask(capture: string | undefined, question: (store: Store) => Candidate[]): Promise<Candidate[]> {
  const { openUpToDate } = await import('../capture/opening.ts');
  const store = openUpToDate(captureFile(capture), 'runs');
  try {
    return store === null ? [] : question(store);
  } finally {
    store?.close();
  }
}

function runs(store: Store): Candidate[] {
  return [...store.runs({ limit: MOST, reverse: true })].map(({ id, certname, startedAt }) => {
    const at = Date.parse(startedAt);
    return { text: idText('run', id), about: `${certname}, ${day(at)} ${clock(at).slice(0, 5)}` };
  });
}

function distinct(store: Store, member: 'certname' | 'environment'): Candidate[] {
  const seen = new Set<string>();
  for (const run of store.runs({ limit: MOST, reverse: true })) if (run[member] !== null) seen.add(run[member]);
  return [...seen].map(text => ({ text, about: member }));
}
