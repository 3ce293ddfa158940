import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { ExchangeDetail } from '../capture/store.ts';
import { routeOf } from '../decode/route.ts';
import { createHiding, hideInTarget } from '../decode/secrets.ts';
import type { Certname, ExchangeId, RunId } from '../model.ts';
import { openAuthority } from '../pki/authority.ts';
import { certsLayout } from '../pki/layout.ts';
import { openLeafContexts } from '../proxy/contexts.ts';
import { field, pairs } from '../proxy/fields.ts';
import { type Asking, type Entry, questionOf, signatureOf } from './match.ts';
import { sendOwn, sendRecorded } from './serve-answer.ts';
import { openServedCa } from './serve-ca.ts';
import { askingOf, OWN_PHASES, recordedAnswers } from './serve-entries.ts';
import { openServedFiles } from './serve-files.ts';
import { listenForAgents, serverNames } from './serve-listen.ts';
import { forbidden, noBytes, notRecorded, type OwnAnswer, ownAnswer, refusalOf } from './serve-own.ts';
import type { Miss, Served, ServedAs, ServeOptions } from './serve-shapes.ts';

const MAX_CSR_BYTES = 64 * 1024;
/** A request that is missed over and over is one miss; of so many different ones each is kept. */
const MAX_MISSES = 1000;
/** The content of a file is looked for by the promises of so many runs. */
const MAX_PROMISING = 32;
/** Of so many agents it is remembered how far they have come. */
const MAX_AGENTS = 10_000;

/**
 * Serves captured runs to real agents: the primary, from the capture alone. Nothing here opens a connection to anybody.
 * @throws PkiError for what is wrong below certsDir; the error of `listen`
 */
