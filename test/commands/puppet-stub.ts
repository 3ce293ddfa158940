import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { runDemoAgent } from '../peers/agent.ts';
import { openConversation } from '../peers/conversation.ts';
import { enrol } from '../peers/enrol.ts';
import { newAgentState } from '../peers/options.ts';

/**
 * A `puppet` program for tests without Puppet: settings are those of the file `STUB_CONF` and of the command line, `config print`
 * tells them, `agent` is the demo agent with real TLS. What else it does is asked by `STUB_DO`.
 */

const [subcommand, ...args] = process.argv.slice(2);
const conf = JSON.parse(readFileSync(process.env.STUB_CONF!, 'utf8')) as Record<string, string>;
const given: Record<string, string> = {};
for (let i = 0; i < args.length; i++) {
  const [, name, value] = /^--([a-z_]+)(?:=(.*))?$/.exec(args[i]!) ?? [];
  if (name === undefined || (!(name in conf) && name !== 'http_proxy_port')) continue;
  given[name] = value ?? args[++i] ?? '';
}
const settings = { ...conf, ...given };

function read(file: string): string | null {
  return existsSync(file) ? readFileSync(file, 'utf8') : null;
}

if (process.env.STUB_LOG) writeFileSync(process.env.STUB_LOG, `${JSON.stringify(process.argv.slice(2))}\n`, { flag: 'a' });

if (subcommand === 'config') {
  process.stderr.write('Warning: something is deprecated\n');
  const names = args.filter(arg => arg in conf);
  process.stdout.write(names.map(name => `${name} = ${settings[name]}\n`).join(''));
} else if (process.env.STUB_DO === 'wait') {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      process.stdout.write(`got ${signal}\n`);
      process.exit(43);
    });
  }
  setInterval(() => undefined, 1000);
  // Last: whoever reads it may send a signal at once.
  process.stdout.write(`${JSON.stringify({ settings, pid: process.pid })}\n`);
} else if (process.env.STUB_DO?.startsWith('exit ')) {
  process.exit(Number(process.env.STUB_DO.slice(5)));
} else if (process.env.STUB_DO === 'die') {
  process.kill(process.pid, 'SIGKILL');
} else {
  const state = newAgentState();
  state.caPem = read(settings.localcacert!);
  state.crlPem = read(settings.hostcrl!);
  state.certPem = read(settings.hostcert!);
  const keyPem = read(settings.hostprivkey!);
  if (keyPem !== null) {
    const { createPrivateKey, createPublicKey } = await import('node:crypto');
    state.key = { pem: keyPem, privateKey: createPrivateKey(keyPem), publicKey: createPublicKey(keyPem) };
  }
  const placeOf = (host: string, port: string) => {
    const isDirect = settings.http_proxy_host === 'none' || settings.no_proxy?.includes(host);
    const via = isDirect ? null : { host: settings.http_proxy_host!, port: Number(settings.http_proxy_port) };
    return { host, port: Number(port), serverName: host, via };
  };
  // The first of server_list that answers, as Puppet::HTTP::Resolver::ServerList finds it.
  let place = placeOf(settings.server!, settings.serverport!);
  for (const entry of settings.server_list!.split(',').filter(text => text !== '')) {
    const [host = '', port = settings.serverport!] = entry.trim().split(':');
    place = placeOf(host, port);
    const conversation = openConversation(place);
    try {
      await conversation.line('main', { caPem: state.caPem, crlPem: state.crlPem, pair: null })(
        'GET',
        '/status/v1/simple/server',
        '*/*',
      );
      break;
    } catch (error) {
      process.stderr.write(`Unable to connect to server from server_list setting: ${String(error)}\n`);
    } finally {
      conversation.closeAll();
    }
  }
  const options = { certname: settings.certname!, place, state, keyType: 'ec' as const };
  if (state.certPem === null) {
    const conversation = openConversation(place);
    await enrol(options, conversation);
    conversation.closeAll();
    // Saved before it is used, as Puppet does it.
    writeFileSync(settings.hostprivkey!, state.key!.pem, { mode: 0o640 });
    writeFileSync(settings.hostcert!, state.certPem!);
  }
  const ran = await runDemoAgent(options);
  if (ran.error !== null) process.stderr.write(`Error: ${ran.error}\n`);
  process.exitCode = ran.exitCode;
}
