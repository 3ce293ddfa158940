import { statSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import { newestCapture } from '../capture/newest.ts';
import type { Wants } from '../capture/opening.ts';
import type { Retain } from '../capture/retain.ts';
import type { Store } from '../capture/store.ts';
import { CliError } from './io.ts';

/** Values of options that more than one command takes. Each throws commander's InvalidArgumentError, which shows the value. */

/** `HOST[:PORT]`, IPv6 in brackets. */
export function hostPort(text: string, defaultPort: number | null): { host: string; port: number } {
  const match = /^(?:\[([0-9a-f:.%]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/i.exec(text);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (!match || port === null || port > 65_535)
    throw new InvalidArgumentError('expected HOST:PORT, as in puppet.example.com:8140');
  return { host: (match[1] ?? match[2])!, port };
}

/** `HOST:PORT`, `HOST` or `PORT` alone, to listen on: 127.0.0.1 unless an address is named. */
export function listenPlace(text: string): { host: string; port: number } {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return { host: '127.0.0.1', port: Number(text) };
  try {
    return hostPort(text, 8140);
  } catch {
    throw new InvalidArgumentError('expected HOST:PORT, as in 127.0.0.1:8140, or 0.0.0.0:8140 for every address of this host');
  }
}

/** Bytes with an optional k, M, G (powers of 1000) or Ki, Mi, Gi. */
export function byteCount(text: string): number {
  const match = /^(\d{1,15})\s*(k|M|G|Ki|Mi|Gi)?B?$/.exec(text);
  if (!match) throw new InvalidArgumentError('expected bytes, as in 500000, 64k, 16Mi');
  const factor = { k: 1e3, M: 1e6, G: 1e9, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 }[match[2] ?? ''] ?? 1;
  return Number(match[1]) * factor;
}

/** An `http` or `https` URL. */
export function httpUrl(text: string): string {
  if (!/^https?:$/.test(URL.parse(text)?.protocol ?? '')) {
    throw new InvalidArgumentError('expected an http or https URL, as in http://localhost:4318');
  }
  return text;
}

const RETAIN_UNITS = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3, w: 604_800e3 } as const;

/** `100` runs, `2G` bytes, `7d` of age; more than one, separated by commas, all hold. */
export function retention(text: string): Retain {
  const retain: Retain = {};
  for (const part of text.split(',')) {
    const [, amount, unit = ''] = /^([1-9]\d{0,11})(|runs|[smhdw]|(?:[kMG]i?)?B|[kMG]i?)$/.exec(part.trim()) ?? [];
    if (amount === undefined)
      throw new InvalidArgumentError('expected runs, bytes or an age, as in 500runs, 20G, 7d, or some of them with commas');
    if (unit === '' || unit === 'runs') retain.runs = Number(amount);
    else if (unit in RETAIN_UNITS) retain.ageMs = Number(amount) * RETAIN_UNITS[unit as keyof typeof RETAIN_UNITS];
    else retain.bytes = byteCount(part.trim());
  }
  return retain;
}

/** A moment, ms since the epoch. @throws commander's InvalidArgumentError */
export function since(text: string, _previous?: unknown, now = Date.now()): number {
  const age = /^(\d{1,6})([smhd])$/.exec(text);
  if (age) return now - Number(age[1]) * { s: 1e3, m: 6e4, h: 36e5, d: 864e5 }[age[2] as 's' | 'm' | 'h' | 'd'];
  const at = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw new InvalidArgumentError('expected a time as in 2026-03-01T10:00:00Z, or an age as in 30m, 2h, 7d');
  return at;
}

/** The same as the filters of a store take it. */
export function sinceIso(text: string): string {
  return new Date(since(text)).toISOString();
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number');
  return Number(text);
}

/** Where captures lie unless told otherwise. */
export const CAPTURES = 'captures';

/**
 * The file of the capture that was named, or the newest one of captures/; of a folder that was named, the newest one in it.
 *
 * @throws CliError when there is none
 */
export function captureFile(named: string | undefined): string {
  const isFolder = named !== undefined && statSync(named, { throwIfNoEntry: false })?.isDirectory() === true;
  if (named !== undefined && !isFolder) return named;
  const folder = named ?? CAPTURES;
  const path = newestCapture(folder);
  if (path !== null) return path;
  throw new CliError(
    `there is no capture in ${folder.replace(/\/*$/, '/')}`,
    'stringtap proxy --primary HOST, or on the host of an agent stringtap run -- puppet agent --test, makes one; or name its FILE',
  );
}

/**
 * The capture that was named, or the newest one of captures/.
 *
 * @param wants `bodies`: what is not decoded yet is decoded first
 */
export async function openCapture(file: string | undefined, wants: Wants = 'runs'): Promise<Store> {
  const path = captureFile(file);
  const { openUpToDate } = await import('../capture/opening.ts');
  // Decoders and rules are loaded for a capture that needs them, which is the exception.
  return openUpToDate(path, wants) ?? (await import('../capture/store.ts')).openStore(path, wants);
}
