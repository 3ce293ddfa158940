import { explainFailure, explainTls } from '../analysis/tls-failures.ts';
import { withoutSecrets } from '../capture/hidden-store.ts';
import { resultOf } from '../capture/run-result.ts';
import type { ExchangeDetail } from '../capture/store.ts';
import { type Hiding, hideInFields, hideInTarget, hideInText } from '../decode/secrets.ts';
import { decodedOf } from './decoded.ts';
import { hidingOr, notesOf, type Selection } from './selection.ts';

/**
 * One JSON object a line, each with its `type`: `recording`, `run`, `note`, `connection`, `exchange`. The shapes are those of `--json`; an exchange
 * has its fields and what was decoded of it. Bodies are named by SHA-256 and size.
 */
export function* jsonLines(selection: Selection): Generator<string> {
  const line = (type: string, row: object): string => `${JSON.stringify({ type, ...row })}\n`;
  const store = selection.reveal ? selection.store : withoutSecrets(selection.store, run => hidingOr(selection, run));
  for (const row of selection.recordings.values()) yield line('recording', row);
  for (const row of selection.runs) yield line('run', { ...row, id: `r${row.id}`, outcome: resultOf(store, row) });
  for (const row of notesOf(selection)) {
    const run = row.run === null ? null : `r${row.run}`;
    const text = hideInText(row.text, hidingOr(selection, row.run));
    yield line('note', { ...row, text, id: `n${row.id}`, run, exchange: row.exchange === null ? null : `e${row.exchange}` });
  }
  for (const row of selection.connections()) yield line('connection', { ...row, id: `c${row.id}`, problem: explainTls(row) });
  for (const batch of selection.batches()) {
    const ids = batch.map(({ id }) => id);
    const times = store.primaryTimes({ exchanges: ids });
    const decoded = decodedOf(store, ids, selection.reveal);
    for (const exchange of batch) {
      const told = times.get(exchange.id);
      yield line('exchange', {
        ...headOf(exchange, hidingOr(selection, exchange.run)),
        problem: explainFailure(exchange.failure),
        primaryTime: told === undefined ? null : { ...told, exchange: `e${told.exchange}` },
        decoded: decoded.get(exchange.id) ?? {},
      });
    }
  }
}

function headOf(exchange: ExchangeDetail, hiding: Hiding): object {
  const { request, response, primaryConnection } = exchange;
  return {
    ...exchange,
    id: `e${exchange.id}`,
    run: exchange.run === null ? null : `r${exchange.run}`,
    agentConnection: `c${exchange.agentConnection}`,
    primaryConnection: primaryConnection === null ? null : `c${primaryConnection}`,
    target: hideInTarget(exchange.target, hiding),
    key: exchange.key === null ? null : hideInText(exchange.key, hiding),
    request: { ...request, target: hideInTarget(request.target, hiding), fields: hideInFields(request.fields, hiding) },
    response: response === null ? null : { ...response, fields: hideInFields(response.fields, hiding) },
    trailers: hideInFields(exchange.trailers, hiding),
  };
}
