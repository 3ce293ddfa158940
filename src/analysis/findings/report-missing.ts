import { evidence, lasting, page, type Rule } from './finding.ts';

export const reportMissing: Rule = {
  id: 'report-missing',
  severities: ['warning', 'info'],
  title: 'the agent got a catalog, and sent no report',
  meaning:
    'It was killed (kill -9, out of memory, a reboot), it crashed, or it could not make a report of what it did; what it applied of the catalog nobody knows. Info when no run of the node sent any: report = false does that.',
  fix: 'look on the node for what ended it: its own log, journalctl, dmesg (out of memory); puppet agent --no-report sends none either',
  threshold:
    'a catalog answered with 200, no request for a report, and connections that the agent closed itself; a warning when an earlier run of the node in this capture sent one',
  page: page('configuration.html#report'),
  judge(run) {
    const catalog = run.phase('catalog').findLast(one => one.status === 200 && one.outcome === 'answered');
    if (catalog === undefined || run.phase('report').length > 0) return [];
    const used = new Set(run.exchanges.map(one => one.agentConnection));
    const own = run.connections.filter(one => one.leg === 'agent' && used.has(one.id));
    // A proxy that ends, or closes what is idle, does not know what the agent does after that.
    if (own.length === 0 || own.some(one => one.closedBy !== 'agent')) return [];
    const last = run.exchanges.at(-1) ?? catalog;
    const quietMs = Math.max(0, ...own.map(one => (one.closedMono ?? 0) - last.endMono));
    const usual = run.earlierEvents(1, []).length > 0;
    const after = `${lasting(quietMs)} after its last request`;
    return [
      {
        severity: usual ? 'warning' : 'info',
        summary: usual
          ? `the agent got a catalog and sent no report: it went away ${after}`
          : `the agent got a catalog and sent no report, nor did an earlier run: it went away ${after}`,
        ...(!usual && {
          fix: "report = true in the agent's puppet.conf, when it was switched off; else look on the node for what ends it",
        }),
        evidence: evidence({
          exchanges: [catalog.id, last.id],
          connections: own.map(one => one.id),
          figures: { quietMs: Math.round(quietMs), reportedBefore: usual },
        }),
      },
    ];
  },
};
