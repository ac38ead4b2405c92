// CPU per request, latency and memory of the proxy beside HAProxy and nginx: one thread each, alternating rounds in
// one run: HTTP/1.1 (wrk; upstream nginx with a 100-byte body) plain and over two hops of mutual TLS, HTTP/2 and gRPC
// (h2load, 8 connections x 16 streams; upstream nghttpd). WEIR_TRANSPORT=portable measures that transport instead.
import { Authority, createRoot } from '../../src/mesh/identity/authority.ts';
import { createRequest } from '../../src/mesh/identity/client/csr.ts';
import { http2Rows } from './proxy/http2.ts';
import { load, measure, memory, type Path } from './proxy/measure.ts';
import { find, freePort, haproxyHops, ID, route, Setup } from './proxy/setup.ts';
import type { Bench, Row } from './row.ts';

const CONNECTIONS = [1, 32];
const BAR = 1.6;

export async function run({ log }: { log: (line: string) => void }): Promise<Row[]> {
  const names = ['wrk', 'nginx', 'haproxy', 'h2load', 'nghttpd'] as const;
  const tools = Object.fromEntries(names.map((name) => [name, find(name)])) as Record<
    (typeof names)[number],
    string | undefined
  >;
  const absent = Object.entries(tools).filter(([, path]) => path === undefined);
  const rows: Row[] = absent.map(([name]) => ({ name, value: 'absent', unit: '' }));
  rows.push({ name: 'WEIR_TRANSPORT', value: process.env.WEIR_TRANSPORT ?? 'not set', unit: '' });
  const { wrk, nginx, haproxy, h2load, nghttpd } = tools;
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
    const files = {
      certificate: setup.file('cert.pem', certificate),
      key: setup.file('key.pem', key),
      trust: setup.file('ca.pem', authority.bundle),
    };
    const identity = { files, both: setup.file('both.pem', certificate + key) };
    const [first, second] = [await freePort(), await freePort()];
    secure.push({
      name: 'weir',
      port: first,
      processes: [
        await setup.weir(second, {
          identity: files,
          inbound: [{ listen: `127.0.0.1:${second}`, forward: upstream }],
        }),
        await setup.weir(first, {
          identity: files,
          outbound: [{ listen: `127.0.0.1:${first}`, destination: 'web' }],
          destinations: route(`127.0.0.1:${second}`, ID),
        }),
      ],
    });
    if (haproxy) {
      secure.push(await haproxyHops(setup, haproxy, identity, { upstream, bind: '', alpn: '' }));
      const shared = await haproxyHops(setup, haproxy, identity, { upstream, bind: '', alpn: ' alpn h2' });
      secure.push({ ...shared, name: 'haproxy with h2 between' });
    }

    for (const [kind, paths] of [
      ['plain', plain],
      ['two-hop mTLS', secure],
    ] as const) {
      for (const connections of CONNECTIONS) {
        const name = `${kind}, ${connections} connection${connections > 1 ? 's' : ''}`;
        rows.push(...measure(name, paths, (path) => load(wrk, path, connections), BAR, log));
      }
    }
    if (h2load && nghttpd)
      rows.push(...(await http2Rows(setup, { h2load, nghttpd, haproxy }, identity, log)));
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

export const bench: Bench = { summary: 'CPU per request, latency and memory of the proxy', run };
