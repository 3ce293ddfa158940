import { expect, test } from 'vitest';
import { equal } from '../../src/analysis/compare-values.ts';
import { dataJson } from '../../src/decode/data-json.ts';
import { factsOf } from '../../src/decode/facts.ts';
import { bodyOf } from '../../src/decode/format.ts';
import { parseJson } from '../../src/decode/json.ts';
import { DEFAULT_LIMITS } from '../../src/decode/limits.ts';
import { richOf } from '../../src/decode/rich-data.ts';
import { hideInBody } from '../../src/decode/secret-bodies.ts';
import { createHiding } from '../../src/decode/secrets.ts';
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

test('2048.0 is no difference to 2048', () => {
  const rich = (text: string) => richOf(parsed(text), { left: 100, depth: 10 }, false);
  expect(equal(rich('[1.0]'), rich('[1]'))).toBe(true);
  expect(equal(rich('[1.0]'), rich('[1.0]'))).toBe(true);
  expect(equal(rich('[1.0]'), rich('[2.0]'))).toBe(false);
});

test('a PSON body that is served as JSON keeps its Floats', () => {
  const json = asJson(Buffer.from('{"a":1.0,"b":[2,"c"]}'), [['Content-Type', 'text/pson']]);
  expect(json.toString()).toBe('{"a":1.0,"b":[2,"c"]}');
});
