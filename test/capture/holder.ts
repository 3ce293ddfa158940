/** Opens a capture for writing, says so, and waits to be killed. */
import { open } from './rig.ts';

await open(process.argv[2]!);
process.stdout.write('open\n');
setInterval(() => undefined, 60_000);
