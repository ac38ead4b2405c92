/** HTTP/2 and gRPC beside HAProxy. */

import { freePort } from '../../support/ports.ts';
import type { Row } from '../row.ts';
import { loadHttp2, measure, type Path } from './measure.ts';
import { haproxyHops, ID, type Identity, route, type Setup } from './setup.ts';

const BAR_HTTP2 = 1;

/** HTTP/2 end to end, with a plain and with a gRPC-shaped request (unary: a message each way, a status in the trailers). */
export async function http2Rows(
  setup: Setup,
  tools: { h2load: string; nghttpd: string; haproxy: string | undefined },
  identity: Identity,
  log: (line: string) => void,
): Promise<Row[]> {
  const [origin, service] = [await freePort(), await freePort()];
  await setup.nghttpd(tools.nghttpd, origin);
  await setup.nghttpd(tools.nghttpd, service, 'grpc-status: 0');
  const { plain, secure } = await http2Paths(setup, tools.haproxy, `127.0.0.1:${origin}`, identity);
  const unary = await http2Paths(setup, tools.haproxy, `127.0.0.1:${service}`, identity);
  const message = setup.file('message', `\0\0\0\0\x0a${'m'.repeat(10)}`);
  const grpc = ['-d', message, '-H', 'content-type: application/grpc', '-H', 'te: trailers'];
  const name = '8 connections x 16 streams';
  const run = (kind: string, paths: Path[], args: string[]) =>
    measure(`${kind}, ${name}`, paths, (path) => loadHttp2(tools.h2load, args, path), {
      bars: { haproxy: BAR_HTTP2 },
      log,
    });
  return [
    ...(await run('HTTP/2', plain, [])),
    ...(await run('gRPC unary', unary.plain, grpc)),
    ...(await run('two-hop mTLS HTTP/2', secure, [])),
    ...(await run('two-hop mTLS gRPC unary', unary.secure, grpc)),
  ];
}

async function http2Paths(
  setup: Setup,
  haproxy: string | undefined,
  upstream: string,
  identity: Identity,
): Promise<{ plain: Path[]; secure: Path[] }> {
  const [single, front, back] = [await freePort(), await freePort(), await freePort()];
  const outbound = (port: number) => [{ listen: `127.0.0.1:${port}`, destination: 'web' }];
  const plain: Path[] = [
    {
      name: 'weir',
      port: single,
      processes: [await setup.weir(single, { outbound: outbound(single), destinations: route(upstream) })],
    },
  ];
  const inner = await setup.weir(back, {
    identity: identity.files,
    inbound: [{ listen: `127.0.0.1:${back}`, forward: upstream }],
  });
  const outer = await setup.weir(front, {
    identity: identity.files,
    outbound: outbound(front),
    destinations: route(`127.0.0.1:${back}`, ID),
  });
  const secure: Path[] = [{ name: 'weir', port: front, processes: [inner, outer] }];
  if (!haproxy) return { plain, secure };
  const own = await freePort();
  plain.push({
    name: 'haproxy',
    port: own,
    processes: [await setup.haproxy(haproxy, ' proto h2', `${upstream} proto h2`, own)],
  });
  secure.push(
    await haproxyHops(setup, haproxy, identity, {
      upstream: `${upstream} proto h2`,
      bind: ' proto h2',
      alpn: ' alpn h2',
    }),
  );
  return { plain, secure };
}
