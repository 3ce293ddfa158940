import { describe, expect, test } from 'vitest';
import { compareRuns } from '../../src/analysis/compare.ts';
import type { CompareOptions } from '../../src/analysis/compare-exchange.ts';
import { IgnoreError, parseIgnore, parseIgnoreAttribute } from '../../src/analysis/compare-ignore.ts';
import type { CatalogComparison, ValueChange } from '../../src/analysis/compare-result.ts';
import { type CatalogTold, catalogExchange, runOf } from './compare-rig.ts';

type Told = CatalogTold['resources'][number];

function compared(
  before: readonly Told[],
  after: readonly Told[],
  options: CompareOptions = {},
  facts: readonly [Record<string, unknown>, Record<string, unknown>] = [{}, {}],
): CatalogComparison {
  const run = (resources: readonly Told[], values: Record<string, unknown>) => runOf([catalogExchange({ resources }, values)]);
  const { catalog } = compareRuns(run(before, facts[0]), run(after, facts[1]), options);
  if (catalog === null) throw new Error('no catalog was compared');
  return catalog;
}

const file = (parameters: Record<string, unknown>, more: Partial<Told> = {}): Told => ({
  type: 'File',
  title: '/etc/motd',
  parameters,
  ...more,
});

/** The changes of the one resource that changed, as lines. */
function lines(catalog: CatalogComparison): string[] {
  return catalog.resources.flatMap(({ changes }) => changes.map(short));
}

function short({ path, kind, before, after }: ValueChange): string {
  return `${kind} ${path.join('/')} ${JSON.stringify(before)} ${JSON.stringify(after)}`;
}

describe('resources', () => {
  test('that came, went and changed, each with its place; what is new every time says nothing', () => {
    const one: Told[] = [
      file({ mode: '0644' }, { file: 'a.pp', line: 3 }),
      { type: 'Exec', title: 'gone', parameters: { command: '/bin/true' } },
    ];
    const other: Told[] = [file({ mode: '0600' }, { file: 'a.pp', line: 9 }), { type: 'Notify', title: 'new', line: 1 }];
    const { resources, resourcesBefore, resourcesAfter } = compared(one, other);
    expect({ resourcesBefore, resourcesAfter }).toEqual({ resourcesBefore: 2, resourcesAfter: 2 });
    expect(resources.map(({ kind, type, title }) => `${kind} ${type}[${title}]`)).toEqual([
      'changed File[/etc/motd]',
      'removed Exec[gone]',
      'added Notify[new]',
    ]);
    expect(resources[0]).toMatchObject({ before: { file: 'a.pp', line: 3 }, after: { file: 'a.pp', line: 9 } });
    expect(resources[1]!.changes.map(short)).toEqual(['removed parameters/command "/bin/true" null']);
    expect(compared(one, one).resources).toEqual([]);
  });

  test('a line that moved is no difference', () => {
    expect(compared([file({}, { file: 'a.pp', line: 3 })], [file({}, { file: 'a.pp', line: 4 })]).resources).toEqual([]);
  });

  test('nested values are told path by path; the order of keys means nothing', () => {
    const one = file({ options: { a: { b: [1, { c: 'x' }] }, z: 1 } });
    const other = file({ options: { z: 1, a: { b: [1, { c: 'y', d: null }] } } });
    expect(lines(compared([one], [other]))).toEqual([
      'changed parameters/options/a/b/1/c "x" "y"',
      'added parameters/options/a/b/1/d null null',
    ]);
  });

  test('arrays: what came and went, another order, one item in the place of another', () => {
    const change = (before: unknown, after: unknown): string[] =>
      lines(compared([file({ list: before })], [file({ list: after })])).map(text => text.replace('parameters/list', 'list'));
    expect(change(['a', 'b', 'c'], ['a', 'x', 'b', 'c'])).toEqual(['added list/1 null "x"']);
    expect(change(['a', 'b', 'c'], ['a', 'c'])).toEqual(['removed list/1 "b" null']);
    expect(change(['a', 'b'], ['b', 'a'])).toEqual(['reordered list ["a","b"] ["b","a"]']);
    expect(change(['a', 'b'], ['a', 'c'])).toEqual(['changed list/1 "b" "c"']);
    expect(change('a', ['a'])).toEqual(['changed list "a" ["a"]']);
  });

  test('the order of relationships and tags means nothing; tags only when asked for', () => {
    const one = file({ require: ['A[1]', 'B[2]'], notify: ['X[1]', 'Y[1]'] }, { tags: ['a', 'b'] });
    const other = file({ require: ['B[2]', 'A[1]'], notify: ['Y[1]', 'X[1]'] }, { tags: ['b', 'c'] });
    expect(compared([one], [other]).resources).toEqual([]);
    expect(lines(compared([one], [other], { tags: true }))).toEqual(['removed tags/0 "a" null', 'added tags/1 null "c"']);
  });

  test('content is told as a text difference', () => {
    const [change] = compared([file({ content: 'a\nb\nc\n' })], [file({ content: 'a\nB\nc\n' })]).resources[0]!.changes;
    expect(change!.text).toEqual({
      hunks: [{ oldStart: 1, oldLines: 3, newStart: 1, newLines: 3, lines: [' a', '-b', '+B', ' c'] }],
      addedLines: 1,
      removedLines: 1,
      omittedLines: 0,
    });
  });

  test('a text that came with its resource is told line by line, too', () => {
    const text = (content: string, both = false) =>
      compared(both ? [file({ content: '' })] : [], [file({ content })]).resources[0]!.changes[0]!.text?.hunks[0]?.lines;
    expect(text('a\nb\n')).toEqual(['+a', '+b']);
    expect(text('a\nb')).toEqual(['+a', '+b', '\\ No newline at end of file']);
    expect(text('a\nb', true)).toEqual(['+a', '+b', '\\ No newline at end of file']);
    expect(text('one line')).toBeUndefined();
  });

  test('typed values: Binary, Deferred, Sensitive on one side only', () => {
    const typed = (content: unknown): Told => file({ content });
    const binary = (text: string) => ({ __ptype: 'Binary', __pvalue: text });
    expect(lines(compared([typed(binary('AAA='))], [typed(binary('BBB='))]))).toEqual([
      'changed parameters/content {"__ptype":"Binary","__pvalue":"AAA="} {"__ptype":"Binary","__pvalue":"BBB="}',
    ]);
    const deferred = (argument: string) => ({ __ptype: 'Deferred', name: 'vault', arguments: ['key', argument] });
    expect(lines(compared([typed(deferred('a'))], [typed(deferred('b'))]))).toEqual([
      'changed parameters/content/arguments/1 "a" "b"',
    ]);
    const [change] = compared([file({ content: 'hunter2' }, { sensitive: ['content'] })], [file({ content: 'hunter2' })])
      .resources[0]!.changes;
    expect(change).toMatchObject({ before: '(sensitive)', after: '(sensitive)', sensitive: true, text: null });
  });

  test('edges between resources that stay; the others are counted', () => {
    const told = (edges: CatalogTold['edges'], titles: readonly string[]) =>
      runOf([catalogExchange({ resources: titles.map(title => ({ type: 'Notify', title })), edges: edges ?? [] })]);
    const n = (title: string) => `Notify[${title}]`;
    const { catalog } = compareRuns(
      told([[n('a'), n('b')]], ['a', 'b']),
      told(
        [
          [n('b'), n('a')],
          [n('a'), n('c')],
        ],
        ['a', 'b', 'c'],
      ),
    );
    expect(catalog!.edges).toEqual([
      { kind: 'removed', source: n('a'), target: n('b') },
      { kind: 'added', source: n('b'), target: n('a') },
    ]);
    expect(catalog!.impliedEdges).toBe(1);
  });
});

