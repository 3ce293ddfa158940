import { readFileSync } from 'node:fs';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { openStore } from '../../src/capture/store.ts';
import { SIDES } from '../../src/model.ts';

/** All texts that can be found in a capture: the file as it is, and each body with every coding that it has undone. */
export function everything(file: string): string {
  const parts = [readFileSync(file).toString('latin1')];
  const store = openStore(file, 'bodies');
  try {
    for (const { id } of store.exchanges()) {
      for (const side of SIDES) {
        const raw = Buffer.concat([...store.body(id, side)]);
        for (const bytes of [raw, ...unpacked(raw)]) parts.push(...readings(bytes));
      }
    }
  } finally {
    store.close();
  }
  return parts.join('\n');
}

function unpacked(raw: Buffer): Buffer[] {
  return [gunzipSync, inflateSync, brotliDecompressSync].flatMap(decode => {
    try {
      return [decode(raw)];
    } catch {
      return [];
    }
  });
}

function readings(bytes: Buffer): string[] {
  const texts = [bytes.toString('latin1'), bytes.toString('utf8')];
  const pem = [...texts[1]!.matchAll(/-----BEGIN [^-]+-----([^-]+)/g)].map(match =>
    Buffer.from(match[1]!, 'base64').toString('latin1'),
  );
  const percent = [texts[1]!];
  for (let times = 0; times < 2; times++) {
    try {
      percent.push(decodeURIComponent(percent.at(-1)!.replaceAll('+', ' ')));
    } catch {
      break;
    }
  }
  return [...texts, ...pem, ...percent];
}
