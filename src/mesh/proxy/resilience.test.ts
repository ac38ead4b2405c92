import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Policy } from '../discovery/model.ts';
import { answer, Client, cleanUp, count, destination, GET, outbound, upstream } from './fixtures.ts';
import type { DataPlane } from './proxy.ts';

afterEach(cleanUp);

const ERROR = 'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n';
const breaker: NonNullable<Policy['breaker']> = {
  consecutive: 2,
  successRate: 0,
  minRequests: 10,
  window: 10_000,
  eject: 60_000,
};

/** A server whose answer may change, and how often it was asked. */
async function server(first: string) {
  const state = { answer: first, asked: 0, address: '' };
  state.address = await upstream((socket, text) => {
    for (let index = count(text, 'GET '); index > 0; index -= 1) {
      state.asked += 1;
      socket.write(state.answer);
    }
  });
  return state;
}

/** The statuses of so many requests, one after the other. */
async function statuses(plane: DataPlane, times: number): Promise<string[]> {
  const client = new Client(plane);
  for (let index = 1; index <= times; index += 1) {
    client.socket.write(GET);
    await client.until((text) => count(text, 'HTTP/1.1 ') === index && text.includes('\r\n\r\n'));
  }
  const { text } = client;
  client.socket.destroy();
  return [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status!);
}

describe('breaker', () => {
  test('an endpoint that fails is left out, the other one gets everything', async () => {
    const good = await server(answer('ok'));
    const bad = await server(ERROR);
    const plane = await outbound(destination([good.address, bad.address], { policy: { breaker } }));
    // Which of the two is asked is up to the balancer, and that prefers the one that answers sooner.
    while (bad.asked < 2) await statuses(plane, 1);
    expect(new Set(await statuses(plane, 60))).toEqual(new Set(['200']));
    expect(bad.asked).toBe(2);
  });

  test('when it is open everywhere the request fails at once, with the reason', async () => {
    const bad = await server(ERROR);
    const plane = await outbound(destination([bad.address], { policy: { breaker } }));
    expect(await statuses(plane, 4)).toEqual(['500', '500', '503', '503']);
    expect(bad.asked).toBe(2);
    const client = new Client(plane);
    client.socket.write(GET);
    expect(await client.until((text) => text.includes('is open'))).toContain('weir-proxy-error: breaker');
  });

  test('after its time one request is tried: it closes when that succeeds', async () => {
    const sick = await server(ERROR);
    const plane = await outbound(
      destination([sick.address], { policy: { breaker: { ...breaker, eject: 40 } } }),
    );
    expect(await statuses(plane, 3)).toEqual(['500', '500', '503']);
    sick.answer = answer('well');
    const deadline = Date.now() + 5000;
    while ((await statuses(plane, 1))[0] !== '200') expect(Date.now()).toBeLessThan(deadline);
    // One try was enough, and what follows goes through.
    expect(sick.asked).toBe(3);
    expect(await statuses(plane, 3)).toEqual(['200', '200', '200']);
  });

  test('a reset counts, and state survives a new configuration with the same policy', async () => {
    const address = await upstream((socket) => socket.destroy());
    const to = destination([address], { policy: { breaker } });
    const plane = await outbound(to);
    for (let index = 0; index < 2; index += 1) {
      const client = new Client(plane);
      client.socket.write(GET);
      await client.until((text) => text.includes('502'));
    }
    const config = { inbound: [], outbound: [], limits: {} };
    plane.reload({ ...config, destinations: { [to.key]: structuredClone(to) } });
    expect(await statuses(plane, 1)).toEqual(['503']);
    plane.reload({ ...config, destinations: { [to.key]: { ...to, policy: {} } } });
    expect(await statuses(plane, 1)).toEqual(['502']);
  });
});

test('a reset counts where the request is sent again, too', async () => {
  const good = await server(answer('ok'));
  let asked = 0;
  const bad = await upstream((socket) => {
    asked += 1;
    socket.resetAndDestroy();
  });
  const plane = await outbound(
    destination([good.address, bad], { policy: { breaker, retries: { max: 2, on: ['connect'] } } }),
  );
  const { endpoints } = plane.stacks[0]!.table.backends[0]!;
  const deadline = Date.now() + 10_000;
  while (!endpoints.some((each) => each.breaker?.open)) {
    expect(await statuses(plane, 1)).toEqual(['200']);
    expect(Date.now()).toBeLessThan(deadline);
  }
  expect(asked).toBe(2);
});

