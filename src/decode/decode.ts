import type { Fields, Phase, Route } from '../model.ts';
import { type BucketFile, type BucketKey, bucketFile, bucketKey } from './bucket.ts';
import { type Catalog, catalogOf } from './catalog.ts';
import { type CatalogRequest, catalogRequest } from './catalog-request.ts';
import { type Bundle, decodeBundle } from './certificate.ts';
import { type Csr, decodeCsr } from './csr.ts';
import { textsOf } from './data.ts';
import { type FileContent, fileContent } from './file-content.ts';
import { type FileMetadata, fileMetadatas } from './file-metadata.ts';
import { type Body, bodyOf, parseBody } from './format.ts';
import { attempt, DEFAULT_LIMITS, type Decoding, type Limits } from './limits.ts';
import { type Node, type NodeRequest, nodeOf, nodeRequest } from './node.ts';
import { type BodyShape, bodyShape, type Other, otherOf } from './other.ts';
import { type Refusal, refusalOf } from './refusal.ts';
import { type Report, reportOf } from './report.ts';
import { query } from './route.ts';

/** One exchange's bytes. A body is `null` when there was none or it was not kept. */
export interface DecodeInput {
  method: string;
  /** As received. */
  target: string;
  route: Route;
  /** `null` when there was no answer. */
  status: number | null;
  requestFields: Fields;
  request: Uint8Array | null;
  responseFields: Fields;
  response: Uint8Array | null;
  /** What we sent to the primary, and it to us, where the two legs differ. Without fields they are taken to have no content coding. */
  primaryRequest?: Uint8Array | null;
  primaryRequestFields?: Fields;
  primaryResponse?: Uint8Array | null;
  primaryResponseFields?: Fields;
  limits?: Limits;
}

/** One side of a phase: `null` when there was no body, else decoded or the reason why not. */
type Part<T> = Decoding<T> | null;

export type FileAnswer = { type: 'metadata'; entries: FileMetadata[] } | ({ type: 'content' } & FileContent);

/** What each phase's bodies say. Answers of 400 and above are in `refusal`, whatever the phase. */
export type Phased =
  | { phase: 'ca' | 'crl'; response: Part<Bundle>; primaryResponse: Part<Bundle> }
  | { phase: 'csr'; request: Part<Csr>; primaryRequest: Part<Csr>; response: Part<Csr> }
  | {
      phase: 'certificate';
      response: Part<Bundle>;
      primaryResponse: Part<Bundle>;
      /** The agent's certificate and the primary's are for the same key; `null` when one is missing. */
      sameKey: boolean | null;
    }
  | { phase: 'node'; request: NodeRequest; response: Part<Node> }
  | { phase: 'pluginsync' | 'file'; response: Part<FileAnswer> }
  | { phase: 'catalog'; request: Part<CatalogRequest>; response: Part<Catalog> }
  | { phase: 'filebucket'; key: BucketKey; request: Part<BucketFile>; response: Part<BucketFile> }
  /** The answer names the report processors that ran. */
  | { phase: 'report'; request: Part<Report>; response: Part<string[]> }
  | { phase: 'other'; request: Part<Other>; response: Part<Other> };

export type Decoded = Phased & {
  requestBody: Part<BodyShape>;
  responseBody: Part<BodyShape>;
  refusal: Refusal | null;
};

/** Decodes one exchange. Total: any bytes give an answer, in bounded time and memory, and nothing is thrown. */
export function decodeExchange(input: DecodeInput): Decoded {
  const limits = input.limits ?? DEFAULT_LIMITS;
  const request = openBody(input.request, input.requestFields, limits);
  const response = openBody(input.response, input.responseFields, limits);
  const refused = input.status !== null && input.status >= 400;
  const context: Context = { input, limits, request, response: refused ? null : response };
  return {
    ...decodePhase(input.route.phase, context),
    requestBody: map(request, bodyShape),
    responseBody: map(response, bodyShape),
    refusal: refused ? refusalOf(input.status!, response !== null && 'value' in response ? response.value : null, limits) : null,
  };
}

interface Context {
  input: DecodeInput;
  limits: Limits;
  request: Part<Body>;
  /** `null` also for an answer that refuses. */
  response: Part<Body>;
}

