/** Long byte streams: opaque TCP, and HTTP/1.1 bodies of a MiB. The peers with splice, and without. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../support/ports.ts';
import type { Row } from '../row.ts';
import { load, measure, type Path } from './measure.ts';
import { route, type Setup } from './setup.ts';

const MIB = 1_048_576;
const BAR = 1;
/** Always: with `splice-auto` it splices next to nothing of this load. */
const SPLICE = ['option splice-request', 'option splice-response'];
const BARS = { haproxy: BAR, 'haproxy without splice': BAR };

interface Tools {
  wrk: string;
  nginx: string;
  haproxy: string | undefined;
}

/** Servers that answer with files, or that take in what they are sent; and a script that sends a MiB. */
async function servers(setup: Setup, nginx: string) {
  const root = join(setup.dir, 'files');
  mkdirSync(root);
  writeFileSync(join(root, 'index.html'), Buffer.alloc(MIB, 'x'));
  const small = join(setup.dir, 'small');
  mkdirSync(small);
  writeFileSync(join(small, 'index.html'), Buffer.alloc(65_536, 'x'));
  const [large, middle, tiny, sink] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  await setup.nginx(nginx, large, `root ${root}; sendfile on; sendfile_max_chunk 2m;`);
  await setup.nginx(nginx, middle, `root ${small}; sendfile on;`);
  await setup.nginx(nginx, tiny, `return 200 "${'x'.repeat(100)}";`);
  await setup.server('sink', sink);
  const script = setup.file('post.lua', `wrk.method = "POST"\nwrk.body = string.rep("x", ${MIB})\n`);
  return { large, middle, tiny, sink, script };
}

async function weir(setup: Setup, upstream: number, protocol: string): Promise<Path> {
  const port = await freePort();
  const outbound = [{ listen: `127.0.0.1:${port}`, destination: 'web' }];
  const destinations = route(`127.0.0.1:${upstream}`, undefined, protocol);
  return { name: 'weir', port, processes: [await setup.weir(port, { outbound, destinations })] };
}

async function haproxies(
  setup: Setup,
  binary: string | undefined,
  upstream: number,
  mode: string,
): Promise<Path[]> {
  if (!binary) return [];
  const [plain, splicing] = [await freePort(), await freePort()];
  const to = `127.0.0.1:${upstream}`;
  return [
    {
      name: 'haproxy',
      port: splicing,
      processes: [await setup.haproxy(binary, '', to, splicing, [mode, ...SPLICE])],
    },
    {
      name: 'haproxy without splice',
      port: plain,
      processes: [await setup.haproxy(binary, '', to, plain, [mode])],
    },
  ];
}

export async function tcpRows(setup: Setup, tools: Tools, log: (line: string) => void): Promise<Row[]> {
  const { wrk, nginx, haproxy } = tools;
  const to = await servers(setup, nginx);
  const paths = async (upstream: number): Promise<Path[]> => {
    const port = await freePort();
    const peer = await setup.nginxStream(nginx, port, `127.0.0.1:${upstream}`);
    return [
      await weir(setup, upstream, 'tcp'),
      ...(await haproxies(setup, haproxy, upstream, 'mode tcp')),
      ...(peer ? [{ name: 'nginx', port, processes: [peer] }] : []),
    ];
  };
  const mib = { name: 'MiB', requests: 1 };
  const run = (name: string, found: Path[], connections: number, per = mib, script?: string) =>
    measure(`opaque TCP, ${name}`, found, (path) => load(wrk, path, connections, script), {
      bars: BARS,
      per,
      log,
    });
  const [large, middle, tiny, sink] = [
    await paths(to.large),
    await paths(to.middle),
    await paths(to.tiny),
    await paths(to.sink),
  ];
  return [
    ...(nginx && large.at(-1)!.name !== 'nginx' ? [{ name: 'nginx stream', value: 'absent', unit: '' }] : []),
    ...(await run('1 MiB down, 1 connection', large, 1)),
    ...(await run('1 MiB down, 8 connections', large, 8)),
    ...(await run('64 KiB down, 8 connections', middle, 8, { ...mib, requests: 16 })),
    ...(await run('1 MiB up, 8 connections', sink, 8, mib, to.script)),
    ...(await run('100 bytes, 8 connections', tiny, 8, { name: 'round trip', requests: 1 })),
  ];
}

export async function bodyRows(setup: Setup, tools: Tools, log: (line: string) => void): Promise<Row[]> {
  const { wrk, nginx, haproxy } = tools;
  const to = await servers(setup, nginx);
  const paths = async (upstream: number): Promise<Path[]> => {
    const port = await freePort();
    const pass =
      'client_max_body_size 0; proxy_request_buffering off; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://u;';
    const pool = `upstream u { server 127.0.0.1:${upstream}; keepalive 64; keepalive_requests 1000000000; }`;
    return [
      await weir(setup, upstream, 'detect'),
      ...(await haproxies(setup, haproxy, upstream, 'mode http')),
      { name: 'nginx', port, processes: [await setup.nginx(nginx, port, pass, pool)] },
    ];
  };
  const run = (name: string, found: Path[], connections: number, script?: string) =>
    measure(`HTTP/1.1, ${name}`, found, (path) => load(wrk, path, connections, script), { bars: BARS, log });
  const [down, up] = [await paths(to.large), await paths(to.sink)];
  return [
    ...(await run('1 MiB response, 1 connection', down, 1)),
    ...(await run('1 MiB response, 8 connections', down, 8)),
    ...(await run('1 MiB request, 1 connection', up, 1, to.script)),
    ...(await run('1 MiB request, 8 connections', up, 8, to.script)),
  ];
}
