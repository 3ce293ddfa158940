import { X509Certificate } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { registerCa } from '../../src/commands/ca.ts';
import { registerIdentity } from '../../src/commands/identity.ts';
import { CliError, type Io } from '../../src/commands/io.ts';
import { openAuthority } from '../../src/pki/authority.ts';
import { readCsr } from '../../src/pki/csr.ts';
import { openIdentities } from '../../src/pki/identity.ts';
import { certsLayout } from '../../src/pki/layout.ts';
import { openTrust } from '../../src/pki/trust.ts';
import { agentCsr, certname, type PrimaryCa, primaryCa, sharedDir, tempDir, verified, write } from './rig.ts';

let shared: string;
let primary: PrimaryCa;
beforeAll(() => {
  shared = sharedDir();
  primary = primaryCa(join(shared, 'primary'));
});
afterAll(() => rmSync(shared, { recursive: true, force: true }));

let certs: string;
beforeEach(() => {
  certs = join(tempDir(), 'certs');
});

/** Runs one command line below `--certs`. */
async function run(...args: string[]): Promise<{ out: string[]; err: string[]; exitCode: number }> {
  const [out, err] = [[] as string[], [] as string[]];
  const io: Io = {
    out: line => void out.push(line),
    err: line => void err.push(line),
    chatter: () => undefined,
    write: () => undefined,
    stdoutIsTerminal: false,
    columns: 80,
    env: {},
    exitCode: 0,
  };
  const program = new Command('stringtap').exitOverride();
  registerIdentity(program, io);
  registerCa(program, io);
  await program.parseAsync([...args, '--certs', certs], { from: 'user' });
  return { out, err, exitCode: io.exitCode };
}

function pair(name: string): { key: string; cert: string; pem: string } {
  const agent = agentCsr(shared, `/CN=${name}`);
  const pem = primary.sign(agent.csrPem);
  return { key: agent.key, cert: write(shared, `${name}.cert.pem`, pem), pem };
}

describe('stringtap ca', () => {
  test('show --json is what openssl and the authority say', async () => {
    const { out } = await run('ca', 'show', '--json');
    const authority = await openAuthority(join(certs, 'ca'));
    const shown: unknown = JSON.parse(out.join('\n'));
    const x509 = new X509Certificate(authority.caPem);
    expect(shown).toEqual({
      subject: x509.subject,
      fingerprint: x509.fingerprint256,
      serial: x509.serialNumber,
      notBefore: x509.validFromDate.toISOString(),
      notAfter: x509.validToDate.toISOString(),
      revoked: 0,
      folder: join(certs, 'ca'),
    });
    const words = (await run('ca', 'show')).out;
    expect(words).toContain(`SHA-256      ${x509.fingerprint256}`);
  });

  test('export gives files that openssl verifies with', async () => {
    const ca = (await run('ca', 'export')).out.join('\n');
    const crl = (await run('ca', 'export', '--crl')).out.join('\n');
    const { certPem } = await (await openAuthority(join(certs, 'ca'))).leaf(['puppet.lab']);
    expect(verified(shared, `${ca}\n`, `${crl}\n`, certPem)).toBe('OK');
  });
});

