import net from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { FakeClock, systemClock } from '../../lib/clock.ts';
import { startAdmin } from './admin.ts';
import { drain } from './drain.ts';
import { answer, Client, cleanUp, cleanups, destination, GET, outbound, upstream } from './fixtures.ts';

afterEach(cleanUp);

test('CONNECT becomes a tunnel, and bytes that came with the answer are kept', async () => {
  const early = 'e'.repeat(20_000);
  const address = await upstream((socket, text) => {
    socket.once('end', () => socket.end());
    if (text.startsWith('CONNECT')) socket.write(`HTTP/1.1 200 OK\r\n\r\n${early}`);
    else socket.write(text.toUpperCase());
  });
  const plane = await outbound(destination([address]));
  const client = new Client(plane);
  client.socket.write('CONNECT db.shop:5432 HTTP/1.1\r\nHost: db.shop:5432\r\n\r\n');
  expect(await client.until((text) => text.endsWith('e'.repeat(20_000)))).toBe(
    `HTTP/1.1 200 OK\r\n\r\n${early}`,
  );
  client.socket.write('hello');
  await client.until((text) => text.endsWith('HELLO'));
  client.socket.end();
  await client.closed();
  while (plane.runtime.connections > 0) await new Promise((resolve) => setImmediate(resolve));
  expect(plane.runtime.inFlight).toBe(0);
});

test('a refused CONNECT is an ordinary answer', async () => {
  const address = await upstream((socket) => socket.write('HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno'));
  const client = new Client(await outbound(destination([address])));
  client.socket.write(`CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n`);
  await client.until((text) => text.endsWith('no'));
  client.socket.write(GET);
  await client.until((text) => text.split('403 No').length === 3);
});

describe('admin', () => {
  async function admin() {
    const address = await upstream((socket) => socket.write(answer('x')));
    const plane = await outbound(destination([address]));
    let [ready, stopped] = [false, 0];
    const server = await startAdmin({
      listen: ':0',
      host: '127.0.0.1',
      proxy: plane,
      ready: () => ready,
      started: () => ready,
      shutdown: () => {
        stopped += 1;
      },
    });
    cleanups.push(() => server.close());
    const ask = async (path: string, method = 'GET') => {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
      return {
        status: response.status,
        type: response.headers.get('content-type'),
        text: await response.text(),
      };
    };
    return { plane, ask, setReady: () => (ready = true), stopped: () => stopped };
  }

  test('live, ready, metrics, config', async () => {
    const { plane, ask, setReady } = await admin();
    expect(await ask('/live')).toMatchObject({ status: 200, text: 'live\n' });
    expect(await ask('/ready')).toMatchObject({ status: 503 });
    setReady();
    expect(await ask('/ready?verbose')).toMatchObject({ status: 200 });
    const client = new Client(plane);
    client.socket.write(GET);
    await client.until((text) => text.endsWith('x'));
    const metrics = await ask('/metrics');
    expect(metrics.type).toContain('version=0.0.4');
    expect(metrics.text).toMatch(/^response_total\{direction="outbound".*status_code="200"\} 1$/m);
    const config = JSON.parse((await ask('/config')).text);
    expect(config).toMatchObject({ draining: false, inFlight: 0, connections: 1 });
    expect(Object.keys(config.destinations)).toEqual(['web.shop:80']);
  });

  test('started, and whether somebody accepts on a port', async () => {
    const { plane, ask, setReady } = await admin();
    expect((await ask('/started')).status).toBe(503);
    setReady();
    expect(await ask('/started')).toMatchObject({ status: 200, text: 'started\n' });
    expect(await ask(`/probe/tcp/${plane.ports[0]}`)).toMatchObject({ status: 200, text: 'accepts\n' });
    expect((await ask('/probe/tcp/1')).status).toBe(503);
    expect(await ask('/probe/tcp/70000')).toMatchObject({ status: 503, text: 'there is no port 70000\n' });
  });

  test('config shows no key and no password', async () => {
    const { plane, ask } = await admin();
    plane.reload({
      ...plane.config,
      tracing: { otlp: 'http://me:hidden@127.0.0.1:1/v1/traces?token=hidden', sample: 0 },
    });
    const { text } = await ask('/config');
    expect(text).not.toContain('hidden');
    expect(JSON.parse(text).tracing).toEqual({ otlp: 'http://127.0.0.1:1/v1/traces', sample: 0 });
  });

  test('shutdown wants a POST; other methods and paths are refused', async () => {
    const { ask, stopped } = await admin();
    expect((await ask('/shutdown')).status).toBe(405);
    expect(stopped()).toBe(0);
    expect((await ask('/shutdown', 'POST')).status).toBe(200);
    expect(stopped()).toBe(1);
    expect((await ask('/metrics', 'DELETE')).status).toBe(405);
    expect(await ask('/other')).toMatchObject({ status: 404, text: expect.stringContaining('/metrics') });
  });
});

test('the hard stop of a drain ends what will not end itself, tunnels too', async () => {
  const waiting: net.Socket[] = [];
  const address = await upstream((socket) => void waiting.push(socket));
  const plane = await outbound(destination([address]));
  const [request, tunnel] = [new Client(plane), new Client(plane)];
  request.socket.write(GET);
  tunnel.socket.write('\x00binary');
  while (waiting.length < 2) await new Promise((resolve) => setImmediate(resolve));
  const clock = new FakeClock();
  let over = false;
  const draining = drain(plane, { grace: 10_000, minimum: 100, quiet: 100, clock }).then(() => {
    over = true;
  });
  const refused = () =>
    new Promise<boolean>((resolve) => {
      const probe = net.connect(plane.ports[0]!, '127.0.0.1');
      probe.once('connect', () => {
        probe.destroy();
        resolve(false);
      });
      probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
    });
  // Time moves in small steps: sockets answer in their own time, and the drain looks at them between its sleeps.
  while (!(await refused())) await clock.advance(250);
  // Past the end of accepting: new connections are refused, those that are open go on.
  expect([over, request.ended, tunnel.ended]).toEqual([false, false, false]);
  while (!over) await clock.advance(250);
  await draining;
  expect(await request.closed()).toBe('');
  await tunnel.closed();
});

test('a drain with nothing to do is over before its grace', async () => {
  const plane = await outbound(destination([]));
  const began = systemClock.now();
  await drain(plane, { grace: 60_000, minimum: 0, quiet: 0, clock: systemClock });
  expect(systemClock.now() - began).toBeLessThan(30_000);
});
