import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Material } from './material.ts';
import { installed, type Running, start, startQuiet } from './process.ts';

/** Something between agents and a primary that is measured. */
export interface Target {
  name: string;
  /** Reached by CONNECT to the primary. */
  tunnel?: boolean;
  start(primaryPort: number, round: number): Promise<Running & { ca: string; capture?: string }>;
}

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const cli = here('../../dist/src/bin.js');

/** All that can run on this machine; `dir` takes their files. */
export function targets(material: Material, dir: string): Target[] {
  const script = (name: string, file: string, more: Partial<Target> = {}, ca = material.ca): Target => ({
    name,
    ...more,
    start: async primaryPort => ({
      ...(await start(process.execPath, [here(file), JSON.stringify(material), String(primaryPort), dir], /^(\d+)$/, dir)),
      ca,
    }),
  });
  const list: Target[] = [
    { name: 'direct', start: async port => ({ child: spawn('true'), port, ca: material.ca }) },
    script('bare https forwarder', 'targets/bare.ts'),
    stringtap('commit', material, dir),
    stringtap('async', material, dir),
    script('http-mitm-proxy', 'targets/engine.ts', { tunnel: true }, join(dir, 'engine', 'certs', 'ca.pem')),
    script('mockttp passthrough', 'targets/mockttp.ts', { tunnel: true }, join(dir, 'mockttp-ca.pem')),
  ];
  if (installed('mitmdump')) list.push(mitmdump(material, dir));
  if (installed('nginx')) list.push(nginx(material, dir));
  return list;
}

export function stringtap(durability: 'commit' | 'async', material: Material, dir: string, more: readonly string[] = []): Target {
  return {
    name: `stringtap ${durability}`,
    async start(primaryPort, round) {
      const certs = join(dir, `certs-${durability}`);
      const identity = ['--cert', material.agentCert, '--key', material.agentKey];
      execFileSync(process.execPath, [cli, 'identity', 'import', '--certs', certs, ...identity], { stdio: 'ignore' });
      const capture = join(dir, `${durability}-${round}-${Date.now()}.db`);
      const options = ['--listen', '127.0.0.1:0', '--certs', certs, '--capture', capture, '--durability', durability, '--quiet'];
      const args = [cli, 'proxy', '--primary', `localhost:${primaryPort}`, ...options, ...more];
      const running = await start(process.execPath, args, /^listening on .*:(\d+)$/, dir);
      return { ...running, ca: join(certs, 'bundle', 'ca.pem'), capture };
    },
  };
}

function mitmdump(material: Material, dir: string): Target {
  return {
    name: 'mitmdump -w',
    async start(primaryPort, round) {
      const conf = join(dir, 'mitm');
      mkdirSync(conf, { recursive: true });
      const pair = join(dir, 'agent-pair.pem');
      writeFileSync(pair, readFileSync(material.agentKey, 'utf8') + readFileSync(material.agentCert, 'utf8'), { mode: 0o600 });
      const port = await freePort();
      const capture = join(dir, `mitm-${round}.flows`);
      const sets = [`confdir=${conf}`, `client_certs=${pair}`, 'ssl_insecure=true', 'http2=false'].flatMap(set => ['--set', set]);
      const mode = ['-q', '--mode', `reverse:https://localhost:${primaryPort}`, '--listen-host', '127.0.0.1', '-p', String(port)];
      const child = startQuiet('mitmdump', [...mode, '-w', capture, ...sets], dir);
      await sleep(5000);
      return { child, port, ca: join(conf, 'mitmproxy-ca-cert.pem'), capture };
    },
  };
}

/** One worker, TLS on both sides, connections to the primary kept: the speed of a proxy in C that records nothing. */
function nginx(material: Material, dir: string): Target {
  return {
    name: 'nginx, no capture',
    async start(primaryPort) {
      const port = await freePort();
      const conf = join(dir, 'nginx.conf');
      writeFileSync(
        conf,
        `daemon off; pid ${dir}/nginx.pid; error_log /dev/null; worker_processes 1; user root;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path ${dir}/nb; proxy_temp_path ${dir}/np; fastcgi_temp_path ${dir}/nf; uwsgi_temp_path ${dir}/nu;
  scgi_temp_path ${dir}/ns;
  keepalive_requests 1000000000;
  upstream primary { server localhost:${primaryPort}; keepalive 32; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} ssl; ssl_certificate ${material.serverCert}; ssl_certificate_key ${material.serverKey};
    ssl_client_certificate ${material.ca}; ssl_verify_client optional;
    location / {
      proxy_pass https://primary; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_ssl_certificate ${material.agentCert};
      proxy_ssl_certificate_key ${material.agentKey};
    }
  }
}
`,
      );
      const child = startQuiet(installed('nginx') ? '/usr/sbin/nginx' : 'nginx', ['-c', conf, '-p', dir, '-e', '/dev/null'], dir);
      await sleep(1000);
      return { child, port, ca: material.ca };
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise(resolve => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
