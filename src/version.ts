import { readFileSync } from 'node:fs';

/** The version in package.json: one folder above src, two above dist/src. */
export function packageVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as {
        name?: string;
        version?: string;
      };
      if (name === 'stringtap' && version) return version;
    } catch {
      // it is in the other place
    }
  }
  return 'unknown';
}
