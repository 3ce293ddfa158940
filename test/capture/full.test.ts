import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { Loss } from '../../src/capture/recorder.ts';
import { openStore } from '../../src/capture/store.ts';
import { closing, joined, noise, open, tempDir } from './rig.ts';

test.skipIf(process.platform === 'win32')(
  'a disk that takes no more: everybody goes on, the losses are counted, what is there is whole',
  async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    const child = fileURLToPath(new URL('full.ts', import.meta.url));
    // 3 MiB for each file (the unit of ulimit -f in sh is 512 bytes), of the 6 MB that are captured
    const shell = ['-c', `ulimit -f 6144; exec "$0" "$@"`, process.execPath, child, file];
    const { sent, losses } = JSON.parse(execFileSync('sh', shell, { encoding: 'utf8' })) as { sent: number; losses: Loss[] };
    expect(sent).toBe(60);
    expect(losses.map(loss => loss.reason)).toEqual(['write-failed']); // EFBIG; a full disk is SQLITE_FULL
    const lost = losses[0]!.count;
    expect(lost).toBeGreaterThan(5);

    // With room again the capture is as good as what was committed.
    const recorder = await open(file);
    await recorder.close();
    using store = closing(openStore(file));
    const kept = [...store.exchanges()];
    expect(kept).toHaveLength(60 - lost);
    for (const { id, target } of kept) {
      expect(joined(store.body(id, 'response')).equals(noise(100_000, Number(target.slice(1))))).toBe(true);
    }
    expect([...store.runs({ ended: false })]).toEqual([]);
  },
);
