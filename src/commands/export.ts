import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { counted } from '../analysis/words.ts';
import type { CurlPlaces } from '../export/curl.ts';
import { type Selection, select } from '../export/selection.ts';
import { type CertsLayout, certsLayout } from '../pki/layout.ts';
import type { PinnedPrimary } from '../pki/pinned.ts';
import { packageVersion } from '../version.ts';
import { withOutput, writeText } from './export-output.ts';
import { runsAndCapture } from './filter-argument.ts';
import { requireRun } from './ids.ts';
import { CliError, type Io, printable } from './io.ts';
import { httpUrl, openCapture } from './options.ts';

const FORMATS = ['har', 'jsonl', 'curl', 'files', 'otlp', 'html'] as const;
type Format = (typeof FORMATS)[number];

interface ExportOptions {
  format: Format;
  output?: string;
  capture?: string;
  reveal?: boolean;
  to?: string;
  certs?: string;
  ssldir?: string;
}

/** `stringtap export RUN… --format FORMAT`: what was captured, for other tools. Secrets are hidden unless they are asked for. */
export function registerExport(program: Command, io: Io): void {
  program
    .command('export')
    .description('write runs for other tools: HAR, JSON lines, curl, files, OpenTelemetry, a page; secrets are hidden')
    .argument('[run...]', 'these runs, as in r3 (default: the whole capture); at the end a capture file')
    .addOption(new Option('--format <FORMAT>', 'what to write').choices(FORMATS).makeOptionMandatory())
    .option('-o, --output <FILE|DIR>', 'where to (default: stdout); for files a folder, for curl one if you like')
    .option('--capture <FILE>', 'capture file (default: the newest in captures/)')
    .option('--to <URL>', 'with otlp: to this collector, as in http://localhost:4318', httpUrl)
    .option('--reveal', 'secrets as they are: Sensitive values, passwords, tokens, private keys')
    .option('--certs <DIR>', 'with curl: identities and CAs of the proxy (default: certs)')
    .option('--ssldir <DIR>', "with curl: the agent's own ssldir in their place")
    .action(async (words: string[], options: ExportOptions) => {
      requireFitting(options);
      const { runs, file } = runsAndCapture('export', words, options.capture);
      const store = await openCapture(file, 'bodies');
      try {
        const rows = runs.map(id => requireRun(store, id));
        const selection = select(store, rows.length === 0 ? null : rows, options.reveal === true);
        const { behind } = store.decoded;
        const late = rows.length === 0 ? behind() : rows.reduce((sum, { id }) => sum + behind({ run: id }), 0);
        await write(io, selection, options);
        if (late > 0 && !selection.reveal) {
          io.err(
            `stringtap: ${counted(late, 'exchange')} not decoded yet: what a catalog of them calls secret is hidden in it alone`,
          );
          io.err('hint: export again when the runs have ended');
        }
      } finally {
        store.close();
      }
    });
}

/** @throws {CliError} for an option that is of another format */
function requireFitting({ format, to, output, certs, ssldir }: ExportOptions): void {
  if (to !== undefined && format !== 'otlp')
    throw new CliError('--to is of --format otlp', 'as in: --format otlp --to http://localhost:4318', 2);
  if (to !== undefined && output !== undefined) {
    throw new CliError('--to sends to a collector, -o writes a file', 'leave one of them out', 2);
  }
  if (format !== 'curl' && (certs !== undefined || ssldir !== undefined)) {
    throw new CliError('--certs and --ssldir are of --format curl', 'only its commands name keys and CAs', 2);
  }
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
      return writeCurl(io, selection, options);
    case 'files':
      return writeFiles(io, selection, options.output);
    case 'otlp':
      return writeOtlp(io, selection, options);
    case 'html': {
      const { runPages } = await import('./export-html.ts');
      return writeText(io, options.output, runPages(selection, packageVersion()));
    }
    default:
      options.format satisfies never;
  }
}

