import { encode } from '@msgpack/msgpack';
import { describe, expect, test } from 'vitest';
import { booleanOf, type Data, entriesOf, field, numberOf, Tagged, tagsOf, textOf } from '../../src/decode/data.ts';
import { parseForm, percentBytes } from '../../src/decode/form.ts';
import { formatOf, mimeOf } from '../../src/decode/format.ts';
import { parseJson } from '../../src/decode/json.ts';
import { DEFAULT_LIMITS } from '../../src/decode/limits.ts';
import { parseMessagePack } from '../../src/decode/msgpack.ts';
import { parsePson } from '../../src/decode/pson.ts';
import { timeAt } from '../../src/decode/time.ts';
import { parseYaml } from '../../src/decode/yaml.ts';
import { fc } from '../rig/properties.ts';

const json = (text: string): Data => parseJson(Buffer.from(text), DEFAULT_LIMITS);
const yaml = (text: string): Data => parseYaml(Buffer.from(text), DEFAULT_LIMITS);

/** Maps as objects with a null prototype, to compare formats with each other. */
function plain(data: Data): unknown {
  if (Array.isArray(data)) return data.map(plain);
  if (data === null || typeof data !== 'object' || data instanceof Uint8Array) return data;
  return Object.fromEntries([...entriesOf(data)].map(([key, item]) => [String(key), plain(item)]));
}

describe('JSON', () => {
  test('is what JSON.parse says', () => {
    fc.assert(
      fc.property(fc.json(), text => {
        // integers beyond 2^53 aside: those are exact here
        const rounded = JSON.stringify(json(text), (_key, item) => (typeof item === 'bigint' ? Number(item) : item));
        expect(JSON.parse(rounded)).toEqual(JSON.parse(text));
      }),
    );
  });

  test('keeps integers beyond 2^53 exact, and floats as they are', () => {
    expect(json('[9223372036854775807, 0.12345678901234567890, 1e3, -12345678901234567890]')).toEqual([
      9223372036854775807n,
      0.12345678901234568,
      1000,
      -12345678901234567890n,
    ]);
  });

  test('a byte order mark is passed over', () => {
    expect(parseJson(Buffer.from('\ufeff{"a":1}'), DEFAULT_LIMITS)).toEqual({ a: 1 });
  });

  test.each([
    ['{"a":', 'the JSON ends early'],
    ['', 'the JSON ends early'],
    ['{"secret":tru}', 'not JSON'],
    ['[1,]', 'not JSON'],
  ])('%s is refused without quoting it', (text, why) => {
    expect(() => json(text)).toThrow(new RegExp(`^${why}(?: at character \\d+)?$`));
  });

  test('special keys are keys', () => {
    const data = json('{"__proto__":{"polluted":1},"constructor":2}');
    expect(numberOf(field(field(data, '__proto__'), 'polluted'))).toBe(1);
    expect(numberOf(field(data, 'constructor'))).toBe(2);
    expect(field(json('{}'), 'constructor')).toBeNull();
    expect(field(json('{}'), '__proto__')).toBeNull();
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });
});

describe('PSON', () => {
  const pson = (bytes: Uint8Array): Data => parsePson(bytes, DEFAULT_LIMITS);

  test('is JSON when it is UTF-8', () => {
    expect(pson(Buffer.from('{"a":"é"}'))).toEqual({ a: 'é' });
  });

  test('strings that are no UTF-8 are their bytes, the rest stays text', () => {
    const body = Buffer.concat([
      Buffer.from('{"bin":"a'),
      Buffer.from([0xff, 0x80]),
      Buffer.from('é\\u00e9\\n😀","text":"é😀"}'),
    ]);
    const data = pson(body);
    expect(field(data, 'text')).toBe('é😀');
    expect(field(data, 'bin')).toEqual(new Uint8Array(Buffer.concat([Buffer.from([0x61, 0xff, 0x80]), Buffer.from('éé\n😀')])));
  });

  test('any bytes survive in a string', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
        // as the generator of PSON escapes: quote, backslash and control characters, nothing else
        const escaped = [...bytes].flatMap(byte =>
          byte < 0x20 || byte === 0x22 || byte === 0x5c ? [...Buffer.from(`\\u00${byte.toString(16).padStart(2, '0')}`)] : [byte],
        );
        const [item] = pson(Buffer.from([...Buffer.from('["'), ...escaped, ...Buffer.from('"]')])) as [Data];
        expect(Buffer.from(item instanceof Uint8Array ? item : Buffer.from(String(item)))).toEqual(Buffer.from(bytes));
      }),
    );
  });
});

