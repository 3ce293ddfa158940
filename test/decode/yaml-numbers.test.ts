import { execFileSync, spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { parseJson } from '../../src/decode/json.ts';
import { DEFAULT_LIMITS } from '../../src/decode/limits.ts';
import { yamlText } from '../../src/decode/yaml-text.ts';

const SENT =
  '{"big":12345678901234567890,"neg":-9223372036854775809,"float":2048.0,"huge":1e20,"half":0.5,"int":2048,"text":"2048.0","list":[1.0,"1"],"e":"1e3","o":"0o7"}';
const hasRuby = spawnSync('ruby', ['--version']).status === 0;

test('numbers are written as they were sent: integers with all digits, Floats as Floats', () => {
  const text = yamlText(parseJson(Buffer.from(SENT), DEFAULT_LIMITS, true));
  expect(text).toContain(
    'big: 12345678901234567890\nneg: -9223372036854775809\nfloat: 2048.0\nhuge: 1.0e+20\nhalf: 0.5\nint: 2048\n',
  );
});

test.skipIf(!hasRuby)('and Ruby reads the same', () => {
  const text = yamlText(parseJson(Buffer.from(SENT), DEFAULT_LIMITS, true));
  const read = 'require "yaml"; require "json"; puts YAML.load(STDIN.read).inspect';
  const sent = 'require "json"; puts JSON.parse(STDIN.read).inspect';
  const ruby = (program: string, input: string): string => execFileSync('ruby', ['-e', program], { input, encoding: 'utf8' });
  expect(ruby(read, text)).toBe(ruby(sent, SENT));
});
