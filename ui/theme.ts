import type { Phase } from '../src/model.ts';

/** What a text means. Colour only underlines it: the same is always said by a word, a sign or a place as well. */
export type StyleName =
  | 'dim'
  | 'bold'
  | 'title'
  | 'head'
  | 'selected'
  | 'marked'
  | 'match'
  | 'key'
  | 'name'
  | 'value'
  | 'ok'
  | 'changed'
  | 'warning'
  | 'error'
  | 'live'
  | 'bar'
  | 'wait'
  | 'own'
  | `phase-${Phase}`;

/** Select graphic rendition: what starts a style and what ends it. */
interface Look {
  on: string;
  off: string;
}

/** The 16 colours by their SGR number; a terminal's own palette decides how they look, so light and dark backgrounds both work. */
const COLOUR = {
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36,
  grey: 90,
  brightRed: 91,
  brightGreen: 92,
  brightYellow: 93,
  brightBlue: 94,
  brightMagenta: 95,
  brightCyan: 96,
} as const;

interface Style {
  colour?: keyof typeof COLOUR;
  bold?: true;
  dim?: true;
  inverse?: true;
  underline?: true;
}

const STYLES: Record<StyleName, Style> = {
  dim: { dim: true },
  bold: { bold: true },
  title: { inverse: true, bold: true },
  head: { bold: true, underline: true },
  selected: { inverse: true },
  marked: { colour: 'brightYellow', bold: true },
  match: { colour: 'brightYellow', underline: true },
  key: { colour: 'cyan', bold: true },
  name: { colour: 'cyan' },
  value: {},
  ok: { colour: 'green' },
  changed: { colour: 'cyan' },
  warning: { colour: 'yellow' },
  error: { colour: 'brightRed', bold: true },
  live: { colour: 'brightGreen', bold: true },
  bar: { inverse: true },
  wait: { dim: true },
  own: { colour: 'brightMagenta' },
  'phase-ca': { colour: 'grey' },
  'phase-crl': { colour: 'grey' },
  'phase-csr': { colour: 'magenta' },
  'phase-certificate': { colour: 'brightMagenta' },
  'phase-node': { colour: 'brightBlue' },
  'phase-pluginsync': { colour: 'blue' },
  'phase-catalog': { colour: 'yellow' },
  'phase-file': { colour: 'green' },
  'phase-filebucket': { colour: 'brightGreen' },
  'phase-report': { colour: 'cyan' },
  'phase-other': { colour: 'red' },
};

/** Signs that a font may lack, and what stands for them. */
export interface Signs {
  live: string;
  ended: string;
  cursor: string;
  mark: string;
  ok: string;
  changed: string;
  failed: string;
  none: string;
  folded: string;
  open: string;
  crumb: string;
  rule: string;
  full: string;
  wait: string;
  own: string;
  handshake: string;
  idle: string;
  closed: string;
  spark: readonly string[];
  up: string;
  down: string;
}

const UNICODE: Signs = {
  live: '●',
  ended: '○',
  cursor: '▌',
  mark: '✱',
  ok: '✓',
  changed: '✎',
  failed: '✗',
  none: '·',
  folded: '▸',
  open: '▾',
  crumb: '›',
  rule: '─',
  full: '█',
  wait: '░',
  own: '▒',
  handshake: '≡',
  idle: '·',
  closed: '┤',
  spark: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
  up: '▲',
  down: '▼',
};

const ASCII: Signs = {
  live: '*',
  ended: 'o',
  cursor: '>',
  mark: '*',
  ok: '+',
  changed: '~',
  failed: 'x',
  none: '.',
  folded: '>',
  open: 'v',
  crumb: '>',
  rule: '-',
  full: '#',
  wait: ':',
  own: '%',
  handshake: '=',
  idle: '.',
  closed: '|',
  spark: ['_', '.', '-', '=', '+', '*', '#', '@'],
  up: '^',
  down: 'v',
};

export interface Theme {
  readonly signs: Signs;
  /** Only what every font has. */
  readonly ascii: boolean;
  /** Read aloud: pictures are told in words. */
  readonly reader: boolean;
  look(style: StyleName): Look;
}

/**
 * @param colour `false` (`NO_COLOR`): bold, underline and inverse stay, which are no colours
 * @param ascii only signs that every font has
 */
export function createTheme(options: { colour: boolean; ascii: boolean; reader?: boolean }): Theme {
  const looks = new Map<StyleName, Look>();
  return {
    signs: options.ascii ? ASCII : UNICODE,
    ascii: options.ascii,
    reader: options.reader === true,
    look(style) {
      const known = looks.get(style);
      if (known !== undefined) return known;
      const look = lookOf(STYLES[style], options.colour);
      looks.set(style, look);
      return look;
    },
  };
}

function lookOf(style: Style, colour: boolean): Look {
  const parts: [on: number, off: number][] = [];
  if (style.bold) parts.push([1, 22]);
  if (style.dim) parts.push([2, 22]);
  if (style.underline) parts.push([4, 24]);
  if (style.inverse) parts.push([7, 27]);
  if (style.colour !== undefined && colour) parts.push([COLOUR[style.colour], 39]);
  const code = (n: number): string => `\x1b[${n}m`;
  return { on: parts.map(([on]) => code(on)).join(''), off: parts.map(([, off]) => code(off)).join('') };
}

/** `NO_COLOR` (no-color.org: any value that is not empty), a terminal that has none, or a locale without UTF-8. */
export function themeOf(env: Readonly<Record<string, string | undefined>>, ascii: boolean): Theme {
  const plain = (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb';
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  // Without any locale most terminals of today still are UTF-8; one that names another encoding is believed.
  const narrow = /^(C|POSIX)$/.test(locale) || (locale.includes('.') && !/utf-?8/i.test(locale));
  return createTheme({ colour: !plain, ascii: ascii || narrow, reader: env.INK_SCREEN_READER === 'true' });
}
