import { InvalidArgumentError } from 'commander';
import { explainFailure, explainTls, type TlsFailure } from '../analysis/tls-failures.ts';
import type { ConnectionRow, ExchangeDetail, ExchangeRow, RunRow, Store } from '../capture/store.ts';
import { CliError } from './io.ts';

/**
 * Numbers of a capture as people and programs meet them: `r3` a run, `e17` an exchange, `c5` a connection. The letter makes
 * `stringtap show r3` and `show e17` unambiguous; SQL knows the bare numbers.
 */
type Kind = 'run' | 'exchange' | 'connection';
const LETTER: Record<Kind, string> = { run: 'r', exchange: 'e', connection: 'c' };

export function idText(kind: Kind, id: number): string;
export function idText(kind: Kind, id: number | null): string | null;
export function idText(kind: Kind, id: number | null): string | null {
  return id === null ? null : `${LETTER[kind]}${id}`;
}

/** `r3` or `3`. @throws commander's InvalidArgumentError */
export function parseId(kind: Kind): (text: string) => number {
  return text => {
    const match = /^([a-z]?)(\d{1,15})$/.exec(text);
    if (!match || (match[1] !== '' && match[1] !== LETTER[kind])) {
      throw new InvalidArgumentError(
        `expected the number of ${kind === 'exchange' ? 'an' : 'a'} ${kind}, as in ${LETTER[kind]}3`,
      );
    }
    return Number(match[2]);
  };
}

/** @throws CliError when the capture has no such run */
export function requireRun(store: Store, id: number): RunRow {
  const run = store.run(id);
  if (run === null) throw new CliError(`there is no run r${id} in ${store.file}`, `stringtap runs ${store.file} lists them`);
  return run;
}

/** @throws CliError when the capture has no such exchange */
export function requireExchange(store: Store, id: number): ExchangeDetail {
  const exchange = store.exchange(id);
  if (exchange === null)
    throw new CliError(`there is no exchange e${id} in ${store.file}`, `stringtap exchanges ${store.file} lists them`);
  return exchange;
}

/** @throws CliError when the capture has no such connection */
export function requireConnection(store: Store, id: number): ConnectionRow {
  const connection = store.connection(id);
  if (connection === null)
    throw new CliError(`there is no connection c${id} in ${store.file}`, `stringtap connections ${store.file} lists them`);
  return connection;
}

type Named<Row, Keys extends keyof Row> = Omit<Row, Keys> & { [K in Keys]: string | null };

/** A run as `--json` gives it. */
export function runJson(row: RunRow): Named<RunRow, 'id'> {
  return { ...row, id: idText('run', row.id) };
}

/** Why TLS failed, or a certificate was refused, and what mends it; `null` where nothing of the kind did. */
interface Explained {
  problem: TlsFailure | null;
}

type ExchangeIds = 'id' | 'run' | 'agentConnection' | 'primaryConnection';

/** An exchange as `--json` gives it, in a list or alone. */
export function exchangeJson<Row extends ExchangeRow | ExchangeDetail>(row: Row): Named<Row, ExchangeIds> & Explained {
  const named: Named<Row, ExchangeIds> = {
    ...row,
    id: idText('exchange', row.id),
    run: idText('run', row.run),
    agentConnection: idText('connection', row.agentConnection),
    primaryConnection: idText('connection', row.primaryConnection),
  };
  return { ...named, problem: explainFailure(row.failure) };
}

/** A connection as `--json` gives it. */
export function connectionJson(row: ConnectionRow): Named<ConnectionRow, 'id'> & Explained {
  return { ...row, id: idText('connection', row.id), problem: explainTls(row) };
}
