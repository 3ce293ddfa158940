import type { Action, Scope } from './keymap.ts';
import { subjectText, toggleMark, withName } from './marks.ts';
import type { Env, Screen, Step } from './screen.ts';
import { openConnection } from './views/connection.ts';
import { connectionsStep } from './views/connections.ts';
import { copyStep } from './views/copy.ts';
import { diffStep } from './views/diff.ts';
import { openExchange } from './views/exchange.ts';
import { exportStep } from './views/export.ts';
import { findingsScreen } from './views/findings.ts';
import { replayStep } from './views/replay.ts';
import { requestsScreen } from './views/requests.ts';
import { runScreen } from './views/run.ts';
import { runsScreen } from './views/runs.ts';
import { sqlStep } from './views/sql.ts';
import { timesStep } from './views/times.ts';

/** Commands that can be run anywhere, on what the screen is about. `null`: no such command. */
export function navigate(action: Action, env: Env, screen: Screen): Step | null {
  switch (action.name) {
    case 'runs':
      return { root: runsScreen(env) };
    case 'requests':
      return { push: requestsScreen(env) };
    case 'findings':
      return { push: findingsScreen(env) };
    case 'run': {
      const id = action.argument === null ? runOf(screen, env) : idOf(action.argument, 'r');
      if (id === null) return { say: { text: 'which run? as in :run r3', kind: 'error' } };
      const run = runScreen(id, env);
      return run === null ? { say: { text: `there is no run r${id}`, kind: 'error' } } : { push: run };
    }
    case 'exchange': {
      const id = idOf(action.argument, 'e');
      return id === null ? { say: { text: 'which exchange? as in :exchange e17', kind: 'error' } } : openExchange(id, env);
    }
    case 'connection': {
      const id = idOf(action.argument, 'c');
      return id === null
        ? { say: { text: 'which connection? as in :connection c7', kind: 'error' } }
        : openConnection(id, null, env);
    }
    case 'mark': {
      const subject = screen.subject();
      return subject === null ? null : { marks: toggleMark(env.marks, subject) };
    }
    case 'name': {
      const subject = screen.subject();
      const letter = letterOf(action.argument);
      if (subject === null || letter === null) return null;
      return {
        names: withName(env.names, letter, subject),
        say: { text: `${subjectText(subject)} is ${letter}: ' ${letter} goes there`, kind: 'info' },
      };
    }
    case 'named': {
      const subject = env.names.get(letterOf(action.argument) ?? '');
      if (subject === undefined)
        return { say: { text: `no row is called ${action.argument}; m and a letter gives it one`, kind: 'info' } };
      if (subject.type === 'exchange') return openExchange(subject.id, env);
      const run = runScreen(subject.id, env);
      return run === null ? { say: { text: `${subjectText(subject)} is no longer there`, kind: 'info' } } : { push: run };
    }
    case 'marks-off':
      return { marks: [], names: new Map(), say: { text: 'no row is marked', kind: 'info' } };
    case 'diff':
      return diffStep(action.argument, screen.subject(), env);
    case 'replay':
      return replayStep('exchange', action.argument, screen.subject(), env);
    case 'replay-run':
      return replayStep('run', action.argument, screen.subject(), env);
    case 'connections':
      return connectionsStep(action.argument, runLookedAt(screen, ['connections'], env), env);
    case 'times':
      return timesStep(action.argument, screen, runLookedAt(screen, [], env));
    case 'copy':
      return copyStep(action.argument, screen.subject(), env);
    case 'export':
      return exportStep(action.argument, screen.subject(), env);
    case 'sql':
      return sqlStep(action.argument, env);
    default:
      return null;
  }
}

/** Lists of the capture are about all of it, whatever their cursor is on. */
const OF_CAPTURE: readonly Scope[] = ['runs', 'requests'];

/** @param wholes screens that lead on to all of the capture, too */
function runLookedAt(screen: Screen, wholes: readonly Scope[], env: Env): number | null {
  return screen.scopes().some(scope => OF_CAPTURE.includes(scope) || wholes.includes(scope)) ? null : runOf(screen, env);
}

/** The run that is looked at, or that of the exchange that is. */
function runOf(screen: Screen, env: Env): number | null {
  const subject = screen.subject();
  if (subject === null || subject.type === 'run') return subject?.id ?? null;
  return env.source.store.exchange(subject.id)?.run ?? null;
}

/** One of the letters that a row can have. */
function letterOf(text: string | null): string | null {
  return /^[a-z]$/.test(text ?? '') ? text : null;
}

/** `r3` or `3`. */
function idOf(text: string | null, letter: string): number | null {
  const match = /^([a-z]?)(\d{1,15})$/.exec(text ?? '');
  return match === null || (match[1] !== '' && match[1] !== letter) ? null : Number(match[2]);
}
