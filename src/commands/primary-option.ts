import { InvalidArgumentError } from 'commander';
import type { PrimaryAddress } from '../proxy/contact.ts';
import type { ServicePlaces } from '../proxy/primaries.ts';
import { type AskSrv, srvPlaces } from '../proxy/srv.ts';
import { CliError } from './io.ts';
import { hostPort } from './options.ts';

/** Where a primary is: a place, or a domain whose SRV records name the places. */
export type PrimaryOption = PrimaryAddress | { srv: string };

/** `HOST[:PORT]`, `http://HOST[:PORT]` (plain HTTP behind a TLS terminator), `SRV:DOMAIN`; the port is 8140 unless told. */
export function primaryOption(text: string): PrimaryOption {
  const [, scheme = '', rest = ''] = /^(https?:\/\/|SRV:|)(.*?)\/?$/is.exec(text) ?? [];
  switch (scheme.toLowerCase()) {
    case 'srv:':
      if (!/^(?=.{1,200}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/i.test(rest))
        throw new InvalidArgumentError('expected SRV:DOMAIN, as in SRV:example.com');
      return { srv: rest };
    case 'http://':
      return { ...hostPort(rest, 8140), plain: true };
    default:
      return hostPort(rest, 8140);
  }
}

/** What `--primary` said, with SRV records asked for. */
export interface ChosenPrimaries {
  primary: PrimaryAddress;
  standbys: readonly PrimaryAddress[];
  others: readonly PrimaryAddress[];
  services: ServicePlaces | null;
}

/** @throws {CliError} for a domain without records, and for one beside other primaries */
export async function choosePrimaries(given: readonly PrimaryOption[], ask: AskSrv): Promise<ChosenPrimaries> {
  const places = given.flatMap(one => ('srv' in one ? [] : [one]));
  const [domain] = given.flatMap(one => ('srv' in one ? [one.srv] : []));
  const [primary, ...others] = places;
  if (domain === undefined) return { primary: primary!, standbys: [], others, services: null };
  if (given.length > 1) throw new CliError('--primary SRV:DOMAIN stands alone', 'name the other primaries by their hosts', 2);
  const asked = async (service: 'puppet' | 'ca' | 'report' | 'fileserver'): Promise<PrimaryAddress[]> => {
    try {
      return await srvPlaces(domain, service, ask);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? String(error);
      throw new CliError(`cannot ask DNS for the SRV records of ${domain}: ${code}`, `dig SRV _x-puppet._tcp.${domain}`);
    }
  };
  const [puppet, ca, report, fileserver] = await Promise.all([
    asked('puppet'),
    asked('ca'),
    asked('report'),
    asked('fileserver'),
  ]);
  const [first, ...standbys] = puppet;
  if (first === undefined) {
    throw new CliError(`${domain} has no SRV records of Puppet`, `dig SRV _x-puppet._tcp.${domain}`);
  }
  return { primary: first, standbys, others: [], services: { ca, report, fileserver } };
}
