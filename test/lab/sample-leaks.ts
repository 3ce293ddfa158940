import { availableParallelism, cpus, hostname, networkInterfaces, release, userInfo } from 'node:os';
import { gunzipSync, inflateSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { openStore } from '../../src/capture/store.ts';
import { SIDES } from '../../src/model.ts';

/** What a sample must not say of the machine that recorded it: words to be looked for, each with where it is from. */
export function traces(checkout: string): Record<string, string> {
  const found: Record<string, string> = { checkout, 'temporary folder': '/tmp/', release: release() };
  const { username, homedir } = userInfo();
  // Puppet agents run as root everywhere.
  if (username !== 'root') found.user = username;
  found.home = `${homedir}/`;
  found.host = hostname();
  if (availableParallelism() > 0) found.processor = cpus()[0]?.model ?? '';
  for (const [name, list] of Object.entries(networkInterfaces())) {
    for (const { address, mac, internal } of list ?? []) {
      if (internal) continue;
      found[`address of ${name}`] = address;
      found[`MAC of ${name}`] = mac;
    }
  }
  return Object.fromEntries(Object.entries(found).filter(([, word]) => word !== ''));
}

/** A word by itself: a host name of two letters occurs inside others. */
function pattern(word: string): RegExp {
  const escaped = word.replace(/[^\w]/g, c => `\\${c}`);
  const after = /\w$/.test(word) ? '(?![\\w-])' : '';
  return new RegExp(`(?<![\\w.-])${escaped}${after}`, 'i');
}

/** Words this short occur by chance in compressed bytes and in the pages of an index, which hold a NUL: only texts are searched for them. */
const SHORT = 4;

/** Latin-1, so that every byte is looked at; twice percent-decoded, as the facts of a catalog request are. */
function readings(bytes: Buffer): string[] {
  const all = [bytes];
  for (const decode of [gunzipSync, inflateSync]) {
    try {
      all.push(decode(bytes));
    } catch {
      // Another coding, or none.
    }
  }
  return all.flatMap(one => {
    const text = one.toString('latin1');
    const once = unescaped(text);
    return [...new Set([text, once, unescaped(once)])];
  });
}

function unescaped(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Every place of a capture where one of the words stands: bodies with all codings undone, and each cell of each table. */
export function leaks(file: string, words: Readonly<Record<string, string>>): string[] {
  const patterns = Object.entries(words).map(([name, word]) => {
    return { name, plain: word.toLowerCase(), pattern: pattern(word), short: word.length < SHORT };
  });
  const found: string[] = [];
  const seen = new Set<string>();
  const look = (place: string, bytes: Buffer): void => {
    const key = `${place.split(' ')[0]} ${bytes.toString('latin1')}`;
    if (seen.has(key)) return; // the same words come again and again in the rows of a table
    seen.add(key);
    const texts = readings(bytes);
    const lower = texts.map(text => text.toLowerCase());
    for (const { name, plain, pattern, short } of patterns) {
      const text = texts.find((one, n) => {
        return lower[n]!.includes(plain) && pattern.test(one) && !(short && one.includes('\0'));
      });
      if (text === undefined) continue;
      const at = text.search(pattern);
      found.push(`${place}: ${name}: ${JSON.stringify(text.slice(Math.max(0, at - 60), at + 60))}`);
    }
  };
  const store = openStore(file);
  for (const { id } of store.exchanges()) {
    for (const side of SIDES) {
      const bytes = Buffer.concat([...store.body(id, side)]);
      if (bytes.length > 0) look(`e${id} ${side}`, bytes);
    }
  }
  store.close();
  const db = new Database(file, { readonly: true });
  const tables = db.prepare<[], string>("SELECT name FROM sqlite_master WHERE type = 'table'").pluck().all();
  for (const table of tables) {
    for (const row of db.prepare<[], unknown[]>(`SELECT * FROM "${table}"`).raw().iterate()) {
      for (const cell of row) {
        if (typeof cell === 'string') look(table, Buffer.from(cell));
        else if (Buffer.isBuffer(cell)) look(table, cell);
      }
    }
  }
  db.close();
  return found;
}
