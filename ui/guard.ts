import { execFileSync, spawn } from 'node:child_process';

/**
 * Gives the terminal back when this process cannot: after `kill -9`, or when the machine is out of memory. A shell waits for the end of
 * its input, which comes when this process is gone, whatever ended it.
 */

/** Main screen, cursor, plain text, no mouse, no bracketed paste, no held back output. */
const RESET = '\\033[?2026l\\033[?1006l\\033[?1000l\\033[?1049l\\033[?25h\\033[?2004l\\033[0m';

/**
 * The modes are set last and may fail: a shell that has taken the terminal back already has set its own, and the kernel lets nobody of a
 * group that is left over change them.
 */
const SCRIPT = `trap '' INT TERM QUIT HUP; while read -r _; do :; done; printf '${RESET}' >/dev/tty; stty "$1" </dev/tty`;

/** Call it before the screen is taken. The result ends the watch. */
export function guardTerminal(): () => void {
  const modes = savedModes();
  if (modes === null) return () => {};
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
  return end;
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
