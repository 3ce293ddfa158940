import stringWidth from 'string-width';

/** A frame as it is written to a terminal, as a picture: SVG with the terminal's own text, so that it can be searched and copied. */

const COLUMN = 8.4;
const ROW = 18;
const PAD = 10;

/** The 16 colours on a dark ground, by SGR number. */
const COLOURS: Readonly<Record<number, string>> = {
  31: '#e06c75',
  32: '#98c379',
  33: '#e5c07b',
  34: '#61afef',
  35: '#c678dd',
  36: '#56b6c2',
  90: '#7f848e',
  91: '#ff7b86',
  92: '#b5e890',
  93: '#ffd98a',
  94: '#82c7ff',
  95: '#e29bf2',
  96: '#7fdbe6',
};
const GROUND = '#1e2127';
const INK = '#d7dae0';

interface Look {
  bold: boolean;
  dim: boolean;
  underline: boolean;
  inverse: boolean;
  colour: string | null;
}

const PLAIN: Look = { bold: false, dim: false, underline: false, inverse: false, colour: null };

function applied(look: Look, code: number): Look {
  switch (code) {
    case 0:
      return PLAIN;
    case 1:
      return { ...look, bold: true };
    case 2:
      return { ...look, dim: true };
    case 4:
      return { ...look, underline: true };
    case 7:
      return { ...look, inverse: true };
    case 22:
      return { ...look, bold: false, dim: false };
    case 24:
      return { ...look, underline: false };
    case 27:
      return { ...look, inverse: false };
    case 39:
      return { ...look, colour: null };
    default:
      return { ...look, colour: COLOURS[code] ?? look.colour };
  }
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** One line of the terminal: where it is inverse a box, and the text over it. */
function lineSvg(text: string, y: number): string {
  let look = PLAIN;
  let column = 0;
  let out = '';
  // What stands before the first escape is plain.
  for (const [n, part] of text.split('\x1b[').entries()) {
    const end = n === 0 ? -1 : part.indexOf('m');
    for (const code of part.slice(0, Math.max(0, end)).split(';')) if (code !== '') look = applied(look, Number(code));
    const shown = part.slice(end + 1);
    const width = stringWidth(shown);
    if (width > 0) out += spanSvg(shown, look, column, width, y);
    column += width;
  }
  return out;
}

function spanSvg(text: string, look: Look, column: number, width: number, y: number): string {
  const x = (PAD + column * COLUMN).toFixed(1);
  const ink = look.colour ?? INK;
  const box = look.inverse
    ? `<rect x="${x}" y="${y}" width="${(width * COLUMN).toFixed(1)}" height="${ROW}" fill="${ink}"/>`
    : '';
  if (text.trim() === '') return box;
  const style = [
    `fill="${look.inverse ? GROUND : ink}"`,
    look.bold ? 'font-weight="bold"' : '',
    look.dim && !look.inverse ? 'opacity="0.6"' : '',
    look.underline ? 'text-decoration="underline"' : '',
  ].filter(Boolean);
  // Blanks beside each other are one in SVG.
  const safe = text.replace(/[&<>"]/g, sign => ESCAPES[sign]!).replaceAll(' ', '\u00a0');
  return `${box}<text x="${x}" y="${y + 13.5}" textLength="${(width * COLUMN).toFixed(1)}" ${style.join(' ')}>${safe}</text>`;
}

/** @param lines with their escapes, as `frameOf` gives them */
export function svgOf(lines: readonly string[], columns: number): string {
  const [width, height] = [Math.ceil(columns * COLUMN + 2 * PAD), lines.length * ROW + 2 * PAD];
  const rows = lines.map((text, n) => lineSvg(text, PAD + n * ROW)).filter(row => row !== '');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" role="img"><title>a screen of stringtap</title>`,
    `<rect width="${width}" height="${height}" rx="6" fill="${GROUND}"/>`,
    ...rows,
    '</svg>',
    '',
  ].join('\n');
}
