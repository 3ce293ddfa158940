import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { PUPPETSERVER_ETC } from './available.ts';
import { put, writeCode, writePrograms } from './site.ts';

/** Certname of every primary of the lab, and its other names. */
export const PRIMARY_CERTNAME = 'puppet.lab';
export const PRIMARY_SANS = 'puppet,localhost,IP:127.0.0.1';

/** The lab's own requests carry this user agent and are left out of {@link Primary.accessLog}. */
export const LAB_USER_AGENT = 'stringtap-lab';

export interface PrimaryConfig {
  /** Empty folder for everything that the primary owns. */
  dir: string;
  port: number;
  /** `file`: `puppet/autosign.conf`, read again at each CSR, at first `*.lab`. */
  autosign: 'file' | boolean;
  /** Only these TLS versions, e.g. `TLSv1.2`; `null` is the server's default (1.3 and 1.2). */
  tls: 'TLSv1.2' | 'TLSv1.3' | null;
  /** Static catalogs: file metadata inside the catalog, content by `static_file_content`. */
  static: boolean;
  /** After so long without a request the web server closes a connection; `null` is its default, 30 s. */
  idleMs?: number | null;
  /** `allow-header-cert-info: true`: agents are whom X-Client-* fields name, over TLS too; plain HTTP on this port besides. */
  httpPort?: number | null;
}

function conf(dir: string, name: string, text: string): void {
  put(join(dir, 'conf.d', name), text);
}

function webserver(config: PrimaryConfig): string {
  return `webserver: {
  access-log-config: ${config.dir}/request-logging.xml
  client-auth: want
  ${typeof config.httpPort === 'number' ? `host: 127.0.0.1, port: ${config.httpPort}` : ''}
  ssl-host: 127.0.0.1
  ssl-port: ${config.port}
  ${config.tls === null ? '' : `ssl-protocols: [${config.tls}]`}
  ${typeof config.idleMs === 'number' ? `idle-timeout-milliseconds: ${config.idleMs}` : ''}
}
`;
}

function jruby(config: PrimaryConfig): string {
  const { dir } = config;
  const versioned = `versioned-code: { code-id-command: ${dir}/bin/code-id, code-content-command: ${dir}/bin/code-content }\n`;
  return `jruby-puppet: {
  ruby-load-path: [/usr/lib/puppetserver/ruby/vendor_ruby]
  gem-home: ${dir}/gems
  gem-path: [${dir}/gems, "/usr/lib/puppetserver/vendored-jruby-gems"]
  server-conf-dir: ${dir}/puppet
  server-code-dir: ${dir}/code
  server-var-dir: ${dir}/var
  server-run-dir: ${dir}/run
  server-log-dir: ${dir}/log
  max-active-instances: 1
}
http-client: {}
profiler: {}
${config.static ? versioned : ''}`;
}

/**
 * One line an answer, fields separated by tabs: end, ms taken, TLS session, request line, status, user agent. Every TLS connection
 * has a session of its own unless it resumes one.
 */
const SESSION = '%reqAttribute{javax.servlet.request.ssl_session_id}';
const ACCESS_PATTERN = `answer\\t%t{yyyy-MM-dd'T'HH:mm:ss.SSSXXX, UTC}\\t%D\\t${SESSION}\\t%r\\t%s\\t%i{User-Agent}%n`;
/** What the server's authorization says of each request, before it is handled: time, words with the certname. */
const VERDICT_PATTERN = "verdict\\t%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX, UTC}\\t%m%n";
/** Writes a verdict of every request at TRACE. The access log alone does not know who asked: `%u` stays empty. */
const VERDICTS = 'puppetlabs.trapperkeeper.authorization.rules';

function appender(name: string, file: string, pattern: string): string {
  return `<appender name="${name}" class="ch.qos.logback.core.FileAppender">
    <file>${file}</file>
    <encoder><pattern>${pattern}</pattern></encoder>
  </appender>`;
}

/** As the package logs requests; below `log/` of a lab's folder. */
export const PACKAGED_ACCESS_LOG = 'puppetserver-access.log';

/**
 * The server's own log, and its access log with the verdicts in between: both write whole lines to the end of one file. A second access
 * log is what the package's own configuration writes.
 */
function writeLogging(dir: string): void {
  const access = join(dir, 'log', 'access.log');
  const main = appender('main', join(dir, 'log', 'puppetserver.log'), '%d %-5p [%c{2}] %m%n');
  const verdicts = appender('verdicts', access, VERDICT_PATTERN);
  const logger = `<logger name="${VERDICTS}" level="TRACE" additivity="false"><appender-ref ref="verdicts"/></logger>`;
  const root = '<root level="info"><appender-ref ref="main"/></root>';
  put(join(dir, 'logback.xml'), `<configuration>${main}${verdicts}${logger}${root}</configuration>\n`);
  const answers = appender('answers', access, ACCESS_PATTERN);
  const packaged = readFileSync(join(PUPPETSERVER_ETC, 'request-logging.xml'), 'utf8');
  const pattern = /<pattern>(.*)<\/pattern>/.exec(packaged)?.[1];
  if (pattern === undefined) throw new Error("the package's request-logging.xml has no pattern");
  const own = appender('packaged', join(dir, 'log', PACKAGED_ACCESS_LOG), pattern);
  const refs = '<appender-ref ref="answers"/><appender-ref ref="packaged"/>';
  put(join(dir, 'request-logging.xml'), `<configuration debug="false">${answers}${own}${refs}</configuration>\n`);
}