describe('stringtap identity', () => {
  test('import --cert --key, list, remove', async () => {
    const { key, cert, pem } = pair('agent.lab');
    const { fingerprint256: fingerprint, validToDate } = new X509Certificate(pem);
    const imported = await run('identity', 'import', '--cert', cert, '--key', key);
    expect(imported.out).toEqual([
      `imported agent.lab, valid until ${validToDate.toISOString().slice(0, 10)}`,
      `SHA-256 ${fingerprint}`,
    ]);
    const listed = await run('identity', 'list', '--json');
    expect(listed.out.map(line => JSON.parse(line) as unknown)).toEqual([
      { certname: 'agent.lab', kind: 'imported', fingerprint, notAfter: validToDate.toISOString(), primaries: [] },
    ]);
    expect((await run('identity', 'list')).out[1]).toMatch(/^agent\.lab {2}imported {2}- {8}20\d\d-\d\d-\d\d {2}[0-9A-F:]{95}$/);
    expect((await run('identity', 'remove', 'agent.lab')).out).toEqual(['removed agent.lab (imported)']);
    expect((await run('identity', 'list', '--json')).out).toEqual([]);
    await expect(run('identity', 'remove', 'agent.lab')).rejects.toMatchObject({
      message: 'there is no identity of agent.lab',
      exitCode: 1,
    });
  });

  test('a certname of two primaries: import keeps both, list says whose, remove takes all or one', async () => {
    const other = primaryCa(join(shared, 'other'));
    const ofOther = agentCsr(shared, '/CN=agent.lab');
    const otherCert = write(shared, 'other.cert.pem', other.sign(ofOther.csrPem));
    const { key, cert, pem } = pair('agent.lab');
    const authority = await openAuthority(join(certs, 'ca'));
    const layout = certsLayout(certs);
    const trust = openTrust(layout.primary('a.example.com', 8140), authority);
    trust.pin(primary.caPem);
    await run('identity', 'import', '--cert', cert, '--key', key);
    // A CA that no proxy has met takes no place of one in use.
    await expect(run('identity', 'import', '--cert', otherCert, '--key', ofOther.key)).rejects.toMatchObject({
      message: expect.stringContaining('agent.lab has an identity already, by the CA of another primary'),
      hint: expect.stringContaining('stringtap proxy'),
    });
    const otherTrust = openTrust(layout.primary('b.example.com', 8141), authority);
    otherTrust.pin(other.caPem);
    await run('identity', 'import', '--cert', otherCert, '--key', ofOther.key);
    await run('identity', 'import', '--cert', cert, '--key', key); // again: each in its own place
    const listed = async (): Promise<unknown[]> =>
      (await run('identity', 'list', '--json')).out
        .map(line => JSON.parse(line) as { fingerprint: string; primaries: string[] })
        .map(({ fingerprint, primaries }) => [fingerprint, primaries]);
    const [mine, theirs] = [pem, readFileSync(otherCert, 'utf8')].map(text => new X509Certificate(text).fingerprint256);
    expect(await listed()).toEqual([
      [mine, ['a.example.com:8140']],
      [theirs, ['b.example.com:8141']],
    ]);
    const name = certname('agent.lab');
    const identities = openIdentities(layout.identities);
    expect(identities.of(trust).get(name)?.fingerprint).toBe(mine);
    expect(identities.of(otherTrust).get(name)?.fingerprint).toBe(theirs);
    await expect(run('identity', 'remove', 'agent.lab', '--primary', 'c.example.com')).rejects.toThrow(
      'no primary c.example.com is known here',
    );
    const removed = await run('identity', 'remove', 'agent.lab', '--primary', 'A.example.com');
    expect(removed.out).toEqual(['removed agent.lab for a.example.com:8140 (imported)']);
    expect(await listed()).toEqual([[theirs, ['b.example.com:8141']]]);
    expect(openIdentities(layout.identities).of(trust).get(name)).toBeNull();
    await run('identity', 'import', '--cert', cert, '--key', key);
    expect((await run('identity', 'remove', 'agent.lab')).out).toHaveLength(2);
    expect(await listed()).toEqual([]);
  });

  test('import --ssldir with a name', async () => {
    const ssldir = tempDir();
    const { key, cert } = pair('a.lab');
    for (const [folder, file] of [
      ['private_keys', key],
      ['certs', cert],
    ] as const) {
      mkdirSync(join(ssldir, folder));
      writeFileSync(join(ssldir, folder, 'a.lab.pem'), readFileSync(file));
    }
    expect((await run('identity', 'import', '--ssldir', ssldir, '--certname', 'a.lab')).out[0]).toContain('imported a.lab');
  });

  test.each([
    [[]],
    [['--cert', 'x']],
    [['--key', 'x']],
    [['--ssldir', 'x', '--cert', 'y', '--key', 'z']],
    [['--cert', 'y', '--key', 'z', '--certname', 'a']],
  ])('import %j is wrong usage', async args => {
    await expect(run('identity', 'import', ...args)).rejects.toMatchObject({
      name: 'CliError',
      exitCode: 2,
      hint: expect.stringContaining('--ssldir DIR [--certname NAME] | --cert FILE --key FILE'),
    });
  });

  test('a file that is not there, and a name that is none', async () => {
    await expect(run('identity', 'import', '--cert', '/nonexistent', '--key', '/nonexistent')).rejects.toThrow(
      'there is no /nonexistent',
    );
    await expect(run('identity', 'remove', '../x')).rejects.toThrow(CliError);
  });

  test('list names what is damaged, lists the others, and exits with 1', async () => {
    const { key, cert } = pair('a.lab');
    await run('identity', 'import', '--cert', cert, '--key', key);
    const bad = join(certs, 'identities', 'b.lab.pem');
    writeFileSync(bad, 'x', { mode: 0o600 });
    const { out, err, exitCode } = await run('identity', 'list');
    expect(out).toHaveLength(2);
    expect(err).toEqual([
      expect.stringContaining('b.lab.pem is damaged'),
      expect.stringMatching(/^hint: stringtap identity remove b\.lab/),
    ]);
    expect(exitCode).toBe(1);
    chmodSync(bad, 0o644);
    expect((await run('identity', 'list', '--json')).err).toContain(`hint: chmod 600 ${bad}`);
    await expect(run('identity', 'remove', 'b.lab')).resolves.toMatchObject({ out: ['removed b.lab, whose file was damaged'] });
    expect((await run('identity', 'list')).exitCode).toBe(0);
  });

  test('removing an enrolled one revokes, for a proxy that is running too, and says what is left to do on the primary', async () => {
    const running = await openAuthority(join(certs, 'ca'));
    const identities = openIdentities(join(certs, 'identities'));
    const agent = agentCsr(shared, '/CN=e.lab');
    const own = agentCsr(shared, '/CN=e.lab');
    const certPem = primary.sign(own.csrPem);
    const agentCertPem = await running.issue({ publicKey: readCsr(agent.csrPem).publicKey, like: certPem });
    identities.store({ certname: certname('e.lab'), keyPem: own.keyPem, certPem, agentCertPem });
    const { out, err } = await run('identity', 'remove', 'e.lab');
    expect(out).toEqual(['removed e.lab (enrolled)']);
    expect(err[0]).toContain('puppetserver ca clean --certname e.lab');
    await expect.poll(() => running.isRevoked(new X509Certificate(agentCertPem).serialNumber), { timeout: 2000 }).toBe(true);
    await expect.poll(() => identities.get(certname('e.lab')), { timeout: 2000 }).toBeNull();
    expect(JSON.parse((await run('ca', 'show', '--json')).out[0]!)).toMatchObject({ revoked: 1 });
  });
});
