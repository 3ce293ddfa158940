import { beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli.ts';
import type { Io } from '../../src/commands/io.ts';

/** The help of the program, of each command, and of each command below one. */
const pages = new Map<string, string>();

async function help(...words: string[]): Promise<string> {
  const lines: string[] = [];
  const io: Io = {
    out: line => lines.push(line),
    err: line => lines.push(line),
    chatter: () => undefined,
    write: () => undefined,
    stdoutIsTerminal: false,
    columns: 80,
    env: {},
    exitCode: 0,
  };
  await main(['node', 'stringtap', ...words, '--help'], io);
  process.exitCode = 0;
  return lines.join('\n');
}

function commandsIn(page: string): string[] {
  const [, list = ''] = page.split('\nCommands:\n');
  return [...(list.split('\n\n')[0] ?? '').matchAll(/^ {2}([a-z][\w-]*)/gm)]
    .map(match => match[1]!)
    .filter(name => name !== 'help');
}

beforeAll(async () => {
  pages.set('', await help());
  for (const name of commandsIn(pages.get('')!)) {
    const page = await help(name);
    pages.set(name, page);
    for (const below of commandsIn(page)) pages.set(`${name} ${below}`, await help(name, below));
  }
});

describe('help', () => {
  test('is there for every command, and not for what only a shell asks', () => {
    expect(pages.size).toBeGreaterThan(30);
    expect([...pages.keys()]).toEqual(expect.arrayContaining(['proxy', 'identity import', 'ca export', 'completion']));
    expect(pages.has('complete')).toBe(false);
  });

  test('fits 80 columns', () => {
    const wide = [...pages].flatMap(([name, page]) =>
      page.split('\n').flatMap(line => (line.length > 80 ? [`${name}: ${line}`] : [])),
    );
    expect(wide).toEqual([]);
  });

  test('has an example of each command, with options that it has', () => {
    const without = [...pages]
      .filter(([, page]) => commandsIn(page).length === 0 && !/^Examples?:$|^To have it/m.test(page))
      .map(([name]) => name);
    expect(without).toEqual([]);
    const wrong = [...pages].flatMap(([name, page]) => {
      const [, examples = ''] = page.split(/^Examples?:$/m);
      return [...examples.matchAll(/^ {2}(.*)$/gm)].flatMap(([, line = '']) => {
        const own = line.replace(/ -- .*/, '').replace(/\$\(.*?\)/g, '');
        const unknown = [...own.matchAll(/(?<= )--?[a-z][\w-]*/g)].filter(
          ([option]) => name !== '' && !page.includes(`${option} `),
        );
        return line.startsWith(`stringtap ${name}`) && unknown.length === 0 ? [] : [line];
      });
    });
    expect(wrong).toEqual([]);
  });

  test('says what every argument and option is', () => {
    const bare = [...pages].flatMap(([name, page]) => {
      const usage = /^Usage: (.*)/.exec(page)?.[1] ?? '';
      const named = [...usage.matchAll(/[<[]([a-z]+)(?:\.\.\.)?[>\]]/g)].map(match => match[1]!);
      const args = named.filter(word => word !== 'options' && word !== 'command');
      const listed = [...page.matchAll(/^ {2}(-[\w-]+(?:, --[\w-]+)?(?: [<[]\S+)?|[a-z]+)( {2,}\S)?/gm)];
      const told = new Set(listed.filter(match => match[2] !== undefined).map(match => match[1]));
      const untold = listed.filter(match => match[2] === undefined && match[1]!.startsWith('-')).map(match => match[1]!);
      return [...args.filter(word => !told.has(word)), ...untold].map(word => `${name}: ${word}`);
    });
    expect(bare).toEqual([]);
  });
});