describe('secrets', () => {
  const secret = (content: string): Told => file({ content }, { sensitive: ['content'] });

  test('a Sensitive value is told to differ, and shown only when revealed', () => {
    const one = compared([secret('one\nhunter2\n')], [secret('two\nhunter3\n')]);
    expect(JSON.stringify(one)).not.toMatch(/hunter/);
    expect(one.resources[0]!.changes).toEqual([
      {
        path: ['parameters', 'content'],
        kind: 'changed',
        before: '(sensitive)',
        after: '(sensitive)',
        sensitive: true,
        text: null,
      },
    ]);
    expect(JSON.stringify(compared([secret('hunter2')], [secret('hunter3')], { reveal: true }))).toMatch(/hunter2.*hunter3/);
  });

  test('of a resource that came or went, too; and what is called a password, and keys even when revealed', () => {
    const key = '-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----\n';
    const after = [
      secret('hunter2hunter2'),
      { type: 'Db', title: 'x', parameters: { db_password: 'tr0ub4dor', key, url: 'x hunter2hunter2 y' } },
    ];
    const hidden = JSON.stringify(compared([], after));
    expect(hidden).not.toMatch(/hunter2|tr0ub4dor|MIIabc/);
    const revealed = JSON.stringify(compared([], after, { reveal: true }));
    expect(revealed).toMatch(/hunter2/);
    expect(revealed).toMatch(/tr0ub4dor/);
    expect(revealed).not.toMatch(/MIIabc/);
  });
});

