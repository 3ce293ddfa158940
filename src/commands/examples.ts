/** What the help of a command ends with, by its words; a line is at most 80 columns wide. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  '': [
    'stringtap demo',
    'stringtap run -- puppet agent --test',
    'stringtap proxy --primary puppet.example.com',
    'stringtap show r3',
  ],
  proxy: [
    'stringtap proxy --primary puppet.example.com',
    'stringtap proxy --primary puppet.example.com --listen 0.0.0.0:8140 --retain 7d',
  ],
  run: ['stringtap run -- puppet agent --test', 'stringtap run --capture before.db -- puppet agent --test --noop'],
  'agent-setup': ['stringtap agent-setup web1.example.com --proxy proxy.example.com:8140'],
  doctor: ['stringtap doctor', 'stringtap doctor --primary puppet.example.com'],
  demo: ['stringtap demo', 'stringtap demo --lines --capture demo.db'],
  ui: ['stringtap ui', 'stringtap ui captures/monday.db'],
  runs: ['stringtap runs', "stringtap runs captures/monday.db '~e ~env production'", 'stringtap runs --since 2h --json'],
  exchanges: ["stringtap exchanges '~c 4xx !~phase file'", 'stringtap exchanges --run r3 --phase catalog'],
  connections: ['stringtap connections --leg primary', "stringtap connections '~e ~conn 10.0.0.7'"],
  findings: [
    'stringtap findings --since 1h --fail-on error',
    'stringtap findings --explain catalog-compile-failed',
    "stringtap findings '~find error ~env production'",
  ],
  show: ['stringtap show r3', 'stringtap show r3 events', 'stringtap show e17 --body response', 'stringtap show c5'],
  search: ["stringtap search 'motd*' --in resources"],
  redecode: ['stringtap redecode', 'stringtap redecode r3 captures/monday.db'],
  replay: [
    'stringtap replay r3 --to puppet8.example.com --dry-run',
    "stringtap replay r3 --to HOST --agents 200 --as 'load-%04d.example' --enrol",
  ],
  serve: ['stringtap serve r3', 'stringtap serve r3 r4 --timing recorded --missing 500'],
  diff: ['stringtap diff r3 r4', "stringtap diff r3 r4 --ignore 'File[/tmp/*]'", 'stringtap diff e17 e42'],
  reuse: ['stringtap reuse r3', 'stringtap reuse --compare before.db'],
  times: ['stringtap times', "stringtap times --by certname '~phase catalog'"],
  export: ['stringtap export r3 --format html -o run.html', 'stringtap export r3 --format curl -o folder'],
  share: ['stringtap share r3 -o shared.db', 'stringtap share r3 r4 captures/monday.db -o shared.db --redact moderate'],
  note: ["stringtap note r3 'slow since the move'", 'stringtap note', 'stringtap note --delete n2'],
  join: ['stringtap join /var/log/puppetlabs/puppetserver/puppetserver-access.log'],
  import: ['stringtap import traffic.har'],
  query: ["stringtap query 'SELECT phase, count(*) FROM v_exchange GROUP BY phase'"],
  'identity import': [
    'stringtap identity import --ssldir "$(puppet config print ssldir)"',
    'stringtap identity import --cert web1.crt --key web1.key',
  ],
  'identity list': ['stringtap identity list'],
  'identity remove': [
    'stringtap identity remove web1.example.com',
    'stringtap identity remove web1.example.com --primary puppet.example.com:8140',
  ],
  'ca show': ['stringtap ca show'],
  'ca export': ['stringtap ca export', 'stringtap ca export --crl'],
};

/** The end of a command's help; nothing for one that has others below it. @param words of the command, without `stringtap` */
export function examplesOf(words: string): string {
  const lines = Object.hasOwn(EXAMPLES, words) ? (EXAMPLES[words] ?? []) : [];
  return lines.length === 0 ? '' : ['', `Example${lines.length === 1 ? '' : 's'}:`, ...lines.map(line => `  ${line}`)].join('\n');
}
