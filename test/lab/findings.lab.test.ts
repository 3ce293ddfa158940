import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { skipLab } from './available.ts';
import { expectCode, type Lab, SCENARIO_MS, useLab } from './lab.ts';
import { type LabProxy, stringtap, stringtapJson } from './proxy.ts';
import { put } from './site.ts';

const ms = { timeout: SCENARIO_MS };

interface FindingJson {
  run: string | null;
  rule: string;
  severity: 'error' | 'warning' | 'info';
  subject: string;
  summary: string;
  evidence: { exchanges: string[]; rows: object[]; figures: Record<string, unknown> };
}

/** More than Puppet's own soft limit of entries below a folder. */
const MANY = 1_005;

/** An agent that has the fact `trouble` gets a secret in clear, an exec that always runs, and a large folder, which is only looked at. */
function writeTrouble(lab: Lab): void {
  const code = join(lab.primary.dir, 'code');
  const production = join(code, 'environments', 'production');
  put(join(production, 'manifests', 'trouble.pp'), "if $facts['trouble'] { include trouble }\n");
  const manifests = join(production, 'modules', 'trouble', 'manifests');
  put(join(manifests, 'account.pp'), 'define trouble::account(String $password) {}\n');
  put(
    join(manifests, 'init.pp'),
    `class trouble {
  $root = base::root()
  trouble::account { 'db': password => 'xyzzy in clear' }
  exec { 'at every run': command => '/bin/true' }
  if $facts['trouble'] == 'many' {
    file { "\${root}/many": ensure => directory, recurse => true, source => 'puppet:///depot/many', noop => true }
  }
}
`,
  );
  for (let n = 0; n < MANY; n += 1) put(join(code, 'depot', 'many', `f${n}`), `${n}\n`);
}

async function findings(proxy: LabProxy): Promise<Map<string, FindingJson[]>> {
  const found = new Map<string, FindingJson[]>();
  for (const row of await stringtapJson<FindingJson>(['findings', proxy.capture])) {
    found.set(row.subject, [...(found.get(row.subject) ?? []), row]);
  }
  return found;
}

describe.skipIf(skipLab())('what is found in real runs', () => {
  const lab = useLab();

  test('nothing above info in good runs; each trouble in the run that has it', ms, async () => {
    writeTrouble(lab);
    await using proxy = await lab.proxy();

    const good = lab.through(proxy, 'good.lab');
    expectCode(await good.run(), 2);
    expectCode(await good.run(), 0);

    const agent = lab.through(proxy, 'trouble.lab');
    expectCode(await agent.run([], { FACTER_trouble: 'many' }), 2);
    expectCode(await agent.run([], { FACTER_trouble: 'again' }), 2);
    expectCode(await agent.run([], { FACTER_trouble: 'again' }), 2);
    expectCode(await agent.run(['--onetime', '--detailed-exitcodes'], { FACTER_break_compile: '1' }), 2);
    expectCode(await agent.run(['--environment', 'nope']), 1);
    agent.wipeSsl();
    expectCode(await agent.run(), 1);

    const waiting = lab.through(proxy, 'waiting.manual');
    expectCode(await waiting.run(), 1);
    await proxy.stop();

    const found = await findings(proxy);
    // On a machine that is busy enough facts take longer than the agent keeps a connection: then it is true.
    const pause = (row: FindingJson): boolean => row.rule === 'keepalive-gap' && Number(row.evidence.figures.gapMs) > 3_900;
    const rules = (subject: string, run: string): string[] =>
      (found.get(subject) ?? []).filter(row => row.run === run && !pause(row)).map(row => row.rule);

    const runs = await stringtapJson<{ id: string; certname: string }>(['runs', proxy.capture]);
    const ofAgent = runs.filter(row => row.certname === 'trouble.lab').map(row => row.id);
    expect(ofAgent).toHaveLength(6);
    expect((found.get('good.lab') ?? []).filter(row => row.severity !== 'info' && !pause(row))).toEqual([]);
    expect(rules('good.lab', runs[0]?.id ?? '')).toEqual(['first-run-stall']);

    expect(ofAgent.map(run => rules('trouble.lab', run))).toEqual([
      ['plaintext-secret', 'recurse-large', 'report-large', 'first-run-stall'],
      ['plaintext-secret'],
      ['plaintext-secret', 'not-idempotent'],
      // The cached catalog has the exec, too.
      ['catalog-compile-failed', 'masked-by-cache', 'cached-catalog-used', 'not-idempotent'],
      ['environment-missing'],
      ['csr-key-mismatch', 'csr-conflict'],
    ]);
    expect(rules('waiting.manual', runs.find(row => row.certname === 'waiting.manual')?.id ?? '')).toEqual([
      'waiting-for-signature',
      'first-run-stall',
    ]);

    const one = (rule: string): FindingJson | undefined => found.get('trouble.lab')?.find(row => row.rule === rule);
    expect(one('plaintext-secret')?.summary).toMatch(
      /^1 secret in clear in the catalog: Trouble::Account\[db\] password \(.*init\.pp:3\)$/,
    );
    expect(one('recurse-large')?.summary).toContain(`depot/many: ${MANY + 1} entries`);
    expect(one('not-idempotent')?.summary).toContain('Exec[at every run] returns');
    expect(one('catalog-compile-failed')?.summary).toMatch(/the compilation is told to fail \(.*site\.pp:1\)$/);
    expect(one('environment-missing')?.summary).toContain('the primary has no environment nope');
    const all = await stringtap(['findings', proxy.capture, '--json']);
    expect(all.stdout).not.toContain('xyzzy');
    expect((await stringtap(['findings', proxy.capture, '--fail-on', 'error'])).code).toBe(3);

    expect((await stringtap(['findings', proxy.capture, '--severity', 'info', '--fail-on', 'warning'])).code).toBe(0);
  });
});
