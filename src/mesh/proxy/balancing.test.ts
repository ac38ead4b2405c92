import { setTimeout as after } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Policy } from '../discovery/model.ts';
import {
  answer,
  Client,
  cleanUp,
  count,
  destination,
  GET,
  outbound,
  unanswering,
  upstream,
} from './fixtures.ts';

afterEach(cleanUp);

/** Milliseconds; an answer takes less, on a busy machine too. */
const PATIENCE = 600;

/** How many of `times` requests, one after the other and each on a connection of its own, had an answer of 200. */
async function good(plane: Awaited<ReturnType<typeof outbound>>, times: number): Promise<number> {
  let fine = 0;
  for (let n = 0; n < times; n += 1) {
    const client = new Client(plane);
    client.socket.write(GET);
    await client.until((text) => /\r\n\r\n/.test(text));
    if (client.text.includes(' 200 ')) fine += 1;
    client.socket.destroy();
  }
  return fine;
}

describe('an endpoint that takes requests and never answers', () => {
  const silent = () => {};

  test('is not the one that looks quickest', async () => {
    const plane = await outbound(
      destination([await upstream(silent), await upstream((socket) => socket.write(answer('ok')))], {
        policy: { timeout: PATIENCE },
      }),
    );
    // Two random ones of two: the better one of both is asked each time, once both are known.
    expect(await good(plane, 8)).toBeGreaterThanOrEqual(6);
  });

  test('makes an attempt at another one look no slower than it was', async () => {
    let asked = 0;
    const plane = await outbound(
      destination(
        [
          await upstream(() => {
            asked += 1;
          }),
          await upstream((socket) => socket.write(answer('ok'))),
        ],
        { policy: { attemptTimeout: PATIENCE, retries: { max: 1, on: ['5xx'] } } },
      ),
    );
    expect(await good(plane, 8)).toBe(8);
    expect(asked).toBeLessThanOrEqual(2);
  });

  test('… nor where its clients give up', async () => {
    let asked = 0;
    const plane = await outbound(
      destination([
        await upstream(() => {
          asked += 1;
        }),
        await upstream((socket) => socket.write(answer('ok'))),
      ]),
    );
    for (let n = 0; n < 8; n += 1) {
      const client = new Client(plane);
      client.socket.write(GET);
      await Promise.race([client.until((text) => count(text, 'ok') === 1), after(PATIENCE)]);
      client.socket.resetAndDestroy();
      await client.gone;
    }
    expect(asked).toBeLessThanOrEqual(2);
  });
});

describe('a destination that changes while a request is under way', () => {
  const busy = (backend: string, addresses: string[], weight = 1) => ({
    name: backend,
    weight,
    endpoints: addresses.map((address) => ({ address })),
  });

  test('one that a fault holds back goes where the weights then send it', async () => {
    let canary = 0;
    const [stable, other] = [
      await upstream((socket) => socket.write(answer('stable'))),
      await upstream((socket) => {
        canary += 1;
        socket.write(answer('canary'));
      }),
    ];
    const policy = { fault: { delay: { percent: 100, for: 100 } } };
    const at = (weight: number) =>
      destination([], {
        policy,
        backends: [busy('canary', [other], weight), busy('stable', [stable], 100 - weight)],
      });
    const plane = await outbound(at(100));
    const client = new Client(plane);
    client.socket.write(GET);
    while (plane.runtime.inFlight === 0) await new Promise(setImmediate);
    plane.route('web.shop:80', at(0));
    await client.until((text) => /stable|canary/.test(text));
    expect(canary).toBe(0);
  });

  test('one whose endpoint cannot be connected to goes to those that there are now', async () => {
    const now = await upstream((socket) => socket.write(answer('moved')));
    const plane = await outbound(destination([await unanswering()]), { connectTimeout: 300 });
    const client = new Client(plane);
    client.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n');
    while (plane.runtime.inFlight === 0) await new Promise(setImmediate);
    plane.route('web.shop:80', destination([now]));
    expect(await client.until((text) => /\r\n\r\n/.test(text))).toContain('moved');
  });

  test('one that is sent again does not go to an endpoint that is gone, nor to a backend without a weight', async () => {
    let asked = 0;
    const now = await upstream((socket) => socket.write(answer('moved')));
    const policy: Policy = { retries: { max: 1, on: ['5xx'] } };
    const change: { to: () => void } = { to: () => {} };
    const sick = await upstream((socket) => {
      asked += 1;
      change.to();
      socket.write('HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n');
    });
    const split = (weight: number) =>
      destination([], {
        policy,
        backends: [busy('canary', [sick], weight), busy('stable', [now], 100 - weight)],
      });
    for (const [before, next] of [
      [destination([sick], { policy }), destination([now], { policy })],
      [split(100), split(0)],
    ] as const) {
      const plane = await outbound(before);
      asked = 0;
      change.to = () => plane.route('web.shop:80', next);
      const client = new Client(plane);
      client.socket.write(GET);
      expect(await client.until((text) => /\r\n\r\n/.test(text))).toContain('moved');
      expect(asked).toBe(1);
    }
  });
});

