import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { lockCapture } from '../../src/capture/lock.ts';
import { shareCapture } from '../../src/capture/share.ts';
import { openStore, type Store } from '../../src/capture/store.ts';
import { createPseudonyms, type Level } from '../../src/decode/pseudonyms.ts';
import { agent, open, type TempDir, tempDir } from '../capture/rig.ts';
import { everything } from './everything.ts';

const SAMPLE = fileURLToPath(new URL('../../captures/sample.db', import.meta.url));

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
});
afterEach(() => dir[Symbol.dispose]());

function share(
  from: string,
  level: Level,
  runs: number[] | null = null,
): { file: string; shared: ReturnType<typeof shareCapture> } {
  const file = dir.file(`${level}.db`);
  const store = openStore(from, 'bodies');
  try {
    return { file, shared: shareCapture(store, runs, file, level) };
  } finally {
    store.close();
  }
}

function reading<T>(file: string, read: (store: Store) => T): T {
  const store = openStore(file, 'bodies');
  try {
    return read(store);
  } finally {
    store.close();
  }
}

const asked = (file: string, sql: string): unknown[] => reading(file, store => [...store.query(sql).rows]);

function sample(): string {
  const file = dir.file('sample.db');
  copyFileSync(SAMPLE, file);
  return file;
}

/** What has to be the same: rules and where they look, runs, connections, times, sizes, what was decoded of what. */
const SAME = [
  // a title has a pseudonym
  "SELECT run, rule, severity, json_remove(evidence, '$.figures.resource') FROM v_finding ORDER BY 1, 2",
  `SELECT id, exchanges, failed, "end", started_at, ended_at, agent_connections, primary_connections, request_bytes, response_bytes,
    puppet_version, length(certname) FROM v_run`,
  `SELECT id, run, n, phase, method, indirection, status, outcome, start_mono, end_mono, agent_connection, agent_ordinal, primary_connection,
    primary_ordinal, request_bytes, response_bytes, length(target), length(key), decode_error FROM v_exchange`,
  'SELECT id, leg, via, tls_version, resumed, opened_at, closed_at, closed_by, cause, exchanges, length(peer_name) FROM v_connection',
  'SELECT exchange, n, length(type), length(title), line FROM v_resource ORDER BY 1, 2',
  'SELECT exchange, count(*), count(DISTINCT path) FROM v_fact GROUP BY 1',
  'SELECT exchange, side, bytes, verdict FROM v_file_content ORDER BY 1, 2',
  'SELECT exchange, key_type, key_bits FROM v_csr ORDER BY 1',
  'SELECT exchange, n, key_type, key_bits, not_before, not_after, serial FROM v_certificate ORDER BY 1, 2',
  'SELECT exchange, n, status, corrective_change, length(resource) FROM v_event ORDER BY 1, 2',
  'SELECT exchange, n, level, at FROM v_log_line ORDER BY 1, 2',
];

