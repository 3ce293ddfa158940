import { execFileSync, spawn } from 'node:child_process';

/**
 * Gives the terminal back, and ends what was started for the screens, when this process cannot: after `kill -9`, or when the machine is out of
 * memory. A shell waits for the end of its input, which comes when this process is gone, whatever ended it.
 */

export interface Guard {
  /** Ends the watch. */
  end(): void;
  /** A process that goes when this one is gone. The result is called when it has ended: its number is another's by then. */
  child(pid: number): () => void;
}

/** Main screen, cursor, plain text, no mouse, no bracketed paste, no held back output. */
const RESET = '\\033[?2026l\\033[?1006l\\033[?1000l\\033[?1049l\\033[?25h\\033[?2004l\\033[0m';

/**
 * The modes are set last and may fail: a shell that has taken the terminal back already has set its own, and the kernel lets nobody of a
 * group that is left over change them.
 */
const SCRIPT = `trap '' INT TERM QUIT HUP; kids=' '
while read -r what pid; do case $what in +) kids="$kids$pid ";; -) kids="\${kids%% $pid *} \${kids#* $pid }";; esac; done
[ "$kids" = ' ' ] || kill -TERM $kids; printf '${RESET}' >/dev/tty; stty "$1" </dev/tty`;

/** Call it before the screen is taken. */
export function guardTerminal(): Guard {
  const modes = savedModes();
  if (modes === null) return { end() {}, child: () => () => {} };
  // The number is for whoever looks at a list of processes.
  const watch = spawn('sh', ['-c', SCRIPT, 'stringtap-terminal', modes, String(process.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watch.on('error', () => {});
  watch.unref();
  watch.stdin.on('error', () => {});
  const end = (): void => {
    process.off('exit', end);
    watch.kill('SIGKILL');
  };
  process.once('exit', end);
  const tell = (what: '+' | '-', pid: number): void => void watch.stdin.write(`${what} ${pid}\n`);
  return {
    end,
    child(pid) {
      tell('+', pid);
      return () => tell('-', pid);
    },
  };
}

/** As stty writes and reads them; `null` where there is no stty (Windows). */
function savedModes(): string | null {
  try {
    const modes = execFileSync('stty', ['-g'], { stdio: ['inherit', 'pipe', 'ignore'], encoding: 'utf8', timeout: 1000 }).trim();
    return /^[0-9a-f:=;a-z]+$/i.test(modes) ? modes : null;
  } catch {
    return null;
  }
}
