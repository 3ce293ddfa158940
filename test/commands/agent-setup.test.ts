import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startDemoPrimary } from '../peers/primary.ts';
import { startProxyCommand, stringtap } from './stringtap.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-setup-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('stringtap agent-setup', { timeout: 60_000 }, () => {
  test('the printed commands fetch both files once, check them, call puppet and leave nothing', async () => {
    await using primary = await startDemoPrimary({ keyType: 'ec' });
    await using proxy = await startProxyCommand(dir, '--primary', `localhost:${primary.port}`);
    const setup = await stringtap(dir, 'agent-setup', 'web1.example', '--proxy', `127.0.0.1:${proxy.port}`);
    expect(setup.code).toBe(0);
    expect(setup.stdout).toContain('# the proxy has no identity of web1.example');
    for (const name of readdirSync(join(dir, 'certs', 'handouts')))
      expect(statSync(join(dir, 'certs', 'handouts', name)).mode & 0o777).toBe(0o600);

    // A puppet that only keeps what it was given.
    const seen = join(dir, 'seen');
    const keep = `#!/bin/sh\necho "$@" > ${seen}\ncp "$8" ${seen}.ca\ncp "\${10}" ${seen}.crl\nenv > ${seen}.env\n`;
    writeFileSync(join(dir, 'puppet'), keep, { mode: 0o755 });
    const env = {
      PATH: `${dir}:/usr/bin:/bin`,
      TMPDIR: dir,
      no_proxy: '.example',
      http_proxy: 'http://127.0.0.1:9',
      LAB: '1',
    };
    const { stdout } = await promisify(execFile)('sh', ['-e', '-c', setup.stdout], { env });
    expect(stdout).toContain('ca.pem: OK');
    expect(readFileSync(seen, 'utf8')).toMatch(
      /^agent --test --http_proxy_host 127\.0\.0\.1 --http_proxy_port \d+ --localcacert /,
    );
    // What would lead the agent past the proxy: the primary of this test is localhost, which Puppet asks straight unless told otherwise.
    expect(readFileSync(seen, 'utf8')).toMatch(/ --no_proxy none\n$/);
    expect(readFileSync(`${seen}.env`, 'utf8')).toMatch(/^LAB=1$/m);
    expect(readFileSync(`${seen}.env`, 'utf8')).not.toMatch(/proxy/i);
    expect(readFileSync(`${seen}.ca`, 'utf8')).toContain(primary.ca.caPem.trim());
    expect(readFileSync(`${seen}.crl`, 'utf8')).toContain(primary.ca.crlPem.trim());
    expect(readdirSync(dir).filter(name => name.startsWith('tmp.'))).toEqual([]);

    const [, url] = /(http:\S+\/ca\.pem)/.exec(setup.stdout)!;
    const again = await fetch(url!);
    expect(again.status).toBe(404);
    const guessed = await fetch(url!.replace(/[0-9a-f]{32}/, 'f'.repeat(32)));
    expect(guessed.status).toBe(404);
    const other = await fetch(url!.replace('/ca.pem', '/../../ca'));
    expect(other.status).toBe(400);
  });

  test('pasted line by line, they call no puppet when the files are not those of the proxy', async () => {
    await using primary = await startDemoPrimary({ keyType: 'ec' });
    await using proxy = await startProxyCommand(dir, '--primary', `localhost:${primary.port}`);
    const { stdout } = await stringtap(dir, 'agent-setup', 'web1.example', '--proxy', `127.0.0.1:${proxy.port}`);
    writeFileSync(join(dir, 'puppet'), `#!/bin/sh\necho called > ${join(dir, 'seen')}\n`, { mode: 0o755 });
    const env = { PATH: `${dir}:/usr/bin:/bin`, TMPDIR: dir };
    await promisify(execFile)('sh', ['-c', stdout.replace(/[0-9a-f]{64}/, '0'.repeat(64))], { env });
    expect(readdirSync(dir)).not.toContain('seen');
    const again = await stringtap(dir, 'agent-setup', 'web1.example', '--proxy', `127.0.0.1:${proxy.port}`);
    await promisify(execFile)('sh', ['-c', again.stdout], { env });
    expect(readdirSync(dir)).toContain('seen');
  });

  test("a list of the agent's that names the primary does not lead past the proxy", async () => {
    mkdirSync(join(dir, 'certs', 'primaries', 'puppet.example.com_8140'), { recursive: true });
    mkdirSync(join(dir, 'certs', 'bundle'));
    writeFileSync(join(dir, 'certs', 'bundle', 'ca.pem'), '');
    const setup = await stringtap(dir, 'agent-setup', 'web1.example', '--proxy', 'tap.example:8140');
    expect(setup.stdout).toContain(' --hostcrl "$d/crl.pem" --no_proxy localhost,127.0.0.1\n');
  });

  test('without a proxy, and for what is no certname', async () => {
    const early = await stringtap(dir, 'agent-setup', 'web1.example', '--proxy', 'p:1');
    expect([early.code, early.stderr]).toEqual([1, expect.stringContaining('hint: start it first: stringtap proxy')]);
    const bad = await stringtap(dir, 'agent-setup', '../x', '--proxy', 'p:1');
    expect([bad.code, bad.stderr]).toEqual([2, expect.stringContaining('"../x" is no certname')]);
  });
});
