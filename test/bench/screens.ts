/*
 * What a person at the screens waits for, on a capture of a million exchanges: start to first frame, key to frame in every view, and what
 * following costs.
 *
 *   node test/bench/million.ts 1000000 FILE   # makes the capture
 *   npm run build && node test/bench/screens.ts FILE
 *
 * The first frame is that of the compiled command in a real terminal. The frames of keys are drawn in one of 160x50 whose bytes go nowhere. `wall` is what passed on this machine, `cpu` what the work took, both in
 * ms: on a busy machine only the second can be trusted.
 */
import { EventEmitter } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';

process.env.NODE_ENV ??= 'production';
const { render } = await import('ink');
const { createElement } = await import('react');
const { firstFrame } = await import('./first-frame.ts');
const { openStore } = await import('../../src/capture/store.ts');
const { App } = await import('../../ui/app.ts');
const { createEngine } = await import('../../ui/engine.ts');
const { frameOf } = await import('../../ui/frame.ts');
const { defaultKeyMap } = await import('../../ui/keymap.ts');
const { navigate } = await import('../../ui/navigate.ts');
const { createPainter } = await import('../../ui/painter.ts');
const { createSource } = await import('../../ui/source.ts');
const { createTheme } = await import('../../ui/theme.ts');
const { helpScreen } = await import('../../ui/views/help.ts');
const { runsScreen } = await import('../../ui/views/runs.ts');

const [, , file] = process.argv;
if (file === undefined) throw new Error('usage: node test/bench/screens.ts FILE');

/** A terminal that nobody sees. */
class Output extends EventEmitter {
  columns = 160;
  rows = 50;
  isTTY = true;
  writes = 0;
  write(_: string, done?: unknown): boolean {
    this.writes += 1;
    if (typeof done === 'function') done();
    return true;
  }
}

class Input extends EventEmitter {
  isTTY = true;
  data: string | null = null;
  setEncoding(): void {}
  setRawMode(): void {}
  resume(): void {}
  pause(): void {}
  ref(): void {}
  unref(): void {}
  read(): string | null {
    const { data } = this;
    this.data = null;
    return data;
  }
  press(data: string): void {
    this.data = data;
    this.emit('readable');
  }
}

const cpuSince = (from: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1000;
};
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const figure = (ms: number): string => ms.toFixed(1).padStart(8);

const store = openStore(file);
const source = createSource(store);
const engine = createEngine({
  source,
  theme: createTheme({ colour: true, ascii: false }),
  map: defaultKeyMap(),
  size: { columns: 160, rows: 50 },
  first: runsScreen,
  navigate,
  help: helpScreen,
  onQuit: () => {},
  onSuspend: () => {},
  onRedraw: () => {},
  onEscape: () => {},
});
const [stdout, stdin] = [new Output(), new Input()];
const app = render(createElement(App, { engine, painter: createPainter(stdout) }), {
  stdout: stdout as unknown as NodeJS.WriteStream,
  stdin: stdin as unknown as NodeJS.ReadStream,
  stderr: new Output() as unknown as NodeJS.WriteStream,
  alternateScreen: true,
  interactive: true,
  exitOnCtrlC: false,
  incrementalRendering: true,
  maxFps: 60,
  patchConsole: false,
});
await pause(0);
const starts: { wall: number; cpu: number }[] = [];
for (let n = 0; n < 7; n += 1) starts.push(await firstFrame(file));
const middleOf = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
print(
  `start to first frame, median of ${starts.length}: wall ${figure(middleOf(starts.map(({ wall }) => wall)))}  cpu ${figure(middleOf(starts.map(({ cpu }) => cpu)))}`,
);

/** Presses keys in turn; each until its frame was written. Those that change nothing are not counted. */
async function measure(view: string, keys: readonly string[], times: number): Promise<void> {
  const [walls, cpus]: [number[], number[]] = [[], []];
  for (let i = 0; i < times; i += 1) {
    // Frames that belong to nobody's key are over.
    await pause(20);
    const [wall, cpu, writes] = [performance.now(), process.cpuUsage(), stdout.writes];
    stdin.press(keys[i % keys.length]!);
    while (stdout.writes === writes && performance.now() - wall < 500) await pause(0);
    if (stdout.writes === writes) continue;
    walls.push(performance.now() - wall);
    cpus.push(cpuSince(cpu));
  }
  if (walls.length === 0) return;
  const at = (of: number[], part: number): number =>
    of.sort((a, b) => a - b)[Math.min(of.length - 1, Math.floor(of.length * part))]!;
  print(
    `${view.padEnd(28)} ${figure(at(walls, 0.5))} ${figure(at(walls, 0.99))} ${figure(at(cpus, 0.5))} ${figure(at(cpus, 0.99))}`,
  );
}

print(`${'key to frame'.padEnd(28)} wall p50      p99  cpu p50      p99`);
const [middle] = store.runs({ after: Math.floor([...store.runs({ reverse: true, limit: 1 })][0]!.id / 2), limit: 1 });
await measure('runs, j', ['j'], 100);
await measure('runs, page down', ['\x06'], 50);
await measure('runs, e', ['e'], 30);
await measure('runs, g, e', ['g', 'e'], 20);
engine.act({ name: 'requests', argument: null });
await measure('requests, j', ['j'], 100);
await measure('requests, page down', ['\x06'], 100);
engine.act({ name: 'bottom', argument: null });
await measure('requests, page up', ['\x02'], 100);
engine.act({ name: 'times', argument: null });
await measure('times, measuring, b', ['b'], 5);
while (frameOf(engine).some(line => line.includes('looked at'))) await pause(50);
await measure('times, j', ['j', 'k'], 60);
await measure('times, o', ['o'], 20);
engine.act({ name: 'run', argument: `r${middle!.id}` });
await measure('run, j', ['j'], 60);
await measure('run, zoom', ['+', '0'], 20);
await measure('run, C and back', ['C', 'q'], 20);
for (const [tab, name] of ['Catalog', 'Facts', 'Events', 'Logs', 'Files', 'Certificates', 'Connections', 'Findings'].entries()) {
  engine.act({ name: 'tab', argument: String(tab + 2) });
  await measure(`run, ${name}, j`, ['j', 'k'], 30);
}
const [exchange] = store.exchanges({ run: middle!.id, phase: 'catalog', limit: 1 });
engine.act({ name: 'exchange', argument: `e${exchange!.id}` });
for (const [tab, name] of ['Summary', 'Request', 'Response', 'Timing', 'Connection', 'Raw'].entries()) {
  engine.act({ name: 'tab', argument: String(tab + 1) });
  await measure(`exchange, ${name}, j`, ['j', 'k'], 30);
}
await measure('help', ['?'], 1);
app.unmount();
await source.close();
store.close();
