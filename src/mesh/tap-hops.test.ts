/** Taps at both ends of mutual TLS, of requests on connections of their own, in lanes, over HTTP/2, and upgraded. */
import { afterEach, expect, test } from '@jest/globals';
import { hops, ID } from './hops-fixtures.ts';
import type { AccessRecord } from './proxy/access-log/line.ts';
import { answer, Client, cleanUp, cleanups, count, destination, upstream } from './proxy/fixtures.ts';
import { ask, connect, echo, grpc, server } from './proxy/http2-fixtures.ts';
import type { DataPlane } from './proxy/proxy.ts';
import { until } from './proxy/until-fixtures.ts';

afterEach(cleanUp);

/** What a tap shows. */
function tapped(plane: DataPlane) {
  const lines: AccessRecord[] = [];
  const tap = plane.observers.tap({ maxRps: 1_000 }, (line) => {
    lines.push(JSON.parse(line) as AccessRecord);
    return true;
  })!;
  cleanups.push(() => tap.close());
  return lines;
}

test('each request once at each end, with who called and that it was encrypted; in lanes too', async () => {
  const held: (() => void)[] = [];
  const app = await upstream((socket, text) => {
    for (let n = count(text, 'GET '); n > 0; n -= 1) held.push(() => socket.write(answer('ok')));
  });
  const { outbound, inbound } = await hops(app);
  const [near, far] = [tapped(outbound), tapped(inbound)];
  const warm = new Client(outbound);
  warm.socket.write('GET /warm HTTP/1.1\r\nHost: web\r\n\r\n');
  await until(() => held.length === 1);
  held.pop()!();
  await warm.until((text) => text.endsWith('ok'));
  // Twenty at once: those above six share a connection.
  const clients = Array.from({ length: 20 }, () => new Client(outbound));
  for (const [n, { socket }] of clients.entries())
    socket.write(`GET /${n}?secret HTTP/1.1\r\nHost: web\r\n\r\n`);
  await until(() => held.length === clients.length);
  expect(inbound.runtime.connections).toBeLessThan(clients.length);
  for (const release of held) release();
  for (const client of clients) await client.until((text) => text.endsWith('ok'));
  await until(() => near.length === 21 && far.length === 21);
  const paths = ['/warm', ...clients.map((_, n) => `/${n}`)].sort();
  for (const seen of [near, far]) {
    expect(seen.map(({ path }) => path).sort()).toEqual(paths);
    expect(seen.map(({ status, tls }) => `${status} ${tls}`)).toEqual(Array(21).fill('200 true'));
    expect(JSON.stringify(seen)).not.toContain('secret');
  }
  expect(new Set(near.map(({ direction, destination: to }) => `${direction} ${to}`))).toEqual(
    new Set(['outbound web.shop:80']),
  );
  expect(new Set(far.map(({ direction, clientId }) => `${direction} ${clientId}`))).toEqual(
    new Set([`inbound ${ID}`]),
  );
});

test('gRPC by its status, and an upgrade when it is agreed on', async () => {
  const { address } = await server((stream, headers) => {
    if (headers[':path'] !== '/s/m') return echo(stream, headers);
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '5' }));
    stream.end();
  });
  const calls = await hops(address, destination([], { protocol: 'http2' }));
  const [near, far] = [tapped(calls.outbound), tapped(calls.inbound)];
  await ask(connect(calls.outbound), grpc, 'question');
  await until(() => near.length === 1 && far.length === 1);
  for (const [seen] of [near, far])
    expect(seen).toMatchObject({ path: '/s/m', status: 200, grpcStatus: 5, protocol: 'HTTP/2', tls: true });

  const app = await upstream((socket) =>
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n'),
  );
  const upgrades = await hops(app);
  const both = [tapped(upgrades.outbound), tapped(upgrades.inbound)];
  const client = new Client(upgrades.outbound);
  client.socket.write('GET /chat HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n');
  await client.until((text) => text.includes('101 '));
  await until(() => both.every((seen) => seen.length === 1));
  for (const [seen] of both) expect(seen).toMatchObject({ path: '/chat', status: 101, tls: true });
});