function openBody(bytes: Uint8Array | null | undefined, fields: Fields, limits: Limits): Part<Body> {
  if (bytes === null || bytes === undefined || bytes.length === 0) return null;
  return attempt(notes => {
    const body = bodyOf(bytes, fields, limits);
    if (body.truncated !== null) notes.push(body.truncated);
    return body;
  });
}

/** Decodes a body that is there; its notes stay with what comes of it. */
function map<T>(body: Part<Body>, decoder: (body: Body, notes: string[]) => T): Part<T> {
  if (body === null || 'error' in body) return body;
  return attempt(notes => {
    notes.push(...body.notes);
    return decoder(body.value, notes);
  });
}

function decodePhase(phase: Phase, context: Context): Phased {
  const { input, limits, request, response } = context;
  const primary = (bytes: Uint8Array | null | undefined, fields: Fields | undefined): Part<Body> =>
    openBody(bytes, fields ?? [], limits);
  const bundle = (body: Part<Body>): Part<Bundle> => map(body, ({ bytes }, notes) => decodeBundle(bytes, notes));
  const csr = (body: Part<Body>): Part<Csr> => map(body, ({ bytes }, notes) => decodeCsr(bytes, notes));
  switch (phase) {
    case 'ca':
    case 'crl':
      return {
        phase,
        response: bundle(response),
        primaryResponse: bundle(primary(input.primaryResponse, input.primaryResponseFields)),
      };
    case 'csr': {
      const asked = input.method === 'GET' || input.method === 'HEAD';
      const sent = primary(input.primaryRequest, input.primaryRequestFields);
      return { phase, request: csr(request), primaryRequest: csr(sent), response: asked ? csr(response) : null };
    }
    case 'certificate': {
      const ours = bundle(response);
      const theirs = bundle(primary(input.primaryResponse, input.primaryResponseFields));
      return { phase, response: ours, primaryResponse: theirs, sameKey: sameKey(ours, theirs) };
    }
    case 'node':
      return {
        phase,
        request: nodeRequest(input.target),
        response: map(response, body => nodeOf(parseBody(body, limits, true), limits)),
      };
    case 'pluginsync':
    case 'file':
      return { phase, response: map(response, body => fileAnswer(input.route.indirection, body, limits)) };
    case 'catalog':
      return {
        phase,
        request: askedCatalog(context),
        response: map(response, body => catalogOf(parseBody(body, limits, true), limits)),
      };
    case 'filebucket': {
      const key = bucketKey(input.route.key, input.target);
      const file = (body: Part<Body>): Part<BucketFile> => map(body, content => bucketFile(content, key));
      return { phase, key, request: file(request), response: file(response) };
    }
    case 'report':
      return {
        phase,
        request: map(request, body => reportOf(parseBody(body, limits, true), limits)),
        response: map(response, body => textsOf(parseBody(body, limits))),
      };
    case 'other':
      return {
        phase,
        request: map(request, body => otherOf(body, limits)),
        response: map(response, body => otherOf(body, limits)),
      };
  }
}

function sameKey(ours: Part<Bundle>, theirs: Part<Bundle>): boolean | null {
  const mine = ours !== null && 'value' in ours ? ours.value.certificates[0] : undefined;
  const other = theirs !== null && 'value' in theirs ? theirs.value.certificates[0] : undefined;
  return mine === undefined || other === undefined ? null : mine.key.sha256 === other.key.sha256;
}

function fileAnswer(indirection: string | null, body: Body, limits: Limits): FileAnswer {
  if (indirection === 'file_metadata' || indirection === 'file_metadatas') {
    return { type: 'metadata', entries: fileMetadatas(parseBody(body, limits)) };
  }
  return { type: 'content', ...fileContent(body) };
}

/** The form of a POST, or the query of a GET (Puppet 2 and 3, for few facts). */
function askedCatalog({ input, limits, request }: Context): Part<CatalogRequest> {
  const pairs = query(input.target);
  if (request === null)
    return input.method === 'GET' && pairs.length > 0 ? attempt(() => catalogRequest(null, pairs, limits)) : null;
  return map(request, body => catalogRequest(body, pairs, limits));
}
