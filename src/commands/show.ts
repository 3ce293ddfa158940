import type { Command } from 'commander';
import type { ExchangeDetail, Store } from '../capture/store.ts';
import type { Fields, Side } from '../model.ts';
import { SIDES } from '../model.ts';
import { connectionJson, exchangeJson, runJson } from './ids.ts';
import { CliError, type Io, printable } from './io.ts';
import { listConnections, listExchanges, listRuns } from './lists.ts';
import { openCapture } from './options.ts';
import { bytes, clock, duration, use } from './present.ts';

interface ShowOptions {
  headers?: boolean;
  raw?: boolean;
  body?: string;
  json?: boolean;
}

/** `stringtap show r3 | e17`: one run or one exchange. */
export function registerShow(program: Command, io: Io): void {
  program
    .command('show')
    .description('show one run (r3), or one exchange (e17)')
    .argument('<id>', 'r3: run 3, e17: exchange 17; a bare number is a run, with --headers or --body an exchange')
    .argument('[capture]', 'capture file (default: the newest in captures/)')
    .option('--headers', 'field lines as received')
    .option('--body <SIDE>', `one body: ${SIDES.join(', ')}`)
    .option('--raw', 'with --body: the bytes as they were on the wire')
    .option('--json', 'as JSON')
    .action((text: string, file: string | undefined, options: ShowOptions) => {
      const match = /^([re]?)(\d{1,15})$/.exec(text);
      if (!match) {
        throw new CliError(
          `show takes a run or an exchange, not ${JSON.stringify(text)}`,
          'as in: stringtap show r3, stringtap show e17',
          2,
        );
      }
      const id = Number(match[2]);
      const exchange = match[1] === 'e' || (match[1] === '' && (options.body !== undefined || options.headers === true));
      const store = openCapture(file);
      try {
        if (exchange) showExchange(io, store, id, options);
        else showRun(io, store, id, options);
      } finally {
        store.close();
      }
    });
}

function showRun(io: Io, store: Store, id: number, options: ShowOptions): void {
  const run = store.run(id);
  if (!run) throw new CliError(`there is no run r${id} in ${store.file}`, 'stringtap runs lists them');
  const exchanges = [...store.exchanges({ run: id })];
  const connections = [...store.connections({ run: id })];
  if (options.json) {
    const lists = { exchangeList: exchanges.map(exchangeJson), connectionList: connections.map(connectionJson) };
    io.out(JSON.stringify({ ...runJson(run), ...lists }));
    return;
  }
  listRuns(io, [run]);
  if (run.transactionUuid) io.out(`transaction_uuid ${run.transactionUuid}`);
  io.out('');
  listExchanges(io, exchanges);
  io.out('');
  listConnections(io, connections);
}

function showExchange(io: Io, store: Store, id: number, options: ShowOptions): void {
  const exchange = store.exchange(id);
  if (!exchange) throw new CliError(`there is no exchange e${id} in ${store.file}`, 'stringtap exchanges lists them');
  if (options.body !== undefined) {
    showBody(io, store, exchange, options.body, options.raw === true);
    return;
  }
  if (options.json) {
    io.out(JSON.stringify(exchangeJson(exchange)));
    return;
  }
  const { request, response, timing } = exchange;
  const line = (name: string, value: string): void => io.out(`${name.padEnd(12)} ${value}`);
  line('exchange', `e${exchange.id}${exchange.run === null ? '' : `, number ${exchange.n} of run r${exchange.run}`}`);
  line('request', printable(`${request.method} ${request.target} HTTP/${request.httpVersion}`));
  line('answer', answerLine(exchange));
  line('phase', exchange.phase);
  line('certname', exchange.certname ?? '-');
  line('started', `${exchange.startedAt} (${clock(Date.parse(exchange.startedAt))} here)`);
  line('took', duration(exchange.durationMs));
  const since = (mono: number | null): string => (mono === null ? '-' : duration(mono - timing.startMono));
  line(
    'moments',
    `request end ${since(timing.requestEndMono)}, primary ready ${since(timing.primaryReadyMono)}, response head ${since(timing.responseHeadMono)}, first byte ${since(timing.firstByteMono)}, end ${since(timing.endMono)}`,
  );
  line(
    'connections',
    `${use(exchange.agentConnection, exchange.agentOrdinal)} ${use(exchange.primaryConnection, exchange.primaryOrdinal)}`,
  );
  if (exchange.resent > 0) line('resent', `${exchange.resent} time, on another connection`);
  for (const body of exchange.bodies) {
    const cut = body.cut === null ? '' : `, only ${bytes(body.kept)} kept`;
    line(body.side, `${bytes(body.size)}${cut}, SHA-256 ${body.sha256}`);
  }
  if (options.headers) {
    showFields(io, 'request fields', request.fields);
    if (response) showFields(io, 'response fields', response.fields);
    if (exchange.trailers.length > 0) showFields(io, 'trailers', exchange.trailers);
  }
}

function answerLine(exchange: ExchangeDetail): string {
  const { response, failure } = exchange;
  const head = response ? printable(`${response.status} ${response.reason}`) : 'none';
  const by = exchange.answeredBy === 'proxy' ? ' by stringtap' : '';
  const differs = exchange.primaryStatus !== null && exchange.primaryStatus !== response?.status;
  const theirs = differs ? ` (the primary said ${exchange.primaryStatus})` : '';
  const why = failure ? `, failed: ${printable(JSON.stringify(failure))}` : '';
  return `${head}${by}${theirs}${exchange.outcome === 'abandoned' ? ', abandoned by the agent' : ''}${why}`;
}

function showFields(io: Io, title: string, fields: Fields): void {
  io.out('');
  io.out(title);
  for (const [name, value] of fields) io.out(`  ${printable(name)}: ${secret(name) ? '(hidden)' : printable(value)}`);
}

/** Credentials of a proxy or a person in front of the primary. */
function secret(name: string): boolean {
  return /^(proxy-)?authorization$|^x-authentication$|^cookie$|^set-cookie$/i.test(name);
}

function showBody(io: Io, store: Store, exchange: ExchangeDetail, text: string, raw: boolean): void {
  const side = SIDES.find(known => known === text);
  if (!side) throw new CliError(`--body is one of ${SIDES.join(', ')}, not ${JSON.stringify(text)}`, null, 2);
  if (!exchange.bodies.some(body => body.side === side)) {
    throw new CliError(
      `exchange e${exchange.id} has no ${side} body`,
      `it has: ${exchange.bodies.map(body => body.side).join(', ') || 'none'}`,
    );
  }
  for (const chunk of store.body(exchange.id, side satisfies Side)) {
    if (raw || !io.stdoutIsTerminal) io.write(chunk);
    else io.out(printable(Buffer.from(chunk).toString('utf8')));
  }
}
