import { once } from 'node:events';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Destination } from '../discovery/model.ts';
import { answer, Client, cleanUp, destination, GET, outbound, upstream } from './fixtures.ts';
import { ask, connect, echo, http1, server } from './http2-fixtures.ts';
import { forgotten } from './let-go-fixtures.ts';
import type { DataPlane } from './proxy.ts';

afterEach(cleanUp);

const CLIENTS = 20;

/** Nothing is kept of clients that are gone. */
async function letGo(plane: DataPlane, serve: (seen: () => void) => Promise<void>): Promise<void> {
  const refs: WeakRef<object>[] = [];
  const sessions = () => plane.stacks.flatMap(({ sessions }) => [...sessions]);
  for (let n = 0; n < CLIENTS; n += 1) {
    // A function of its own: nothing of the test's may hold it.
    await serve(() => {
      for (const each of sessions()) refs.push(new WeakRef(each));
    });
  }
  expect(refs.length).toBeGreaterThanOrEqual(CLIENTS);
  await forgotten(refs);
  expect(plane.runtime.inFlight).toBe(0);
}

test('a connection of HTTP/2 whose streams were answered', async () => {
  const { address } = await server(echo);
  const plane = await outbound(destination([address]));
  await letGo(plane, async (seen) => {
    const session = connect(plane);
    await Promise.all([1, 2, 3].map(() => ask(session, { ':method': 'POST' }, 'hello')));
    seen();
    session.destroy();
    await once(session, 'close');
  });
});

test('one that goes away in the middle of its streams', async () => {
  const { address } = await server((stream) => stream.respond());
  const plane = await outbound(destination([address]));
  await letGo(plane, async (seen) => {
    const session = connect(plane);
    const streams = [1, 2, 3].map(() => session.request({ ':method': 'POST', ':path': '/' }));
    await Promise.all(
      streams.map((stream) => {
        stream.on('error', () => {});
        stream.write('begun');
        return once(stream, 'response');
      }),
    );
    seen();
    session.destroy();
    await once(session, 'close');
  });
});

test('one whose server speaks HTTP/1.1 alone', async () => {
  const address = await upstream((socket) => socket.write(answer('ok')));
  const plane = await outbound(http1(address));
  await letGo(plane, async (seen) => {
    const session = connect(plane);
    await Promise.all([1, 2, 3].map(() => ask(session)));
    seen();
    session.destroy();
    await once(session, 'close');
  });
});

test('a connection of HTTP/1.1, and one that is given up', async () => {
  const address = await upstream((socket, text) => {
    if (!text.includes('/never')) socket.write(answer('ok'));
  });
  const plane = await outbound(http1(address, { policy: { timeout: 600_000, attemptTimeout: 300_000 } }));
  await letGo(plane, async (seen) => {
    const client = new Client(plane);
    client.socket.write(GET);
    await client.until((text) => text.endsWith('ok'));
    client.socket.write(GET.replace('GET /', 'GET /never'));
    while (plane.runtime.inFlight === 0) await new Promise(setImmediate);
    seen();
    client.socket.resetAndDestroy();
    await client.gone;
  });
});

test('one whose request waits for a delay that the policy puts in', async () => {
  const plane = await outbound(
    destination([], { policy: { fault: { delay: { percent: 100, for: 600_000 } } } }),
  );
  await letGo(plane, async (seen) => {
    const client = new Client(plane);
    client.socket.write(GET);
    while (plane.runtime.inFlight === 0) await new Promise(setImmediate);
    seen();
    client.socket.resetAndDestroy();
    while (plane.runtime.inFlight > 0) await new Promise(setImmediate);
  });
});

describe('of what is no longer routed to nothing is kept, however long its client stays', () => {
  /** The endpoint goes, and with it the table that it stood in. */
  async function leaves(plane: DataPlane, to: Destination): Promise<void> {
    const route = () => {
      const { table } = plane.stacks[0]!;
      const endpoints = table.backends.flatMap((backend) => backend.endpoints);
      plane.route(to.key, to);
      return [table, ...endpoints].map((each) => new WeakRef<object>(each));
    };
    await forgotten(route());
  }

  test('HTTP/1.1', async () => {
    const [before, after] = [
      await upstream((socket) => socket.write(answer('before'))),
      await upstream((socket) => socket.write(answer('after'))),
    ];
    const plane = await outbound(http1(before));
    const client = new Client(plane);
    client.socket.write(GET);
    await client.until((text) => text.endsWith('before'));
    await leaves(plane, http1(after));
    client.socket.write(GET);
    await client.until((text) => text.endsWith('after'));
  });

  test('HTTP/2, whatever its servers speak', async () => {
    const address = await upstream((socket) => socket.write(answer('ok')));
    for (const [before, after] of [
      [destination([(await server(echo)).address]), destination([(await server(echo)).address])],
      [http1(address), http1(await upstream((socket) => socket.write(answer('ok'))))],
    ] as const) {
      const plane = await outbound(before);
      const session = connect(plane);
      await Promise.all([1, 2, 3].map(() => ask(session, { ':method': 'POST' }, 'hello')));
      await leaves(plane, after);
      expect((await ask(session)).status).toBe(200);
    }
  });

  test('a request that was answered by the proxy itself', async () => {
    const plane = await outbound(destination(['127.0.0.1:1'], { protocol: 'http1' }));
    const client = new Client(plane);
    client.socket.write(GET);
    await client.until((text) => text.includes('HTTP/1.1 50'));
    await leaves(plane, destination([]));
  });

  test('TCP: a tunnel keeps the endpoint that it leads to, and none of the others', async () => {
    const address = await upstream((socket, text) => socket.write(text));
    const to = destination([address], { protocol: 'tcp' });
    const plane = await outbound(to);
    const client = new Client(plane);
    client.socket.write('hello');
    await client.until((text) => text === 'hello');
    const before = () => new WeakRef<object>(plane.stacks[0]!.table);
    const ref = before();
    plane.route(to.key, destination([], { protocol: 'tcp' }));
    await forgotten([ref]);
    client.socket.write(' again');
    await client.until((text) => text === 'hello again');
  });
});

test('a connection to a server of HTTP/2 that is gone, though requests of HTTP/1.1 went over it', async () => {
  const { address, sessions } = await server(echo);
  const plane = await outbound(destination([address], { protocol: 'http2' }));
  const [endpoint] = plane.stacks[0]!.table.backends[0]!.endpoints;
  const clients = Array.from({ length: 5 }, () => new Client(plane));
  const used = async () => {
    for (const { socket } of clients) socket.write(GET);
    for (const client of clients) await client.until((text) => text.includes('HTTP/1.1 200'));
    return new WeakRef<object>(endpoint!.http2.live()!);
  };
  const ref = await used();
  for (const session of sessions) session.destroy();
  while (endpoint!.http2.live()) await new Promise(setImmediate);
  await forgotten([ref]);
});