/** To a collector, or as OTLP JSON, one run a line. */
async function writeOtlp(io: Io, selection: Selection, { to, output }: ExportOptions): Promise<void> {
  if (to === undefined) {
    const { otlpLines } = await import('../export/otlp-json.ts');
    return writeText(io, output, otlpLines(selection, packageVersion()));
  }
  const { openSender } = await import('../export/otlp-send.ts');
  const { traceOf } = await import('../export/trace.ts');
  const sender = openSender(to, packageVersion());
  let sent = 0;
  try {
    for (const run of selection.runs) {
      await sender.send(traceOf(selection, run));
      sent += 1;
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new CliError(`${to} did not take the run: ${reason ?? ''}`, 'a collector takes OTLP over HTTP on port 4318');
  } finally {
    await sender.close();
  }
  io.chatter(`${counted(sent, 'run')} sent to ${to}`);
}

/** To stdout, each body piped out of the capture; or `DIR/curl.sh`, with the bodies that hold no secrets beside it. */
async function writeCurl(io: Io, selection: Selection, { output, certs, ssldir }: ExportOptions): Promise<void> {
  const { curlLines } = await import('../export/curl.ts');
  const layout = certsLayout(certs ?? 'certs');
  const named = new Set<string>();
  const noted = (file: string): string => {
    named.add(file);
    return file;
  };
  const { pinnedPrimaries } = await import('../pki/pinned.ts');
  const pinned = pinnedPrimaries(layout);
  const places: Omit<CurlPlaces, 'bodies' | 'keep'> = {
    identity: (certname, host, port) => {
      const found = ssldir === undefined ? identityFile(layout, pinned, certname, host, port) : inSsldir(ssldir, certname);
      return { cert: noted(found.cert), key: found.key === null ? null : noted(found.key) };
    },
    ca: (host, port) =>
      noted(resolve(ssldir === undefined ? join(layout.primary(host, port), 'ca.pem') : join(ssldir, 'certs', 'ca.pem'))),
  };
  if (output === undefined)
    await writeText(io, undefined, curlLines(selection, { ...places, bodies: null, keep: () => undefined }));
  else {
    await withOutput(to => {
      to.folder(output);
      const keep: CurlPlaces['keep'] = (name, content) => to.file(join(output, name), content);
      return writeText(io, join(output, 'curl.sh'), curlLines(selection, { ...places, bodies: output, keep }));
    });
  }
  const missing = [...named].filter(file => !existsSync(file));
  if (missing.length === 0) return;
  const more = missing.length === 1 ? '' : `, nor ${missing.length - 1} more files that commands name`;
  io.err(`stringtap: there is no ${printable(missing[0] ?? '')}${more}`);
  io.err("hint: --certs DIR names the proxy's folder, --ssldir DIR the agent's own");
}

/** Key and certificate of an identity are in one file, which curl takes as both; that of the primary's own CA before the first one. */
function identityFile(
  layout: CertsLayout,
  pinned: readonly PinnedPrimary[],
  certname: string,
  host: string,
  port: number,
): { cert: string; key: string | null } {
  const name = `${certname}.pem`;
  const id = pinned.find(one => one.folder === layout.primary(host, port))?.ca.id;
  const own = id === undefined ? null : join(layout.identities, id, name);
  return { cert: resolve(own !== null && existsSync(own) ? own : join(layout.identities, name)), key: null };
}

function inSsldir(ssldir: string, certname: string): { cert: string; key: string | null } {
  const file = (folder: string): string => resolve(join(ssldir, folder, `${certname}.pem`));
  return { cert: file('certs'), key: file('private_keys') };
}

async function writeFiles(io: Io, selection: Selection, output: string | undefined): Promise<void> {
  if (output === undefined) throw new CliError('--format files writes a folder', 'as in: --format files -o DIR', 2);
  const { filesOf } = await import('../export/files.ts');
  let count = 0;
  await withOutput(async to => {
    for (const { path, content } of filesOf(selection)) {
      const file = join(output, path);
      to.folder(dirname(file));
      if (typeof content === 'string' || content instanceof Uint8Array) to.file(file, content);
      else await to.pieces(file, content);
      count += 1;
      await setImmediate();
    }
  });
  io.chatter(`${counted(count, 'file')} in ${output}`);
  if (!selection.reveal)
    io.err('stringtap: secrets are hidden: a catalog with placeholders is to be read, not to be applied (--reveal)');
}
