/** Lanes where they meet the limits of the connection they share, and peers that use them in other ways than we do. */
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { hops, ID } from './hops-fixtures.ts';
import { Lane } from './proxy/bridge/lane.ts';
import { EndpointState } from './proxy/endpoint.ts';
import { answer, Client, cleanUp, cleanups, count, upstream } from './proxy/fixtures.ts';
import { Http2Upstream } from './proxy/http2/upstream.ts';
import type { Observers } from './proxy/observers.ts';
import type { DataPlane } from './proxy/proxy.ts';
import { until } from './proxy/until-fixtures.ts';

afterEach(cleanUp);

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`;

/** So many requests that nobody answers: what comes with them takes lanes. */
async function busy({ outbound, inbound }: Record<'outbound' | 'inbound', DataPlane>) {
  const clients = Array.from({ length: 8 }, () => new Client(outbound));
  for (const client of clients) client.socket.write(get('/held'));
  await until(() => inbound.runtime.inFlight === clients.length);
}

/** A connection for lanes, as a peer of another make would open one. */
function carrierTo({ outbound, inbound }: Awaited<ReturnType<typeof hops>>) {
  const { runtime } = outbound;
  const address = `127.0.0.1:${inbound.ports[0]}`;
  const { metrics } = runtime;
  const endpoint = new EndpointState(runtime, 'x', address, ID, metrics.http({}), metrics.tcp({}));
  const carrier = new Http2Upstream(runtime, endpoint, endpoint.http2);
  cleanups.push(() => carrier.connection.destroy());
  return carrier;
}

/** A lane as such a peer would open one; what it was told. */
async function lane(planes: Awaited<ReturnType<typeof hops>>, carrier = carrierTo(planes)) {
  const told = { text: '', open: carrier.ready, closed: false, ended: false };
  const near = new Lane(carrier, {
    open: () => {
      told.open = true;
    },
    data: (chunk) => {
      told.text += chunk.toString('latin1');
    },
    drain: () => {},
    end: () => {
      told.ended = true;
    },
    close: () => {
      told.closed = true;
    },
  });
  await until(() => told.open);
  return { near, told, carrier };
}

test('uploads that stand still use up the windows of their own lanes, not that of the connection', async () => {
  let stuck = 0;
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    cleanups.push(() => void socket.destroy());
    socket.on('data', (chunk) => {
      if (chunk.toString('latin1').startsWith('POST')) {
        stuck += 1;
        socket.pause();
      } else
        for (let n = count(chunk.toString('latin1'), 'GET '); n > 0; n -= 1) socket.write(answer('fine'));
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => void server.close());
  const { inbound, outbound } = await hops(`127.0.0.1:${(server.address() as net.AddressInfo).port}`);
  for (const { runtime } of [inbound, outbound]) runtime.limits.http2.connectionWindow = 131_072;
  const warm = new Client(outbound);
  warm.socket.write(get('/'));
  await warm.until((all) => all.endsWith('fine'));

  // More than the kernel holds for a server that does not read.
  const body = Buffer.alloc(32_000_000);
  const uploads = 12;
  for (let n = 0; n < uploads; n += 1) {
    const { socket } = new Client(outbound);
    socket.write(`POST / HTTP/1.1\r\nHost: web\r\nContent-Length: ${body.length}\r\n\r\n`);
    socket.write(body);
  }
  await until(() => stuck === uploads);
  const read = () =>
    /^tcp_read_bytes_total\{[^}]*peer="src"[^}]*\} (\d+)/m.exec(inbound.runtime.metrics.expose())?.[1];
  for (let before: string | undefined, same = 0; same < 3; before = read()) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    same = read() === before ? same + 1 : 0;
  }
  const others = Array.from({ length: 5 }, () => new Client(outbound));
  for (const { socket } of others) socket.write(get('/'));
  for (const other of others) await other.until((all) => all.endsWith('fine'));
}, 90_000);

test('a body that comes before its server is there takes nothing from the lane for good', async () => {
  const planes = await hops(
    await upstream((socket, text) => {
      for (let n = count(text, ' HTTP/1.1'); n > 0; n -= 1) socket.write(answer('fine'));
    }),
  );
  const { near, told } = await lane(planes);
  // Both frames in one read, when the connection to the server has only been begun.
  near.write(Buffer.from('POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\n12345'));
  near.write(Buffer.from('67890'));
  await until(() => count(told.text, 'fine') === 1);
  // Many times the window, in requests whose heads come whole.
  const request = Buffer.from(`GET / HTTP/1.1\r\nHost: web\r\nX: ${'x'.repeat(8_000)}\r\n\r\n`);
  for (let n = 2; n <= 200; n += 1) {
    near.write(request);
    await until(() => count(told.text, 'fine') === n);
  }
});

test('answers that end with their connection end their lanes in order, with no reset', async () => {
  const app = await upstream((socket, text) => {
    const [, path] = text.split(' ');
    if (path === '/warm') socket.write(answer('warm'));
    else if (path !== '/held') socket.end(`HTTP/1.1 200 OK\r\n\r\nall of ${path}`);
  });
  const { inbound, outbound } = await hops(app);
  // None is allowed on either side.
  for (const { runtime } of [inbound, outbound]) runtime.limits.http2.resets = [0, 0];
  const warm = new Client(outbound);
  warm.socket.write(get('/warm'));
  await warm.until((all) => all.endsWith('warm'));
  await busy({ outbound, inbound });
  const { connections } = inbound.runtime;
  for (let n = 0; n < 300; n += 1) {
    const client = new Client(outbound);
    client.socket.write(get(`/${n}`));
    expect(await client.closed()).toMatch(new RegExp(`^HTTP/1.1 200 OK[^]*all of /${n}$`));
    client.socket.destroy();
  }
  // Streams that were left open for want of resets would have taken another connection.
  expect(inbound.runtime.connections).toBeLessThanOrEqual(connections);
}, 60_000);

test('a tunnel in a lane is counted with the connection of the lane', async () => {
  let gone = false;
  const app = await upstream((socket, text) => {
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      gone = true;
    });
    if (text.startsWith('GET'))
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n');
    else socket.write(text);
  });
  const planes = await hops(app);
  const { runtime } = planes.inbound;
  const { near, told, carrier } = await lane(planes);
  near.write(Buffer.from('GET / HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n'));
  await until(() => told.text.includes('101'));
  near.write(Buffer.from('through'));
  await until(() => told.text.endsWith('through'));
  expect(runtime.connections).toBe(1);
  near.destroy();
  await until(() => told.closed && gone);
  const closed = () => /^tcp_close_total\{[^}]*peer="src"[^}]*\} (\d+)/m.exec(runtime.metrics.expose())?.[1];
  expect([runtime.connections, closed()]).toEqual([1, '0']);
  carrier.connection.destroy();
  await until(() => runtime.connections === 0);
  expect(closed()).toBe('1');
});

test('a request in a lane that waits for its connection is forgotten when its client goes', async () => {
  const planes = await hops(await upstream(() => {}));
  const { runtime } = planes.outbound;
  // Accepts, and never says a word of TLS.
  const silent = await upstream(() => {});
  const { metrics } = runtime;
  const endpoint = new EndpointState(runtime, 'x', silent, ID, metrics.http({}), metrics.tcp({}));
  const carrier = new Http2Upstream(runtime, endpoint, endpoint.http2);
  cleanups.push(() => carrier.connection.destroy());
  const near = new Lane(carrier, { data() {}, drain() {}, end() {}, close() {} });
  expect(carrier.waiting).toBe(1);
  near.breakOff();
  expect(carrier.waiting).toBe(0);
});

test('a lane whose peer does not end its half is reset, but not before what is on its way has come', async () => {
  const planes = await hops(await upstream((socket) => socket.write(answer('fine'))));
  const { near, told, carrier } = await lane(planes);
  planes.inbound.runtime.limits.keepAliveIdle = 50;
  near.write(Buffer.from(get('/')));
  // Answered, and then idle for too long: the far end says that it is over.
  await until(() => told.text.endsWith('fine') && told.ended);
  const ended = performance.now();
  expect([told.closed, carrier.http2.streamCount]).toEqual([false, 1]);
  await until(() => told.closed);
  expect(carrier.http2.streamCount).toBe(0);
  // Not at once: five seconds, by a clock that may be late.
  expect(performance.now() - ended).toBeGreaterThan(3_000);
  // The connection is as good as before.
  const { near: next, told: heard } = await lane(planes, carrier);
  next.write(Buffer.from(get('/')));
  await until(() => heard.text.endsWith('fine'));
});

test.each(['near', 'far'] as const)(
  'what goes wrong in one lane at its %s end is nothing to the others',
  async (end) => {
    const app = await upstream((socket, text) => {
      for (let n = count(text, 'GET '); n > 0; n -= 1) socket.write(answer('fine'));
    });
    const planes = await hops(app);
    const first = await lane(planes);
    const { carrier } = first;
    const second = await lane(planes, carrier);
    const wrong = () => {
      throw new Error('a fault of ours');
    };
    if (end === 'near') second.near.handler.data = wrong;
    // Whoever watches requests is asked about each as it begins.
    else planes.inbound.runtime.observers = { http1: wrong } as unknown as Observers;
    second.near.write(Buffer.from(get('/wrong')));
    await until(() => second.told.closed);
    planes.inbound.runtime.observers = undefined;
    for (let n = 1; n <= 3; n += 1) {
      first.near.write(Buffer.from(get('/right')));
      await until(() => count(first.told.text, 'fine') === n);
    }
    const { near, told } = await lane(planes, carrier);
    near.write(Buffer.from(get('/right')));
    await until(() => told.text.endsWith('fine'));
    expect([first.told.closed, carrier.http2.streamCount, planes.inbound.runtime.inFlight]).toEqual([
      false,
      2,
      0,
    ]);
  },
);
