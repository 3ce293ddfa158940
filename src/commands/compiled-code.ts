import { existsSync, mkdirSync, statSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/**
 * V8 compiles the screens anew with each start; what it made is kept in `$XDG_CACHE_HOME/stringtap` (`~/.cache/stringtap`) and read the next
 * time. Who can write there says what runs: the directory is used only when it, and what it is in, belongs to the user, and nobody
 * else can write to it.
 */
export function keepCompiledCode(env: Readonly<Record<string, string | undefined>>): void {
  const dir = codeDirectory(env);
  if (dir !== null) enableCompileCache(dir);
}

/** The directory, made when it is not there; `null`: there is none that could be trusted. */
export function codeDirectory(env: Readonly<Record<string, string | undefined>>): string | null {
  const uid = process.getuid?.();
  const given = env.XDG_CACHE_HOME ?? '';
  const base = given.startsWith('/') ? given : join(env.HOME ?? homedir(), '.cache');
  const dir = join(base, 'stringtap');
  try {
    for (const path of [base, dir]) if (!existsSync(path)) mkdirSync(path, { mode: 0o700 });
    const isOurs = (path: string): boolean => {
      const { uid: owner, mode } = statSync(path);
      return owner === uid && (mode & 0o022) === 0;
    };
    return [dir, base, ...(given.startsWith('/') ? [] : [dirname(base)])].every(isOurs) ? dir : null;
  } catch {
    return null;
  }
}
