import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { openForWriting } from '../../src/capture/database.ts';
import { openStore } from '../../src/capture/store.ts';
import type { Fields } from '../../src/model.ts';
import { agent, closing, open, tempDir } from './rig.ts';

const JSON_TYPE: Fields = [['Content-Type', 'application/json']];
const BYTES: Fields = [['Content-Type', 'application/octet-stream']];
const LONG = Buffer.from('of more than 512 bytes. '.repeat(50));

const digest = (type: string, bytes: Uint8Array): string =>
  type.endsWith('lite')
    ? createHash(type.slice(0, -4)).update(bytes.subarray(0, 512)).digest('hex')
    : createHash(type).update(bytes).digest('hex');

describe('file content', () => {
  // digest_algorithm of Puppet, and what older versions had
  test.each(['sha224', 'sha256', 'sha256lite', 'sha384', 'sha512', 'sha1', 'sha1lite', 'md5', 'md5lite'])(
    'is held against a promised %s, also when it comes again',
    async type => {
      using dir = tempDir();
      const recorder = await open(dir.file('a.db'));
      const line = agent(recorder, 'agent.example').connect();
      const entry = { path: '/p', relative_path: '.', type: 'file', links: 'manage', owner: 0, group: 0, mode: 420 };
      const promise = { ...entry, checksum: { type, value: `{${type}}${digest(type, LONG)}` } };
      const content = 'GET /puppet/v3/file_content/modules/m/f?environment=production';
      for (const sent of [LONG, LONG, Buffer.from('another')]) {
        await line.send('GET /puppet/v3/file_metadata/modules/m/f?environment=production', {
          bodies: { response: Buffer.from(JSON.stringify(promise)) },
          responseFields: JSON_TYPE,
        });
        await line.send(content, { bodies: { response: sent }, responseFields: BYTES });
      }
      line.close();
      await recorder.close();
      using store = closing(openStore(dir.file('a.db'), 'bodies'));
      const { decoded } = store;
      expect(decoded.rows('file_content', {}).map(row => row.verdict)).toEqual(['match', 'match', 'mismatch']);
      expect(decoded.content(type, digest(type, LONG).toUpperCase())).toEqual({ exchange: 2, side: 'response' });
      expect(decoded.content(type, digest(type, Buffer.from('not there')))).toBeNull();
    },
  );

  test('is found by its checksum without reading every row for each question', async () => {
    using dir = tempDir();
    const file = dir.file('a.db');
    await (await open(file)).close();
    const writer = openForWriting(file, 1000);
    const insert = writer.db.prepare(`INSERT INTO file_content (exchange, side, bytes, sha256, md5, text, complete, verdict)
      VALUES (?, 'response', 1, ?, ?, 0, 1, 'unchecked')`);
    const sha256 = (n: number): string => digest('sha256', Buffer.from(String(n)));
    writer.db.transaction(() => {
      for (let n = 1; n <= 20_000; n++) insert.run(n, sha256(n), digest('md5', Buffer.from(String(n))));
    })();
    writer.close();
    using store = closing(openStore(file));
    const before = process.cpuUsage();
    for (let n = 1; n <= 500; n++) {
      expect(store.decoded.content('sha256', sha256(n * 40))).toEqual({ exchange: n * 40, side: 'response' });
      expect(store.decoded.content('md5', sha256(n))).toBeNull();
    }
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(1500);
  });
});
