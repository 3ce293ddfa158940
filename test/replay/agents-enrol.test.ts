import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { issuingCa, readBundle } from '../../src/pki/bundle.ts';
import { openIdentities } from '../../src/pki/identity.ts';
import { enrolAll } from '../../src/replay/agents-enrol.ts';
import { type DemoPrimary, startDemoPrimary } from '../peers/primary.ts';
import { certname } from '../pki/rig.ts';

test('a name that waits for one primary enrols at another all the same, and then at the first', async () => {
  const certs = mkdtempSync(join(tmpdir(), 'stringtap-enrol-'));
  onTestFinished(() => rmSync(certs, { recursive: true, force: true }));
  await using slow = await startDemoPrimary({ keyType: 'ec', autosign: false });
  await using quick = await startDemoPrimary({ keyType: 'ec' });
  const all = openIdentities(join(certs, 'identities'));
  const name = certname('load-1.example');
  const enrol = (primary: DemoPrimary) =>
    enrolAll({
      certnames: [name],
      primary: { host: 'localhost', port: primary.port, caPem: () => primary.ca.caPem },
      identities: all.of({ ca: issuingCa(readBundle(primary.ca.caPem)) }),
      certs,
      waitMs: 10,
      signal: new AbortController().signal,
    });
  expect(await enrol(slow)).toEqual([name]);
  expect(await enrol(quick)).toEqual([]);
  slow.sign(name);
  expect(await enrol(slow)).toEqual([]);
  expect(all.all(name)).toHaveLength(2);
});
