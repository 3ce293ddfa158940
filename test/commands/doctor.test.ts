import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkPrimaries } from '../../src/commands/doctor.ts';
import { openIdentities } from '../../src/pki/identity.ts';
import { subjectAltName } from '../../src/pki/x509.ts';
import { srvAsker } from '../../src/proxy/srv.ts';
import { makeDemoCa, makeKey } from '../peers/ca.ts';
import { startDemoPrimary } from '../peers/primary.ts';
import { startDns } from '../rig/dns.ts';
import { startHeaderPrimary } from '../rig/header-primary.ts';
import { startRawPrimary } from '../rig/raw.ts';
import { stringtap } from './stringtap.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-doctor-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

interface Row {
  level: string;
  name: string;
  detail: string;
  remedy: string | null;
}

async function doctor(...args: string[]): Promise<{ code: number | null; rows: Row[] }> {
  const { code, stdout, stderr } = await stringtap(dir, 'doctor', '--json', ...args);
  expect(stderr).toBe('');
  const rows = stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Row);
  for (const { level, remedy } of rows) if (level === 'fail') expect(remedy).not.toBeNull();
  return { code, rows };
}

const failed = (rows: readonly Row[]): string[] => rows.filter(row => row.level === 'fail').map(row => row.name);

describe('stringtap doctor', { timeout: 60_000 }, () => {
  test('a primary that is in order, with an identity that it takes', async () => {
    await using primary = await startDemoPrimary({ keyType: 'ec' });
    const key = await makeKey('ec');
    const certPem = primary.ca.issue('agent1.example', key.publicKey);
    primary.enter('agent1.example', certPem);
    openIdentities(join(dir, 'certs', 'identities')).importPair(key.pem, certPem);
    const { code, rows } = await doctor('--primary', `localhost:${primary.port}`);
    expect(failed(rows)).toEqual([]);
    expect(code).toBe(0);
    for (const name of [
      'dns',
      'tcp',
      'tls',
      'ca',
      'name',
      'certificate',
      'trust',
      'clock',
      'crl',
      'keep-alive',
      'authorization',
      'disk',
    ]) {
      expect(rows.map(row => row.name)).toContain(name);
    }
    // Date has whole seconds: less than one is no difference.
    expect(rows.find(row => row.name === 'clock')?.detail).toBe('the clock of the primary is as this one, to the second');
    const { stdout } = await stringtap(dir, 'doctor', '--primary', `localhost:${primary.port}`);
    expect(stdout).toMatch(/^ok {3}trust /m);
  });

  test('what is no CA, given with --ca-cert, is told with what mends it', async () => {
    await using primary = await startDemoPrimary({ keyType: 'ec' });
    writeFileSync(join(dir, 'text.pem'), 'hello');
    for (const file of ['text.pem', 'nowhere.pem']) {
      const { code, rows } = await doctor('--primary', `localhost:${primary.port}`, '--ca-cert', join(dir, file));
      expect([code, failed(rows)]).toEqual([3, ['ca']]);
    }
  });

  test('an identity of another CA is refused by the primary', async () => {
    await using primary = await startDemoPrimary({ keyType: 'ec' });
    const other = await makeDemoCa('other.example', 'self', 'ec');
    const key = await makeKey('ec');
    openIdentities(join(dir, 'certs', 'identities')).importPair(key.pem, other.issue('agent1.example', key.publicKey));
    const { code, rows } = await doctor('--primary', `localhost:${primary.port}`);
    expect(failed(rows)).toEqual(['authorization']);
    expect(code).toBe(3);
  });

  test('a primary in plain HTTP is told who asks, in header fields', async () => {
    await using primary = await startHeaderPrimary(true);
    const key = await makeKey('ec');
    const certPem = primary.ca.issue('agent1.example', key.publicKey);
    openIdentities(join(dir, 'certs', 'identities')).importPair(key.pem, certPem);
    const { code, rows } = await doctor('--primary', `http://localhost:${primary.port}`);
    expect(failed(rows)).toEqual([]);
    expect(code).toBe(0);
    const primaryRows = ['dns', 'tcp', 'http', 'ca', 'ca-validity', 'clock', 'crl', 'keep-alive', 'authorization'];
    expect(rows.map(row => row.name).slice(2)).toEqual(primaryRows);
    expect(primary.seen.at(-1)).toMatchObject({ name: 'agent1.example', subject: 'CN=agent1.example' });
  });

  test('--identity headers: a primary over TLS is told who asks in header fields, and by no certificate', async () => {
    await using primary = await startHeaderPrimary(false);
    const key = await makeKey('ec');
    const certPem = primary.ca.issue('agent1.example', key.publicKey);
    openIdentities(join(dir, 'certs', 'identities')).importPair(key.pem, certPem);
    const { code, rows } = await doctor('--primary', `localhost:${primary.port}`, '--identity', 'headers');
    expect(failed(rows)).toEqual([]);
    expect(code).toBe(0);
    expect(rows.map(row => row.name)).toContain('tls');
    expect(primary.seen.at(-1)).toMatchObject({ name: 'agent1.example', subject: 'CN=agent1.example', tlsCertificate: false });
    // As it stands in auth.conf: a primary that believes header fields believes no certificate, and the line says which option does.
    const wrong = await doctor('--primary', `localhost:${primary.port}`);
    expect(failed(wrong.rows)).toEqual(['authorization']);
    expect(wrong.rows.find(row => row.level === 'fail')?.remedy).toContain('--identity headers');
  });

  test('every place of the SRV records of a domain is looked at, with the CA of the one that has it', async () => {
    await using authority = await startHeaderPrimary(false);
    await using compiler = await startHeaderPrimary(false, authority.ca);
    await using dns = await startDns({
      '_x-puppet._tcp.example.com': [
        ['localhost', compiler.port, 0, 0],
        ['localhost', 1, 1, 0],
      ],
      '_x-puppet-ca._tcp.example.com': [['localhost', authority.port, 0, 0]],
    });
    const rows: Row[] = [];
    await checkPrimaries({ srv: 'example.com' }, { certs: join(dir, 'certs') }, srvAsker([dns.address]), row => rows.push(row));
    const at = `localhost:${authority.port}`;
    expect(rows[0]).toMatchObject({
      name: 'srv',
      detail: expect.stringContaining(`ca ${at}, puppet localhost:${compiler.port} localhost:1`),
    });
    expect(rows.filter(row => row.level === 'fail')).toMatchObject([
      { name: 'tcp', detail: expect.stringContaining('localhost:1: ') },
    ]);
    expect(rows.filter(row => row.name === 'ca').map(row => row.detail)).toEqual([
      expect.stringContaining('not pinned yet'),
      expect.stringContaining(`as in what ${at} gives`),
    ]);
    expect(rows.filter(row => row.name === 'trust')).toHaveLength(2);
    expect(rows.filter(row => row.name === 'crl')).toHaveLength(1);

    rows.length = 0;
    await checkPrimaries({ srv: 'nowhere.example' }, { certs: dir }, srvAsker([dns.address]), row => rows.push(row));
    expect(rows).toMatchObject([{ level: 'fail', name: 'srv', detail: 'nowhere.example has no SRV records of Puppet' }]);
  });

  test('nothing listens; the name does not exist', async () => {
    const closed = await startDemoPrimary({ keyType: 'ec' });
    await closed[Symbol.asyncDispose]();
    const down = await doctor('--primary', `localhost:${closed.port}`);
    expect(failed(down.rows)).toEqual(['tcp']);
    expect(down.code).toBe(3);
    const nobody = await doctor('--primary', 'nobody.invalid');
    expect(failed(nobody.rows)).toEqual(['dns']);
  });

  test('of each CRL it is said whose it is', async () => {
    await using primary = await startDemoPrimary({ keyType: 'ec', ca: 'chain' });
    primary.ca.revokeMany(1);
    const { rows } = await doctor('--primary', `localhost:${primary.port}`);
    const lists = rows.filter(row => row.name === 'crl').map(row => row.detail.replace(/ is valid until .*/, ''));
    expect(lists.sort()).toEqual([
      'the CRL of CN=Puppet CA: puppet.example.com with 1 certificate',
      'the CRL of CN=Puppet Root CA: puppet.example.com with 0 certificates',
    ]);
  });

  test('another CA than the pinned one', async () => {
    await using primary = await startDemoPrimary({ keyType: 'ec' });
    const other = await makeDemoCa('other.example', 'self', 'ec');
    const pinned = join(dir, 'certs', 'primaries', `localhost_${primary.port}`);
    mkdirSync(pinned, { recursive: true, mode: 0o700 });
    writeFileSync(join(pinned, 'ca.pem'), other.caPem);
    const { code, rows } = await doctor('--primary', `localhost:${primary.port}`);
    expect(failed(rows)).toEqual(['ca', 'trust']);
    expect(code).toBe(3);
  });

  test('a certificate that has ended and carries another name', async () => {
    const ca = await makeDemoCa('puppet.example.com', 'self', 'ec');
    const key = await makeKey('ec');
    const day = 86_400_000;
    const cert = ca.issue('puppet.example.com', key.publicKey, {
      extensions: [subjectAltName(['other.example'])],
      notBefore: Date.now() - 3 * day,
      notAfter: Date.now() - day,
    });
    await using primary = await startRawPrimary(ca, { tls: { key: key.pem, cert } });
    const { rows } = await doctor('--primary', `localhost:${primary.port}`);
    expect(failed(rows)).toEqual(['name', 'certificate', 'trust']);
  });
});