test('an endpoint whose breaker is open and that then refuses connections takes nothing from the other', async () => {
  const good = await server(answer('ok'));
  const sockets = new Set<net.Socket>();
  const dying = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('data', () => socket.write(ERROR));
  });
  await once(dying.listen(0, '127.0.0.1'), 'listening');
  const address = `127.0.0.1:${(dying.address() as net.AddressInfo).port}`;
  const plane = await outbound(
    destination([good.address, address], { policy: { breaker: { ...breaker, eject: 40 } } }),
  );
  while (sockets.size === 0 || !(await statuses(plane, 1)).includes('500')) await statuses(plane, 1);
  const gone = once(dying.close(), 'close');
  for (const socket of sockets) socket.destroy();
  await gone;
  // Probes of it are refused meanwhile: those requests go to the other one.
  const end = Date.now() + 500;
  const got: string[] = [];
  while (Date.now() < end) got.push(...(await statuses(plane, 1)));
  expect(got.filter((status) => status === '503')).toEqual([]);
});

test('requests that wait for one connection count its refusal once', async () => {
  const closed = net.createServer();
  await once(closed.listen(0, '127.0.0.1'), 'listening');
  const { port } = closed.address() as net.AddressInfo;
  await once(closed.close(), 'close');
  const plane = await outbound(destination([`127.0.0.1:${port}`]));
  const clients = Array.from({ length: 12 }, () => new Client(plane));
  for (const client of clients) client.socket.write(GET);
  for (const client of clients) await client.until((text) => text.includes('502'));
  const [endpoint] = plane.stacks[0]!.table.backends[0]!.endpoints;
  // 0.2 s at first, and not doubled by each of them, which would be ten seconds; on a busy machine some come later.
  expect(endpoint!.evictedUntil - plane.runtime.now()).toBeLessThan(2_000);
});

test('an upgrade that succeeds counts for the breaker', async () => {
  const state = { tunnel: false };
  const address = await upstream((socket) =>
    socket.write(
      state.tunnel ? 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n' : ERROR,
    ),
  );
  const plane = await outbound(destination([address], { policy: { breaker: { ...breaker, eject: 40 } } }));
  expect(await statuses(plane, 3)).toEqual(['500', '500', '503']);
  state.tunnel = true;
  const upgrade = async () => {
    const client = new Client(plane);
    client.socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
    const text = await client.until((each) => each.includes('\r\n\r\n'));
    client.socket.destroy();
    return text.slice(9, 12);
  };
  const deadline = Date.now() + 5000;
  while ((await upgrade()) !== '101') expect(Date.now()).toBeLessThan(deadline);
  for (let index = 0; index < 5; index += 1) expect(await upgrade()).toBe('101');
});

test('rate limit: what is too much is answered 429, and nothing of it is sent', async () => {
  const good = await server(answer('ok'));
  const plane = await outbound(
    destination([good.address], { policy: { rateLimit: { perSecond: 0.001, burst: 3 } } }),
  );
  expect(await statuses(plane, 5)).toEqual(['200', '200', '200', '429', '429']);
  expect(good.asked).toBe(3);
  expect(plane.runtime.metrics.expose()).toContain('weir_proxy_errors_total{cause="rate-limited"} 2');
});

test('in flight: no more than so many at once to one destination, and room again afterwards', async () => {
  const held: (() => void)[] = [];
  const address = await upstream((socket) => held.push(() => socket.write(answer('late'))));
  const plane = await outbound(destination([address], { policy: { maxInFlight: 2 } }));
  const clients = [new Client(plane), new Client(plane)];
  for (const client of clients) client.socket.write(GET);
  while (held.length < 2) await new Promise((resolve) => setImmediate(resolve));
  expect(await statuses(plane, 1)).toEqual(['503']);
  for (const release of held.splice(0)) release();
  for (const client of clients) await client.until((text) => text.endsWith('late'));
  clients[0]!.socket.write(GET);
  while (held.length < 1) await new Promise((resolve) => setImmediate(resolve));
  held[0]!();
  await clients[0]!.until((text) => count(text, 'late') === 2);
});

