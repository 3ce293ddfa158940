import { readFileSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import { PkiError } from '../pki/error.ts';
import { plainFingerprint } from '../pki/pem.ts';
import { CliError } from './io.ts';

const HINT = 'it is the CA bundle of the primary, PEM: certs/ca.pem of an ssldir';

/** The PEM of `--ca-cert`. @throws CliError when it cannot be read, or is no bundle that can be trusted */
export async function readCa(file: string): Promise<string> {
  const { readBundle } = await import('../pki/bundle.ts');
  try {
    const pem = readFileSync(file, 'utf8');
    readBundle(pem);
    return pem;
  } catch (error) {
    if (error instanceof PkiError) throw new CliError(`--ca-cert ${file}: ${error.message}`, error.hint ?? HINT);
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new CliError(`cannot read --ca-cert ${file}: ${code}`, HINT);
  }
}

/** The value of `--ca-fingerprint`, which may as well be of another digest, or cut. @throws commander's InvalidArgumentError */
export function sha256(text: string): string {
  if (/^[0-9a-f:\s]+$/i.test(text) && plainFingerprint(text).length === 64) return text;
  throw new InvalidArgumentError('expected SHA-256 in hex, as openssl x509 -noout -fingerprint -sha256 prints it');
}
