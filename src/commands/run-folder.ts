import { chmodSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PREFIX = 'stringtap-run-';
/** Names the process that made the folder, so that a later one knows whether it is still there. */
const OWNER = 'owner';

/** A new folder of one run, 0700: a CA of its own, its key, two bundles. */
export function makeRunFolder(parent = tmpdir()): { path: string; remove(): void } {
  const path = mkdtempSync(join(parent, PREFIX));
  chmodSync(path, 0o700);
  writeFileSync(join(path, OWNER), `${process.pid} ${startedAt(process.pid) ?? ''}\n`, { mode: 0o600 });
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Removes what runs left that were killed: folders of this user whose process is gone. */
export function removeLeftFolders(parent = tmpdir()): string[] {
  const removed: string[] = [];
  for (const name of readdirSync(parent).filter(name => name.startsWith(PREFIX))) {
    const path = join(parent, name);
    try {
      const stats = lstatSync(path);
      // Anybody can make a folder of this name in /tmp: only our own, and no symbolic link, is touched.
      if (!stats.isDirectory() || stats.uid !== process.getuid?.() || isOwned(path, stats.mtimeMs)) continue;
      rmSync(path, { recursive: true, force: true });
      removed.push(path);
    } catch {
      // Another process was faster, or the folder cannot be removed: it is no reason not to run.
    }
  }
  return removed;
}

/** Between its making and its first file a folder has no owner yet. */
const YOUNG_MS = 60_000;

function isOwned(path: string, changedAt: number): boolean {
  let text: string;
  try {
    text = readFileSync(join(path, OWNER), 'utf8');
  } catch {
    return Date.now() - changedAt < YOUNG_MS;
  }
  const [pid = '', started = ''] = text.trim().split(' ');
  if (!/^[1-9]\d{0,9}$/.test(pid)) return false;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  // A number is given again to another process: the moment of its start tells them apart.
  return started === '' || startedAt(Number(pid)) === started;
}

/** Field 22 of /proc/PID/stat (proc(5)): when the process started, in clock ticks since boot. `null` where there is no /proc. */
function startedAt(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
