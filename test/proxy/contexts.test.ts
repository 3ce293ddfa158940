import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import type { NetworkInterfaceInfo } from 'node:os';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { openAuthority } from '../../src/pki/authority.ts';
import { openLeafContexts, ownAddresses } from '../../src/proxy/contexts.ts';
import { makeRig } from '../rig/rig.ts';

/** One of a host with many containers: each has a link of its own. */
function link(n: number): NetworkInterfaceInfo[] {
  const common = { mac: '02:00:00:00:00:00', internal: false } as const;
  return [
    { ...common, family: 'IPv4', address: `10.9.0.${n}`, netmask: '255.255.255.0', cidr: null },
    { ...common, family: 'IPv6', address: `fe80::${n}%veth${n}`, netmask: 'ffff:ffff:ffff:ffff::', cidr: null, scopeid: n },
  ];
}

test('a host of many addresses has a leaf all the same, with the first of those that agents can name', async () => {
  const addresses = ownAddresses('0.0.0.0', Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`veth${n}`, link(n)])));
  expect(addresses[0]).toBe('10.9.0.0');
  expect(addresses.filter(address => address.startsWith('fe80'))).toEqual([]);
  const dir = mkdtempSync(join(tmpdir(), 'stringtap-contexts-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const authority = await openAuthority(join(dir, 'ca'));
  const contexts = await openLeafContexts({ authority, names: ['localhost', ...addresses], agentCas: () => [] });
  expect(new X509Certificate(String(contexts.base().cert)).checkIP('10.9.0.0')).toBe('10.9.0.0');
  await contexts.forName('puppet.example.com');
});

test('a place that is one address is that address', () => {
  expect(ownAddresses('192.0.2.1')).toEqual(['192.0.2.1']);
});

test('a proxy that runs for months shows a leaf that is valid, to agents without a server name too', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] });
  onTestFinished(() => void vi.useRealTimers());
  await using rig = await makeRig();
  const shown = async (): Promise<number> => {
    const agent = await rig.agent({ serverName: null, caPem: null });
    const { valid_to } = agent.tls.getPeerCertificate();
    agent.destroy();
    return Date.parse(valid_to);
  };
  const first = await shown();
  vi.advanceTimersByTime(80 * 24 * 60 * 60 * 1000);
  for (const end = performance.now() + 5000; (await shown()) === first && performance.now() < end; );
  expect(await shown()).toBeGreaterThan(first);
});