describe('the sample, shared', () => {
  test.each(['full', 'moderate', 'low'] as const)('%s: findings, reuse and shapes stay', level => {
    const from = sample();
    const { file, shared } = share(from, level);
    for (const sql of SAME) expect(asked(file, sql), sql).toEqual(asked(from, sql));
    expect(shared.unreadable).toEqual([]);
    expect(shared.runs.every(run => run.from === run.to)).toBe(true);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir.file('.')).filter(name => /-(?:wal|shm|journal)$|\.lock$/.test(name))).toEqual([]);
  });

  test('equal bodies, keys and checksums stay equal, and different ones different', () => {
    const from = sample();
    const { file } = share(from, 'full');
    const groups = (of: string): string[] => {
      const seen = new Map<unknown, number>();
      const sql = `SELECT response_sha256 FROM v_exchange UNION ALL SELECT * FROM (SELECT key_sha256 FROM v_certificate ORDER BY exchange, n)
        UNION ALL SELECT * FROM (SELECT checksum FROM v_file_metadata ORDER BY exchange, n)`;
      return (asked(of, sql) as [unknown][]).map(([value]) => {
        if (!seen.has(value)) seen.set(value, seen.size);
        return String(value === null ? null : seen.get(value));
      });
    };
    expect(groups(file)).toEqual(groups(from));
  });

  test('nothing of its names and facts is left', () => {
    const from = sample();
    const { file } = share(from, 'full');
    const text = everything(file);
    const names = (asked(from, 'SELECT DISTINCT certname FROM v_run') as [string][]).flatMap(([name]) => [
      name,
      name.split('.')[0]!,
    ]);
    // as a word: short ones are found within hexadecimal and base64 by chance
    const isLeft = (value: string): boolean =>
      new RegExp(`(?<![\\p{L}\\p{N}])${value.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')}(?![\\p{L}\\p{N}])`, 'u').test(text);
    for (const name of names) expect(isLeft(name), name).toBe(false);
    // what Puppet says of itself in User-Agent, loopback and netmasks stay
    const kept = /^(?:false|true|(?:127|255|0)\.[\d.]+|\d+\.\d+\.\d+|x86_64.*|aarch64.*)$/;
    const facts = (asked(from, 'SELECT DISTINCT value FROM v_fact') as [string][]).flatMap(([value]) => value);
    const left = facts.filter(value => value.length >= 6 && !kept.test(value) && isLeft(value));
    expect(left).toEqual([]);
  });

  test('one run of it has its run alone', () => {
    const { file, shared } = share(sample(), 'full', [2]);
    expect(shared.runs).toEqual([{ from: 2, to: 1 }]);
    expect(asked(file, 'SELECT id FROM v_run')).toEqual([[1]]);
  });

  test('what is not decoded yet is not shared: its secrets are not known', () => {
    const file = sample();
    const db = new Database(file);
    const seq = db
      .prepare('SELECT e.seq FROM exchange e JOIN run_exchange m ON m.exchange = e.id WHERE m.run = 7 AND m.n = 1')
      .pluck()
      .get();
    db.prepare("UPDATE derived SET seq = ? WHERE name = 'bodies'").run(Number(seq) - 1);
    db.close();
    // As a proxy that writes it.
    const lock = lockCapture(file, 0);
    try {
      expect(() => share(file, 'low')).toThrow(/^9 exchanges of .* not decoded yet: not all secrets/);
      expect(() => share(file, 'low', [6, 7])).toThrow('not decoded yet');
      expect(existsSync(dir.file('low.db'))).toBe(false);
      expect(share(file, 'low', [6]).shared.runs).toHaveLength(1);
    } finally {
      lock?.release();
    }
  });

  test('what exists is not overwritten, and a failure leaves nothing', () => {
    const from = sample();
    expect(() => reading(from, store => shareCapture(store, null, from, 'full'))).toThrow('exists');
    expect(existsSync(from)).toBe(true);
  });
});

const PLANTED = {
  certname: 'zyxhost7.qplanted.example',
  address: '203.0.113.77',
  v6: '2001:db8:77::c0de',
  mac: '52:54:00:be:ef:77',
  fact: 'Grünkohl-Überraschung',
  number: 918273645,
  key: 'wunderfakt',
  parameter: 'knurrhahn',
  file: 'Lorem zweihundert Eichhörnchen\n',
  password: 'Tr0ubadour&Mond',
  sensitive: 'geheimnisvoll42',
  module: 'quittengelee',
};