export async function startServe(options: ServeOptions): Promise<Served> {
  const { store, runs } = options;
  const layout = certsLayout(options.certsDir);
  const authority = await openAuthority(layout.ca);
  const { book, spare, unusable } = recordedAnswers(store, runs);
  const files = openServedFiles(store);
  const primaries = store.recordings().flatMap(recording => recording.primaries.flatMap(placeOf));
  const names = serverNames(options.listen, options.names, primaries);
  const served = new Set(runs.map(({ id }) => id));
  const ownNames = new Set(runs.map(({ certname }) => certname));
  const patterns = options.as.map(pattern);
  const owner = runs[0]?.certname ?? null;
  /** Whose runs an agent gets. */
  const servedTo = (certname: Certname): Certname | null => {
    if (ownNames.has(certname)) return certname;
    return patterns.some(one => one.test(certname)) ? owner : null;
  };
  const ca = openServedCa({
    authority,
    layout,
    primaries,
    // Never for a name of ours: to an agent a certificate of our CA with that name is a server's.
    allows: certname => servedTo(certname) !== null && !names.includes(certname),
  });
  const contexts = await openLeafContexts({ authority, names, agentCas: () => ca.agentCas() });

  const state = {
    requests: 0,
    used: new Set<ExchangeId>(),
    missed: new Map<string, Miss>(),
    answers: { recorded: 0, content: 0, own: 0, refused: 0, missed: 0 },
    certnames: new Set<Certname>(),
  };
  /** The run that an agent has come to: its promises count most. */
  const reached = new Map<string, RunId>();

  function prove(socket: Socket): { certname: Certname | null; refusal: string | null; pem: string | null } {
    const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
    if (certificate === undefined) return { certname: null, refusal: null, pem: null };
    const verdict = ca.judge(certificate, Date.now());
    if ('refusal' in verdict) return { certname: null, refusal: verdict.refusal, pem: null };
    if (!(socket instanceof TLSSocket) || !socket.authorized) return { certname: null, refusal: 'not verified', pem: null };
    return { certname: verdict.certname, refusal: null, pem: certificate.toString() };
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const began = performance.now();
    const at = Date.now();
    state.requests += 1;
    const method = request.method ?? '';
    const target = request.url ?? '';
    const route = routeOf(method, target);
    const fields = pairs(request.rawHeaders);
    const { certname, refusal, pem } = prove(request.socket);
    if (certname !== null && state.certnames.size < MAX_AGENTS) state.certnames.add(certname);
    const asking = askingOf(method, target, certname, fields);
    const done = (as: ServedAs, status: number | null): void => {
      state.answers[as.type] += 1;
      options.onAnswer?.({ at, certname, phase: route.phase, method, target, status, tookMs: performance.now() - began, as });
    };
    const own = (as: ServedAs, made: OwnAnswer): void => {
      sendOwn(request, response, made);
      done(as, made.status);
    };

    if (OWN_PHASES.has(route.phase)) {
      const body = await bodyOf(request, MAX_CSR_BYTES);
      const modifiedSince = Date.parse(field(fields, 'if-modified-since') ?? '');
      const made = await ca.answer({ method, route, modifiedSince, certificatePem: pem, body });
      if (made !== null) return own(made.status === 403 ? { type: 'refused', why: made.body.toString() } : { type: 'own' }, made);
    } else {
      await bodyOf(request, 0); // facts and reports are read to their end, and forgotten
    }

    const reader = certname ?? '';
    const found = find(asking, reader);
    if (found !== null) {
      const { entry, exchange } = found;
      if (served.has(entry.run) && (reached.size < MAX_AGENTS || reached.has(reader))) reached.set(reader, entry.run);
      state.used.add(entry.exchange);
      const remark = await sendRecorded(request, response, store, { exchange, side: 'response' }, options.pace);
      if (remark !== null) options.onNotice?.(`${method} ${target}: ${remark}`);
      return done({ type: 'recorded', exchange: entry.exchange }, entry.unmodified ? 304 : (exchange.status ?? 200));
    }
    const refused = refusalOf(route, target, certname, refusal);
    if (refused !== null) return own({ type: 'refused', why: refused }, forbidden(method, target, refused));

    const content = certname === null ? null : files.find(route, runsOf(certname));
    if (content !== null && method !== 'PUT') {
      if (content.exchange === null) return own({ type: 'content', exchange: null }, noBytes());
      const exchange = store.exchange(content.exchange);
      if (exchange !== null) {
        if (exchange.run !== null && served.has(exchange.run)) state.used.add(exchange.id);
        const remark = await sendRecorded(request, response, store, { exchange, side: content.side }, options.pace);
        if (remark !== null) options.onNotice?.(`${method} ${target}: ${remark}`);
        return done({ type: 'content', exchange: exchange.id }, 200);
      }
    }
    const made = ownAnswer(route, method, target);
    if (made !== null) return own({ type: 'own' }, made);
    miss(asking, request, response, done);
  }

  /** The recorded answer to a question, with its exchange; an agent with a certificate may also get what was answered without one. */
  function find(asking: Asking, reader: string): { entry: Entry; exchange: ExchangeDetail } | null {
    const { certname } = asking;
    const asWhom = certname === null ? [null] : [servedTo(certname), null];
    for (const as of asWhom) {
      if (certname !== null && as === null && servedTo(certname) === null) continue;
      const question = questionOf(asking, as);
      const entry = book.take(reader, question, asking.conditional) ?? spare.take(reader, question, asking.conditional);
      const exchange = entry === null ? null : store.exchange(entry.exchange);
      if (entry !== null && exchange !== null) return { entry, exchange };
    }
    return null;
  }

  /** The runs that are served to an agent: the one that it has come to first, then the newest ones. */
  function runsOf(certname: Certname): RunId[] {
    const whose = servedTo(certname);
    const at = reached.get(certname);
    const all = runs.filter(run => run.certname === whose && run.id !== at).map(({ id }) => id);
    return [...(at === undefined ? [] : [at]), ...all.slice(-MAX_PROMISING).reverse()];
  }

  function miss(
    asking: Asking,
    request: IncomingMessage,
    response: ServerResponse,
    done: (as: ServedAs, status: number | null) => void,
  ): void {
    const { method, target, certname } = asking;
    const question = questionOf(asking, certname === null ? null : (servedTo(certname) ?? certname));
    const key = `${certname ?? ''} ${signatureOf(question)}`;
    let known = state.missed.get(key);
    if (known === undefined && state.missed.size < MAX_MISSES) {
      known = { certname, method, target: hideInTarget(target, createHiding()), times: 0, near: book.near(question) };
      state.missed.set(key, known);
    }
    if (known !== undefined) known.times += 1;
    const near = known?.near ?? [];
    if (options.missing === 'close') {
      request.socket.destroy();
      done({ type: 'missed', near }, null);
      return;
    }
    const { missing } = options;
    sendOwn(request, response, notRecorded(missing, method, target, near));
    done({ type: 'missed', near }, missing);
  }

  const server = await listenForAgents(options.listen, contexts, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      // An agent that went away, or a body that is not what it was: what has begun cannot be mended.
      const message = error instanceof Error ? error.message : String(error);
      if (!response.destroyed) options.onNotice?.(`${request.method} ${request.url}: ${message}`);
      response.destroy();
    });
  });

  return {
    address: server.address,
    authority,
    summary() {
      const usable = [...new Set(book.entries.map(({ exchange }) => exchange))];
      return {
        requests: state.requests,
        used: usable.filter(id => state.used.has(id)),
        unused: usable.filter(id => !state.used.has(id)),
        unusable,
        missed: [...state.missed.values()],
        answers: { ...state.answers },
        certnames: [...state.certnames],
      };
    },
    close: () => server.close(),
  };
}

/** `host:port` of a recording; what is none names nobody. */
function placeOf(primary: string): { host: string; port: number }[] {
  const [, bracketed, host, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(primary) ?? [];
  const name = bracketed ?? host;
  return name === undefined ? [] : [{ host: name, port: Number(port) }];
}

/** A name, in which `*` stands for anything. */
function pattern(name: string): RegExp {
  return new RegExp(
    `^${name
      .split('*')
      .map(part => part.replace(/[^a-z0-9_-]/gi, c => `\\${c}`))
      .join('.*')}$`,
  );
}

/** The request's body, `null` when it is larger. */
async function bodyOf(request: IncomingMessage, maxBytes: number): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
  }
  return size > maxBytes ? null : Buffer.concat(chunks);
}
