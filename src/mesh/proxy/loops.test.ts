import { afterEach, expect, test } from '@jest/globals';
import { silentLogger } from '../../lib/log.ts';
import {
  answer,
  Client,
  cleanUp,
  cleanups,
  count,
  destination,
  GET,
  transport,
  upstream,
} from './fixtures.ts';
import { DataPlane } from './proxy.ts';

afterEach(cleanUp);

const counted = (plane: DataPlane) => plane.runtime.metrics.causes.get('loop') ?? 0;

/** Two outbound listeners, `a` and `b`, and an inbound one; what they lead to is routed later. */
async function three(app: string) {
  const [a, b] = [destination([], { key: 'a' }), destination([], { key: 'b' })];
  const plane = new DataPlane({
    transport: transport(),
    log: silentLogger,
    config: {
      inbound: [{ listen: '127.0.0.1:0', forward: app, tls: 'off' }],
      outbound: [a, b].map(({ key }) => ({ listen: '127.0.0.1:0', destination: key })),
      destinations: { a, b },
      limits: { detectTimeout: 100 },
    },
  });
  await plane.start();
  cleanups.push(() => plane.destroy());
  const [inbound, first, second] = plane.ports as [number, number, number];
  const route = (key: string, port: number, host = '127.0.0.1') =>
    plane.route(key, destination([`${host}:${port}`], { key }));
  return { plane, inbound, first, second, route };
}

test('a request that would come back to the proxy is answered 508, and the client goes on', async () => {
  const { plane, inbound, first, second, route } = await three(
    await upstream((socket) => socket.write(answer('app'))),
  );
  const client = new Client(first);
  // To itself, by another name, and through a second listener that leads back.
  for (const [n, host] of ['127.0.0.1', 'localhost'].entries()) {
    route('a', first, host);
    client.socket.write(GET);
    await client.until(
      (text) => count(text, 'HTTP/1.1 508 Loop Detected') === n + 1 && text.endsWith('itself\n'),
    );
  }
  expect(client.text).toContain('weir-proxy-error: loop');
  route('a', second);
  route('b', first);
  client.socket.write(GET);
  await client.until((text) => count(text, ' 508 ') === 3 && text.endsWith('itself\n'));
  expect(counted(plane)).toBe(3);
  // A pod may call itself: its inbound port leads to the application.
  route('a', inbound);
  client.socket.write(GET);
  await client.until((text) => text.endsWith('app'));
  expect([counted(plane), plane.runtime.inFlight]).toEqual([3, 0]);
});

test('bytes that would come back are closed', async () => {
  const { plane, first, route } = await three('127.0.0.1:1');
  route('a', first);
  const client = new Client(first);
  client.socket.write('\x01\x02');
  await client.closed();
  while (plane.runtime.connections > 0) await new Promise(setImmediate);
  expect(counted(plane)).toBeGreaterThan(0);
});