describe('reasons', () => {
  test('facts that changed stand beside the resources whose values hold them', () => {
    const facts = (release: string, uptime: string) => ({
      os: { release: { full: release } },
      uptime,
      unrelated: release === '12.4' ? 'q' : 'r',
    });
    const { resources } = compared(
      [
        file({ content: 'Debian 12.4\nsame\n', mode: '0644' }),
        { type: 'Notify', title: 'up', parameters: { message: 'up 3 days' } },
      ],
      [
        file({ content: 'Debian 12.5\nsame\n', mode: '0600' }),
        { type: 'Notify', title: 'up', parameters: { message: 'up 4 days' } },
      ],
      {},
      [facts('12.4', '3 days'), facts('12.5', '4 days')],
    );
    expect(resources.map(({ title, facts: names }) => [title, names])).toEqual([
      ['/etc/motd', ['os.release.full']],
      // a fact that changes by itself is not told, but it is a reason
      ['up', ['uptime']],
    ]);
  });
});

describe('--ignore, as octocatalog-diff takes it', () => {
  const one = [
    file({ owner: 'root', content: 'keep\nold line\n', options: { nested: { deep: 1 } }, list: ['a', 'b'] }),
    { type: 'Exec', title: 'old', parameters: {} },
  ];
  const other = [
    file({ owner: 'web', content: 'keep\nnew line\n', options: { nested: { deep: 2 } }, list: ['b', 'a'], fresh: 'bar' }),
    { type: 'File', title: '/tmp/new', parameters: { mode: '0644' } },
  ];
  /** What is still told, each change as the name it is under. */
  const left = (...rules: string[]): string[] => {
    const { resources } = compared(one, other, { ignore: rules.map(parseIgnore) });
    return resources.flatMap(({ kind, title, changes }) =>
      kind === 'changed' ? changes.map(({ path }) => path.slice(1).join('/')) : [`${kind} ${title}`],
    );
  };
  const all = ['owner', 'content', 'options/nested/deep', 'list', 'fresh', 'removed old', 'added /tmp/new'];
  const without = (...names: string[]): string[] => all.filter(name => !names.includes(name));
  const changed = ['owner', 'content', 'options/nested/deep', 'list', 'fresh'];

  test.each<[rule: string, gone: readonly string[]]>([
    ['Exec[*]', ['removed old']],
    ['exec[OLD]', ['removed old']],
    ['File[/etc/motd]', changed],
    ['File[/tmp/*]', ['added /tmp/new']],
    ['File[*/n*w]', ['added /tmp/new']],
    ['File[/tmp/*]+', ['added /tmp/new']],
    ['File[/tmp/*]-', []],
    ['*[*]-', ['removed old']],
    ['*[*]+-', ['removed old', 'added /tmp/new']],
    ['*[*]~', changed],
    ['File[/etc/motd]::parameters::owner', ['owner']],
    ['File[*]parameters::owner', ['owner']],
    ['File[*]owner', ['owner']],
    ['File[*]::owner', []],
    ['File[*]deep', ['options/nested/deep']],
    ['File[*]nested::deep', ['options/nested/deep']],
    ['File[*]::parameters::options', ['options/nested/deep']],
    ['File[*]+::parameters::fresh', ['fresh']],
    ['File[*]-::parameters::fresh', []],
    ['File[*]+::parameters::owner', []],
    ['File[/etc*/motd]owner', ['owner']],
    ['File[/etc/m*motd]owner', []],
    ['File[*e*m*d]owner', ['owner']],
    ['File[*e*m*x]owner', []],
    ['File[*]+::parameters::fresh=>bar', ['fresh']],
    ['File[*]+::parameters::fresh=>baz', []],
    ['File[*]::parameters::owner=>root', ['owner']],
    ['File[*]::parameters::owner=+>root', []],
    ['File[*]::parameters::owner=+>web', ['owner']],
    ['File[*]::parameters::owner=->root', ['owner']],
    ['File[*]::parameters::owner=~>^-root$', ['owner']],
    ['File[*]::parameters::content=~>old [l]ine', ['content']],
    ['File[*]::parameters::content=&>^[-+](old|new) line$', ['content']],
    ['File[*]::parameters::content=&>^-old line$', []],
    ['File[*]::parameters::list=s>=', ['list']],
  ])('%s', (rule, gone) => {
    expect(left(rule)).toEqual(without(...gone));
  });

  test('an attribute of any resource; several rules; what is left out is counted', () => {
    const { resources, ignored } = compared(one, other, { ignore: [parseIgnoreAttribute('owner'), parseIgnore('Exec[*]')] });
    expect(resources.map(({ title }) => title)).toEqual(['/etc/motd', '/tmp/new']);
    expect(ignored).toBe(2);
  });

  test.each(['File', 'File[', '', 'File[x]::', 'File[x]a=~>(', 'File[x]a=s>b'])('%s is no rule', text => {
    expect(() => parseIgnore(text)).toThrow(IgnoreError);
  });
});
