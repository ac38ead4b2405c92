// CPU per request, latency and memory of the proxy beside HAProxy and nginx: one thread each, alternating rounds in
// one run, upstream nginx with a 100-byte body, plain and over two hops of mutual TLS.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { Authority, createRoot } from '../../src/mesh/identity/authority.ts';
import { createRequest } from '../../src/mesh/identity/client/csr.ts';
import { type Bench, median, type Row } from './row.ts';

const ROUNDS = Number(process.env.WEIR_BENCH_ROUNDS ?? 5);
const SECONDS = 2;
const CONNECTIONS = [1, 32];
const BAR = 1.6;
/** The build where there is one, as users run it. */
const MAIN = existsSync('dist/main.js') ? 'dist/main.js' : 'src/main.ts';
const ID = 'spiffe://weir.local/ns/bench/sa/proxy';

/** Installed program, or undefined; Debian keeps servers out of a user's PATH. */
function find(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/bin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function reachable(port: number): Promise<void> {
  const end = Date.now() + 10_000;
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

/** A way through: the processes whose CPU counts and the port to send to. */
interface Path {
  name: string;
  port: number;
  processes: ChildProcess[];
}

interface Sample {
  micros: number;
  p50: number;
  p99: number;
}

function ticks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

const UNITS: Record<string, number> = { us: 0.001, ms: 1, s: 1000 };

function load(wrk: string, path: Path, connections: number): Sample {
  const before = path.processes.reduce((sum, { pid }) => sum + ticks(pid!), 0);
  const url = `http://127.0.0.1:${path.port}/`;
  const { stdout } = spawnSync(wrk, ['-t1', `-c${connections}`, `-d${SECONDS}s`, '--latency', url], {
    encoding: 'utf8',
  });
  const after = path.processes.reduce((sum, { pid }) => sum + ticks(pid!), 0);
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0);
  if (requests === 0 || /Non-2xx|Socket errors/.test(stdout))
    throw new Error(`${path.name}: wrk said\n${stdout}`);
  const latency = (quantile: string) => {
    const match = new RegExp(`${quantile}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout);
    return Number(match?.[1]) * UNITS[match?.[2] ?? 'ms']!;
  };
  return { micros: ((after - before) * 10_000) / requests, p50: latency('50'), p99: latency('99') };
}

function memory(pid: number): { rss: number; anon: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const read = (field: string) =>
    Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 102.4) / 10;
  return { rss: read('VmRSS'), anon: read('RssAnon') };
}

class Setup {
  readonly dir = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  readonly #children: ChildProcess[] = [];

  file(name: string, text: string): string {
    const path = join(this.dir, name);
    writeFileSync(path, text);
    return path;
  }

  start(program: string, args: string[]): ChildProcess {
    const child = spawn(program, args, { stdio: 'ignore' });
    this.#children.push(child);
    return child;
  }

  async nginx(binary: string, port: number, location: string, extra = ''): Promise<ChildProcess> {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const config = `daemon off; master_process off; worker_processes 1; pid ${this.dir}/${port}.pid; error_log /dev/null;
events { worker_connections 2048; }
http { access_log off; keepalive_requests 1000000000; ${temporary.map((each) => `${each}_temp_path ${this.dir}/${each};`).join(' ')}
${extra} server { listen 127.0.0.1:${port}; location / { ${location} } } }`;
    const child = this.start(binary, ['-c', this.file(`nginx-${port}.conf`, config)]);
    await reachable(port);
    return child;
  }

  async haproxy(binary: string, bind: string, server: string, port: number): Promise<ChildProcess> {
    const config = `global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
  http-reuse always
frontend f
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

  stop(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const route = (address: string, identity?: string) => ({
  web: {
    backends: [{ name: 'web', revision: 'v1', endpoints: [{ address, ...(identity ? { identity } : {}) }] }],
  },
});

export async function run({ log }: { log: (line: string) => void }): Promise<Row[]> {
  const tools = { wrk: find('wrk'), nginx: find('nginx'), haproxy: find('haproxy') };
  const absent = Object.entries(tools).filter(([, path]) => path === undefined);
  const rows: Row[] = absent.map(([name]) => ({ name, value: 'absent', unit: '' }));
  const { wrk, nginx, haproxy } = tools;
  if (!wrk || !nginx) return rows;
  const setup = new Setup();
  try {
    const origin = await freePort();
    await setup.nginx(nginx, origin, `return 200 "${'x'.repeat(100)}";`);
    const upstream = `127.0.0.1:${origin}`;
    const plain: Path[] = [];
    const secure: Path[] = [];

    const port = await freePort();
    const outbound = [{ listen: `127.0.0.1:${port}`, destination: 'web' }];
    const weir = await setup.weir(port, { outbound, destinations: route(upstream) });
    const idle = memory(weir.pid!);
    plain.push({ name: 'weir', port, processes: [weir] });
    if (haproxy) {
      const own = await freePort();
      plain.push({
        name: 'haproxy',
        port: own,
        processes: [await setup.haproxy(haproxy, '', upstream, own)],
      });
    }
    const proxied = await freePort();
    const pass = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://u;';
    const pool = `upstream u { server ${upstream}; keepalive 64; keepalive_requests 1000000000; }`;
    plain.push({ name: 'nginx', port: proxied, processes: [await setup.nginx(nginx, proxied, pass, pool)] });

    const authority = await Authority.load(await createRoot('weir.local'), { trustDomain: 'weir.local' });
    const { key, csr } = createRequest();
    const { certificate } = await authority.signRequest(csr, { spiffe: ID, dns: 'proxy.bench.weir.local' });
    const identity = {
      certificate: setup.file('cert.pem', certificate),
      key: setup.file('key.pem', key),
      trust: setup.file('ca.pem', authority.bundle),
    };
    const both = setup.file('both.pem', certificate + key);
    const [first, second] = [await freePort(), await freePort()];
    secure.push({
      name: 'weir',
      port: first,
      processes: [
        await setup.weir(second, {
          identity,
          inbound: [{ listen: `127.0.0.1:${second}`, forward: upstream }],
        }),
        await setup.weir(first, {
          identity,
          outbound: [{ listen: `127.0.0.1:${first}`, destination: 'web' }],
          destinations: route(`127.0.0.1:${second}`, ID),
        }),
      ],
    });
    if (haproxy) {
      const [front, back] = [await freePort(), await freePort()];
      const verify = `verify required ca-file ${identity.trust}`;
      secure.push({
        name: 'haproxy',
        port: front,
        processes: [
          await setup.haproxy(haproxy, ` ssl crt ${both} ${verify}`, upstream, back),
          await setup.haproxy(haproxy, '', `127.0.0.1:${back} ssl ${verify} crt ${both}`, front),
        ],
      });
    }

    for (const [kind, paths] of [
      ['plain', plain],
      ['two-hop mTLS', secure],
    ] as const) {
      for (const connections of CONNECTIONS) rows.push(...measure(kind, paths, connections, wrk, log));
    }
    rows.push(
      { name: 'RSS idle', value: idle.rss, unit: 'MB' },
      { name: 'RssAnon idle', value: idle.anon, unit: 'MB' },
    );
    const busy = memory(weir.pid!);
    rows.push({ name: 'RSS after load', value: busy.rss, unit: 'MB' });
    rows.push({ name: 'RssAnon after load', value: busy.anon, unit: 'MB' });
    return rows;
  } finally {
    setup.stop();
  }
}

const round = (value: number, digits = 1) => Number(value.toFixed(digits));

function measure(
  kind: string,
  paths: Path[],
  connections: number,
  wrk: string,
  log: (line: string) => void,
): Row[] {
  const samples = new Map(paths.map(({ name }) => [name, [] as Sample[]]));
  for (let n = 1; n <= ROUNDS; n += 1) {
    for (const path of paths) {
      const sample = load(wrk, path, connections);
      samples.get(path.name)!.push(sample);
      log(
        `${kind} ${connections} ${path.name} round ${n}: ${round(sample.micros)} us/request, p99 ${round(sample.p99, 2)} ms`,
      );
    }
  }
  const middle = (name: string, pick: (sample: Sample) => number) => median(samples.get(name)!.map(pick));
  const name = `${kind}, ${connections} connection${connections > 1 ? 's' : ''}`;
  const rows: Row[] = [];
  for (const peer of ['haproxy', 'nginx'].filter((each) => samples.has(each))) {
    const ratio = median(samples.get('weir')!.map(({ micros }, n) => micros / samples.get(peer)![n]!.micros));
    rows.push({
      name: `${name}: CPU per request / ${peer}`,
      value: round(middle('weir', ({ micros }) => micros)),
      unit: 'us',
      peer: round(middle(peer, ({ micros }) => micros)),
      ratio: round(ratio, 2),
      ...(peer === 'haproxy' ? { bar: `<= ${BAR}`, ok: ratio <= BAR } : {}),
    });
    for (const quantile of ['p50', 'p99'] as const) {
      rows.push({
        name: `${name}: ${quantile} / ${peer}`,
        value: round(
          middle('weir', (sample) => sample[quantile]),
          3,
        ),
        unit: 'ms',
        peer: round(
          middle(peer, (sample) => sample[quantile]),
          3,
        ),
      });
    }
  }
  return rows;
}

export const bench: Bench = { summary: 'CPU per request, latency and memory of the proxy', run };