/** A run with something unusual in each of its bodies. */
async function planted(): Promise<string> {
  const file = dir.file('planted.db');
  const recorder = await open(file);
  const line = agent(recorder, PLANTED.certname).connect(`${PLANTED.address}:40123`);
  const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
  const fields = [
    ['Content-Type', 'application/json'],
    ['Host', `primary.qplanted.example:8140`],
    ['X-Secret-Token', PLANTED.password],
    ['Authorization', `Bearer ${PLANTED.sensitive}`],
  ] as const;
  const facts = {
    name: PLANTED.certname,
    values: {
      networking: { ip: PLANTED.address, ip6: PLANTED.v6, mac: PLANTED.mac, fqdn: PLANTED.certname, domain: 'qplanted.example' },
      [PLANTED.key]: [PLANTED.fact, PLANTED.number, { [PLANTED.key]: `"${PLANTED.fact}"` }],
    },
    timestamp: '2026-11-20T10:00:00Z',
  };
  const sha256 = createHash('sha256').update(PLANTED.file).digest('hex');
  const form = `environment=production&facts_format=application%2Fjson&facts=${encodeURIComponent(encodeURIComponent(JSON.stringify(facts)))}`;
  const catalog = {
    name: PLANTED.certname,
    environment: 'production',
    resources: [
      {
        type: 'File',
        title: `/srv/${PLANTED.module}/a`,
        parameters: { content: PLANTED.parameter, db_password: PLANTED.password, checksum_value: sha256 },
      },
      { type: PLANTED.module, title: 'b', parameters: { key: { __ptype: 'Sensitive', __pvalue: PLANTED.sensitive } } },
      { type: 'Notify', title: `say ${PLANTED.password} twice at ${PLANTED.address}`, parameters: {} },
    ],
    edges: [],
    classes: [PLANTED.module],
  };
  const metadata = [
    {
      path: '/x',
      relative_path: `${PLANTED.module}.txt`,
      type: 'file',
      checksum: { type: 'sha256', value: `{sha256}${sha256}` },
    },
  ];
  const answer = [['Content-Type', 'application/json']] as const;
  await line.send(`POST /puppet/v3/catalog/${PLANTED.certname}?environment=production`, {
    fields: [['Content-Type', 'application/x-www-form-urlencoded'], ...fields.slice(1)],
    responseFields: [...answer, ['Content-Encoding', 'gzip']],
    bodies: { request: Buffer.from(form), response: gzipSync(json(catalog)) },
  });
  await line.send(`GET /puppet/v3/file_metadatas/modules/${PLANTED.module}?environment=production`, {
    fields,
    responseFields: answer,
    bodies: { response: json(metadata) },
  });
  await line.send(`GET /puppet/v3/file_content/modules/${PLANTED.module}/${PLANTED.module}.txt?environment=production`, {
    fields,
    responseFields: [['Content-Type', 'application/octet-stream']],
    bodies: { response: Buffer.from(PLANTED.file) },
  });
  await line.send(`PUT /puppet/v3/report/${PLANTED.certname}?environment=production&token=${PLANTED.password}`, {
    fields,
    bodies: {
      request: json({
        host: PLANTED.certname,
        status: 'failed',
        logs: [
          {
            level: 'err',
            message: `${PLANTED.parameter} at ${PLANTED.v6}`,
            source: 'Puppet',
            tags: [],
            time: '2026-11-20T10:00:01Z',
          },
        ],
        metrics: {},
        resource_statuses: {},
      }),
    },
  });
  await line.send(`POST /elsewhere/${PLANTED.module}?x=${PLANTED.parameter}`, {
    fields,
    bodies: {
      request: Buffer.from([0, 1, 2, ...Buffer.from(PLANTED.parameter)]),
      response: Buffer.from(`broken {"${PLANTED.module}`),
    },
  });
  line.close();
  await recorder.close();
  return file;
}

/** Pieces of what was planted: none of them may be anywhere. */
const pieces = (value: string): string[] =>
  value.split(/[^\p{L}\p{N}]+/u).filter(part => part.length >= 5 && !/^\d+$/.test(part) && part !== 'example');

