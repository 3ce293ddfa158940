import { greatest } from '../extremes.ts';
import { foldReuse } from '../reuse.ts';
import { AGENT_KEEPALIVE_MS, NO_KEEPALIVE } from '../reuse-advice.ts';
import { setupMs } from '../reuse-rows.ts';
import { counted } from '../words.ts';
import { evidence, lasting, page, type Rule } from './finding.ts';

/** From here on the new handshakes of a run are felt: on a LAN one takes 5 to 30 ms. */
const FELT_MS = 100;

export const keepaliveGap: Rule = {
  id: 'keepalive-gap',
  severities: ['warning', 'info'],
  title: "a pause in the run outlasted the agent's keep-alive, and a new TLS connection was opened",
  meaning:
    'The agent drops a connection that was idle for http_keepalive_timeout (default 4 s), while it gathers facts or applies what takes long, and pays TCP and TLS again (PUP-8663). On every run of every node that is as many handshakes for the primary.',
  fix: "http_keepalive_timeout in the agent's puppet.conf, longer than the pause and shorter than the 30 s of the primary",
  threshold:
    "a connection that the agent closed for being idle while its run went on; a warning from 2 of them, or from 100 ms of new handshakes (a LAN's take 5 to 30 ms), or from 3 that it closed right after an answer",
  page: page('configuration.html#http_keepalive_timeout'),
  judge(run) {
    const { connections } = foldReuse(run.connections, run.exchanges, one => one.run === run.run.id);
    const dropped = connections.filter(one => one.facts.leg === 'agent' && !one.bootstrap && one.ending === 'agent-idle-limit');
    const never = connections.filter(one => one.facts.leg === 'agent' && one.ending === 'agent-no-keep-alive');
    if (never.length >= NO_KEEPALIVE) {
      const lost = never.reduce((sum, one) => sum + (setupMs(one.facts) ?? 0), 0);
      return [
        {
          severity: 'warning',
          summary: `the agent closed ${counted(never.length, 'connection')} of this run right after an answer, and opened others: ${lasting(lost)} of handshakes`,
          fix: "http_keepalive_timeout = 4s, the default, in the agent's puppet.conf: with 0 it keeps no connection",
          evidence: evidence({
            connections: never.map(one => one.facts.id),
            exchanges: never.flatMap(one => one.uses[0]?.exchange ?? []),
            figures: { gapMs: 0, handshakes: never.length, lostMs: Math.round(lost) },
          }),
        },
      ];
    }
    if (dropped.length === 0) return [];
    const longest = greatest(dropped.map(one => one.idleBeforeCloseMs ?? 0));
    const opened = connections.filter(
      one => one.facts.leg === 'agent' && dropped.some(gone => one.facts.openedMono >= (gone.facts.closedMono ?? Infinity) - 100),
    );
    const lost = opened.slice(0, dropped.length).reduce((sum, one) => sum + (setupMs(one.facts) ?? 0), 0);
    const pause = dropped.find(one => (one.idleBeforeCloseMs ?? 0) === longest);
    // What the agent asked for after it: a catalog when it had gathered facts, else it was applying one.
    const then = run.exchanges.find(one => one.startMono >= (pause?.facts.closedMono ?? Infinity) - 100);
    const wanted = Math.min(25, Math.ceil(Math.max(longest, AGENT_KEEPALIVE_MS) / 1000) + 1);
    return [
      {
        severity: dropped.length > 1 || lost >= FELT_MS ? 'warning' : 'info',
        summary: `${counted(dropped.length, 'pause')} of up to ${lasting(longest)} cost ${counted(dropped.length, 'new connection')}, ${lasting(lost)} of handshakes`,
        fix:
          longest < 24_000
            ? `http_keepalive_timeout = ${wanted}s in the agent's puppet.conf bridges it`
            : `find what takes so long (${then?.phase === 'catalog' ? 'puppet facts --timing' : 'puppet agent --test --evaltrace'}): the primary closes idle connections after 30 s, no setting of the agent bridges that`,
        evidence: evidence({
          connections: dropped.map(one => one.facts.id),
          exchanges: opened.slice(0, dropped.length).flatMap(one => one.uses[0]?.exchange ?? []),
          figures: { gapMs: Math.round(longest), handshakes: dropped.length, lostMs: Math.round(lost) },
        }),
      },
    ];
  },
};
