import type { ExchangeDetail, RunRow, Store } from '../capture/store.ts';
import { type Data, field, isMapping, unwrap } from '../decode/data.ts';
import { dataJson } from '../decode/data-json.ts';
import { decodeContent } from '../decode/encoding.ts';
import { parseForm, percentBytes } from '../decode/form.ts';
import { type Body, formatOf, mimeOf, parseBody } from '../decode/format.ts';
import { attempt, DEFAULT_LIMITS, Malformed } from '../decode/limits.ts';
import { first } from '../decode/route.ts';
import { hideInData } from '../decode/secrets.ts';
import { yamlText } from '../decode/yaml-text.ts';
import type { Phase, Side } from '../model.ts';
import { contentOf, openBody } from './content.ts';
import { createNames, safePath, safeSegment } from './names.ts';
import type { Selection } from './selection.ts';

/** A file to write; its path is relative and safe. */
export interface OutFile {
  path: string;
  content: string | Uint8Array | AsyncIterable<Uint8Array>;
}

interface Indexed {
  file: string | null;
  exchange: string;
  what: string;
  /** Something in it was hidden. */
  hidden?: boolean;
  /** Why there is no file. */
  omitted?: string;
}

/**
 * What runs were made of, as Puppet's own tools take it: `catalog.json` for `puppet apply --catalog` and octocatalog-diff, `facts.yaml` for
 * octocatalog-diff and rspec-puppet, `report.yaml`, `node.json`, CSRs and certificates, and every file that was fetched below `files/`.
 * One folder a run; `index.json` says which exchange each file is of.
 */
export function* filesOf(selection: Selection): Generator<OutFile> {
  for (const run of selection.runs) yield* filesOfRun(selection, run);
}

function* filesOfRun(selection: Selection, run: RunRow): Generator<OutFile> {
  const names = createNames();
  const folder = names(`r${run.id}-${safeSegment(run.certname)}/run.json`).replace(/\/[^/]*$/, '');
  yield { path: `${folder}/run.json`, content: `${JSON.stringify({ ...run, id: `r${run.id}` }, null, 2)}\n` };
  const index: Indexed[] = [];
  const last = lastOfPhase(selection.store, run);
  for (const exchange of selection.exchanges(run)) {
    const { id } = exchange;
    for (const part of partsOf(selection, exchange, last.get(exchange.phase) === id)) {
      const { content, wanted, hidden, what } = part;
      const entry: Indexed = { file: null, exchange: `e${id}`, what };
      index.push(entry);
      if (content === null) entry.omitted = part.omitted ?? 'not kept';
      else {
        const path = names(`${folder}/${wanted}`);
        entry.file = path.slice(folder.length + 1);
        if (hidden) entry.hidden = true;
        yield { path, content };
      }
    }
  }
  yield { path: names(`${folder}/index.json`), content: `${JSON.stringify(index, null, 2)}\n` };
}

/** The last answered exchange of each phase of a run: it has the plain name, earlier ones are numbered by their exchange. */
function lastOfPhase(store: Store, run: RunRow): Map<Phase, number> {
  const last = new Map<Phase, number>();
  for (const row of store.exchanges({ run: run.id })) {
    if (row.phase !== 'catalog' || row.status === 200) last.set(row.phase, row.id);
  }
  return last;
}

interface Part {
  wanted: string;
  content: OutFile['content'] | null;
  hidden: boolean;
  omitted?: string;
  what: string;
}

function partsOf(selection: Selection, exchange: ExchangeDetail, last: boolean): Part[] {
  const { phase, key, indirection, status } = exchange;
  const numbered = (name: string): string => (last ? name : name.replace('.', `-e${exchange.id}.`));
  const ok = status !== null && status < 300;
  const raw = (side: Side, wanted: string): Part[] => bytesPart(selection, exchange, side, wanted);
  switch (phase) {
    case 'ca':
      return ok ? raw('response', 'ca.pem') : [];
    case 'crl':
      return ok ? raw('response', 'crl.pem') : [];
    case 'csr':
      return [...raw('request', 'csr.pem'), ...raw('primary-request', 'csr-of-stringtap.pem')];
    case 'certificate':
      return ok ? [...raw('response', 'certificate.pem'), ...raw('primary-response', 'certificate-of-primary.pem')] : [];
    case 'node':
      return ok ? dataPart(selection, exchange, 'response', numbered('node.json'), pretty) : [];
    case 'catalog': {
      const answer = ok
        ? dataPart(selection, exchange, 'response', numbered('catalog.json'), catalogText)
        : raw('response', `catalog-error-e${exchange.id}.txt`);
      return [...factsPart(selection, exchange, numbered('facts.yaml')), ...answer];
    }
    case 'report':
      return dataPart(selection, exchange, 'request', numbered('report.yaml'), yamlText);
    case 'pluginsync':
    case 'file':
      if (!ok || (indirection !== 'file_content' && indirection !== 'static_file_content')) return [];
      return raw('response', `files/${indirection === 'static_file_content' ? 'static/' : ''}${safePath(key ?? '_')}`);
    case 'filebucket':
      return [
        ...raw('request', `bucket/${safePath(key ?? '_')}`),
        ...(ok ? raw('response', `bucket/${safePath(key ?? '_')}`) : []),
      ];
    case 'other':
      return [];
    default:
      return phase satisfies never;
  }
}

