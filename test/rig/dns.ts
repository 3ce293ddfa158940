import { createSocket } from 'node:dgram';

/** Of an SRV record. */
export type SrvTuple = [target: string, port: number, priority: number, weight: number];

/** A DNS server on loopback that knows SRV records (RFC 1035 section 4.1, RFC 2782), and nothing else. */
export async function startDns(zone: {
  [name: string]: SrvTuple[];
}): Promise<AsyncDisposable & { address: string; asked: string[] }> {
  const asked: string[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    const labels: string[] = [];
    let at = 12;
    while (query[at] !== 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!));
      at += query[at]! + 1;
    }
    const question = query.subarray(12, at + 5);
    const name = labels.join('.');
    asked.push(name);
    const records = zone[name] ?? [];
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(name in zone ? 0x8180 : 0x8183, 2); // an answer, or NXDOMAIN
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(records.length, 6);
    const answers = records.map(([target, port, priority, weight]) => {
      const host = Buffer.concat([
        ...(target === ''
          ? []
          : target.split('.').map(label => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')]))),
        Buffer.from([0]),
      ]);
      const answer = Buffer.alloc(18);
      answer.writeUInt16BE(0xc00c, 0); // the name of the question
      answer.writeUInt16BE(33, 2);
      answer.writeUInt16BE(1, 4);
      answer.writeUInt32BE(60, 6);
      answer.writeUInt16BE(6 + host.length, 10);
      answer.writeUInt16BE(priority, 12);
      answer.writeUInt16BE(weight, 14);
      answer.writeUInt16BE(port, 16);
      return Buffer.concat([answer, host]);
    });
    socket.send(Buffer.concat([head, question, ...answers]), from.port, from.address);
  });
  await new Promise<void>(resolve => void socket.bind(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${socket.address().port}`,
    asked,
    [Symbol.asyncDispose]: () => new Promise(resolve => void socket.close(() => resolve())),
  };
}
