import { createPublicKey, randomUUID, X509Certificate } from 'node:crypto';
import { type Csr, readCsr } from '../../src/pki/csr.ts';
import { PkiError } from '../../src/pki/error.ts';
import { type Answer, fault, forbidden, json, TEXT, text } from './answers.ts';
import type { DemoCa } from './ca.ts';
import { CODE_ID, compile, FILES, metadata, node, type SiteFile } from './site.ts';

/** What the primary knows. */
export interface Books {
  readonly ca: DemoCa;
  /** Signed certificates, PEM. */
  readonly certificates: Map<string, string>;
  /** Requests that wait for a signature. */
  readonly requests: Map<string, Csr>;
  /** Certnames whose catalog does not compile. */
  readonly failing: Set<string>;
  autosign: boolean;
  renewal: boolean;
}

export interface Asked {
  method: string;
  target: string;
  /** Proved by the client certificate. */
  certname: string | null;
  certificatePem: string | null;
  /** ms, NaN without If-Modified-Since. */
  modifiedSince: number;
  contentType: string;
  body: Buffer;
}

interface Route {
  methods: readonly string[];
  /** The first group is the key. */
  path: RegExp;
  /** As in auth.conf: anybody, who has a certificate, or the certname that the path names. */
  allow: 'any' | 'certified' | 'self';
  answer(books: Books, asked: Asked, key: string, query: URLSearchParams): Answer;
}

const GET = ['GET', 'HEAD'];

/** The rules of Puppet Server's auth.conf with what answers them, the first match counts. What none matches is denied. */
const ROUTES: readonly Route[] = [
  { methods: GET, path: /^\/puppet-ca\/v1\/certificate\/(ca)$/, allow: 'any', answer: ({ ca }) => text(200, ca.caPem) },
  { methods: GET, path: /^\/puppet-ca\/v1\/certificate\/([^/]+)$/, allow: 'any', answer: certificate },
  { methods: GET, path: /^\/puppet-ca\/v1\/certificate_revocation_list\/(ca)$/, allow: 'any', answer: crl },
  { methods: ['GET'], path: /^\/puppet-ca\/v1\/certificate_request\/([^/]+)$/, allow: 'any', answer: waiting },
  { methods: ['PUT'], path: /^\/puppet-ca\/v1\/certificate_request\/([^/]+)$/, allow: 'any', answer: request },
  { methods: ['POST'], path: /^\/puppet-ca\/v1\/(certificate_renewal)$/, allow: 'certified', answer: renewal },
  { methods: GET, path: /^\/status\/v1\/simple(?:\/server)?$/, allow: 'any', answer: () => text(200, 'running') },
  {
    methods: GET,
    path: /^\/puppet\/v3\/node\/([^/]+)$/,
    allow: 'self',
    answer: (_, __, key, query) => json(200, node(key, query.get('environment') ?? 'production')),
  },
  { methods: ['GET', 'POST'], path: /^\/puppet\/v3\/catalog\/([^/]+)$/, allow: 'self', answer: catalog },
  { methods: ['PUT'], path: /^\/puppet\/v3\/report\/([^/]+)$/, allow: 'self', answer: report },
  { methods: GET, path: /^\/puppet\/v3\/file_metadatas\/(.+)$/, allow: 'certified', answer: listing },
  { methods: GET, path: /^\/puppet\/v3\/file_metadata\/(.+)$/, allow: 'certified', answer: one },
  { methods: GET, path: /^\/puppet\/v3\/file_content\/(.+)$/, allow: 'certified', answer: content },
  { methods: GET, path: /^\/puppet\/v3\/static_file_content\/(.+)$/, allow: 'certified', answer: staticContent },
  { methods: ['HEAD', 'GET', 'PUT'], path: /^\/puppet\/v3\/file_bucket_file\/(.+)$/, allow: 'certified', answer: bucket },
];

/** What the primary says to a request. */
export function answerTo(books: Books, asked: Asked): Answer {
  const [path = '', queryText = ''] = asked.target.split('?', 2);
  const route = ROUTES.find(({ methods, path: pattern }) => methods.includes(asked.method) && pattern.test(path));
  if (route === undefined) return forbidden(asked.method, path);
  const key = decoded(route.path.exec(path)?.[1] ?? '');
  const allowed = route.allow === 'any' || (route.allow === 'self' ? asked.certname === key : asked.certname !== null);
  if (!allowed) return forbidden(asked.method, path);
  return route.answer(books, asked, key, new URLSearchParams(queryText));
}