describe('MessagePack', () => {
  const value = fc.jsonValue({ noUnicodeString: false });

  test('reads what another encoder wrote', () => {
    fc.assert(
      fc.property(value, item => {
        // -0 is written as an integer
        const sent: unknown = JSON.parse(JSON.stringify(item));
        expect(plain(parseMessagePack(encode(sent), DEFAULT_LIMITS))).toEqual(sent);
      }),
    );
  });

  test('reads every width of number, text, bytes and extension', () => {
    const sent = [
      0,
      127,
      128,
      255,
      256,
      65536,
      2 ** 32,
      -1,
      -32,
      -33,
      -129,
      -32769,
      -(2 ** 31) - 1,
      1.5,
      'a'.repeat(31),
      'a'.repeat(32),
    ];
    const wide = ['a'.repeat(300), 'a'.repeat(70_000), new Uint8Array(3), new Uint8Array(300), new Uint8Array(70_000)];
    const lists = [Array(15).fill(1), Array(16).fill(1), Array(70_000).fill(1)];
    expect(parseMessagePack(encode([...sent, ...wide, ...lists]), DEFAULT_LIMITS)).toEqual(
      [...sent, ...wide.map(item => (item instanceof Uint8Array ? Buffer.from(item) : item)), ...lists].map(item => item),
    );
    expect(parseMessagePack(encode(18446744073709551615n, { useBigInt64: true }), DEFAULT_LIMITS)).toBe(18446744073709551615n);
    expect(parseMessagePack(Uint8Array.of(0xd4, 5, 9), DEFAULT_LIMITS)).toEqual(
      new Tagged('MessagePack extension 5', Buffer.of(9)),
    );
  });

  test('text that is no UTF-8 stays bytes, keys may be anything', () => {
    expect(parseMessagePack(Uint8Array.of(0xa2, 0xff, 0x41), DEFAULT_LIMITS)).toEqual(Buffer.of(0xff, 0x41));
    const data = parseMessagePack(Uint8Array.of(0x83, 1, 2, 0xc0, 3, ...encode('__proto__'), 4), DEFAULT_LIMITS);
    expect(data).toEqual(
      new Map<Data, Data>([
        [1, 2],
        [null, 3],
        ['__proto__', 4],
      ]),
    );
  });

  test.each([
    ['an array of 4 billion', [0xdd, 0xff, 0xff, 0xff, 0xff], 'MessagePack claims 4294967295 values at byte 5, 0 bytes are left'],
    ['a map of 4 billion', [0xdf, 0xff, 0xff, 0xff, 0xff], 'MessagePack claims 8589934590 values at byte 5, 0 bytes are left'],
    ['a text of 4 GB', [0xdb, 0xff, 0xff, 0xff, 0xff], 'MessagePack claims 4294967295 bytes at byte 5, 0 are left'],
    ['nothing', [], 'MessagePack claims 1 bytes at byte 0, 0 are left'],
    ['more than one value', [1, 2], 'MessagePack ends at byte 1 of 2'],
    ['a byte that means nothing', [0xc1], 'not MessagePack at byte 0'],
  ])('%s is refused', (_name, bytes, why) => {
    expect(() => parseMessagePack(Uint8Array.from(bytes), DEFAULT_LIMITS)).toThrow(why);
  });

  test('claims of containers in each other add up', () => {
    // each array claims all bytes that are left: honest alone, a lie together
    const bytes = Buffer.alloc(1000);
    for (let at = 0; at + 3 <= bytes.length; at += 3) bytes.writeUIntBE(0xdc0000 + (bytes.length - at - 3), at, 3);
    expect(() => parseMessagePack(bytes, DEFAULT_LIMITS)).toThrow('MessagePack claims 994 values at byte 6');
  });

  test('nesting has a limit', () => {
    expect(() => parseMessagePack(Buffer.alloc(1_000_000, 0x91), DEFAULT_LIMITS)).toThrow('MessagePack nested deeper than 200');
  });
});

