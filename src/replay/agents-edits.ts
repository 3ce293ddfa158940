/** One replacement in a text: offsets of UTF-16 units; of a Latin-1 text those are bytes. */
export interface Edit {
  start: number;
  end: number;
  text: string;
}

/** The text with all edits made. They are in any order and do not overlap. */
export function edited(text: string, edits: readonly Edit[]): string {
  let out = '';
  let at = 0;
  for (const edit of [...edits].sort((a, b) => a.start - b.start)) {
    out += text.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return out + text.slice(at);
}

/** A text with escapes undone, and where in the escaped text each of its characters begins. */
interface Unescaped {
  text: string;
  /** One more than the text has characters: the last is the end. */
  starts: Uint32Array;
}

/** Undoes `%XX` to a Latin-1 character each; what is no escape stays. */
function unescaped(escaped: string, plusIsBlank: boolean): Unescaped {
  const out = Buffer.allocUnsafe(escaped.length);
  const starts = new Uint32Array(escaped.length + 1);
  let length = 0;
  for (let at = 0; at < escaped.length; length++) {
    starts[length] = at;
    const hex = escaped[at] === '%' ? escaped.slice(at + 1, at + 3) : '';
    if (/^[0-9a-f]{2}$/i.test(hex)) {
      out[length] = Number.parseInt(hex, 16);
      at += 3;
    } else {
      out[length] = plusIsBlank && escaped[at] === '+' ? 0x20 : escaped.charCodeAt(at) & 0xff;
      at += 1;
    }
  }
  starts[length] = escaped.length;
  return { text: out.toString('latin1', 0, length), starts };
}

/** As Puppet escapes (`Puppet::Util.uri_query_encode`): all but unreserved characters, with capital digits. Latin-1 in. */
function percentEncoded(text: string): string {
  return text.replace(/[^A-Za-z0-9_.~-]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

/**
 * Edits the value of a form field that was percent-encoded before it was put into the form, as Puppet does with facts
 * (`configurer/fact_handler.rb`). Only the edited places are written anew; whatever way of escaping the rest has, stays.
 *
 * @param editsOf what to change in the value without its escapes, Latin-1
 */
export function editTwiceEscaped(value: string, editsOf: (text: string) => readonly Edit[]): string {
  const outer = unescaped(value, true);
  const inner = unescaped(outer.text, false);
  const place = (at: number): number => outer.starts[inner.starts[at] ?? 0] ?? 0;
  const edits = editsOf(inner.text).map(edit => ({
    start: place(edit.start),
    end: place(edit.end),
    text: percentEncoded(percentEncoded(edit.text)),
  }));
  return edited(value, edits);
}
