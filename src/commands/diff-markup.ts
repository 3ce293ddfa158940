import { printable } from './io.ts';

/** HTML that is safe: made by {@link markup} alone, so that no text of the wire is ever in it unescaped. */
export interface Markup {
  readonly html: string;
}

/** HTML with values in it: texts are escaped, pieces of HTML are not. */
export function markup(strings: TemplateStringsArray, ...values: readonly (string | Markup)[]): Markup {
  const parts = strings.map((text, n) => {
    const value = values[n];
    return value === undefined ? text : `${text}${typeof value === 'string' ? escaped(value) : value.html}`;
  });
  return { html: parts.join('') };
}

export function join(pieces: readonly Markup[]): Markup {
  return { html: pieces.map(({ html }) => html).join('') };
}

/** Text and quoted attributes. Control and format characters are shown as escapes: a bidi override turns a page as it does a terminal. */
function escaped(text: string): string {
  const signs: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return printable(text).replace(/[&<>"']/g, sign => signs[sign]!);
}

/** A page up to what is in its `main`; scripts and anything from elsewhere are forbidden to it. @param more style beside that of every page */
export function pageHead(title: string, more: Markup = { html: '' }): Markup {
  const policy = "default-src 'none'; style-src 'unsafe-inline'";
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${title} - stringtap</title>
<style>${PAGE_STYLE}${more}</style>
</head>
<body>
<main>
`;
}

/** A constant, and so the one text that goes into a page as it is. */
const PAGE_STYLE: Markup = {
  html: `
:root { color-scheme: light dark; --text: #1c2024; --dim: #5b6570; --back: #fff; --card: #f6f7f9; --line: #d9dee3;
  --add: #116329; --add-back: #e6f6ea; --del: #a40e26; --del-back: #fdeced; --chg: #8a5a00; --hunk: #3b5bb5; }
@media (prefers-color-scheme: dark) { :root { --text: #e3e7eb; --dim: #9aa5b1; --back: #14171a; --card: #1d2125; --line: #343b42;
  --add: #6fd08c; --add-back: #12301d; --del: #ff9aa5; --del-back: #3b161b; --chg: #e0b050; --hunk: #9db4f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 24px 20px 80px; }
h1 { font-size: 1.5rem; margin: 0 0 16px; }
h2 { font-size: 1.15rem; margin: 32px 0 10px; padding-bottom: 4px; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 16px 0 6px; }
code, pre { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
small, .remark, .note, .why, .count, .none { color: var(--dim); }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 16px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 16px 14px; }
.card h2 { margin: 0 0 6px; border: 0; }
.card.before { border-left: 4px solid var(--del); } .card.after { border-left: 4px solid var(--add); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
.tally { display: flex; flex-wrap: wrap; gap: 8px; list-style: none; margin: 18px 0 0; padding: 0; }
.tally li { border: 1px solid var(--line); border-radius: 999px; padding: 2px 12px; }
.tally a { color: inherit; text-decoration: none; }
.count { font-weight: normal; }
.beside { display: grid; grid-template-columns: minmax(0, 1fr); gap: 20px; }
@media (min-width: 1000px) { .beside:has(aside) { grid-template-columns: minmax(0, 2fr) minmax(0, 1fr); } }
aside { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 2px 14px 12px; align-self: start; }
.item { border-left: 3px solid var(--line); padding: 4px 0 4px 12px; margin: 8px 0; }
.item.added { border-color: var(--add); } .item.removed { border-color: var(--del); } .item.changed { border-color: var(--chg); }
.item p { margin: 4px 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
.sign { display: inline-block; width: 1ch; font-weight: bold; font-family: ui-monospace, monospace; }
.added > summary .sign, .added > .sign, th.added .sign, li.added { color: var(--add); }
.removed > summary .sign, .removed > .sign, th.removed .sign, li.removed { color: var(--del); }
li.fact { margin: 6px 0; }
.sign.added { color: var(--add); } .sign.removed { color: var(--del); } .sign.changed, .sign.reordered { color: var(--chg); }
.changed > summary .sign, .changed > .sign, th.changed .sign, th.reordered .sign { color: var(--chg); }
table { border-collapse: collapse; width: 100%; margin: 6px 0; }
th, td { text-align: left; vertical-align: top; padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line); }
.changes th { width: 32%; font-weight: normal; overflow-wrap: anywhere; }
.changes { table-layout: fixed; }
td code { white-space: pre-wrap; }
.before code, code.before { background: var(--del-back); } .after code, code.after { background: var(--add-back); }
.figures { width: auto; } .figures td, .figures th { padding-right: 22px; }
pre.text { margin: 4px 0; padding: 6px 0; background: var(--card); border: 1px solid var(--line); border-radius: 6px; overflow-x: auto; }
pre.text span { display: block; padding: 0 10px; white-space: pre-wrap; min-height: 1.5em; }
.ins { background: var(--add-back); color: var(--add); } .del { background: var(--del-back); color: var(--del); } .hunk { color: var(--hunk); }
.hidden { color: var(--dim); font-style: italic; }
ul.plain { list-style: none; margin: 4px 0; padding: 0 0 0 4px; overflow-wrap: anywhere; }
`,
};
