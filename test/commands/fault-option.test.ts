import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { faultLines, faultRules } from '../../src/commands/fault-option.ts';
import { CliError } from '../../src/commands/io.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'stringtap-fault-option-'));
  writeFileSync(join(dir, 'a.json'), '{}');
  writeFileSync(join(dir, 'my file.json'), '{}');
  mkdirSync(join(dir, 'folder'));
  writeFileSync(join(dir, 'large.json'), '');
  truncateSync(join(dir, 'large.json'), 16 * 1024 * 1024 + 1);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const inDir = (text: string): string => text.replaceAll('DIR', dir);

describe('a rule', () => {
  test.each([
    ['delay=20s ~phase catalog', { type: 'delay', ms: 20_000 }, 'delay=20s ~phase catalog'],
    ['delay=1.5s', { type: 'delay', ms: 1500 }, 'delay=1500ms'],
    [
      ' status=503   retry-after=1m times=2 ~phase file ~u motd',
      { type: 'status', status: 503, retryAfterMs: 60_000 },
      'status=503 retry-after=60s times=2 ~phase file ~u motd',
    ],
    ['reset ~m PUT', { type: 'reset' }, 'reset ~m PUT'],
    ['close', { type: 'close' }, 'close'],
    ['stall !~phase report', { type: 'stall' }, 'stall !~phase report'],
    ['cut=1k ~phase catalog', { type: 'cut', bytes: 1000 }, 'cut=1000 ~phase catalog'],
    ['rate=16Ki ~phase pluginsync', { type: 'rate', bytesPerSecond: 16_384 }, 'rate=16384 ~phase pluginsync'],
    // Limits may stand before the action; words after the first that is none are the filter.
    ['times=1 every=3 chance=12.5% reset close', { type: 'reset' }, null],
    ['answer=DIR/a.json ~phase catalog', { type: 'answer', file: 'DIR/a.json' }, 'answer=DIR/a.json ~phase catalog'],
    ['answer="DIR/my file.json" ~u x', { type: 'answer', file: 'DIR/my file.json' }, 'answer="DIR/my file.json" ~u x'],
  ])('%s', (text, action, printed) => {
    if (printed === null) return expect(() => faultRules([inDir(text)])).toThrow('two actions');
    const [rule] = faultRules([inDir(text)]);
    expect(rule!.text).toBe(inDir(printed));
    expect(JSON.stringify(rule!.action)).toBe(inDir(JSON.stringify(action)));
    // What is printed, and captured, is read as the same rule.
    expect(faultRules([rule!.text])[0]).toMatchObject({ text: rule!.text, action: rule!.action, limit: rule!.limit });
  });

  test('has limits, printed before its filter', () => {
    const [rule] = faultRules(['times=4 every=3 chance=12.5% reset motd']);
    expect(rule).toMatchObject({
      text: 'reset every=3 chance=12.5% times=4 motd',
      limit: { times: 4, every: 3, chance: 0.125 },
    });
  });
});

describe('what is wrong is said in one line, with a hint', () => {
  test.each([
    ['', 'it has no action', 'delay=20s status=503 reset'],
    ['~phase catalog', 'it has no action', 'before limits and filter'],
    ['dealy=20s ~phase catalog', 'dealy=20s is no action', 'the actions: delay=20s'],
    ['times=2 ~phase catalog', 'it has no action', 'the actions'],
    ['delay=20s status=500', 'delay and status are two actions', 'another --fault'],
    ['delay=1s delay=2s', 'delay is there twice', 'another --fault'],
    ['delay= ~phase catalog', 'delay= wants a value', 'as in'],
    ['delay=soon', 'delay=soon cannot be read', 'as in 60s, 5m'],
    ['delay=11m', 'delay=11m is too long', 'stall waits'],
    ['status=200', 'status=200 is no error', 'from 400 to 599'],
    ['reset retry-after=5s', 'retry-after is of status', 'status=503 retry-after=5s'],
    ['cut=much', 'cut=much cannot be read', '64k'],
    ['rate=0', 'rate=0 is no pace', 'from 1 to 10M'],
    ['rate=1G', 'rate=1G is no pace', 'from 1 to 10M'],
    ['reset times=0', 'times=0 would take nothing', 'times=2'],
    ['reset every=x', 'every=x cannot be read', 'whole number'],
    ['reset chance=10', 'chance=10 is no chance', 'chance=10%'],
    ['reset chance=101%', 'chance=101% is no chance', 'chance=10%'],
    ['reset ~c 500', '~c is not known when a request comes (~c 500)', 'what is known'],
    ['reset ~phase nonsense', '~phase wants a phase', 'the phases are'],
    ['reset (', 'something is missing', 'docs/filter.md'],
    ['answer=DIR/a.json', 'answer needs a filter', '~phase catalog'],
    ['answer=DIR/none.json ~phase catalog', 'cannot read DIR/none.json: ENOENT', 'answer="my catalog.json"'],
    ['answer=DIR/folder ~phase catalog', 'DIR/folder is no file', 'the bytes of a file'],
    ['answer=DIR/large.json ~phase catalog', 'larger than 16 MiB', 'held in memory'],
    ['answer=DIR/a.json ~phase ca', 'answer is not for the bootstrap (~phase ca)', 'take delay, status'],
    ['cut=5 ~phase csr ~certname x', 'cut is not for the bootstrap', 'take delay, status'],
    [`reset ${'x'.repeat(6000)}`, 'longer than 5000', 'rules'],
  ])('%s', (text, message, hint) => {
    let thrown: unknown = null;
    try {
      faultRules(['reset', inDir(text)]);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(CliError);
    const error = thrown as CliError;
    expect(error.exitCode).toBe(2);
    expect(error.message).toContain(inDir(message));
    expect(error.message).not.toContain('\n');
    expect(error.hint).toContain(hint);
  });
});

test('the start tells the rules', () => {
  expect(faultLines([])).toEqual([]);
  expect(faultLines(faultRules(['reset times=2 ~phase file', 'delay=2s'])).join('\n')).toBe(
    'FAULTS       agents get answers that the primary did not give; the capture says which\n             reset times=2 ~phase file\n             delay=2s',
  );
});
