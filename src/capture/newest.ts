import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The capture in `dir` that was written last, or `null`. */
export function newestCapture(dir: string): string | null {
  let newest: { file: string; at: number } | null = null;
  for (const name of fileNames(dir)) {
    if (!name.endsWith('.db')) continue;
    const file = join(dir, name);
    // While a proxy writes, the newest rows are in the WAL.
    const times = [file, `${file}-wal`].map(path => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    const at = Math.max(...times);
    if (newest === null || at > newest.at) newest = { file, at };
  }
  return newest?.file ?? null;
}

function fileNames(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}
