import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, expect, test } from '@jest/globals';
import { answer, Client, cleanUp, destination, GET, outbound, upstream } from './fixtures.ts';
import { ask, connect, echo, http1, server } from './http2-fixtures.ts';
import type { DataPlane } from './proxy.ts';

afterEach(cleanUp);

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const CLIENTS = 20;

/** Nothing is kept of clients that are gone, though what was armed for them would have come up minutes later. */
async function letGo(plane: DataPlane, serve: (seen: () => void) => Promise<void>): Promise<void> {
  const refs: WeakRef<object>[] = [];
  const sessions = () => plane.stacks.flatMap(({ sessions }) => [...sessions]);
  for (let n = 0; n < CLIENTS; n += 1) {
    // A function of its own: nothing of the test's may hold it.
    await serve(() => {
      for (const each of sessions()) refs.push(new WeakRef(each));
    });
  }
  const left = () => {
    collect();
    return refs.filter((each) => each.deref() !== undefined).length;
  };
  expect(refs.length).toBeGreaterThanOrEqual(CLIENTS);
  const deadline = Date.now() + 10_000;
  while (left() > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(left()).toBe(0);
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
