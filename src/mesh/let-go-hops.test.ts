/** What is over between two proxies is let go of at both: lanes, tunnels, connections to endpoints that have left, and who watched. */
import { once } from 'node:events';
import { afterEach, expect, test } from '@jest/globals';
import { hops } from './hops-fixtures.ts';
import { answer, Client, cleanUp, count, destination, upstream } from './proxy/fixtures.ts';
import { ask, connect, echo, server } from './proxy/http2-fixtures.ts';
import { forgotten } from './proxy/let-go-fixtures.ts';
import type { DataPlane } from './proxy/proxy.ts';
import { until } from './proxy/until-fixtures.ts';

afterEach(cleanUp);

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`;

/** Client connections of both, what they serve, and what goes to the endpoints. */
function held(...planes: DataPlane[]): WeakRef<object>[] {
  const all: object[] = [];
  for (const { table, connections, sessions } of planes.flatMap(({ stacks }) => stacks)) {
    all.push(...connections, ...sessions);
    for (const { idle, lanes, carried, http2 } of table.backends.flatMap((each) => each.endpoints))
      all.push(...idle, ...lanes, ...carried, ...[http2.live() ?? []].flat());
  }
  return all.map((each) => new WeakRef(each));
}

/** Serves until both proxies hold what is looked at; then whoever serves goes, and so do the endpoints. */
async function letGo(planes: Awaited<ReturnType<typeof hops>>, serve: () => Promise<() => void>) {
  const { outbound, inbound } = planes;
  const seen = async () => {
    const end = await serve();
    const refs = held(outbound, inbound);
    end();
    return refs;
  };
  const refs = await seen();
  expect(refs.length).toBeGreaterThan(4);
  const [to] = Object.values(outbound.config.destinations);
  outbound.route(to!.key, { ...to!, backends: [] });
  await until(() => outbound.runtime.connections + inbound.runtime.connections === 0);
  // What the second proxy has to the application waits there for other requests.
  for (const stack of inbound.stacks) stack.retire();
  await forgotten(refs);
  expect(outbound.runtime.inFlight + inbound.runtime.inFlight).toBe(0);
}

test('lanes, those that wait and those that are cut off', async () => {
  const app = await upstream((socket, text) => {
    for (let n = count(text, 'GET /fine'); n > 0; n -= 1) socket.write(answer('ok'));
  });
  const planes = await hops(app);
  await letGo(planes, async () => {
    const first = new Client(planes.outbound);
    first.socket.write(get('/never'));
    await until(() => planes.inbound.runtime.inFlight === 1);
    const clients = Array.from({ length: 30 }, () => new Client(planes.outbound));
    for (const [n, { socket }] of clients.entries()) socket.write(get(n % 3 === 0 ? '/never' : '/fine'));
    for (const [n, client] of clients.entries()) if (n % 3) await client.until((text) => text.endsWith('ok'));
    const [endpoint] = planes.outbound.stacks[0]!.table.backends[0]!.endpoints;
    await until(() => planes.inbound.runtime.inFlight === 11 && endpoint!.lanes.length > 0);
    return () => {
      for (const { socket } of [first, ...clients]) socket.resetAndDestroy();
    };
  });
});

test('bytes', async () => {
  const app = await upstream((socket, text) => socket.write(text));
  const planes = await hops(app, destination([], { protocol: 'tcp' }));
  await letGo(planes, async () => {
    const clients = Array.from({ length: 10 }, () => new Client(planes.outbound));
    for (const { socket } of clients) socket.write('hello\r\n');
    for (const client of clients) await client.until((text) => text === 'hello\r\n');
    return () => {
      for (const { socket } of clients) socket.resetAndDestroy();
    };
  });
});

test('tunnels that requests asked for', async () => {
  const app = await upstream((socket, text) => {
    if (text.startsWith('GET'))
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
    else socket.write(text);
  });
  const planes = await hops(app);
  await letGo(planes, async () => {
    const clients = Array.from({ length: 10 }, () => new Client(planes.outbound));
    for (const { socket } of clients)
      socket.write('GET / HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
    for (const client of clients) await client.until((text) => text.includes('101'));
    for (const { socket } of clients) socket.write('through');
    for (const client of clients) await client.until((text) => text.endsWith('through'));
    return () => {
      for (const { socket } of clients) socket.resetAndDestroy();
    };
  });
});

test('those of HTTP/2, and its requests', async () => {
  const { address } = await server(
    (stream, headers) => {
      if (headers[':method'] !== 'CONNECT') return echo(stream, headers);
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    },
    { settings: { enableConnectProtocol: true } },
  );
  const planes = await hops(address, destination([], { protocol: 'http2' }));
  await letGo(planes, async () => {
    const session = connect(planes.outbound);
    await once(session, 'remoteSettings');
    const streams = Array.from({ length: 10 }, () => {
      const stream = session.request(
        {
          ':method': 'CONNECT',
          ':protocol': 'websocket',
          ':scheme': 'http',
          ':authority': 'a',
          ':path': '/',
        },
        { endStream: false },
      );
      stream.on('error', () => {});
      stream.write('hello');
      return stream;
    });
    await Promise.all(streams.map((stream) => once(stream, 'data')));
    await ask(session, { ':method': 'POST' }, 'hello');
    return () => session.destroy();
  });
});

test('who watched requests', async () => {
  const { outbound, inbound } = await hops(await upstream((socket) => socket.write(answer('ok'))));
  const watched = async () => {
    const taps = [outbound, inbound].map((plane) => {
      const lines: string[] = [];
      return { lines, tap: plane.observers.tap({ maxRps: 100 }, (line) => lines.push(line) > 0)! };
    });
    const client = new Client(outbound);
    client.socket.write(get('/'));
    await client.until((text) => text.endsWith('ok'));
    await until(() => taps.every(({ lines }) => lines.length === 1));
    for (const { tap } of taps) tap.close();
    return taps.map(({ lines }) => new WeakRef(lines));
  };
  await forgotten(await watched());
  expect([outbound.runtime.observers, inbound.runtime.observers]).toEqual([undefined, undefined]);
});
