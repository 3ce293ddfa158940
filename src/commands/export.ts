import { closeSync, openSync, writeSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { type Selection, select } from '../export/selection.ts';
import { packageVersion } from '../version.ts';
import { parseId } from './ids.ts';
import { CliError, type Io } from './io.ts';
import { openCapture } from './options.ts';

const FORMATS = ['har', 'jsonl', 'curl', 'files', 'otlp', 'html'] as const;
type Format = (typeof FORMATS)[number];

interface ExportOptions {
  format: Format;
  output?: string;
  capture?: string;
  reveal?: boolean;
}

/** `stringtap export RUN… --format FORMAT`: what was captured, for other tools. Secrets are hidden unless they are asked for. */
export function registerExport(program: Command, io: Io): void {
  program
    .command('export')
    .description('write runs for other tools: HAR, JSON lines, curl, files, OpenTelemetry, a page; secrets are hidden')
    .argument('[run...]', 'these runs, as in r3 (default: the whole capture)', addRun)
    .addOption(new Option('--format <FORMAT>', 'what to write').choices(FORMATS).makeOptionMandatory())
    .option('-o, --output <FILE|DIR>', 'where to (default: stdout; files needs a folder)')
    .option('--capture <FILE>', 'capture file (default: the newest in captures/)')
    .option('--reveal', 'secrets as they are: Sensitive values, passwords, tokens, private keys')
    .action(async (runs: number[], options: ExportOptions) => {
      const store = openCapture(options.capture, 'bodies');
      try {
        const rows = runs.map(id => {
          const run = store.run(id);
          if (run === null) throw new CliError(`there is no run r${id} in ${store.file}`, 'stringtap runs lists them');
          return run;
        });
        const selection = select(store, rows.length === 0 ? null : rows, options.reveal === true);
        await write(io, selection, options);
      } finally {
        store.close();
      }
    });
}

function addRun(text: string, all: number[] | undefined): number[] {
  return [...(all ?? []), parseId('run')(text)];
}

async function write(io: Io, selection: Selection, options: ExportOptions): Promise<void> {
  switch (options.format) {
    case 'har': {
      const { harText } = await import('../export/har.ts');
      return writeText(io, options.output, harText(selection, packageVersion()));
    }
    case 'jsonl': {
      const { jsonLines } = await import('../export/jsonl.ts');
      return writeText(io, options.output, jsonLines(selection));
    }
    case 'curl':
    case 'files':
    case 'otlp':
    case 'html':
      throw new CliError(`${options.format} is not there yet`);
    default:
      options.format satisfies never;
  }
}

/** Pieces are gathered to so many characters before they are written. */
const GATHERED = 64 << 10;

/** To a file that only its owner may read, or to stdout. */
async function writeText(io: Io, file: string | undefined, pieces: AsyncIterable<string> | Iterable<string>): Promise<void> {
  const fd = file === undefined || file === '-' ? null : openOutput(file);
  const put = (text: string): void => {
    if (fd === null) io.write(Buffer.from(text));
    else for (let rest = Buffer.from(text); rest.length > 0; rest = rest.subarray(writeSync(fd, rest)));
  };
  let gathered = '';
  try {
    for await (const piece of pieces) {
      gathered += piece;
      if (gathered.length < GATHERED) continue;
      put(gathered);
      gathered = '';
    }
    put(gathered);
  } catch (error) {
    if (error instanceof Error && 'syscall' in error && error.syscall === 'write') throw cannotWrite(error, file ?? '-');
    throw error;
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

function openOutput(file: string): number {
  try {
    return openSync(file, 'w', 0o600);
  } catch (error) {
    throw cannotWrite(error, file);
  }
}

function cannotWrite(error: unknown, file: string): CliError {
  return new CliError(
    `cannot write ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`,
    '-o names another place',
  );
}