describe('an endpoint that fails at once', () => {
  const REQUESTS = 120;
  const SLOWER = 8;
  const FAILS = {
    'with 503': 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n',
    'with a reset': undefined,
    'with what is no HTTP': 'nonsense\r\n\r\n',
  };

  test.each(Object.keys(FAILS) as (keyof typeof FAILS)[])(
    '%s: is not the one that looks quickest',
    async (how) => {
      let asked = 0;
      const works = () => upstream((socket) => setTimeout(() => socket.write(answer('ok')), SLOWER));
      const fails = await upstream((socket) => {
        asked += 1;
        const bytes = FAILS[how];
        if (bytes) socket.write(bytes);
        else socket.resetAndDestroy();
      });
      const plane = await outbound(destination([fails, await works(), await works()]));
      expect(await good(plane, REQUESTS)).toBe(REQUESTS - asked);
      expect(asked).toBeLessThanOrEqual(REQUESTS / 10);
    },
  );

  test('by refusing connections: no request fails', async () => {
    const refusing = await upstream(() => {});
    await cleanUp();
    const plane = await outbound(
      destination([refusing, await upstream((socket) => socket.write(answer('ok')))]),
    );
    expect(await good(plane, REQUESTS)).toBe(REQUESTS);
    const failures = /weir_connect_failures_total\{.*\} (\d+)/.exec(plane.runtime.metrics.expose());
    expect(Number(failures?.[1])).toBeLessThanOrEqual(REQUESTS / 10);
  });

  test('once among successes is as quick as it was', async () => {
    let asked = 0;
    const once = await upstream((socket) => {
      asked += 1;
      socket.write(asked === 5 ? 'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n' : answer('ok'));
    });
    const plane = await outbound(destination([once]));
    expect(await good(plane, 10)).toBe(9);
    const [endpoint] = plane.stacks[0]!.table.backends[0]!.endpoints;
    expect(endpoint!.latency.at(plane.runtime.now())).toBeLessThan(5000);
  });

  test('and works again is asked again soon', async () => {
    let works = false;
    let asked = 0;
    const recovers = await upstream((socket) => {
      asked += 1;
      socket.write(works ? answer('ok') : FAILS['with 503']);
    });
    const plane = await outbound(
      destination([
        recovers,
        await upstream((socket) => setTimeout(() => socket.write(answer('ok')), SLOWER)),
      ]),
    );
    while (asked < 3) await good(plane, 1);
    works = true;
    const [had, since] = [asked, Date.now()];
    while (asked === had && Date.now() - since < 30_000) await good(plane, 1);
    expect(asked).toBeGreaterThan(had);
  });
});

test('an upload that its client sends slowly makes its endpoint look no slower', async () => {
  const quick = await upstream((socket, text) => {
    if (text.includes('last')) socket.write(answer('ok'));
  });
  const plane = await outbound(destination([quick]));
  const [endpoint] = plane.stacks[0]!.table.backends[0]!.endpoints;
  for (const head of ['Content-Length: 9', 'Transfer-Encoding: chunked']) {
    const parts = head.startsWith('C') ? ['first', 'last'] : ['5\r\nfirst\r\n', '4\r\nlast\r\n0\r\n\r\n'];
    const client = new Client(plane);
    client.socket.write(`POST / HTTP/1.1\r\nHost: a\r\n${head}\r\n\r\n${parts[0]}`);
    await after(PATIENCE);
    client.socket.write(parts[1]!);
    await client.until((text) => text.includes('ok'));
    expect(endpoint!.latency.at(plane.runtime.now())).toBeLessThan(PATIENCE / 2);
  }
});

test('… nor where the request times out meanwhile', async () => {
  const plane = await outbound(destination([await upstream(() => {})], { policy: { timeout: PATIENCE } }));
  const [endpoint] = plane.stacks[0]!.table.backends[0]!.endpoints;
  const client = new Client(plane);
  client.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nfirst');
  expect(await client.until((text) => /\r\n\r\n/.test(text))).toContain(' 504 ');
  expect(endpoint!.latency.at(plane.runtime.now())).toBeLessThan(PATIENCE / 2);
});
