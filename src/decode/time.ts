/** `2024-05-01T12:00:00.123456789+00:00` of JSON, `2011-01-31 10:11:12.123456 -08:00` of YAML, `… -0800` and `… UTC` of Ruby. */
const TIME = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)? ?(Z|UTC|[+-]\d\d:?\d\d)?$/;

/** Milliseconds since the epoch (fractional: Puppet writes nanoseconds), `null` when the text is no time. No zone means UTC. */
export function timeAt(text: string | null): number | null {
  if (text === null || text.length > 64) return null;
  const match = TIME.exec(text);
  if (match === null) return null;
  const month = Number(match[2]);
  const day = Number(match[3]);
  const hour = Number(match[4]);
  const minute = Number(match[5]);
  const second = Number(match[6]);
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 24 || minute > 59 || second > 60) return null;
  const fraction = match[7] === undefined ? 0 : Number(`0.${match[7]}`) * 1000;
  const at = Date.UTC(Number(match[1]), month - 1, day, hour, minute, second) + fraction;
  return at - offsetMs(match[8]);
}

function offsetMs(zone: string | undefined): number {
  if (zone === undefined || zone === 'Z' || zone === 'UTC') return 0;
  const sign = zone.startsWith('-') ? -1 : 1;
  return sign * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2))) * 60_000;
}
