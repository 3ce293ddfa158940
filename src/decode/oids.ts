/** Names of Puppet's OIDs, from `lib/puppet/ssl/oids.rb` (`PUPPET_OIDS`); the arcs below 34380.1.2 are a site's own. */
const PUPPET = '1.3.6.1.4.1.34380';

const REGISTERED = [
  'pp_uuid',
  'pp_instance_id',
  'pp_image_name',
  'pp_preshared_key',
  'pp_cost_center',
  'pp_product',
  'pp_project',
  'pp_application',
  'pp_service',
  'pp_employee',
  'pp_created_by',
  'pp_environment',
  'pp_role',
  'pp_software_version',
  'pp_department',
  'pp_cluster',
  'pp_provisioner',
  'pp_region',
  'pp_datacenter',
  'pp_zone',
  'pp_network',
  'pp_securitypolicy',
  'pp_cloudplatform',
  'pp_apptier',
  'pp_hostname',
  'pp_owner',
] as const;

/** Short names as OpenSSL has them, of what Puppet's certificates, CRLs and CSRs hold. */
const NAMES: ReadonlyMap<string, string> = new Map([
  [PUPPET, 'puppetlabs'],
  [`${PUPPET}.1`, 'ppCertExt'],
  [`${PUPPET}.1.1`, 'ppRegCertExt'],
  ...REGISTERED.map((name, index): [string, string] => [`${PUPPET}.1.1.${index + 1}`, name]),
  [`${PUPPET}.1.2`, 'ppPrivCertExt'],
  [`${PUPPET}.1.3`, 'ppAuthCertExt'],
  [`${PUPPET}.1.3.1`, 'pp_authorization'],
  [`${PUPPET}.1.3.13`, 'pp_auth_role'],
  // puppetserver's own (certificate_authority.clj): how an agent's CSR says that it can renew, and what marks the CA's command line
  [`${PUPPET}.1.3.2`, 'pp_auth_auto_renew'],
  [`${PUPPET}.1.3.39`, 'pp_cli_auth'],
  // names (X.520, RFC 4519)
  ['2.5.4.3', 'CN'],
  ['2.5.4.4', 'SN'],
  ['2.5.4.5', 'serialNumber'],
  ['2.5.4.6', 'C'],
  ['2.5.4.7', 'L'],
  ['2.5.4.8', 'ST'],
  ['2.5.4.9', 'street'],
  ['2.5.4.10', 'O'],
  ['2.5.4.11', 'OU'],
  ['2.5.4.12', 'title'],
  ['1.2.840.113549.1.9.1', 'emailAddress'],
  ['0.9.2342.19200300.100.1.1', 'UID'],
  ['0.9.2342.19200300.100.1.25', 'DC'],
  // attributes of a CSR (PKCS #9)
  ['1.2.840.113549.1.9.2', 'unstructuredName'],
  ['1.2.840.113549.1.9.7', 'challengePassword'],
  ['1.2.840.113549.1.9.8', 'unstructuredAddress'],
  ['1.2.840.113549.1.9.14', 'extReq'],
  ['1.3.6.1.4.1.311.2.1.14', 'msExtReq'],
  // extensions (RFC 5280)
  ['2.5.29.14', 'subjectKeyIdentifier'],
  ['2.5.29.15', 'keyUsage'],
  ['2.5.29.17', 'subjectAltName'],
  ['2.5.29.18', 'issuerAltName'],
  ['2.5.29.19', 'basicConstraints'],
  ['2.5.29.20', 'crlNumber'],
  ['2.5.29.21', 'CRLReason'],
  ['2.5.29.24', 'invalidityDate'],
  ['2.5.29.27', 'deltaCRL'],
  ['2.5.29.28', 'issuingDistributionPoint'],
  ['2.5.29.30', 'nameConstraints'],
  ['2.5.29.31', 'crlDistributionPoints'],
  ['2.5.29.32', 'certificatePolicies'],
  ['2.5.29.35', 'authorityKeyIdentifier'],
  ['2.5.29.37', 'extendedKeyUsage'],
  ['1.3.6.1.5.5.7.1.1', 'authorityInfoAccess'],
  ['2.16.840.1.113730.1.1', 'nsCertType'],
  ['2.16.840.1.113730.1.13', 'nsComment'],
  // extended key usages
  ['1.3.6.1.5.5.7.3.1', 'serverAuth'],
  ['1.3.6.1.5.5.7.3.2', 'clientAuth'],
  ['1.3.6.1.5.5.7.3.3', 'codeSigning'],
  ['1.3.6.1.5.5.7.3.4', 'emailProtection'],
  ['1.3.6.1.5.5.7.3.8', 'timeStamping'],
  ['1.3.6.1.5.5.7.3.9', 'OCSPSigning'],
  ['2.5.29.37.0', 'anyExtendedKeyUsage'],
  // signature algorithms
  ['1.2.840.113549.1.1.4', 'RSA-MD5'],
  ['1.2.840.113549.1.1.5', 'RSA-SHA1'],
  ['1.2.840.113549.1.1.10', 'RSA-PSS'],
  ['1.2.840.113549.1.1.11', 'RSA-SHA256'],
  ['1.2.840.113549.1.1.12', 'RSA-SHA384'],
  ['1.2.840.113549.1.1.13', 'RSA-SHA512'],
  ['1.2.840.113549.1.1.14', 'RSA-SHA224'],
  ['1.2.840.10045.4.1', 'ECDSA-SHA1'],
  ['1.2.840.10045.4.3.1', 'ECDSA-SHA224'],
  ['1.2.840.10045.4.3.2', 'ECDSA-SHA256'],
  ['1.2.840.10045.4.3.3', 'ECDSA-SHA384'],
  ['1.2.840.10045.4.3.4', 'ECDSA-SHA512'],
  ['1.3.101.112', 'Ed25519'],
  ['1.3.101.113', 'Ed448'],
]);

/** Puppet's or OpenSSL's short name, `null` for a private or unknown OID: those are shown by their number. */
export function oidName(oid: string): string | null {
  return NAMES.get(oid) ?? null;
}

/** Below Puppet's arc: its value is text, whatever its encoding. */
export function isPuppetOid(oid: string): boolean {
  return oid.startsWith(`${PUPPET}.`);
}
