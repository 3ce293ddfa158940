import { connect } from 'node:net';
import { createServer } from 'node:tls';
import { expect, test } from 'vitest';
import { main } from '../../src/cli.ts';
import type { Io } from '../../src/commands/io.ts';
import type { Tape } from '../../src/model.ts';
import { subjectAltName } from '../../src/pki/x509.ts';
import { open, tempDir } from '../capture/rig.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';
import { eventually, makeRig } from '../rig/rig.ts';
import { memoryTape } from '../rig/tape.ts';
import { statusOf } from '../rig/wire.ts';

/** Failures of TLS on both legs, in a capture, as the commands show them. */

async function said(...args: string[]): Promise<string> {
  const lines: string[] = [];
  const keep = (text: string): void => void lines.push(text);
  const io: Io = {
    out: keep,
    err: keep,
    chatter: keep,
    write: () => undefined,
    stdoutIsTerminal: false,
    columns: 80,
    env: {},
    exitCode: 0,
  };
  await main(['node', 'stringtap', ...args], io);
  process.exitCode = 0;
  return lines.join('\n');
}

interface Row {
  id: string;
  leg?: string;
  run: string;
  problem: { cause: string; what: string; remedy: string; puppet: string | null } | null;
}

const rows = (text: string): Row[] => text.split('\n').map(line => JSON.parse(line) as Row);

const NODE = 'GET /puppet/v3/node/agent1.example?environment=production HTTP/1.1\r\nHost: puppet.example.com\r\n\r\n';

test('a scanner on one leg and an impostor on the other are rows with a cause, a remedy and what Puppet says', async () => {
  using dir = tempDir();
  const file = dir.file('a.db');
  const recorder = await open(file);
  const memory = memoryTape();
  const both: Tape = {
    connectionId: () => recorder.connectionId(),
    exchangeId: () => recorder.exchangeId(),
    connection(connection) {
      memory.connection(connection);
      recorder.connection(connection);
    },
    tap: (id, side) => recorder.tap(id, side),
    exchange(exchange, committed) {
      memory.exchange(exchange, () => undefined);
      recorder.exchange(exchange, committed);
    },
    drop: id => recorder.drop(id),
  };
  {
    await using rig = await makeRig({
      tape: Object.assign(Object.create(memory) as typeof memory, both),
      proxy: { standingMs: 0 },
    });
    await new Promise<void>(resolve => {
      const scanner = connect(rig.proxy.address.port, rig.proxy.address.host, () => void scanner.write('SSH-2.0-x\r\n\r\n'));
      scanner.on('data', () => scanner.end());
      scanner.once('close', () => resolve());
    });
    const first = await rig.agent();
    first.write(NODE);
    expect(statusOf(await first.answer())).toBe(200);
    first.end();
    // Somebody else at the primary's address.
    const { port } = rig.primary;
    await rig.primary.stop();
    const other = await makeDemoCa('other.example', 'self', 'ec');
    const key = await makeKey('ec');
    const cert = other.issue('other.example', key.publicKey, { extensions: [subjectAltName(['localhost'])] });
    const impostor = createServer({ key: key.pem, cert });
    impostor.on('tlsClientError', () => undefined);
    await new Promise<void>(resolve => void impostor.listen(port, '127.0.0.1', resolve));
    const second = await rig.agent();
    second.write(NODE);
    expect(statusOf(await second.answer())).toBe(502);
    second.end();
    impostor.close();
    await eventually(() => memory.exchanges.length === 2);
  }
  await recorder.close();

  const connections = rows(await said('connections', file, '--json'));
  const scanner = connections.find(row => row.problem?.cause === 'not-http');
  expect(scanner).toMatchObject({ leg: 'agent', problem: { puppet: null } });
  expect(connections.some(row => row.leg === 'primary' && row.problem?.cause === 'primary-unknown-ca')).toBe(true);
  expect(connections.some(row => row.problem === null)).toBe(true);

  const table = await said('connections', file);
  expect(table).toMatch(/^c\d+: what came is neither TLS nor HTTP \[not-http\]$/m);
  expect(table).toMatch(/^ {2}to do: after its CA was replaced on purpose/m);
  expect(table).toMatch(/^ {2}Puppet says: certificate verify failed \[unable to get local issuer certificate for <subject>\]$/m);

  expect(rows(await said('show', scanner!.id, file, '--json'))).toMatchObject([
    { id: scanner!.id, problem: { cause: 'not-http' } },
  ]);
  expect(await said('show', scanner!.id, file)).toMatch(/^ {2}to do: no Puppet agent does this/m);

  const exchanges = rows(await said('exchanges', file, '--json'));
  expect(exchanges.map(row => row.problem?.cause ?? null)).toEqual([null, 'primary-unknown-ca']);
  for (const id of ['e2', exchanges[1]!.run]) {
    expect(await said('show', id, file)).toMatch(/^e2: the primary's certificate is not of the CA .*\[primary-unknown-ca\]$/m);
  }
  expect(await said('show', 'c9999', file)).toContain('there is no connection c9999');
});
