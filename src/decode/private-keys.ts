/**
 * The PEM block of a private key, in text or in JSON, where its lines end with `\n`. Without an end it reaches to the next quote, which no
 * PEM block holds. Each match is consumed, so the search is linear.
 */
const PRIVATE_KEY = /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[^"']*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|(?=["'])|$)/g;

/** Text without private keys: nobody needs to read one out of a capture. */
export function keyless(text: string): string;
export function keyless(text: string | null): string | null;
export function keyless(text: string | null): string | null {
  if (text === null || !text.includes('PRIVATE KEY-----')) return text;
  return text.replace(PRIVATE_KEY, '(private key)');
}
