/** The programs of the bench: proxies, servers and how they stand to each other. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { freePort } from '../../support/ports.ts';
import type { Path } from './measure.ts';

/** The build where there is one, as users run it. */
const MAIN = existsSync('dist/main.js') ? 'dist/main.js' : 'src/main.ts';
export const ID = 'spiffe://weir.local/ns/bench/sa/proxy';

/** Installed program, or undefined; Debian keeps servers out of a user's PATH. */
export function find(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/bin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

async function reachable(port: number): Promise<void> {
  // A machine that is busy with other things takes its time.
  const end = Date.now() + 60_000;
  for (;;) {
    const ok = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (ok) return;
    if (Date.now() > end) throw new Error(`nothing listens on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export class Setup {
  readonly dir = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  readonly #children: ChildProcess[] = [];

  file(name: string, text: string): string {
    const path = join(this.dir, name);
    writeFileSync(path, text);
    return path;
  }

  start(program: string, args: string[], env = process.env): ChildProcess {
    // Ends with this process, however that ends.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], { stdio: 'ignore', env });
    this.#children.push(child);
    return child;
  }

  async nginx(
    binary: string,
    port: number,
    location: string,
    extra = '',
    listen = '',
  ): Promise<ChildProcess> {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const config = `daemon off; master_process off; worker_processes 1; pid ${this.dir}/${port}.pid; error_log /dev/null;
worker_rlimit_nofile 20000; events { worker_connections 19000; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; ${temporary.map((each) => `${each}_temp_path ${this.dir}/${each};`).join(' ')}
${extra} server { listen 127.0.0.1:${port}${listen}; location / { ${location} } } }`;
    const child = this.start(binary, ['-c', this.file(`nginx-${port}.conf`, config)]);
    await reachable(port);
    return child;
  }

  /** An HTTP/2 server that answers with 100 bytes, and with a trailer if one is given. */
  async nghttpd(binary: string, port: number, trailer?: string): Promise<ChildProcess> {
    this.file('index.html', 'x'.repeat(100));
    const extra = trailer ? [`--trailer=${trailer}`] : [];
    const child = this.start(binary, ['--no-tls', '-n1', '-d', this.dir, ...extra, String(port)]);
    await reachable(port);
    return child;
  }

  /** nginx as a TCP proxy; undefined where it is not built for that. */
  async nginxStream(binary: string, port: number, upstream: string): Promise<ChildProcess | undefined> {
    const module = '/usr/lib/nginx/modules/ngx_stream_module.so';
    if (!existsSync(module)) return undefined;
    const config = `load_module ${module}; daemon off; master_process off; worker_processes 1;
pid ${this.dir}/${port}.pid; error_log /dev/null; events { worker_connections 2048; }
stream { server { listen 127.0.0.1:${port}; tcp_nodelay on; proxy_pass ${upstream}; } }`;
    const child = this.start(binary, ['-c', this.file(`nginx-${port}.conf`, config)]);
    await reachable(port);
    return child;
  }

  /** A program of this folder that serves on a port. */
  async server(name: string, port: number): Promise<ChildProcess> {
    const child = this.start(process.execPath, [
      join(import.meta.dirname, 'tools', `${name}.ts`),
      String(port),
    ]);
    await reachable(port);
    return child;
  }

  /** `options`: lines for the defaults section, mode http unless they say otherwise. */
  async haproxy(
    binary: string,
    bind: string,
    server: string,
    port: number,
    options: string[] = [],
    maxconn = 4000,
  ): Promise<ChildProcess> {
    const config = `global
  nbthread 1
  no strict-limits
  maxconn ${maxconn}
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
  timeout http-keep-alive 300s
${options.includes('mode tcp') ? '' : '  http-reuse always\n'}${options.map((line) => `  ${line}\n`).join('')}frontend f
  bind 127.0.0.1:${port}${bind}
  default_backend b
backend b
  server s ${server}
`;
    const child = this.start(binary, ['-f', this.file(`haproxy-${port}.cfg`, config)]);
    await reachable(port);
    return child;
  }

  async weir(port: number, config: object): Promise<ChildProcess> {
    const file = this.file(`weir-${port}.yaml`, stringify(config));
    const child = this.start(process.execPath, [MAIN, 'proxy', '--config', file]);
    await reachable(port);
    return child;
  }

  /** A proxy as the injector runs it; the control plane's trust bundle and a token are in the folder. */
  async sidecar(plane: number, port: number): Promise<ChildProcess> {
    const child = this.start(process.execPath, [MAIN, 'proxy'], {
      ...process.env,
      WEIR_MESH: `https://127.0.0.1:${plane}`,
      WEIR_TRUST: join(this.dir, 'trust.pem'),
      WEIR_TOKEN: join(this.dir, 'token'),
      WEIR_ADMIN: `127.0.0.1:${await freePort()}`,
      WEIR_OUTBOUND: JSON.stringify([{ listen: port, destination: 'web.shop:80' }]),
      WEIR_INBOUND: JSON.stringify([{ listen: await freePort(), forward: await freePort() }]),
      POD_IP: '127.0.0.1',
      POD_NAME: 'client-1',
      POD_NAMESPACE: 'shop',
      SERVICE_ACCOUNT: 'client',
    });
    await reachable(port);
    return child;
  }

  stop(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export const route = (address: string, identity?: string, protocol = 'detect') => ({
  web: {
    protocol,
    backends: [{ name: 'web', revision: 'v1', endpoints: [{ address, ...(identity ? { identity } : {}) }] }],
  },
});

export interface Identity {
  files: { certificate: string; key: string; trust: string };
  /** Certificate and key in one file, as HAProxy wants them. */
  both: string;
}

/** Two HAProxy with mutual TLS between them. */
export async function haproxyHops(
  setup: Setup,
  haproxy: string,
  { files, both }: Identity,
  { upstream, bind, alpn }: { upstream: string; bind: string; alpn: string },
): Promise<Path> {
  const [front, back] = [await freePort(), await freePort()];
  const verify = `verify required ca-file ${files.trust}${alpn}`;
  return {
    name: 'haproxy',
    port: front,
    processes: [
      await setup.haproxy(haproxy, ` ssl crt ${both} ${verify}`, upstream, back),
      await setup.haproxy(haproxy, bind, `127.0.0.1:${back} ssl ${verify} crt ${both}`, front),
    ],
  };
}