function decoded(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

function certificate({ certificates }: Books, _asked: Asked, key: string): Answer {
  const pem = certificates.get(key);
  return pem === undefined ? text(404, `Could not find certificate ${key}`) : text(200, pem);
}

function crl({ ca }: Books, asked: Asked): Answer {
  // RFC 9110 section 13.1.3 counts whole seconds.
  if (asked.modifiedSince >= Math.floor(ca.crlModifiedAt / 1000) * 1000) return text(304, '');
  return text(200, ca.crlPem);
}

function waiting({ requests }: Books, _asked: Asked, key: string): Answer {
  const csr = requests.get(key);
  if (csr === undefined) return text(404, `Could not find certificate_request ${key}`);
  const base64 = csr.der.toString('base64').replace(/.{1,64}/g, '$&\n');
  return text(200, `-----BEGIN CERTIFICATE REQUEST-----\n${base64}-----END CERTIFICATE REQUEST-----\n`);
}

function request(books: Books, asked: Asked, key: string): Answer {
  let csr: Csr;
  try {
    csr = readCsr(asked.body.toString('latin1'));
  } catch (error) {
    if (error instanceof PkiError) return text(400, `${error.message}`);
    throw error;
  }
  if (csr.commonName !== key) {
    return text(400, `Instance name "${csr.commonName ?? ''}" does not match requested key "${key}"`);
  }
  const signed = books.certificates.get(key);
  const ignored = 'ignoring certificate request';
  if (signed !== undefined) {
    const revoked = books.ca.isRevoked(serialOf(signed));
    return text(400, `${key} already has a ${revoked ? 'revoked' : 'signed'} certificate; ${ignored}`);
  }
  if (books.requests.has(key)) return text(400, `${key} already has a requested certificate; ${ignored}`);
  if (books.autosign) books.certificates.set(key, books.ca.sign(csr, key));
  else books.requests.set(key, csr);
  return { ...text(200, ''), sized: true };
}

/** Puppet 8's auto-renewal: a certificate for the key of the TLS client certificate. */
function renewal(books: Books, asked: Asked): Answer {
  if (!books.renewal || asked.certificatePem === null || asked.certname === null) {
    return forbidden(asked.method, asked.target);
  }
  const pem = books.ca.issue(asked.certname, createPublicKey(asked.certificatePem));
  books.certificates.set(asked.certname, pem);
  return text(200, pem);
}

function catalog(books: Books, asked: Asked, key: string): Answer {
  const form = new URLSearchParams(asked.body.toString('latin1'));
  const environment = form.get('environment') ?? 'production';
  if (environment !== 'production') {
    return text(500, `Internal Server Error: java.lang.IllegalStateException: no code id for the environment ${environment}`);
  }
  if (books.failing.has(key)) {
    const where = '/etc/puppetlabs/code/environments/production/modules/profile/manifests/base.pp, line: 24, column: 3';
    const what = `Evaluation Error: Error while evaluating a Function Call, the tier is not known (file: ${where})`;
    return fault(500, `Server Error: ${what} on node ${key}`, 'RUNTIME_ERROR');
  }
  const type = 'application/vnd.puppet.rich+json; charset=utf-8';
  return json(200, compile(key, environment, randomUUID()), type);
}

function report(_books: Books, asked: Asked): Answer {
  if (!asked.contentType.startsWith('application/json')) {
    return { ...json(415, { message: `Unsupported media type ${asked.contentType}`, issue_kind: 'UNSUPPORTED_MEDIA_TYPE' }) };
  }
  return { ...json(200, ['store']), plain: true };
}

function found(key: string): SiteFile | undefined {
  return FILES.find(({ mount, path }) => key === `${mount}/${path}` || (path === '.' && key === mount));
}

function missing(key: string): Answer {
  return fault(404, `Not Found: Could not find file_metadata ${key}`, 'RESOURCE_NOT_FOUND');
}

function listing(_books: Books, _asked: Asked, key: string, query: URLSearchParams): Answer {
  const environment = query.get('environment') ?? '';
  if (environment !== 'production') {
    return fault(404, `Not Found: Could not find environment '${environment}'`, 'RESOURCE_NOT_FOUND');
  }
  if (found(key) === undefined) return missing(key);
  const files = FILES.filter(({ mount, path }) => mount === key && (query.get('recurse') === 'true' || path === '.'));
  return json(200, files.map(metadata));
}

function one(_books: Books, _asked: Asked, key: string): Answer {
  const file = found(key);
  return file === undefined ? missing(key) : json(200, metadata(file));
}

function bytes(file: SiteFile | undefined, key: string): Answer {
  if (file === undefined || file.content === null) {
    return fault(404, `Not Found: Could not find file_content ${key}`, 'RESOURCE_NOT_FOUND');
  }
  return { status: 200, type: 'application/octet-stream', body: file.content, sized: file.content.length < 1024 };
}

function content(_books: Books, _asked: Asked, key: string): Answer {
  return bytes(found(key), key);
}

/** `modules/NAME/files/PATH` of the code that `code_id` names. */
function staticContent(_books: Books, _asked: Asked, key: string, query: URLSearchParams): Answer {
  if (query.get('code_id') !== CODE_ID) return text(500, 'Internal Server Error: that code_id is not deployed');
  return bytes(found(key.replace('/files/', '/')), key);
}

/** A bucket that has nothing, and keeps nothing: HEAD 404, PUT 200. */
function bucket(_books: Books, asked: Asked): Answer {
  if (asked.method === 'PUT') return { status: 200, type: 'application/octet-stream', body: Buffer.alloc(0) };
  return { status: 404, type: TEXT, body: Buffer.from('Not Found: Could not find file_bucket_file') };
}

function serialOf(pem: string): string {
  return new X509Certificate(pem).serialNumber;
}
