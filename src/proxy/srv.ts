import type { SrvRecord } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import type { PrimaryAddress } from './contact.ts';

/** Services that Puppet looks for by SRV records, by its own names for them (http/service.rb). */
export type SrvService = 'puppet' | 'ca' | 'report' | 'fileserver';

/** Asks for the SRV records of one name; none when there is no such name. Rejects when DNS does not answer. */
export type AskSrv = (name: string) => Promise<SrvRecord[]>;

/** DNS is anybody's word: so many records are looked at, and only those with a host name and a port in them. */
const MAX_RECORDS = 64;
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;
/** Ruby's Resolv::DNS waits 5 s at first; agents wait as long. */
const ASK_MS = 5000;

/** @param servers `address:port` of DNS servers; those of the system without it */
export function srvAsker(servers?: readonly string[]): AskSrv {
  const resolver = new Resolver({ timeout: ASK_MS, tries: 2 });
  if (servers !== undefined) resolver.setServers(servers);
  return async name => {
    try {
      return await resolver.resolveSrv(name);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOTFOUND' || code === 'ENODATA') return [];
      throw error;
    }
  };
}

/**
 * The places of a service in the order in which an agent would try them (http/dns.rb, each_srv_record): by priority, and by chance among
 * those of one priority, where a weight of 0 counts as 1 and any other ten times. A service without records of its own is where `puppet` is.
 * @param random a number from 0 to below 1
 */
export async function srvPlaces(
  domain: string,
  service: SrvService,
  ask: AskSrv,
  random: () => number = Math.random,
): Promise<PrimaryAddress[]> {
  const name = service === 'puppet' ? '_x-puppet' : `_x-puppet-${service}`;
  const given = (await ask(`${name}._tcp.${domain.replace(/\.$/, '')}`)).slice(0, MAX_RECORDS);
  const records = given.flatMap(({ name: target, port, priority, weight }) => {
    const host = target.replace(/\.$/, '');
    return HOST_NAME.test(host) && port > 0 && port < 65_536 ? [{ host, port, priority, weight }] : [];
  });
  if (records.length === 0 && service !== 'puppet') return srvPlaces(domain, 'puppet', ask, random);
  const places: PrimaryAddress[] = [];
  for (const priority of [...new Set(records.map(one => one.priority))].sort((a, b) => a - b)) {
    let left = records.filter(one => one.priority === priority);
    while (left.length > 0) {
      const chosen = byWeight(left, random());
      places.push({ host: chosen.host, port: chosen.port });
      left = left.filter(one => one !== chosen);
    }
  }
  return places;
}

function byWeight<T extends { weight: number }>(records: readonly T[], chance: number): T {
  const share = ({ weight }: T): number => (weight === 0 ? 1 : weight * 10);
  let left = chance * records.reduce((sum, one) => sum + share(one), 0);
  for (const one of records) {
    left -= share(one);
    if (left < 0) return one;
  }
  return records.at(-1)!;
}