function puppetConf(config: PrimaryConfig): string {
  const { dir } = config;
  const group = execFileSync('id', ['-gn'], { encoding: 'utf8' }).trim();
  const autosign = config.autosign === 'file' ? `${dir}/puppet/autosign.conf` : String(config.autosign);
  // [main], so that the `puppetserver ca` program and the server agree on every path. 2048-bit keys keep the set-up short.
  return `[main]
certname = ${PRIMARY_CERTNAME}
server = localhost
serverport = ${config.port}
dns_alt_names = ${PRIMARY_SANS}
keylength = 2048
confdir = ${dir}/puppet
vardir = ${dir}/var
codedir = ${dir}/code
ssldir = ${dir}/puppet/ssl
cadir = ${dir}/ca
logdir = ${dir}/log
rundir = ${dir}/run
user = ${userInfo().username}
group = ${group}
environmentpath = ${dir}/code/environments
basemodulepath = ${dir}/code/modules
reportdir = ${dir}/var/reports

[server]
autosign = ${autosign}
reports = store
storeconfigs = false
environment_timeout = 0
static_catalogs = ${config.static}
bucketdir = ${dir}/var/bucket
node_terminus = exec
external_nodes = ${dir}/bin/enc
`;
}

/** Lays down configuration and code below `config.dir`; nothing is started. */
export function writePrimary(config: PrimaryConfig): void {
  const { dir } = config;
  for (const folder of ['var', 'run', 'log', 'gems', 'home', 'services.d']) mkdirSync(join(dir, folder), { recursive: true });
  const services = join(PUPPETSERVER_ETC, 'services.d');
  for (const name of readdirSync(services).filter(file => file.endsWith('.cfg'))) {
    const text = readFileSync(join(services, name), 'utf8');
    // The analytics service calls home at start; a lab has no business there.
    put(join(dir, 'services.d', name), text.replace(/^.*analytics-service.*\n/gm, ''));
  }
  conf(dir, 'global.conf', `global: { logging-config: ${dir}/logback.xml }\n`);
  conf(
    dir,
    'metrics.conf',
    'metrics: { server-id: localhost, registries: { puppetserver: { reporters: { jmx: { enabled: false } } } } }\n',
  );
  conf(dir, 'webserver.conf', webserver(config));
  conf(dir, 'ca.conf', 'certificate-authority: { allow-subject-alt-names: true, allow-authorization-extensions: true }\n');
  conf(dir, 'puppetserver.conf', jruby(config));
  for (const name of ['web-routes.conf', 'auth.conf'])
    copyFileSync(join(PUPPETSERVER_ETC, 'conf.d', name), join(dir, 'conf.d', name));
  if (typeof config.httpPort === 'number') {
    const rules = readFileSync(join(dir, 'conf.d', 'auth.conf'), 'utf8');
    conf(dir, 'auth.conf', rules.replace(/^( *)version: 1$/m, '$1version: 1\n$1allow-header-cert-info: true'));
  }
  writeLogging(dir);
  put(join(dir, 'puppet', 'puppet.conf'), puppetConf(config));
  put(join(dir, 'puppet', 'fileserver.conf'), `[depot]\n    path ${dir}/code/depot\n`);
  put(join(dir, 'puppet', 'hiera.yaml'), '---\nversion: 5\nhierarchy: []\n');
  writeSite(dir);
}

/** What tests may change of a primary: its code, its programs, and for whom it signs. */
function writeSite(dir: string): void {
  put(join(dir, 'puppet', 'autosign.conf'), '*.lab\n');
  writeCode(join(dir, 'code'));
  writePrograms(join(dir, 'bin'), join(dir, 'code'));
}

/**
 * Takes back what tests changed of a primary that runs: code as it was, no certname but its own, nothing in bucket and reports. Of
 * each of these the server reads the files anew at every request. What it revoked stays revoked: serials are of no certname.
 */
export function restorePrimary(dir: string): void {
  for (const kept of ['code', 'ca/signed', 'ca/requests', 'var/bucket', 'var/reports']) {
    const folder = join(dir, kept);
    mkdirSync(folder, { recursive: true });
    for (const name of readdirSync(folder)) {
      if (name !== `${PRIMARY_CERTNAME}.pem`) rmSync(join(folder, name), { recursive: true });
    }
  }
  writeSite(dir);
}
