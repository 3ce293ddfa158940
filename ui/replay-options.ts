/** The target of a replay and its options, as they are typed: the same words that `stringtap replay` takes behind `--to`. */
export interface ReplayWords {
  /** `HOST[:PORT]`. */
  readonly to: string;
  readonly options: readonly string[];
  readonly certs: string;
  readonly ssldir: string | null;
  readonly enrols: boolean;
}

/** Options of `stringtap replay` that are of use for one run or exchange, with what follows them. */
const OPTIONS: Readonly<Record<string, string | null>> = {
  '--certs': 'DIR',
  '--ssldir': 'DIR',
  '--ca-cert': 'FILE',
  '--ca-fingerprint': 'SHA256',
  '--timing': 'PACE',
  '--writes': 'KINDS',
  '--as': 'NAME',
  '--enrol': null,
  '--wait-for-cert': 'TIME',
  '--capture': 'FILE',
};

/** Words for the line under what is typed. */
export const OPTION_HINT = Object.entries(OPTIONS)
  .map(([name, value]) => (value === null ? name : `${name} ${value}`))
  .join('  ');

/** What was typed, or what is wrong with it. */
export function replayWords(text: string): ReplayWords | { readonly problem: string } {
  const [to, ...words] = text.trim().split(/\s+/);
  if (to === undefined || to === '') return { problem: 'where to? HOST[:PORT], then options' };
  if (!/^(?:\[[0-9a-f:.%]+\]|[^\s:/@[\]-][^\s:/@[\]]*)(?::\d{1,5})?$/i.test(to)) {
    return { problem: `${to} is no HOST[:PORT]` };
  }
  const values = new Map<string, string>();
  for (let i = 0; i < words.length; i += 1) {
    const name = words[i]!;
    const takes = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
    if (takes === undefined) return { problem: `${name} is no option here` };
    const value = takes === null ? '' : words[++i];
    if (value === undefined || value.startsWith('--')) return { problem: `${name} needs ${takes}` };
    values.set(name, value);
  }
  return {
    to,
    options: words,
    certs: values.get('--certs') ?? 'certs',
    ssldir: values.get('--ssldir') ?? null,
    enrols: values.has('--enrol'),
  };
}
