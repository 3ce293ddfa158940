import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Which folder may import from which (ARCHITECTURE.md, "Arrows"). A folder may always import from itself and from model. */
const ARROWS: Record<string, readonly string[]> = {
  'src/model.ts': [],
  'src/decode': [],
  'src/analysis': ['src/decode'],
  'src/pki': [],
  'src/proxy': ['src/pki', 'src/decode'],
  'src/capture': ['src/decode', 'src/analysis'],
  'src/replay': ['src/pki', 'src/decode', 'src/analysis', 'src/proxy', 'src/capture'],
  'src/export': ['src/decode', 'src/analysis', 'src/capture'],
  ui: ['src/analysis', 'src/capture', 'src/decode', 'src/commands'],
};

/** Packages that only one place may import: nothing else depends on their shape. */
const OWNERS: Record<string, readonly string[]> = {
  'http-mitm-proxy': ['src/proxy/intercept.ts'],
  undici: ['src/proxy/upstream.ts', 'src/proxy/attempt.ts'],
  'better-sqlite3': ['src/capture/'],
  'node-forge': ['src/pki/'],
  'js-yaml': ['src/decode/'],
  'prom-client': ['src/commands/metrics.ts'],
  diff: ['src/analysis/'],
  '@opentelemetry/api': ['src/export/'],
  '@opentelemetry/exporter-metrics-otlp-proto': ['src/export/otlp-metrics.ts'],
  '@opentelemetry/exporter-trace-otlp-proto': ['src/export/otlp-send.ts'],
  '@opentelemetry/resources': ['src/export/'],
  '@opentelemetry/sdk-metrics': ['src/export/otlp-metrics.ts'],
  '@opentelemetry/sdk-trace': ['src/export/otlp-send.ts'],
  '@opentelemetry/semantic-conventions': ['src/export/'],
  commander: ['src/cli.ts', 'src/commands/'],
  ink: ['ui/'],
  react: ['ui/'],
};

function sources(folder: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map(name => join(folder, name))
    .filter(name => /\.tsx?$/.test(name));
}

function place(file: string): string | null {
  const names = Object.keys(ARROWS).filter(name => file === name || file.startsWith(`${name}/`));
  return names[0] ?? null;
}

const files = [...sources('src'), ...sources('ui')];
const imports = files.flatMap(file => {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(match => ({ file, to: match[1]! }));
});

describe('the import table', () => {
  test('every folder imports only where its arrow points', () => {
    const wrong = imports
      .filter(({ to }) => to.startsWith('.'))
      .map(({ file, to }) => ({ file, to: relative(root, join(root, file, '..', to)) }))
      .filter(({ file, to }) => {
        const from = place(file);
        const target = place(to);
        if (from === null || to === 'src/model.ts') return false; // cli.ts, bin.ts and commands/ see everything
        return target !== from && !ARROWS[from]!.some(allowed => to.startsWith(allowed));
      });
    expect(wrong).toEqual([]);
  });

  test('a package with an owner is imported by nothing else', () => {
    const wrong = imports.filter(({ file, to }) => {
      const owners = OWNERS[to];
      return owners !== undefined && !owners.some(owner => file.startsWith(owner));
    });
    expect(wrong).toEqual([]);
  });

  test('no file imports itself in a circle', () => {
    const graph = new Map<string, string[]>();
    for (const { file, to } of imports) {
      if (to.startsWith('.')) graph.set(file, [...(graph.get(file) ?? []), relative(root, join(root, file, '..', to))]);
    }
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
      else if (!done.has(file)) {
        for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
        done.add(file);
      }
    };
    for (const file of graph.keys()) visit(file, []);
    expect(circles).toEqual([]);
  });

  test('no file is over 450 lines', () => {
    const long = files.filter(file => readFileSync(join(root, file), 'utf8').split('\n').length > 451);
    expect(long).toEqual([]);
  });
});
