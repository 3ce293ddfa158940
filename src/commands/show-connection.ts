import { explainTls } from '../analysis/tls-failures.ts';
import { counted, sized } from '../analysis/words.ts';
import { connectionJson, idText, requireConnection } from './ids.ts';
import { type Io, printable } from './io.ts';
import { openCapture } from './options.ts';
import { clock, duration } from './present.ts';
import { problems, showProblems } from './show-problems.ts';
import { pageOf } from './show-text.ts';

/** The page of one connection: whose, with what, how long, and why it ended. */
export async function showConnection(io: Io, file: string | null, id: number, json: boolean): Promise<void> {
  const store = await openCapture(file ?? undefined);
  try {
    const row = requireConnection(store, id);
    if (json) {
      io.out(JSON.stringify(connectionJson(row)));
      return;
    }
    const page = pageOf(io);
    page.pair('connection', `${idText('connection', row.id)}, ${row.leg} leg, ${row.via}`);
    page.pair('peer', printable(`${row.peer}${row.target === null ? '' : `, for ${row.target}`}`));
    page.pair('certname', row.certname ?? '-');
    if (row.peerName !== null) page.pair('peer is', printable(row.peerName));
    const name = row.serverName === null ? '' : `, server name ${row.serverName}`;
    const tls = row.tlsVersion === null ? 'none' : `${row.tlsVersion} ${row.cipher}${row.resumed ? ', resumed' : ''}${name}`;
    page.pair('TLS', printable(tls));
    page.pair('opened', `${row.openedAt} (${clock(Date.parse(row.openedAt))} here)`);
    if (row.handshakeMs !== null) page.pair('handshake', duration(row.handshakeMs));
    const lasted = row.closedAt === null ? 'open' : duration(Date.parse(row.closedAt) - Date.parse(row.openedAt));
    page.pair('lasted', row.closedBy === null ? lasted : `${lasted}, closed by ${row.closedBy}: ${row.cause}`);
    page.pair(
      'traffic',
      `${counted(row.exchanges, 'exchange')}, ${sized(row.bytesRead)} read, ${sized(row.bytesWritten)} written`,
    );
    if (row.refusal !== null) page.pair('refused', printable(row.refusal));
    if (row.error !== null) page.pair('error', printable(row.error));
    showProblems(page, problems([{ id: `c${id}`, words: explainTls(row) }]));
  } finally {
    store.close();
  }
}
