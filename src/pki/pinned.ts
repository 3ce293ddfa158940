import { join } from 'node:path';
import { type IssuingCa, issuingCa, readBundle } from './bundle.ts';
import { PkiError } from './error.ts';
import { namesIn, readOwn } from './files.ts';
import type { CertsLayout } from './layout.ts';

/** A primary that a proxy has been in contact with. */
export interface PinnedPrimary {
  /** `HOST:PORT`, as its folder has it: in an IPv6 address hyphens stand for colons. */
  name: string;
  folder: string;
  ca: IssuingCa;
}

/** The primaries whose CA is known, by name; one whose file cannot be read is left out. */
export function pinnedPrimaries({ primaries }: CertsLayout): PinnedPrimary[] {
  return namesIn(primaries)
    .sort()
    .flatMap(base => {
      const [, host, port, plain] = /^(.+)_(\d+)(_http)?$/.exec(base) ?? [];
      if (host === undefined) return [];
      try {
        const folder = join(primaries, base);
        const pem = readOwn(join(folder, 'ca.pem'), { secret: false });
        const name = `${plain === undefined ? '' : 'http://'}${host}:${port}`;
        return pem === null ? [] : [{ name, folder, ca: issuingCa(readBundle(pem)) }];
      } catch (error) {
        if (error instanceof PkiError) return [];
        throw error;
      }
    });
}
