import { type Command, Option } from 'commander';
import { type Hit, SEARCHED, type Searched } from '../capture/decoded-shapes.ts';
import { withoutSecrets } from '../capture/hidden-store.ts';
import { idText, parseId, requireRun } from './ids.ts';
import { CliError, type Io, printable } from './io.ts';
import { openCapture, wholeNumber } from './options.ts';
import { clip } from './present.ts';
import { lineWidth, takesColour } from './terminal.ts';

/** `stringtap search TERMS`: full-text search over what was decoded. Sensitive values are not in the index. */
export function registerSearch(program: Command, io: Io): void {
  program
    .command('search')
    .description('find words in what was decoded: resources, facts, log lines, file metadata, text bodies')
    .argument('<terms>', "words that all have to be there; a word that ends in * is a beginning, as in: 'nginx.conf motd*'")
    .argument('[capture]', 'capture file (default: the newest in captures/)')
    .addOption(new Option('--in <WHAT>', 'only in these').choices(SEARCHED))
    .option('--run <RUN>', 'only of this run', parseId('run'))
    .option('--limit <N>', 'at most N places', wholeNumber, 50)
    .option('--json', 'one JSON object a line')
    .action(
      async (
        terms: string,
        file: string | undefined,
        options: { in?: Searched; run?: number; limit: number; json?: boolean },
      ) => {
        if (!/[\p{L}\p{N}]/u.test(terms))
          throw new CliError('search takes at least one word', "as in: stringtap search 'motd'", 2);
        const store = withoutSecrets(await openCapture(file, 'bodies'));
        try {
          const { in: where, run, limit } = options;
          if (run !== undefined) requireRun(store, run);
          const hits = store.decoded.search(terms, {
            limit,
            ...(where === undefined ? {} : { in: where }),
            ...(run === undefined ? {} : { run }),
          });
          if (hits.length === 0) io.chatter('nothing found');
          for (const hit of hits) print(io, hit, options.json === true);
        } finally {
          store.close();
        }
      },
    );
}

/** Marks around each term, as `snippet()` was told. */
const MARKS = new RegExp(`[${String.fromCharCode(1, 2)}]`, 'g');

function print(io: Io, hit: Hit, json: boolean): void {
  if (json) {
    const plain = hit.snippet.replace(MARKS, '');
    io.out(JSON.stringify({ ...hit, exchange: idText('exchange', hit.exchange), run: idText('run', hit.run), snippet: plain }));
    return;
  }
  const width = lineWidth(io);
  const run = hit.run === null ? '' : ` ${idText('run', hit.run)}`;
  io.out(clip(printable(`${idText('exchange', hit.exchange)}${run}  ${hit.in}  ${hit.place}`), width));
  const bold = takesColour(io);
  const cut = clip(hit.snippet.replace(/\s+/g, ' '), Math.max(20, width - 4));
  // The text between the marks is untrusted: it is escaped piece by piece, and the marks of ours are put around it afterwards.
  const pieces = cut
    .split(MARKS)
    .map((piece, i) => (bold && i % 2 === 1 ? `\u001b[1m${printable(piece)}\u001b[22m` : printable(piece)));
  io.out(`    ${pieces.join('')}`);
}