describe('planted values', () => {
  test('full leaves none of them, not even in part', async () => {
    const from = await planted();
    const before = everything(from);
    const { file } = share(from, 'full');
    const text = everything(file);
    for (const [what, value] of Object.entries(PLANTED)) {
      const all = [String(value), ...pieces(String(value))];
      // each is there before, or the search would prove nothing
      expect(before.includes(String(value)), what).toBe(true);
      for (const piece of all) expect(text.includes(piece), `${what}: ${piece}`).toBe(false);
    }
    expect(text.includes(createHash('sha256').update(PLANTED.file).digest('hex'))).toBe(false);
    expect(asked(file, "SELECT verdict FROM v_file_content WHERE side = 'response'")).toEqual([['match']]);
  });

  test('moderate leaves titles, files and facts, but no names, addresses and secrets', async () => {
    const { file } = share(await planted(), 'moderate');
    const text = everything(file);
    for (const name of ['certname', 'address', 'v6', 'mac', 'password', 'sensitive'] as const) {
      expect(text.includes(PLANTED[name]), name).toBe(false);
    }
    expect(text.includes('zyxhost7')).toBe(false);
    for (const name of ['fact', 'parameter', 'file', 'module', 'key'] as const)
      expect(text.includes(PLANTED[name]), name).toBe(true);
  });

  test('low leaves all but secrets, and what was Sensitive is Sensitive', async () => {
    const { file } = share(await planted(), 'low');
    const text = everything(file);
    for (const name of ['password', 'sensitive'] as const) expect(text.includes(PLANTED[name]), name).toBe(false);
    for (const name of ['certname', 'address', 'fact', 'file', 'module'] as const)
      expect(text.includes(PLANTED[name]), name).toBe(true);
    expect(asked(file, "SELECT parameters FROM v_resource WHERE title = 'b'")).toEqual([['{"key":"(sensitive)"}']]);
  });
});

describe('pseudonyms', () => {
  const made = (level: Level = 'full'): ReturnType<typeof createPseudonyms> =>
    createPseudonyms(level, new Set(['web01.shop.example', 'shop.example', 'web01']), Buffer.alloc(32, 7));

  test('have the shape, the length in bytes and the case of what they stand for, and are consistent', () => {
    const names = made();
    let seed = 1;
    const random = (below: number): number => {
      seed = (seed * 48271) % 2147483647;
      return seed % below;
    };
    const alphabet = 'abcxyzABCXYZ0123456789äÖß語😀-_./:[] \n"\\%';
    const seen = new Map<string, string>();
    for (let n = 0; n < 3000; n++) {
      const letters = [...alphabet];
      const text = Array.from({ length: 1 + random(20) }, () => letters[random(letters.length)]!).join('');
      const other = names.text(text);
      expect(Buffer.byteLength(other), text).toBe(Buffer.byteLength(text));
      expect(other.replace(/[\p{L}\p{N}]/gu, ''), text).toBe(text.replace(/[\p{L}\p{N}]/gu, ''));
      expect(names.text(text)).toBe(other);
      for (const [index, word] of (text.match(/[\p{L}]{6,}/gu) ?? []).entries()) {
        const its = other.match(/[\p{L}]{6,}/gu)?.[index] ?? '';
        expect(seen.get(word) ?? its).toBe(its);
        seen.set(word, its);
      }
    }
    expect(new Set(seen.values()).size).toBe(seen.size);
  });

  test('are the same for a name wherever it is, and keep networks together', () => {
    const names = made();
    const host = names.text('web01.shop.example');
    expect(host).toMatch(/^[a-z]{3}\d\d\.[a-z]{4}\.[a-z]{7}$/);
    expect(names.text('see Web01.shop.example, or web01')).toContain(host.split('.')[0]);
    const [a, b] = [names.text('10.20.30.40'), names.text('10.20.30.41')];
    expect(a).not.toBe(b);
    expect(a.split('.').slice(0, 3)).toEqual(b.split('.').slice(0, 3));
    expect(a).not.toContain('10.20');
    expect(names.text('127.0.0.1 ::1 2026-11-20T10:00:00Z')).toBe('127.0.0.1 ::1 2026-11-20T10:00:00Z');
  });

  test('moderate replaces unknown hosts of a known domain, and leaves other words', () => {
    const text = made('moderate').text('db9.shop.example and backup of shopping');
    expect(text).toMatch(/^[a-z]{2}\d\.[a-z]{4}\.[a-z]{7} and backup of shopping$/);
    expect(text).not.toContain('db9');
    expect(text).not.toContain('shop.');
  });
});
