import { closeSync, existsSync, openSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { childError, runStringtap } from '../child.ts';
import { startInput } from '../input.ts';
import { type Subject, subjectText } from '../marks.ts';
import type { Env, Prompt, Step } from '../screen.ts';
import { line, wrapText } from '../text.ts';

/** Writes a run to a file, in any format of `stringtap export`. A file that is there already is never touched. */

/** With the ending that a file of it has. */
const FORMATS = { har: 'har', jsonl: 'jsonl', curl: 'sh', files: '', otlp: 'otlp.jsonl', html: 'html' } as const;
type Format = keyof typeof FORMATS;

/** @param argument `FORMAT FILE` */
export function exportStep(argument: string | null, subject: Subject | null, env: Env): Step {
  const run =
    subject === null ? null : subject.type === 'run' ? subject.id : (env.source.store.exchange(subject.id)?.run ?? null);
  if (subject !== null && run === null)
    return { say: { text: `${subjectText(subject)} is of no run: runs are exported`, kind: 'info' } };
  const name = run === null ? 'the whole capture' : `r${run}`;
  if (argument === null) return { prompt: exportPrompt(name, run) };
  const wanted = wantedOf(argument);
  return 'problem' in wanted ? { say: { text: wanted.problem, kind: 'error' } } : writing(name, run, wanted, env);
}

interface Wanted {
  readonly format: Format;
  /** Absolute. */
  readonly path: string;
}

function isFormat(text: string): text is Format {
  return Object.hasOwn(FORMATS, text);
}

/** `har run.har`, or the file alone, whose ending says the format. */
function wantedOf(text: string): Wanted | { readonly problem: string } {
  const trimmed = text.trim();
  const [first = '', ...rest] = trimmed.split(/\s+/);
  const named = isFormat(first) && rest.length > 0;
  const file = named ? trimmed.slice(first.length).trim() : trimmed;
  const format = named
    ? first
    : Object.keys(FORMATS).find(known => isFormat(known) && FORMATS[known] !== '' && file.endsWith(`.${FORMATS[known]}`));
  if (trimmed === '' || (isFormat(trimmed) && rest.length === 0)) return { problem: 'FORMAT and the name of a file' };
  if (format === undefined || !isFormat(format)) return { problem: `which format? ${Object.keys(FORMATS).join(', ')}` };
  const path = resolve(file.startsWith('~/') ? join(homedir(), file.slice(2)) : file);
  if (existsSync(path)) return { problem: 'this file is there already' };
  return existsSync(dirname(path)) ? { format, path } : { problem: `there is no folder ${dirname(path)}` };
}

function exportPrompt(
  name: string,
  run: number | null,
  input = startInput(`har ${run === null ? 'capture' : `r${run}`}.har`),
): Prompt {
  const wanted = wantedOf(input.text);
  return {
    label: `export ${name}: `,
    input,
    problem: 'problem' in wanted ? wanted.problem : null,
    draw: env => [
      ...wrapText(
        `FORMAT FILE; tab goes through the formats: ${Object.keys(FORMATS).join(', ')} (files: a folder). Secrets are hidden.`,
        env.size.columns - 2,
      ).map(text => line(` ${text}`, 'dim')),
      // Behind a long path there is no room for it.
      ...('problem' in wanted ? [line(` ${wanted.problem}`, 'warning')] : []),
    ],
    change: next => ({ prompt: exportPrompt(name, run, next) }),
    key(key) {
      if (key !== 'tab') return null;
      const formats = Object.keys(FORMATS).filter(isFormat);
      const now = formats.findIndex(format => input.text.startsWith(`${format} `));
      const next = formats[(now + 1) % formats.length]!;
      const text = `${next} ${run === null ? 'capture' : `r${run}`}${FORMATS[next] === '' ? '' : `.${FORMATS[next]}`}`;
      return exportPrompt(name, run, { ...input, text, cursor: text.length });
    },
    submit: env => ('problem' in wanted ? {} : { step: writing(name, run, wanted, env) }),
  };
}

function writing(name: string, run: number | null, { format, path }: Wanted, env: Env): Step {
  return {
    job: {
      label: `exporting ${name}`,
      async run(_report, signal) {
        const args = ['export', ...(run === null ? [] : [`r${run}`]), '--format', format, '--capture', env.source.store.file];
        if (format === 'files') {
          if (existsSync(path)) throw new Error(`${path} is there already`);
          await done(args.concat('-o', path), signal);
        } else {
          // Made by us and only if it is not there, so that nothing is ever written over.
          const fd = create(path);
          try {
            await done(args, signal, fd);
          } catch (error) {
            rmSync(path, { force: true });
            throw error;
          } finally {
            closeSync(fd);
          }
        }
        return { say: { text: `${name} written to ${path}`, kind: 'info' } };
      },
    },
  };
}

/** @throws Error that says which file, and why not */
function create(path: string): number {
  try {
    return openSync(path, 'wx', 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'EACCES' || code === 'EROFS' ? 'this folder is not yours to write' : code;
    throw new Error(`cannot write ${path}: ${why}`);
  }
}

async function done(args: readonly string[], signal: AbortSignal, into?: number): Promise<void> {
  const result = await runStringtap(args, { signal, ...(into !== undefined && { into }) });
  if (result.code !== 0) throw childError(result);
}
