import { Command, CommanderError } from 'commander';
import { CaptureError } from './capture/errors.ts';
import { registerCa } from './commands/ca.ts';
import { registerDemo } from './commands/demo.ts';
import { registerIdentity } from './commands/identity.ts';
import { CliError, type Io } from './commands/io.ts';
import { registerLists } from './commands/lists.ts';
import { registerProxy } from './commands/proxy.ts';
import { registerQuery } from './commands/query.ts';
import { registerShow } from './commands/show.ts';
import { PkiError } from './pki/error.ts';
import { ContactError } from './proxy/contact.ts';
import { packageVersion } from './version.ts';

/** The composition root: options to command to exit code. Never throws. */
export async function main(argv: readonly string[], io: Io = processIo()): Promise<void> {
  const program = new Command('stringtap')
    .description('An intercepting debug proxy for the HTTPS between Puppet agents and their primary')
    .version(packageVersion())
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: text => io.out(text.replace(/\n$/, '')),
      writeErr: text => io.err(text.replace(/\n$/, '').replace(/^error: /, 'stringtap: ')),
    });
  for (const register of [
    registerProxy,
    registerDemo,
    registerLists,
    registerShow,
    registerQuery,
    registerIdentity,
    registerCa,
  ]) {
    register(program, io);
  }
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    io.exitCode = report(error, io);
  }
  process.exitCode = io.exitCode;
}

/** Shows an error as one line and a hint; the exit code. */
function report(error: unknown, io: Io): number {
  if (error instanceof CommanderError) {
    // commander has printed its message already; help and version are no errors
    if (error.exitCode === 0) return 0;
    if (!/^commander\.help/.test(error.code))
      io.err('hint: stringtap help shows the commands, stringtap help COMMAND its options');
    return 2;
  }
  if (error instanceof CliError || error instanceof CaptureError || error instanceof PkiError || error instanceof ContactError) {
    io.err(`stringtap: ${error.message}`);
    if (error.hint) io.err(`hint: ${error.hint}`);
    return error instanceof CliError ? error.exitCode : 1;
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  io.err(`stringtap: ${message.split('\n')[0]}`);
  io.err('hint: this is a defect of stringtap; STRINGTAP_DEBUG=1 shows where');
  if (io.env.STRINGTAP_DEBUG) io.err(stack ?? '');
  return 1;
}

function processIo(): Io {
  // A reader that closes the pipe (`| head`) ends the program quietly.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
  });
  return {
    out: line => void process.stdout.write(`${line}\n`),
    err: line => void process.stderr.write(`${line}\n`),
    chatter: line => void (process.stderr.isTTY && process.stderr.write(`${line}\n`)),
    write: bytes => void process.stdout.write(bytes),
    stdoutIsTerminal: process.stdout.isTTY === true,
    columns: process.stdout.columns ?? 120,
    env: process.env,
    exitCode: 0,
  };
}