function bytesPart(selection: Selection, exchange: ExchangeDetail, side: Side, wanted: string): Part[] {
  const content = contentOf(selection, exchange, side);
  const what = `${exchange.phase} ${side}`;
  switch (content.type) {
    case 'none':
      // a file without a byte is a file
      if (side !== 'response' || !wanted.startsWith('files/')) return [];
      return [{ wanted, content: '', hidden: false, what }];
    case 'omitted':
      return [{ wanted, content: null, hidden: false, omitted: content.reason, what }];
    case 'whole':
      return [{ wanted, content: content.bytes, hidden: content.hidden, what }];
    case 'pieces':
      return [{ wanted, content: content.pieces, hidden: false, what }];
    default:
      return content satisfies never;
  }
}

/** A structured body, written anew by `write`. */
function dataPart(
  selection: Selection,
  exchange: ExchangeDetail,
  side: Side,
  wanted: string,
  write: (data: Data) => string,
): Part[] {
  return parsedPart(selection, exchange, side, `${exchange.phase} ${side}`, wanted, write, body =>
    parseBody(body, DEFAULT_LIMITS, true),
  );
}

/** Nothing for a side without a body. A body is held whole, up to what decoders take. */
function parsedPart(
  selection: Selection,
  exchange: ExchangeDetail,
  side: Side,
  what: string,
  wanted: string,
  write: (data: Data) => string,
  parse: (body: Body) => Data,
): Part[] {
  const info = exchange.bodies.find(one => one.side === side);
  if (info === undefined || info.size === 0) return [];
  const hiding = selection.hiding(exchange.run);
  const text = attempt(() => {
    if (info.kept > DEFAULT_LIMITS.bodyBytes) throw new Malformed(`a body of ${info.kept} bytes is too large to decode`);
    const data = unwrap(parse(openBody(selection, exchange, side, DEFAULT_LIMITS)));
    return write(hiding === null ? data : hideInData(data, hiding));
  });
  if ('error' in text) return [{ wanted, content: null, hidden: false, omitted: text.error, what }];
  return [{ wanted, content: text.value, hidden: (hiding?.count ?? 0) > 0, what }];
}

const pretty = (data: Data): string => `${dataJson(data)}\n`;

/** `/puppet/v4/catalog` has the catalog below a key of that name. */
function catalogText(data: Data): string {
  return pretty(isMapping(field(data, 'catalog')) ? field(data, 'catalog') : data);
}

/** The facts out of a catalog request's form: name, values, timestamp, expiration. */
function factsPart(selection: Selection, exchange: ExchangeDetail, wanted: string): Part[] {
  return parsedPart(selection, exchange, 'request', 'catalog request, its facts', wanted, yamlText, body => {
    if (body.format !== 'form') return field(parseBody(body, DEFAULT_LIMITS, true), 'facts');
    const pairs = parseForm(body.bytes);
    const mime = mimeOf(first(pairs, 'facts_format'));
    const encoded = percentBytes(first(pairs, 'facts') ?? '');
    const facts: Body = { format: formatOf(mime, encoded), mime, codings: [], bytes: encoded, truncated: null };
    if (mime !== 'b64_zlib_yaml') return parseBody(facts, DEFAULT_LIMITS, true);
    const packed = Buffer.from(Buffer.from(encoded).toString('latin1'), 'base64');
    const { bytes } = decodeContent(packed, ['deflate'], DEFAULT_LIMITS.bodyBytes);
    return parseBody({ ...facts, format: 'yaml', bytes }, DEFAULT_LIMITS, true);
  });
}
