import { counted, sized } from '../../src/analysis/words.ts';
import type { FileContentRow, FileMetadataRow } from '../../src/capture/decoded-shapes.ts';
import { emptyLines } from '../frame.ts';
import { treePane } from '../panes/tree.ts';
import { pkiNodes } from '../pki-tree.ts';
import type { Env, Screen } from '../screen.ts';
import { type Line, type Span, span } from '../text.ts';
import type { Signs } from '../theme.ts';
import { leavesOf, type TreeNode } from '../tree.ts';
import { openExchange } from './exchange.ts';
import { contentKey, keyOf } from './file-keys.ts';

/** Files and certificates of a run, as trees; enter on an exchange opens it. */

const VERDICTS = { match: 'fetched, as promised', mismatch: 'fetched, NOT as promised', unchecked: 'fetched' } as const;

/** What was asked for by each metadata request, with what of it was fetched afterwards. */
export function filesPane(run: number, env: Env): Screen {
  const read = (at: Env): TreeNode[] => {
    const { decoded } = at.source.store;
    const targets = new Map(
      [...at.source.store.exchanges({ run, limit: 10_000 })].map(row => [row.id as number, keyOf(row.target)]),
    );
    return fileNodes(decoded.rows('file_metadata', { run }), decoded.rows('file_content', { run }), targets, at.theme.signs);
  };
  return treePane({
    roots: read(env),
    levels: 1,
    reread: read,
    open: (node, at) => (node.ref === undefined ? null : openExchange(node.ref, at)),
    empty: at =>
      emptyLines(at, [
        'no files in this run',
        '',
        'an agent asks for metadata when it syncs plugins,',
        'and for each File resource with a source',
      ]),
  });
}

function fileNodes(
  metadata: readonly FileMetadataRow[],
  contents: readonly FileContentRow[],
  targets: ReadonlyMap<number, string>,
  signs: Signs,
): TreeNode[] {
  const fetched = new Map(contents.map(row => [row.key ?? '', row]));
  const told = new Set<string>();
  const byExchange = Map.groupBy(metadata, row => row.exchange);
  const nodes = [...byExchange].map(([exchange, rows]): TreeNode => {
    const target = targets.get(exchange) ?? '';
    const base = target.replace(/^[^/]+\//, '');
    const entries = rows.map((row, i): TreeNode => {
      const key = contentKey(row, base);
      const content = fetched.get(key);
      if (content !== undefined) told.add(key);
      return { key: String(i), label: entryLabel(row, content, signs), kids: () => details(row, content) };
    });
    const taken = rows.filter(row => fetched.has(contentKey(row, base))).length;
    return {
      key: `e${exchange}`,
      ref: exchange,
      label: [
        span(`e${exchange} `, 'dim'),
        span(target, 'bold'),
        span(`  ${counted(rows.length, 'entry', 'entries')}, ${taken} fetched`, 'dim'),
      ],
      kids: () => entries,
    };
  });
  const rest = contents.filter(row => !told.has(row.key ?? ''));
  if (rest.length === 0) return nodes;
  const others = (): TreeNode[] =>
    rest.map(row => ({
      key: `e${row.exchange}`,
      ref: row.exchange,
      label: [span(`e${row.exchange} `, 'dim'), span(row.key ?? '-'), ...verdict(row, signs)],
    }));
  return [
    ...nodes,
    { key: 'rest', label: [span('fetched without metadata of this run', 'bold'), span(`  ${rest.length}`, 'dim')], kids: others },
  ];
}

function entryLabel(row: FileMetadataRow, content: FileContentRow | undefined, signs: Signs): Line {
  const sign = content === undefined ? ' ' : content.verdict === 'mismatch' ? signs.failed : signs.ok;
  return [
    span(`${sign} `, content?.verdict === 'mismatch' ? 'error' : 'ok'),
    span(`${(row.mode ?? '-').padEnd(5)} `, 'dim'),
    span(row.resource ?? row.relativePath ?? row.path ?? '-', row.type === 'directory' ? 'bold' : 'value'),
    span(row.type === 'link' ? ` → ${row.destination ?? '?'}` : '', 'dim'),
    span(row.size === null ? '' : `  ${sized(row.size)}`, 'dim'),
    ...(content === undefined ? [] : verdict(content, signs)),
  ];
}

function verdict(row: FileContentRow, signs: Signs): Span[] {
  const words = `  ${VERDICTS[row.verdict]}, ${sized(row.bytes)}${row.complete ? '' : ', not whole'}`;
  return [
    span(row.verdict === 'mismatch' ? `  ${signs.failed}` : '', 'error'),
    span(words, row.verdict === 'mismatch' ? 'error' : 'ok'),
  ];
}

function details(row: FileMetadataRow, content: FileContentRow | undefined): TreeNode[] {
  const facts: [string, string | null][] = [
    ['type', row.type],
    ['owner', `${row.owner ?? '-'}:${row.group ?? '-'}`],
    ['checksum', row.checksum === null ? null : `{${row.checksumType}}${row.checksum}`],
    ['path', row.path],
    ['source', row.source],
    ['content', row.contentUri],
    ['links', row.links],
    ['promised', content?.promised ?? null],
    ['sha256', content?.sha256 ?? null],
  ];
  const leaves = leavesOf(facts);
  return content === undefined
    ? leaves
    : [
        ...leaves,
        {
          key: 'open',
          ref: content.exchange,
          label: [span(`e${content.exchange} `, 'key'), span('carried its content: enter opens it', 'dim')],
        },
      ];
}

/** Certificates, CSRs and CRLs that passed, each explained. */
export function certificatesPane(run: number, env: Env): Screen {
  const read = (at: Env): TreeNode[] => pkiNodes(at, { run });
  return treePane({
    roots: read(env),
    levels: 0,
    reread: read,
    empty: at =>
      emptyLines(at, [
        'no certificates in this run',
        '',
        'an agent asks for the CA, its CRL and its certificate when it has none',
      ]),
  });
}
