import { describe, expect, test } from 'vitest';
import { catalogOf, type Resource } from '../../src/decode/catalog.ts';
import { Tagged } from '../../src/decode/data.ts';
import { parseJson } from '../../src/decode/json.ts';
import { budgetOf, DEFAULT_LIMITS } from '../../src/decode/limits.ts';
import { type Rich, richOf } from '../../src/decode/rich-data.ts';
import { richJson, richText } from '../../src/decode/rich-text.ts';
import { fixture } from './rig.ts';

const budget = () => budgetOf(DEFAULT_LIMITS);
const read = (text: string): Rich => richOf(parseJson(Buffer.from(text), DEFAULT_LIMITS), budget(), true);

/** What Puppet's own converter wrote for the values of the catalog in fixtures/make.rb. */
function message(resources: readonly Resource[], title: string): Rich {
  return resources.find(resource => resource.type === 'Notify' && resource.title === title)!.parameters.get('message')!;
}

describe('rich data of a real catalog', () => {
  const { resources } = catalogOf(parseJson(fixture('catalog.rich.json'), DEFAULT_LIMITS), DEFAULT_LIMITS);

  test.each([
    [
      'times',
      { type: 'Scalar', ptype: 'Timestamp', text: '2024-05-01T12:00:00.123000000 UTC' },
      "Timestamp('2024-05-01T12:00:00.123000000 UTC')",
    ],
    ['span', { type: 'Scalar', ptype: 'Timespan', text: '1-02:03:04.0' }, "Timespan('1-02:03:04.0')"],
    ['pattern', { type: 'Scalar', ptype: 'Regexp', text: 'a.*b' }, '/a.*b/'],
    ['version', { type: 'Scalar', ptype: 'SemVer', text: '1.2.3-rc1' }, "SemVer('1.2.3-rc1')"],
    ['range', { type: 'Scalar', ptype: 'SemVerRange', text: '>=1.0.0' }, "SemVerRange('>=1.0.0')"],
    ['uri', { type: 'Scalar', ptype: 'URI', text: 'https://primary.example/x?y=z' }, "URI('https://primary.example/x?y=z')"],
    ['late', { type: 'Deferred', name: 'sprintf', arguments: ['port %d', 8080] }, "Deferred('sprintf', ['port %d', 8080])"],
    ['big', 9223372036854775807n, '9223372036854775807'],
  ])('%s', (title, rich, text) => {
    expect(message(resources, title)).toEqual(rich);
    expect(richText(message(resources, title), 'hide')).toBe(text);
  });

  test('a hash with keys of every type', () => {
    expect(message(resources, 'keys')).toEqual({
      type: 'Hash',
      entries: [
        [1, 'a'],
        [{ type: 'Default' }, 2],
        ['nested', new Map([['x', [1, 2.5, true, null]]])],
      ],
    });
    expect(richText(message(resources, 'keys'), 'hide')).toBe(
      "{1 => 'a', default => 2, 'nested' => {'x' => [1, 2.5, true, undef]}}",
    );
  });

  test('a type is an object with its attributes', () => {
    const attributes = new Map([
      ['from', 1],
      ['to', 2],
    ]);
    expect(message(resources, 'type')).toEqual({ type: 'Object', ptype: 'Pcore::IntegerType', attributes });
  });

  test('special keys are keys of a Map', () => {
    const rich = message(resources, '__proto__');
    expect(rich).toEqual(
      new Map<string, Rich>([
        ['__proto__', new Map([['polluted', true]])],
        ['constructor', 1],
      ]),
    );
    expect(structuredClone(rich)).toEqual(rich);
  });
});

describe('printing', () => {
  const SECRET =
    '{"password":{"__ptype":"Sensitive","__pvalue":{"a":["s3cret"]}},"list":[1,{"__ptype":"Sensitive","__pvalue":"t0p"}]}';

  test('as Puppet 5 spells them', () => {
    const older = read(
      '{"pin":{"__pcore_type__":"Sensitive","__pcore_value__":"t0p"},"at":{"__pcore_type__":"Timespan","__pcore_value__":"1-00:00:00.0"}}',
    );
    expect(richText(older, 'hide')).toBe("{'pin' => (sensitive), 'at' => Timespan('1-00:00:00.0')}");
    expect(richText(older, 'reveal')).toContain("Sensitive('t0p')");
  });

  test('hides Sensitive values wherever they are', () => {
    const rich = read(SECRET);
    expect(richJson(rich, 'hide')).toBe('{"password":"(sensitive)","list":[1,"(sensitive)"]}');
    expect(richText(rich, 'hide')).toBe("{'password' => (sensitive), 'list' => [1, (sensitive)]}");
    expect(richJson(rich, 'reveal')).toBe('{"password":{"a":["s3cret"]},"list":[1,"t0p"]}');
    expect(richText(rich, 'reveal')).toContain("Sensitive('t0p')");
  });

  test.each([
    SECRET,
    '{"__ptype":"Binary","__pvalue":"AAH/"}',
    '{"__ptype":"Deferred","name":"f","arguments":[{"__ptype":"Default"}]}',
    '{"__ptype":"Hash","__pvalue":[1,"a",{"__ptype":"Default"},[]]}',
    '[{"a":[1]},{"__ptype":"LocalRef","__pvalue":"$[0]"}]',
    '{"__ptype":"My::Type","__proto__":{"x":1},"b":[]}',
    '{"__ptype":"My::Empty"}',
    '[9223372036854775807,1.5,null,true,"\\u0000é"]',
  ])('marked JSON reads back as the same value: %s', text => {
    const rich = read(text);
    expect(richJson(rich, 'mark')).toBe(text);
    expect(read(richJson(rich, 'mark'))).toEqual(rich);
  });

  test('what has no JSON is text', () => {
    expect(richJson([Number.NaN, Number.NEGATIVE_INFINITY], 'mark')).toBe('["NaN","-Infinity"]');
  });

  test('values of YAML', () => {
    const symbols = richOf(
      [new Tagged('!ruby/sym', 'absent'), new Tagged('!ruby/regexp', '/x/i'), new Tagged('!foo', [1])],
      budget(),
      false,
    );
    expect(richText(symbols, 'hide')).toBe('[absent, /x/i, !foo([1])]');
    expect(richJson(symbols, 'mark')).toBe(
      '[{"__ptype":"Symbol","__pvalue":"absent"},{"__ptype":"Regexp","__pvalue":"/x/i"},{"__ptype":"!foo","value":[1]}]',
    );
  });
});

test('plain data keeps a __ptype as a key', () => {
  const data = parseJson(Buffer.from('{"__ptype":"Sensitive","__pvalue":1}'), DEFAULT_LIMITS);
  expect(richOf(data, budget(), false)).toEqual(
    new Map<string, Rich>([
      ['__ptype', 'Sensitive'],
      ['__pvalue', 1],
    ]),
  );
});

test('rich data has the limits of its body', () => {
  expect(() => richOf([1, 2, 3], { left: 3, depth: 10 }, true)).toThrow('more values than the limit');
  expect(() => richOf([[[1]]], { left: 30, depth: 2 }, true)).toThrow('nested deeper than 2');
});
