import { PRIVATE_KEY } from './secrets.ts';

/** Text without private keys: nobody needs to read one out of a capture, not even who asks for what is Sensitive. */
export function keyless(text: string): string {
  return text.includes('PRIVATE KEY-----') ? text.replace(PRIVATE_KEY, '(private key)') : text;
}
