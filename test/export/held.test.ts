import { hash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packageVersion } from '../../src/version.ts';
import { stringtap } from '../commands/reuse-rig.ts';
import { type Folder, folder, sample } from './rig.ts';

/*
 * What the sample is exported as, byte for byte: who changes how exports read a capture must not change what they write. Whoever changes a format on purpose
 * writes the new digest here.
 */

let dir: Folder;
let file: string;

beforeAll(() => {
  dir = folder();
  file = sample(dir);
});
afterAll(() => dir[Symbol.dispose]());

const DIGESTS = {
  har: '3ad438d1b750a8e2d1e9c6244b96a35551d3144dfadc607435254e6806cdcb29',
  jsonl: '4c505bd58c9f53b3182f88c0457fe8d0f49487025433e74ce218fe4cdd408420',
  otlp: '4366f42e9cbedfc207de72b814d52f4e99cfcdfbd48c897f6a07a5949ba71975',
  curl: 'd9107570c8f37de6219ca5d0bac4545b147a8956abc8bd9fcb7d2be0f1114c4a',
  html: 'd871713c0c6f646b4ebd92365ece065135c19f94d4934a570ed353969ff5856d',
} as const;

/** What is of this machine or version in it stands for itself. */
function digest(text: string): string {
  const version = packageVersion();
  const own = [
    `"name":"stringtap","version":"${version}"`,
    `"service.version","value":{"stringValue":"${version}"`,
    `stringtap ${version} from`,
  ];
  return hash(
    'sha256',
    own.reduce((left, words) => left.replaceAll(words, 'OURS'), text.replaceAll(dir.dir, 'DIR')),
  );
}

describe('the sample is exported as', () => {
  test.each(Object.entries(DIGESTS))('%s', async (format, wanted) => {
    const out = dir.path(`sample.${format}`);
    // this folder has no identities, whatever is in that of the checkout
    const more = format === 'curl' ? ['--certs', dir.path('certs')] : [];
    expect((await stringtap('export', file, '--format', format, ...more, '-o', out)).code).toBe(0);
    expect(digest(readFileSync(format === 'curl' ? join(out, 'curl.sh') : out, 'utf8'))).toBe(wanted);
  });

  test('files', async () => {
    const out = dir.path('files');
    expect((await stringtap('export', file, '--format', 'files', '-o', out)).code).toBe(0);
    const names = readdirSync(out, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile());
    const paths = names.map(({ parentPath, name }) => join(parentPath, name)).sort();
    const listed = paths.map(path => `${path.slice(out.length)} ${hash('sha256', readFileSync(path))}`);
    expect(hash('sha256', listed.join('\n'))).toBe('fedf95333347e6801d017a5275a5e0b55cf424e74127e6b9e5736fe2a2814b93');
  });
});
