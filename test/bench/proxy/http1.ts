/** Small HTTP/1.1 requests: plain, and over two hops of mutual TLS; and the latency they take on. */

import { freePort } from '../../support/ports.ts';
import { median, type Row } from '../row.ts';
import { load, measure, type Path, ROUNDS, round, type Sample, tool } from './measure.ts';
import { haproxyHops, ID, type Identity, route, type Setup } from './setup.ts';

const BAR = 1;
const RATE = 1_000;
const LATENCY_SECONDS = 4;

export interface Tools {
  wrk: string;
  nginx: string;
  haproxy: string | undefined;
}

type Log = (line: string) => void;

/** A server that answers 100 bytes. */
export async function origin(setup: Setup, nginx: string): Promise<number> {
  const port = await freePort();
  await setup.nginx(nginx, port, `return 200 "${'x'.repeat(100)}";`);
  return port;
}

export async function weirTo(setup: Setup, upstream: number): Promise<Path> {
  const port = await freePort();
  const outbound = [{ listen: `127.0.0.1:${port}`, destination: 'web' }];
  const destinations = route(`127.0.0.1:${upstream}`);
  return { name: 'weir', port, processes: [await setup.weir(port, { outbound, destinations })] };
}

/** One proxy each; `maxconn`: connections that HAProxy must be able to hold. */
export async function plainPaths(
  setup: Setup,
  { nginx, haproxy }: Tools,
  upstream: number,
  maxconn?: number,
): Promise<Path[]> {
  const paths = [await weirTo(setup, upstream)];
  const address = `127.0.0.1:${upstream}`;
  if (haproxy) {
    const port = await freePort();
    paths.push({
      name: 'haproxy',
      port,
      processes: [await setup.haproxy(haproxy, '', address, port, [], maxconn)],
    });
  }
  const port = await freePort();
  const pass = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://u;';
  const pool = `upstream u { server ${address}; keepalive 1024; keepalive_requests 1000000000; }`;
  paths.push({ name: 'nginx', port, processes: [await setup.nginx(nginx, port, pass, pool)] });
  return paths;
}

async function securePaths(
  setup: Setup,
  { haproxy }: Tools,
  upstream: number,
  identity: Identity,
): Promise<Path[]> {
  const [first, second] = [await freePort(), await freePort()];
  const { files } = identity;
  const address = `127.0.0.1:${upstream}`;
  const inbound = [{ listen: `127.0.0.1:${second}`, forward: address }];
  const outbound = [{ listen: `127.0.0.1:${first}`, destination: 'web' }];
  const destinations = route(`127.0.0.1:${second}`, ID);
  const processes = [
    await setup.weir(second, { identity: files, inbound }),
    await setup.weir(first, { identity: files, outbound, destinations }),
  ];
  const paths: Path[] = [{ name: 'weir', port: first, processes }];
  if (!haproxy) return paths;
  paths.push(await haproxyHops(setup, haproxy, identity, { upstream: address, bind: '', alpn: '' }));
  const shared = await haproxyHops(setup, haproxy, identity, {
    upstream: address,
    bind: '',
    alpn: ' alpn h2',
  });
  return [...paths, { ...shared, name: 'haproxy with h2 between' }];
}

export async function http1Rows(setup: Setup, tools: Tools, identity: Identity, log: Log): Promise<Row[]> {
  const upstream = await origin(setup, tools.nginx);
  const plain = await plainPaths(setup, tools, upstream);
  const secure = await securePaths(setup, tools, upstream, identity);
  const run = (name: string, paths: Path[], connections: number, bars: Record<string, number>) =>
    measure(name, paths, (path) => load(tools.wrk, path, connections), { bars, log });
  return [
    ...(await run('plain, 1 connection', plain, 1, { haproxy: BAR })),
    ...(await run('plain, 32 connections', plain, 32, { haproxy: BAR })),
    ...(await run('two-hop mTLS, 1 connection', secure, 1, { haproxy: BAR })),
    // Whichever of its configurations is the better one.
    ...(await run('two-hop mTLS, 32 connections', secure, 32, {
      haproxy: BAR,
      'haproxy with h2 between': BAR,
    })),
  ];
}

/** What a proxy adds to the latency of a server that is asked a thousand times a second. */
export async function latencyRows(setup: Setup, tools: Tools, log: Log): Promise<Row[]> {
  const upstream = await origin(setup, tools.nginx);
  const paths = await plainPaths(setup, tools, upstream);
  const direct = { name: 'direct', port: upstream, processes: [] };
  type Quantiles = Required<Pick<Sample, 'p50' | 'p99'>>;
  const added = new Map(paths.map(({ name }) => [name, [] as Quantiles[]]));
  const ask = (path: Path) => tool<Quantiles>('open-loop', path.port, RATE, LATENCY_SECONDS);
  for (const path of paths) await ask(path);
  for (let n = 1; n <= ROUNDS; n += 1) {
    const base = await ask(direct);
    for (const path of paths) {
      const { p50, p99 } = await ask(path);
      added.get(path.name)!.push({ p50: p50 - base.p50, p99: p99 - base.p99 });
      log(
        `latency ${path.name} round ${n}: p50 ${round(p50, 3)} p99 ${round(p99, 3)} ms, direct ${round(base.p50, 3)} ${round(base.p99, 3)}`,
      );
    }
  }
  const rows: Row[] = [];
  for (const peer of paths.map(({ name }) => name).filter((each) => each !== 'weir')) {
    for (const quantile of ['p50', 'p99'] as const) {
      const of = (name: string) => median(added.get(name)!.map((each) => each[quantile]));
      const [own, other] = [of('weir'), of(peer)];
      rows.push({
        name: `added ${quantile} at ${RATE} requests a second, open loop / ${peer}`,
        value: round(own, 3),
        unit: 'ms',
        peer: round(other, 3),
        // On a machine that is busy what is added may be less than nothing, which is no ratio.
        ...(own > 0 && other > 0 ? { ratio: round(own / other, 2) } : {}),
        ...(peer === 'haproxy' ? { bar: `<= ${round(other, 3)}`, ok: own <= other } : {}),
      });
    }
  }
  return rows;
}
