import { openStore } from '../../src/capture/store.ts';
import { SIDES } from '../../src/model.ts';

/** What passed, as a capture has it: bodies before compression and sharing, and an estimate of the heads. */
export interface RawBytes {
  bytes: number;
  bodies: number;
  exchanges: number;
  runs: number;
}

export function rawBytes(file: string): RawBytes {
  const store = openStore(file);
  let bodies = 0;
  let heads = 0;
  let exchanges = 0;
  for (const row of store.exchanges()) {
    const exchange = store.exchange(row.id);
    if (exchange === null) continue;
    exchanges++;
    for (const side of SIDES) bodies += exchange.bodies.find(body => body.side === side)?.size ?? 0;
    const fields = [...exchange.request.fields, ...(exchange.response?.fields ?? [])];
    for (const [name, value] of fields) heads += name.length + value.length + 4;
    heads += exchange.target.length + 40;
  }
  const runs = [...store.runs()].length;
  store.close();
  return { bytes: bodies + heads, bodies, exchanges, runs };
}
