/** Small HTTP/1.1 requests: plain, and over two hops of mutual TLS. */

import { freePort } from '../../support/ports.ts';
import type { Row } from '../row.ts';
import { load, measure, type Path } from './measure.ts';
import { haproxyHops, ID, type Identity, route, type Setup } from './setup.ts';

const BAR = 1;

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
