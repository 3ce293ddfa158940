import { expect, test } from 'vitest';
import { equal } from '../../src/analysis/compare-values.ts';
import { FLOAT, Tagged } from '../../src/decode/data.ts';
import { dataJson } from '../../src/decode/data-json.ts';
import { factsOf } from '../../src/decode/facts.ts';
import { type Body, bodyOf, parseBody } from '../../src/decode/format.ts';
import { parseJson } from '../../src/decode/json.ts';
import { DEFAULT_LIMITS } from '../../src/decode/limits.ts';
import { richOf } from '../../src/decode/rich-data.ts';
import { hideInBody } from '../../src/decode/secret-bodies.ts';
import { createHiding, hideInData } from '../../src/decode/secrets.ts';
import { asJson } from '../../src/replay/serve-format.ts';

const parsed = (text: string) => parseJson(Buffer.from(text), DEFAULT_LIMITS, true);

test('a whole Float among the facts is one, written as Ruby writes it', () => {
  const values =
    '{"a":2048.0,"b":2048,"c":-0.0,"d":1e20,"d2":1e15,"d3":1234567890123456.0,"e":0.5,"f":[1.0,2e0],"g":12345678901234567890,"h":1.0e400,"i":"1.0"}';
  const { rows } = factsOf(parsed(`{"name":"x","values":${values}}`), 0, DEFAULT_LIMITS);
  expect(rows.map(({ path, type, value }) => [path, type, value])).toEqual([
    ['a', 'Float', '2048.0'],
    ['b', 'Integer', '2048'],
    ['c', 'Float', '-0.0'],
    ['d', 'Float', '1.0e+20'],
    ['d2', 'Float', '1.0e+15'],
    ['d3', 'Float', '1.234567890123456e+15'],
    ['e', 'Float', '0.5'],
    ['f.0', 'Float', '1.0'],
    ['f.1', 'Float', '2.0'],
    ['g', 'Integer', '12345678901234567890'],
    ['h', 'Float', 'Infinity'],
    ['i', 'String', '1.0'],
  ]);
});

test('a body that is written anew keeps its Floats', () => {
  expect(dataJson(parsed('[1.0,1,true,1e3]'))).toBe('[1.0,1,true,1000.0]');
  const body = bodyOf(Buffer.from('{"password":"hunter2","load":1.0}'), [['Content-Type', 'application/json']], DEFAULT_LIMITS);
  const hidden = hideInBody(body, createHiding(), DEFAULT_LIMITS);
  expect(hidden.type === 'changed' && Buffer.from(hidden.bytes).toString()).toBe('{"password":"(hidden)","load":1.0}');
});

test('2048.0 is another value than 2048', () => {
  const rich = (text: string) => richOf(parsed(text), { left: 100, depth: 10 }, false);
  expect(equal(rich('[1.0]'), rich('[1]'))).toBe(false);
  expect(equal(rich('[1.0]'), rich('[1.0]'))).toBe(true);
  expect(equal(rich('[1.0]'), rich('[2.0]'))).toBe(false);
});

test('MessagePack and YAML tell a Float from an Integer, too', () => {
  const msgpack = '83a161cb3ff0000000000000a162ca40000000a16301'; // {a: 1.0 in 8 bytes, b: 2.0 in 4, c: 1}
  const body = (format: 'msgpack' | 'yaml', bytes: Buffer): Body => ({ format, bytes, mime: null, codings: [], truncated: null });
  const yaml = '--- {a: 1.0, b: 2.0e0, c: 1, 3.0: 1_0.0, d: !!float 4, e: 0.5, f: .inf}\n';
  expect(dataJson(parseBody(body('msgpack', Buffer.from(msgpack, 'hex')), DEFAULT_LIMITS, true))).toBe('{"a":1.0,"b":2.0,"c":1}');
  expect(dataJson(parseBody(body('yaml', Buffer.from(yaml)), DEFAULT_LIMITS, true))).toBe(
    '{"a":1.0,"b":2.0,"c":1,"3":10.0,"d":4,"e":0.5,"f":"Infinity"}',
  );
});

test('JSON.stringify writes a whole Float as one, and a secret one is hidden', () => {
  expect(JSON.stringify([new Tagged(FLOAT, 1), { a: new Tagged(FLOAT, 1e20) }, new Tagged('!x', 1)])).toBe(
    '[1.0,{"a":1.0e+20},{"tag":"!x","value":1}]',
  );
  const hidden = hideInData({ secret_key: new Tagged(FLOAT, 4711), x: new Tagged(FLOAT, 1) }, createHiding());
  expect(JSON.stringify(hidden)).toBe('{"secret_key":"(hidden)","x":1.0}');
});

test('a PSON body that is served as JSON keeps its Floats', () => {
  const json = asJson(Buffer.from('{"a":1.0,"b":[2,"c"]}'), [['Content-Type', 'text/pson']]);
  expect(json.toString()).toBe('{"a":1.0,"b":[2,"c"]}');
});