describe('a policy that changes', () => {
  test('rules the next request of a connection; the one under way ends as it began', async () => {
    const held: (() => void)[] = [];
    const address = await upstream((socket) => held.push(() => socket.write(answer('late'))));
    const to = destination([address], { policy: { timeout: 30_000 } });
    const plane = await outbound(to);
    const client = new Client(plane);
    client.socket.write(GET);
    while (held.length < 1) await new Promise((resolve) => setImmediate(resolve));
    plane.route(to.key, { ...to, policy: { timeout: 1, fault: { abort: { percent: 100, status: 418 } } } });
    expect(await statuses(plane, 2)).toEqual(['418', '418']);
    held[0]!();
    await client.until((text) => text.endsWith('late'));
    client.socket.write(GET);
    await client.until((text) => text.includes('HTTP/1.1 418'));
    plane.route(to.key, { ...to, policy: {} });
    client.socket.write(GET);
    while (held.length < 2) await new Promise((resolve) => setImmediate(resolve));
    held[1]!();
    await client.until((text) => count(text, 'late') === 2);
    expect(client.ended).toBe(false);
    expect(plane.runtime.metrics.expose()).toMatch(/tcp_open_total\{[^}]*peer="dst"[^}]*\} 1\n/);
  });

  test('keeps what is known by the settings that it leaves alone', async () => {
    const bad = await server(ERROR);
    const policy: Policy = { breaker, rateLimit: { perSecond: 0.001, burst: 4 } };
    const to = destination([bad.address], { policy });
    const plane = await outbound(to);
    expect(await statuses(plane, 2)).toEqual(['500', '500']);
    // Other settings come and go, and the same ones come in another order.
    plane.route(to.key, { ...to, policy: { ...policy, maxInFlight: 5 } });
    const { consecutive, ...rest } = breaker;
    plane.route(to.key, { ...to, policy: { ...policy, breaker: { ...rest, consecutive } } });
    expect(await statuses(plane, 3)).toEqual(['503', '503', '429']);
    expect(bad.asked).toBe(2);
    plane.route(to.key, { ...to, policy: { breaker: { ...breaker, consecutive: 3 } } });
    expect(await statuses(plane, 1)).toEqual(['500']);
  });

  test('retries hide a server that fails, as far as their budget goes', async () => {
    // It answers sooner than the others and so is the one that is preferred.
    const bad = await server(ERROR);
    const slow = () => upstream((socket) => void setTimeout(() => socket.write(answer('ok')), 5));
    const to = destination([bad.address, await slow(), await slow()]);
    const plane = await outbound(to);
    let seen: string[] = [];
    while (!seen.includes('500')) seen = await statuses(plane, 1);
    const budget = { percent: 100, minPerSecond: 100 };
    plane.route(to.key, { ...to, policy: { retries: { max: 1, on: ['5xx'], budget } } });
    const asked = bad.asked;
    // One that happened to answer late is asked again once that is forgotten.
    do expect(new Set(await statuses(plane, 30))).toEqual(new Set(['200']));
    while (bad.asked === asked);
    const none = { percent: 0, minPerSecond: 0 };
    plane.route(to.key, { ...to, policy: { retries: { max: 1, on: ['5xx'], budget: none } } });
    seen = [];
    while (!seen.includes('500')) seen = await statuses(plane, 1);
  });

  test('retries go to the same server again where no other one is available', async () => {
    const state = { asked: 0 };
    const address = await upstream((socket) => socket.write(++state.asked % 3 === 0 ? answer('ok') : ERROR));
    const closed = '127.0.0.1:1';
    for (const addresses of [[address], [address, closed]]) {
      const plane = await outbound(destination(addresses, { policy: { retries: { max: 2, on: ['5xx'] } } }));
      expect(await statuses(plane, 3)).toEqual(['200', '200', '200']);
    }
    expect(state.asked).toBe(18);
  });
});

test('a delay of a policy’s making does not count against the endpoint that answered', async () => {
  const good = await server(answer('ok'));
  const fault = { delay: { percent: 100, for: 200 } };
  const plane = await outbound(destination([good.address], { policy: { fault } }));
  const begun = performance.now();
  expect(await statuses(plane, 1)).toEqual(['200']);
  expect(performance.now() - begun).toBeGreaterThanOrEqual(195);
  const [endpoint] = plane.stacks[0]!.table.backends[0]!.endpoints;
  expect(endpoint!.latency.at(plane.runtime.now())).toBeLessThan(150);
});

describe('the time limit of an attempt', () => {
  const policy: Policy = {
    timeout: 10_000,
    attemptTimeout: 500,
    retries: { max: 1, on: ['5xx'] },
    breaker: { ...breaker, consecutive: 1 },
  };

  test('sends the request to another endpoint, and counts against the one that was too slow', async () => {
    let asked = 0;
    const silent = await upstream(() => {
      asked += 1;
    });
    const good = await server(answer('ok'));
    const plane = await outbound(destination([silent, good.address], { policy }));
    while (asked === 0) expect(await statuses(plane, 1)).toEqual(['200']);
    expect(plane.runtime.metrics.expose()).toMatch(/^weir_retries_total\{[^}]*\} 1$/m);
    // Its breaker is open: nobody waits for it any more.
    const before = asked;
    expect(new Set(await statuses(plane, 20))).toEqual(new Set(['200']));
    expect(asked).toBe(before);
  });

  test('is for the head of the response alone, and ends with the request where it may not be sent again', async () => {
    const slow = await upstream((socket, text) => {
      if (text.startsWith('POST')) return;
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab');
      setTimeout(() => socket.write('cd'), 1_000);
    });
    const plane = await outbound(
      destination([slow], { policy: { ...policy, breaker: undefined } as Policy }),
    );
    const client = new Client(plane);
    client.socket.write(GET);
    await client.until((text) => text.endsWith('abcd'));
    client.socket.write('POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n');
    const text = await client.until((all) => all.includes('within 500 ms'));
    expect(text).toMatch(/HTTP\/1\.1 504 [\s\S]*weir-proxy-error: timeout/);
    // What comes after it has its own.
    client.socket.write(GET);
    await client.until((all) => count(all, 'abcd') === 2);
  });
});
