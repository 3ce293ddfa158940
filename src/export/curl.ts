import { resolve } from 'node:path';
import type { ExchangeDetail } from '../capture/store.ts';
import { hideInFields, hideInTarget, isSecretField } from '../decode/secrets.ts';
import { toCertname } from '../model.ts';
import { contentOf } from './content.ts';
import { hidingOr, type Selection } from './selection.ts';

/** Where the files are that a request to a primary needs. */
export interface CurlPlaces {
  /** Key and certificate of a certname at a primary; `null` when there is none. */
  identity(certname: string, host: string, port: number): { cert: string; key: string | null } | null;
  /** The CA of a primary. */
  ca(host: string, port: number): string;
  /** Folder for bodies; `null`: each is piped out of the capture. */
  bodies: string | null;
  /** Writes a body into that folder. */
  keep(name: string, bytes: Uint8Array): void;
}

/** Set by curl, or wrong for a request that is made anew. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'expect',
  'accept-encoding',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
]);

const CONTROL = /\p{Cc}/u;

/** Lines for a POSIX shell: one curl an exchange, straight to the primary, as the agent, with a comment before it. */
export function* curlLines(selection: Selection, places: CurlPlaces): Generator<string> {
  yield '# to run one by one: what changes the CA, or what the primary knows, says so\n';
  for (const exchange of selection.exchanges()) {
    const { id, phase, run, certname } = exchange;
    const answer = exchange.primaryStatus ?? exchange.response?.status ?? null;
    const whose = certname === null ? 'no certificate' : certname;
    const said = `e${id}${run === null ? '' : ` r${run}`} ${phase}, ${whose}, answered ${answer ?? 'nothing'}${warning(exchange)}`;
    // A word of a stranger's capture may have lines, of which only the first would be a comment.
    yield `# ${said.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '?')}\n`;
    yield `${curlOf(selection, exchange, places) ?? '# not for a primary: nothing to send'}\n`;
  }
}

/** What a person should know before the command is run. */
function warning({ phase, request }: ExchangeDetail): string {
  if (request.method === 'GET' || request.method === 'HEAD' || phase === 'catalog') return '';
  return phase === 'csr' || phase === 'certificate'
    ? '; changes the CA, and is refused when it was done before'
    : '; changes what the primary knows';
}

/** The command of an exchange, `null` for what went to another host, or nowhere. */
export function curlOf(selection: Selection, exchange: ExchangeDetail, places: CurlPlaces): string | null {
  const { request, certname } = exchange;
  const place = placeOf(selection, exchange);
  const hiding = hidingOr(selection, exchange.run);
  const target = hideInTarget(request.target, hiding);
  if (place === null || !target.startsWith('/') || CONTROL.test(target) || CONTROL.test(request.method)) return null;
  if (certname !== null && toCertname(certname) === null) return null; // names a file below
  const { host, port, name, plain } = place;
  const authority = (text: string): string => (text.includes(':') ? `[${text}]` : text);
  const words = ['curl', '--silent', '--show-error', '--http1.1', '--path-as-is', '--globoff', '--compressed'];
  if (!plain) words.push('--cacert', places.ca(host, port));
  if (name !== host) words.push('--connect-to', `${authority(name)}:${port}:${authority(host)}:${port}`);
  const identity = certname === null || plain ? null : places.identity(certname, host, port);
  if (identity !== null) words.push('--cert', identity.cert, ...(identity.key === null ? [] : ['--key', identity.key]));
  words.push(...method(request.method), ...headers(exchange, selection));
  if (plain && certname !== null) words.push('--header', 'X-Client-Verify: SUCCESS', '--header', `X-Client-DN: CN=${certname}`);
  const body = bodyOf(selection, exchange, places);
  if (body !== null) words.push('--data-binary', body.from);
  words.push(`${plain ? 'http' : 'https'}://${authority(name)}:${port}${target}`);
  const line = words.map(shellWord).join(' ');
  return body?.pipe === undefined ? line : `${body.pipe} | ${line}`;
}

interface Place {
  host: string;
  port: number;
  /** For which it was asked by SNI. */
  name: string;
  /** Over HTTP without TLS, where the agent is named in header fields. */
  plain: boolean;
}

/** The primary that was asked, or would have been. */
function placeOf(selection: Selection, exchange: ExchangeDetail): Place | null {
  const agent = selection.connection(exchange.agentConnection);
  if (agent?.via === 'plain' || agent?.via === 'blind') return null;
  const upstream = exchange.primaryConnection === null ? undefined : selection.connection(exchange.primaryConnection);
  const address = upstream?.target ?? selection.recordings.get(exchange.recording)?.primaries[0] ?? '';
  const match = /^(http:\/\/)?(?:\[([0-9a-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/i.exec(address);
  if (match === null) return null;
  const host = match[2] ?? match[3]!;
  const name = upstream?.serverName ?? host;
  return {
    host,
    port: Number(match[4]),
    name: /^[A-Za-z0-9._:-]{1,253}$/.test(name) ? name : host,
    plain: upstream?.via === 'plain' || match[1] !== undefined,
  };
}

function method(name: string): string[] {
  if (name === 'GET') return ['--request', 'GET'];
  return name === 'HEAD' ? ['--head'] : ['--request', name];
}

/** `Name: value` of what was sent. A line that is none, or credentials that are hidden, would make another request. */
function headers(exchange: ExchangeDetail, selection: Selection): string[] {
  const sent = hideInFields(exchange.request.fields, hidingOr(selection, exchange.run)).filter(
    ([name, value]) =>
      /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) &&
      !CONTROL.test(value) &&
      !LEFT_OUT.has(name.toLowerCase()) &&
      (selection.reveal || !isSecretField(name)),
  );
  const has = (wanted: string): boolean => sent.some(([name]) => name.toLowerCase() === wanted.toLowerCase());
  // without a value curl leaves out what it would send by itself
  const silent = ['Expect', 'User-Agent', 'Accept', 'Content-Type'].filter(name => !has(name)).map(name => `${name}:`);
  const lines = sent.map(([name, value]) => (value === '' ? `${name};` : `${name}: ${value}`));
  return [...lines, ...silent].flatMap(line => ['--header', line]);
}

/** A body in a file beside the script; where it holds secrets, or there is no folder, out of the capture when the command is run. */
function bodyOf(selection: Selection, exchange: ExchangeDetail, places: CurlPlaces): { from: string; pipe?: string } | null {
  if (!exchange.bodies.some(body => body.side === 'request' && body.size > 0)) return null;
  const content = places.bodies === null ? null : contentOf(selection, exchange, 'request');
  if (places.bodies !== null && content?.type === 'whole' && !content.hidden) {
    const name = `e${exchange.id}.request`;
    places.keep(name, Buffer.concat([...selection.store.body(exchange.id, 'request')]));
    return { from: `@${resolve(places.bodies, name)}` };
  }
  const show = ['stringtap', 'show', `e${exchange.id}`, '--body', 'request', '--raw', resolve(selection.store.file)];
  return { from: '@-', pipe: show.map(shellWord).join(' ') };
}

/** One word of a POSIX shell: nothing in it is special. */
export function shellWord(text: string): string {
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text)) return text;
  return `'${text.replaceAll("'", "'\\''")}'`;
}
