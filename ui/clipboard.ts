import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Copying: by OSC 52 through the terminal, which works over ssh, and by the desktop's own tool where there is one, because many terminals
 * ignore OSC 52.
 */

/** xterm takes no more than this many characters of base64, and others follow it. */
const MAX_OSC = 74_994;
/** A text that nobody pastes. */
export const MAX_COPY = 16 * 1024 * 1024;
/** A tool that does not answer (an X server that is gone) is not waited for. */
const WAIT_MS = 2000;

export interface Copied {
  /** For the terminal; `null`: too long for it. */
  readonly sequence: string | null;
  /** The tool that took it; `null`: none was there. */
  readonly tool: string | null;
}

/** OSC 52 with a text; `null` when no terminal would take as much. */
export function osc52(text: string): string | null {
  const base64 = Buffer.from(text).toString('base64');
  return base64.length > MAX_OSC ? null : `\x1b]52;c;${base64}\x07`;
}

/** Tools that may be there, by what the environment says. In tmux the buffer of tmux, which hands it on to its terminal. */
export function toolsFor(
  env: Readonly<Record<string, string | undefined>>,
  platform: NodeJS.Platform = process.platform,
): string[][] {
  const tools: string[][] = [];
  if (platform === 'darwin') tools.push(['pbcopy']);
  if (env.WAYLAND_DISPLAY) tools.push(['wl-copy']);
  if (env.DISPLAY) tools.push(['xclip', '-selection', 'clipboard'], ['xsel', '--clipboard', '--input']);
  if (env.TMUX) tools.push(['tmux', 'load-buffer', '-w', '-']);
  return tools;
}

export async function copyText(text: string, env: Readonly<Record<string, string | undefined>> = process.env): Promise<Copied> {
  for (const words of toolsFor(env)) if (await takes(words, text)) return { sequence: osc52(text), tool: words[0]! };
  return { sequence: osc52(text), tool: null };
}

async function takes([name = '', ...args]: string[], text: string): Promise<boolean> {
  // xclip goes on in the background to serve the text: nothing of it may hold our pipes.
  const child = spawn(name, args, { stdio: ['pipe', 'ignore', 'ignore'], timeout: WAIT_MS });
  child.stdin.on('error', () => {});
  child.stdin.end(text);
  try {
    const [code] = (await once(child, 'exit')) as [number | null];
    return code === 0;
  } catch {
    return false; // there is no such tool
  }
}
