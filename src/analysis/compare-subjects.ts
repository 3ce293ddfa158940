import type { CatalogRequest } from '../decode/catalog-request.ts';
import type { Bundle } from '../decode/certificate.ts';
import type { Csr } from '../decode/csr.ts';
import type { Extension } from '../decode/extensions.ts';
import type { FileMetadata } from '../decode/file-metadata.ts';
import type { Node } from '../decode/node.ts';
import type { Other } from '../decode/other.ts';
import type { Refusal } from '../decode/refusal.ts';
import type { Rich } from '../decode/rich-data.ts';

/* Decoded bodies as values, with what is different every time left out. */

export function nodeValue({ environment, classes, classParameters, parameters, trusted, serverFacts }: Node): Rich {
  return new Map<string, Rich>([
    ['environment', environment],
    ['classes', [...classes].sort()],
    ['class_parameters', classParameters],
    ['parameters', new Map([...parameters].filter(([name]) => !TOLD_ELSEWHERE.has(name)))],
    ['trusted', trusted],
    ['server_facts', serverFacts],
  ]);
}

/** Parameters that stand beside them under names of their own; `_timestamp` is a moment. */
const TOLD_ELSEWHERE: ReadonlySet<string> = new Set(['trusted', 'server_facts', '_timestamp', 'environment']);

/** Without facts, transaction_uuid and job_uuid. */
export function requestValue({
  environment,
  configuredEnvironment,
  staticCatalog,
  checksumTypes,
  ...more
}: CatalogRequest): Rich {
  return new Map<string, Rich>([
    ['environment', environment],
    ['configured_environment', configuredEnvironment],
    ['check_environment', more.checkEnvironment],
    ['static_catalog', staticCatalog],
    ['checksum_type', checksumTypes],
    ['facts_format', more.factsFormat],
  ]);
}

/** By path. The place on the primary's disk (`path`) is its own affair. */
export function metadataValue(entries: readonly FileMetadata[]): Rich {
  return new Map(
    entries.map(entry => [
      entry.relativePath ?? '.',
      new Map<string, Rich>(
        Object.entries({
          type: entry.type,
          mode: entry.mode,
          owner: entry.owner,
          group: entry.group,
          // of a directory it is a time
          checksum:
            entry.type === 'directory' || entry.checksum === null ? null : `{${entry.checksumType ?? ''}}${entry.checksum}`,
          destination: entry.destination,
        }).filter(([, value]) => value !== null),
      ),
    ]),
  );
}

export function certificatesValue({ certificates }: Bundle): Rich {
  return new Map(
    certificates.map(certificate => [
      certificate.fingerprint,
      new Map<string, Rich>([
        ['subject', certificate.subject.text],
        ['issuer', certificate.issuer.text],
        ['serial', certificate.serial],
        ['not_after', new Date(certificate.notAfterAt).toISOString()],
      ]),
    ]),
  );
}

/** What is revoked, by issuer; number and times grow with each refresh. */
export function crlsValue({ crls }: Bundle): Rich {
  return new Map(crls.map(({ issuer, revoked }) => [issuer.text, revoked.map(({ serial }) => serial).sort()]));
}

/** Without the key, which a new agent makes anew. */
export function csrValue(csr: Csr): Rich {
  return new Map<string, Rich>([
    ['subject', csr.subject.text],
    ['key_type', csr.key.type],
    ['key_bits', csr.key.bits],
    ['curve', csr.key.curve],
    ['signature_algorithm', csr.signatureAlgorithm],
    ['alternative_names', csr.alternativeNames],
    ['extensions', named(csr.extensions)],
    ['attributes', named(csr.attributes)],
    ['challenge_password', csr.challengePassword],
  ]);
}

function named(extensions: readonly Extension[]): Rich {
  return new Map(extensions.map(({ oid, name, value }) => [name ?? oid, value]));
}

/** The words without node and place, where those could be told apart. */
export function refusalValue({ message, issueKind, compile }: Refusal): Rich {
  const { file = null, line = null, column = null } = compile?.location ?? {};
  const said: [string, Rich][] = [
    ['message', compile?.message ?? message],
    ['issue_kind', issueKind],
    ['file', file],
    ['line', line],
    ['column', column],
    ['resource', compile?.resource ?? null],
  ];
  return new Map(said.filter(([, value]) => value !== null));
}

export function otherValue(other: Other): Rich {
  switch (other.type) {
    case 'data':
      return other.value;
    case 'form':
      return other.pairs.map(([name, value]): Rich => [name, value]);
    case 'text':
      return other.text;
    case 'binary':
      return null;
  }
}
