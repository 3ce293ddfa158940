import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A real terminal for tests: tmux, on a server of its own. */

/** Why there is none, `null` when there is one. */
export function noTmux(): string | null {
  const { status, error } = spawnSync('tmux', ['-V'], { stdio: 'ignore' });
  return status === 0 ? null : `tmux cannot be started: ${error?.message ?? `exit code ${status}`}`;
}

export interface Terminal {
  /** Keys by tmux's names: `j`, `Enter`, `C-c`. */
  send(...keys: string[]): void;
  /** Bytes as they are. */
  type(text: string): void;
  /** The program takes the mouse. */
  mouse(): boolean;
  /** The screen, line by line. */
  screen(): string[];
  /** With its escapes. */
  styled(): string;
  resize(columns: number, rows: number): void;
  /** Waits until the screen has this text; the screen. */
  shows(text: string | RegExp): Promise<string[]>;
  [Symbol.dispose](): void;
}

/** A shell that runs one command, and then says `exit code N` and waits. */
export function openTerminal(command: string, columns: number, rows: number): Terminal {
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-tmux-'));
  const socket = join(dir, 'tmux');
  const tmux = (...args: string[]): string =>
    execFileSync('tmux', ['-S', socket, '-f', '/dev/null', ...args], { encoding: 'utf8' });
  // What stands on the screen before must be there again afterwards.
  const script = `echo before; ${command}; echo "exit code $?"; stty -a | grep -o -- '-\\?icanon'; exec sleep 600`;
  tmux('new-session', '-d', '-x', String(columns), '-y', String(rows), '-e', 'LANG=C.UTF-8', '-e', 'LC_ALL=C.UTF-8', script);
  const screen = (): string[] => tmux('capture-pane', '-p').replace(/\n$/, '').split('\n');
  return {
    send: (...keys) => void tmux('send-keys', ...keys),
    type: text => void tmux('send-keys', '-l', text),
    mouse: () => tmux('display-message', '-p', '#{mouse_any_flag}').trim() === '1',
    screen,
    styled: () => tmux('capture-pane', '-p', '-e'),
    resize: (x, y) => void tmux('resize-window', '-x', String(x), '-y', String(y)),
    async shows(text) {
      const until = Date.now() + 30_000;
      for (;;) {
        const lines = screen();
        const all = lines.join('\n');
        if (typeof text === 'string' ? all.includes(text) : text.test(all)) return lines;
        if (Date.now() > until) throw new Error(`the terminal does not show ${text}; it shows\n${all}`);
        await new Promise(resolve => setTimeout(resolve, 50));
      }
    },
    [Symbol.dispose]() {
      try {
        tmux('kill-server');
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    },
  };
}
