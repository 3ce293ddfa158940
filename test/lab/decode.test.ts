import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { CertificateRow, EventRow } from '../../src/capture/decoded-shapes.ts';
import { hasMsgpack } from './agent.ts';
import { skipLab } from './available.ts';
import { expectCurl } from './curl-lines.ts';
import { expectCatalog, expectFacts, expectReport, openssl, page, query, runOf, table } from './decode-compare.ts';
import { exchangesOf, expectCode, SCENARIO_MS, SELF_MADE, useLab } from './lab.ts';
import { stringtap } from './proxy.ts';

const ms = { timeout: SCENARIO_MS };

const CSR_ATTRIBUTES = `custom_attributes:
  1.2.840.113549.1.9.7: a challenge that nobody may read
extension_requests:
  pp_role: lab role
  1.3.6.1.4.1.34380.1.2.7: private
`;

/** What stringtap shows of real runs is what Puppet and OpenSSL say of them. One primary, one proxy an agent. */
describe.skipIf(skipLab())('what is decoded of real runs is what Puppet says of them', () => {
  const lab = useLab();

  test('a fresh run: CA, CRL, CSR, certificate, plugins, facts, static catalog, files, report', ms, async () => {
    await using proxy = await lab.proxy();
    const agent = lab.through(proxy, 'fresh.lab', { csrAttributes: CSR_ATTRIBUTES, settings: { dns_alt_names: 'alias.lab' } });
    const run = await agent.run();
    expectCode(run, 2);
    const id = await runOf(proxy, run);
    await expectReport(proxy, run, id);
    await expectCatalog(proxy, agent, id);
    await expectFacts(proxy, agent, id);

    const exchanges = await exchangesOf(proxy, '--run', id);
    const of = (phase: string) => exchanges.find(one => one.phase === phase)!.id;
    const raw = async (exchange: string, side: string) =>
      (await stringtap(['show', exchange, proxy.capture, '--raw', '--body', side])).stdout;
    const csr = await raw(of('csr'), 'request');
    const text = openssl(['req', '-text', '-noout'], csr);
    const shown = await page(proxy, of('csr'));
    expect(shown).toContain('signature valid');
    expect(shown).toContain('names DNS:');
    for (const name of ['DNS:alias.lab', 'DNS:fresh.lab']) {
      expect(text).toContain(name);
      expect(shown).toContain(name);
    }
    expect(text).toContain('lab role');
    expect(shown).toContain('extension pp_role = lab role');
    expect(shown).toContain('extension 1.3.6.1.4.1.34380.1.2.7 = private');
    expect(shown).toContain('a challenge password (not shown)');
    expect(shown).not.toContain('nobody may read');

    const mine = openssl(['x509', '-noout', '-fingerprint', '-sha256', '-serial', '-subject'], agent.ssl('certs/fresh.lab.pem'));
    const certificates = await table<CertificateRow>(proxy, id, 'certificates');
    const issued = certificates.find(row => `${row.exchange}` === of('certificate') && row.side === 'response')!;
    expect(mine.toLowerCase()).toContain(`fingerprint=${issued.fingerprint.toLowerCase()}`);
    expect(mine).toContain(`serial=${issued.serial}`);
    const bundle = agent.ssl('certs/ca.pem').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)!;
    const fingerprints = bundle.map(pem => openssl(['x509', '-noout', '-fingerprint', '-sha256'], pem).trim().split('=')[1]);
    const ofCa = certificates.filter(row => `${row.exchange}` === of('ca') && row.side === 'response');
    expect(ofCa.map(row => row.fingerprint)).toEqual(fingerprints);

    const crls = agent.ssl('crl.pem').match(/-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g)!;
    const crlRows = await query<{ number: string; next_update: string; revoked: number }>(
      proxy,
      `SELECT number, next_update, revoked FROM v_crl WHERE side = 'response' AND run = ${id.slice(1)} ORDER BY n`,
    );
    expect(crlRows).toHaveLength(crls.length);
    for (const [at, pem] of crls.entries()) {
      const said = openssl(['crl', '-text', '-noout'], pem);
      const number = /X509v3 CRL Number:\s*(?:0x)?([0-9A-Fa-f]+)/.exec(said)![1]!;
      expect([number, BigInt(`0x${number}`).toString()]).toContain(crlRows[at]!.number);
      expect(crlRows[at]!.revoked).toBe((said.match(/Serial Number:/g) ?? []).length);
      const next = /Next Update: (.*)/.exec(said)![1]!;
      expect(Date.parse(crlRows[at]!.next_update)).toBe(Date.parse(next));
    }

    const contents = await query<{ verdict: string; key: string }>(proxy, 'SELECT verdict, key FROM v_file_content');
    expect(contents.length).toBeGreaterThan(8);
    expect(contents.filter(row => row.verdict !== 'match')).toEqual([]);
    expect(await query(proxy, 'SELECT * FROM v_decode_note')).toEqual([]);

    const whole = await page(proxy, id);
    expect(whole).toContain('sensitive: File[');
    for (const place of [whole, (await stringtap(['show', of('catalog'), proxy.capture, '--body', 'response'])).stdout]) {
      expect(place).not.toContain('not for everybody');
    }
    expect(await query(proxy, "SELECT * FROM v_resource WHERE parameters LIKE '%not for everybody%'")).toEqual([]);
    const found = await stringtap(['search', '"not for everybody"', proxy.capture]);
    expect(found.stdout).toBe('');
    const unicode = await stringtap(['search', 'grüß', proxy.capture]);
    expect(unicode.stdout).toContain('resources');
    expect(unicode.stdout).toContain('facts');
    const [deferred] = await table<{ parameters: Record<string, unknown> }>(proxy, id, 'resources', '/later');
    expect(deferred!.parameters.content).toMatchObject({ __ptype: 'Deferred', name: 'base_later' });
    const [binary] = await table<{ parameters: Record<string, unknown> }>(proxy, id, 'resources', '/binary');
    expect(binary!.parameters.content).toEqual({ __ptype: 'Binary', __pvalue: 'AAH/gP4=' });
    expect(await expectCurl(proxy, id)).toBeGreaterThan(20);
  });

  test('noop, corrective with a file bucket, a resource that fails, a compilation that fails', ms, async () => {
    await using proxy = await lab.proxy();
    const agent = lab.through(proxy, 'many.lab');
    const bucket = { FACTER_bucket_server: 'localhost', FACTER_bucket_port: String(proxy.port) };

    const noop = await agent.run(['--noop']);
    expectCode(noop, 0);
    const noopId = await runOf(proxy, noop);
    await expectReport(proxy, noop, noopId);
    expect(await page(proxy, noopId)).toMatch(/result {7}\w+, noop/);

    expectCode(await agent.run([], bucket), 2);
    writeFileSync(join(agent.root, 'greeting'), 'changed by hand\n');
    const corrective = await agent.run([], bucket);
    expectCode(corrective, 2);
    const correctiveId = await runOf(proxy, corrective);
    await expectReport(proxy, corrective, correctiveId);
    await expectCatalog(proxy, agent, correctiveId);
    const events = await table<EventRow>(proxy, correctiveId, 'events', 'greeting');
    expect(events.map(row => [row.property, row.correctiveChange])).toEqual([['content', true]]);
    const shown = await page(proxy, correctiveId);
    expect(shown).toContain(`changed File[${agent.root}/greeting] content (corrective)`);
    const [kept] = await query<{ verdict: string; bytes: number }>(
      proxy,
      "SELECT verdict, bytes FROM v_file_content WHERE side = 'request'",
    );
    expect(kept).toEqual({ verdict: 'match', bytes: 'changed by hand\n'.length });

    const broken = await agent.run([], { FACTER_break_apply: '1' });
    expectCode(broken, 4);
    const brokenId = await runOf(proxy, broken);
    await expectReport(proxy, broken, brokenId);
    const failed = await page(proxy, brokenId);
    expect(failed).toContain('failed Exec[broken] returns');
    expect(failed).toContain(`skipped File[${agent.root}/skipped]`);

    const uncompiled = await agent.run([], { FACTER_break_compile: '1' });
    expectCode(uncompiled, 1);
    const uncompiledId = await runOf(proxy, uncompiled);
    await expectReport(proxy, uncompiled, uncompiledId);
    const [refusal] = await query<Record<string, unknown>>(
      proxy,
      `SELECT * FROM v_refusal WHERE run = ${uncompiledId.slice(1)} AND status = 500`,
    );
    expect(refusal).toMatchObject({ line: 1, node: 'many.lab', issue_kind: 'RUNTIME_ERROR' });
    expect(String(refusal!.file)).toMatch(/manifests\/site\.pp$/);
    expect(String(refusal!.error)).toContain('the compilation is told to fail');
    expect(await page(proxy, uncompiledId)).toMatch(/site\.pp:1/);
  });

  const formats = ['msgpack', 'pson', 'yaml'].filter(
    format => format !== 'msgpack' || hasMsgpack() || process.env.STRINGTAP_REQUIRE_PUPPET === '1',
  );
  test.each(formats)('%s: the report that the agent sent is decoded', ms, async format => {
    await using proxy = await lab.proxy();
    const agent = lab.through(proxy, `${format}.lab`, { settings: { preferred_serialization_format: format } });
    const run = await agent.run();
    const id = await runOf(proxy, run);
    await expectReport(proxy, run, id);
    const sent = await query<{ format: string }>(
      proxy,
      `SELECT b.format FROM v_body b JOIN v_exchange e ON e.id = b.exchange WHERE e.phase = 'report' AND b.side = 'request'`,
    );
    expect(sent).toEqual([{ format }]);
    const [report] = (await exchangesOf(proxy)).filter(one => one.phase === 'report');
    // The primary reads PSON, and neither MessagePack nor YAML.
    expect(report!.status).toBe(format === 'pson' ? 200 : 415);
  });
});

describe.skipIf(skipLab())('without static catalogs', () => {
  const lab = useLab(SELF_MADE);

  test('a plain catalog, and files whose metadata is asked for', ms, async () => {
    await using proxy = await lab.proxy();
    const agent = lab.through(proxy, 'plain.lab');
    const run = await agent.run();
    expectCode(run, 2);
    const id = await runOf(proxy, run);
    await expectReport(proxy, run, id);
    await expectCatalog(proxy, agent, id);
    expect(await query(proxy, 'SELECT * FROM v_file_metadata WHERE resource IS NOT NULL')).toEqual([]);
    const contents = await query<{ verdict: string }>(proxy, 'SELECT verdict FROM v_file_content');
    expect(contents.length).toBeGreaterThan(8);
    expect(contents.filter(row => row.verdict !== 'match')).toEqual([]);
  });
});