describe('YAML', () => {
  test('tags of Ruby are data', () => {
    const data = yaml(
      [
        '--- !ruby/object:Puppet::Transaction::Report',
        'status: !ruby/sym failed',
        ':level: :info',
        'binary: !binary |',
        '  AAH/',
        'pattern: !ruby/regexp /a.b/',
        'range: !ruby/range 1..3',
        'set: !ruby/object:Puppet::Util::TagSet',
        '  hash:',
        '    a: true',
        '    b: true',
        'time: 2015-09-01 10:11:12.123456789 -07:00',
        'evil: !ruby/object:Gem::Installer {i: x}',
        'list: !ruby/array:Foo [1]',
        '? !ruby/sym key',
        ': value',
      ].join('\n'),
    );
    expect(data).toBeInstanceOf(Tagged);
    expect(textOf(field(data, 'status'))).toBe('failed');
    expect(textOf(field(data, ':level'))).toBeNull();
    expect(textOf(field(data, 'level'))).toBe('info');
    expect(field(data, 'binary')).toEqual(new Uint8Array([0, 1, 255]));
    expect(field(data, 'pattern')).toEqual(new Tagged('!ruby/regexp', '/a.b/'));
    expect(field(data, 'range')).toEqual(new Tagged('!ruby/range', '1..3'));
    expect(tagsOf(field(data, 'set'))).toEqual(['a', 'b']);
    expect(field(data, 'time')).toBe('2015-09-01 10:11:12.123456789 -07:00');
    expect(field(data, 'evil')).toEqual(new Tagged('!ruby/object:Gem::Installer', new Map([['i', 'x']])));
    expect(field(data, 'list')).toEqual(new Tagged('!ruby/array:Foo', [1]));
    expect(field(data, 'key')).toBe('value');
  });

  test('scalars are what Psych makes of them', () => {
    expect(yaml('[~, null, yes, no, on, y, 1, -2, 1_000, 1.5, 1e3, .inf, 007, 12:30:45, "1", 9223372036854775807, ::a]')).toEqual(
      [
        null,
        null,
        true,
        false,
        true,
        'y',
        1,
        -2,
        1000,
        1.5,
        '1e3',
        Number.POSITIVE_INFINITY,
        '007',
        '12:30:45',
        '1',
        9223372036854775807n,
        '::a',
      ],
    );
  });

  test('special keys are keys, later ones win', () => {
    const data = yaml('__proto__: {polluted: 1}\nconstructor: 1\nconstructor: 2');
    expect(data).toEqual(
      new Map<Data, Data>([
        ['__proto__', new Map([['polluted', 1]])],
        ['constructor', 2],
      ]),
    );
  });

  test('an alias is its target', () => {
    expect(yaml('a: &x [1, 2]\nb: *x')).toEqual(
      new Map([
        ['a', [1, 2]],
        ['b', [1, 2]],
      ]),
    );
  });

  test.each([
    ['a: [1', 'not YAML at line 1: unexpected end of the stream within a flow collection'],
    ['', 'not YAML: expected a document, but the input is empty'],
    ['a: &x [*x]', 'YAML nested deeper than 200'],
    ['['.repeat(5000), 'not YAML at line 1: nesting exceeded maxDepth (200)'],
  ])('%s is refused', (text, why) => {
    expect(() => yaml(text)).toThrow(why);
  });
});

describe('forms', () => {
  test('keep order and repeats', () => {
    expect(parseForm(Buffer.from('b=1&a=%26+x&b=2'))).toEqual([
      ['b', '1'],
      ['a', '& x'],
      ['b', '2'],
    ]);
    expect(() => parseForm(Buffer.from('a&'.repeat(20_000)))).toThrow('a form of 20001 pairs, limit 10000');
  });

  test('percent-decoding to bytes keeps bad escapes and plus signs', () => {
    expect(Buffer.from(percentBytes('a%ff%4%zz+%41%')).toString('latin1')).toBe('a\xff%4%zz+A%');
  });
});

describe('formats', () => {
  test.each([
    ['application/json;charset=utf-8', '', 'json'],
    ['application/vnd.puppet.rich+json; charset=utf-8', '', 'rich-json'],
    ['Text/PSON', '', 'pson'],
    ['application/x-msgpack', '', 'msgpack'],
    ['application/vnd.puppet.rich+msgpack', '', 'rich-msgpack'],
    ['text/yaml', '', 'yaml'],
    ['application/x-www-form-urlencoded', '', 'form'],
    ['text/plain', '-----BEGIN CERTIFICATE-----', 'pem'],
    ['text/plain', 'Could not find', 'text'],
    ['application/octet-stream', '{', 'binary'],
    ['application/x-unknown', '\0', 'binary'],
    [null, '{"a":1}', 'json'],
    [null, '--- !ruby/object:X', 'yaml'],
    [null, '', 'text'],
  ])('%s with %j is %s', (type, text, format) => {
    expect(formatOf(mimeOf(type), Buffer.from(text))).toBe(format);
  });
});

describe('times', () => {
  test.each([
    ['2024-05-01T12:00:00.123456789+00:00', Date.UTC(2024, 4, 1, 12, 0, 0) + 123.456789],
    ['2024-05-01T12:00:00Z', Date.UTC(2024, 4, 1, 12)],
    ['2011-01-31 10:11:12.5 -08:00', Date.UTC(2011, 0, 31, 18, 11, 12, 500)],
    ['2026-11-22 20:31:42 +0530', Date.UTC(2026, 10, 22, 15, 1, 42)],
    ['2026-13-22 20:31:42 UTC', null],
    ['yesterday', null],
  ])('%s', (text, at) => {
    const actual = timeAt(text);
    if (at === null) expect(actual).toBeNull();
    else expect(actual).toBeCloseTo(at, 3);
  });
});

test('booleans are read from texts and symbols', () => {
  expect([true, 'false', new Tagged('!ruby/sym', 'true'), 'yes', null].map(booleanOf)).toEqual([true, false, true, null, null]);
});
