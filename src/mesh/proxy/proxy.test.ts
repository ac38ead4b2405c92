import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../lib/clock.ts';
import type { Destination } from '../discovery/model.ts';
import { drain } from './drain.ts';
import {
  answer,
  Client,
  cleanUp,
  cleanups,
  count,
  destination,
  GET,
  outbound,
  upstream,
} from './fixtures.ts';

afterEach(cleanUp);

describe('HTTP/1.1', () => {
  test('keep-alive and pipelining: answers in order over one upstream connection', async () => {
    let connections = 0;
    let last: net.Socket | undefined;
    const plane = await outbound(
      destination([
        await upstream((socket, text) => {
          if (socket !== last) connections += 1;
          last = socket;
          socket.write(answer(text.split(' ')[1]!));
        }),
      ]),
    );
    const client = new Client(plane);
    client.socket.write([1, 2, 3].map((n) => `GET /${n} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''));
    const text = await client.until((all) => all.endsWith('/3'));
    expect(text).toBe(['/1', '/2', '/3'].map(answer).join(''));
    expect(connections).toBe(1);
  });

  test('HEAD, 204 and 304 have no body, whatever their headers say', async () => {
    const address = await upstream((socket, text) => {
      const status = text.startsWith('HEAD') ? '200' : text.split(' ')[1]!.slice(1);
      socket.write(`HTTP/1.1 ${status} X\r\n${status === '204' ? '' : 'Content-Length: 5\r\n'}\r\n`);
    });
    const client = new Client(await outbound(destination([address])));
    client.socket.write(`HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /204 HTTP/1.1\r\nHost: a\r\n\r\n`);
    client.socket.write('GET /304 HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until((text) => count(text, '\r\n\r\n') === 3);
  });

  test('chunked request and response, with trailers, byte by byte', async () => {
    const body = '3\r\nabc\r\n0\r\nX: y\r\n\r\n';
    let seen = '';
    const address = await upstream((socket, text) => {
      seen += text;
      if (!seen.endsWith(body)) return;
      for (const byte of `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`) socket.write(byte);
    });
    const client = new Client(await outbound(destination([address])));
    client.socket.setNoDelay(true);
    for (const byte of `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`) {
      client.socket.write(byte);
    }
    expect(await client.until((text) => text.endsWith(body))).toContain('200 OK');
  });

  test('a response that ends with its connection ends the client’s', async () => {
    const address = await upstream((socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nall of it'));
    const client = new Client(await outbound(destination([address])));
    client.socket.write(GET);
    expect(await client.closed()).toBe('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it');
  });

  test('interim responses and an upgrade, which becomes a tunnel', async () => {
    const address = await upstream((socket, text) => {
      if (!text.startsWith('GET')) return void socket.write(text.toUpperCase());
      socket.write('HTTP/1.1 103 Early\r\nLink: x\r\n\r\n');
      socket.write('HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello');
    });
    const client = new Client(await outbound(destination([address])));
    client.socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    const text = await client.until((all) => all.endsWith('hello'));
    expect(text).toMatch(/103 Early[\s\S]*101 Switching[\s\S]*connection: upgrade/);
    client.socket.write('more');
    await client.until((all) => all.endsWith('MORE'));
  });

  test.each([
    [
      'both framings',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['bad chunk', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
    ['folded header', 'GET / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n'],
  ])('smuggling refused: %s', async (_name, bytes) => {
    let requests = 0;
    const plane = await outbound(
      destination([
        await upstream((socket) => {
          requests += 1;
          socket.write(answer('x'));
        }),
      ]),
    );
    const client = new Client(plane);
    client.socket.write(`${bytes}${GET}`);
    expect(await client.closed()).toMatch(/^HTTP\/1.1 400 [\s\S]*weir-proxy-error: bad-request/);
    expect(requests).toBe(0);
  });

  test('a slow head gets 408 at its deadline', async () => {
    const plane = await outbound(destination([], { protocol: 'http1' }), { headDeadline: 60 });
    const client = new Client(plane);
    client.socket.write('GET / HTTP/1.1\r\nHost:');
    expect(await client.closed()).toContain('408');
  });

  test('a pooled connection that was closed meanwhile is replaced, unseen', async () => {
    const served = new Set<net.Socket>();
    const address = await upstream((socket) => {
      // The second request on a connection is met by its end, as when an idle timeout strikes.
      if (served.has(socket)) return void socket.destroy();
      served.add(socket);
      socket.write(answer('x'));
    });
    const client = new Client(await outbound(destination([address])));
    client.socket.write(GET);
    await client.until((text) => text.endsWith('x'));
    client.socket.write(GET);
    await client.until((text) => count(text, '200 OK') === 2);
    expect(served.size).toBe(2);
  });

  test('a slow reader stops the server', async () => {
    const size = 64 * 1024 * 1024;
    const source: net.Socket[] = [];
    const address = await upstream((socket) => {
      source.push(socket);
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
      socket.write(Buffer.alloc(size));
    });
    const plane = await outbound(destination([address]));
    const client = new Client(plane);
    client.socket.pause();
    client.socket.removeAllListeners('data');
    client.socket.write(GET);
    await new Promise<void>((resolve) => {
      let before = -1;
      const poll = setInterval(() => {
        const left = source[0]?.writableLength ?? -1;
        if (left > 0 && left === before) {
          clearInterval(poll);
          resolve();
        }
        before = left;
      }, 50);
    });
    // The server still has most of it; only buffers of bounded size lie between.
    expect(source[0]!.writableLength).toBeGreaterThan(0);
    let received = 0;
    client.socket.on('data', (chunk) => {
      received += chunk.length;
      if (received > size) client.socket.emit('whole');
    });
    client.socket.resume();
    await once(client.socket, 'whole');
  });
});

describe('routing', () => {
  const closedPort = async () => {
    const server = net.createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as net.AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    return `127.0.0.1:${port}`;
  };

  test('an endpoint that refuses is evicted and no request is lost', async () => {
    const good = await upstream((socket) => socket.write(answer('x')));
    const plane = await outbound(destination([await closedPort(), good]));
    const client = new Client(plane);
    for (let n = 1; n <= 30; n += 1) {
      client.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi');
      await client.until((text) => count(text, '200 OK') === n);
    }
    const [, failures] = /weir_connect_failures_total\{.*dst_revision.*\} (\d+)/.exec(
      plane.runtime.metrics.expose(),
    )!;
    expect(Number(failures)).toBeLessThan(5);
  });

  test('502 when nothing accepts, 503 when there is nothing', async () => {
    const refused = new Client(await outbound(destination([await closedPort()])));
    refused.socket.write(GET);
    expect(await refused.until((text) => text.includes('ECONNREFUSED'))).toMatch(
      /502[\s\S]*weir-proxy-error: connect/,
    );
    const empty = new Client(await outbound(destination([])));
    empty.socket.write(GET);
    expect(await empty.until((text) => text.includes('no backend'))).toMatch(/503[\s\S]*no-endpoint/);
  });

  test('after `route` returns, no request starts on the weights before; leases end in the fallback', async () => {
    const [stable, canary] = await Promise.all(
      ['stable', 'canary'].map((name) => upstream((socket) => socket.write(answer(name)))),
    );
    const weights = (toStable: number, toCanary: number): Destination => ({
      ...destination([]),
      backends: [
        { name: 'stable', weight: toStable, endpoints: [{ address: stable! }] },
        { name: 'canary', weight: toCanary, endpoints: [{ address: canary! }] },
      ],
      split: { name: 'web', version: '1', leaseSeconds: 15, fallback: 'stable' },
    });
    const plane = await outbound(weights(0, 100));
    const client = new Client(plane);
    const ask = async () => {
      client.text = '';
      client.socket.write(GET);
      return (await client.until((text) => /stable|canary/.test(text))).includes('canary')
        ? 'canary'
        : 'stable';
    };
    expect(await ask()).toBe('canary');
    plane.route('web.shop:80', weights(100, 0));
    for (let i = 0; i < 20; i += 1) expect(await ask()).toBe('stable');
    plane.route('web.shop:80', weights(0, 100));
    expect(await ask()).toBe('canary');
    plane.lease.until = 0;
    for (let i = 0; i < 20; i += 1) expect(await ask()).toBe('stable');
    expect(plane.runtime.metrics.expose()).toMatch(
      /response_total\{.*dst_backend="canary".*status_code="200"\} 2/,
    );
  });

  test('policy: timeout, injected fault, retry of 5xx', async () => {
    const silent = new Client(
      await outbound(destination([await upstream(() => {})], { policy: { timeout: 40 } })),
    );
    silent.socket.write(GET);
    await silent.until((text) => text.includes('504'));
    const fault = { abort: { percent: 100, status: 418 } };
    const aborted = new Client(await outbound(destination(['127.0.0.1:1'], { policy: { fault } })));
    aborted.socket.write(GET);
    await aborted.until((text) => text.includes('418'));
    let calls = 0;
    const flaky = await upstream((socket) => {
      calls += 1;
      socket.write(calls === 1 ? 'HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n' : answer('x'));
    });
    const policy: Destination['policy'] = { retries: { max: 1, on: ['5xx'] } };
    const retried = new Client(await outbound(destination([flaky], { policy })));
    retried.socket.write(GET);
    expect(await retried.until((text) => text.includes('\r\n\r\n'))).toContain('200 OK');
  });
});

describe('a fault of requests with given headers', () => {
  const fault = {
    headers: [
      { name: 'x-fault-test', value: 'on' },
      { name: 'x-user', value: 'a, B' },
    ],
    abort: { percent: 100, status: 418 },
  };

  test.each([
    ['X-Fault-Test: on\r\nX-User: a, B\r\n', '418'],
    // Several lines are one value (RFC 9110 5.3), whatever is between.
    ['X-User: a\r\nX-Fault-Test: on\r\nX-User: B\r\n', '418'],
    ['X-Fault-Test: on\r\n', '200'],
    ['X-Fault-Test: ON\r\nX-User: a, B\r\n', '200'],
    ['', '200'],
  ])('%j', async (headers, status) => {
    const address = await upstream((socket) => socket.write(answer('x')));
    const client = new Client(await outbound(destination([address], { policy: { fault } })));
    client.socket.write(`GET / HTTP/1.1\r\nHost: web\r\n${headers}\r\n`);
    expect(await client.until((text) => text.includes('\r\n\r\n'))).toContain(`HTTP/1.1 ${status} `);
  });
});

describe('TCP', () => {
  test('opaque bytes, half-close kept', async () => {
    const address = await upstream((socket, text) => {
      socket.write(text.toUpperCase());
      socket.once('end', () => socket.end('bye'));
    });
    const client = new Client(await outbound(destination([address])));
    client.socket.write('hello');
    await client.until((text) => text === 'HELLO');
    client.socket.end();
    expect(await client.closed()).toBe('HELLObye');
  });

  test('a server that speaks first is heard at once', async () => {
    const server = net.createServer((socket) => void socket.end('220 ready\r\n'));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    cleanups.push(() => void server.close());
    const { port } = server.address() as net.AddressInfo;
    const to = destination([`127.0.0.1:${port}`]);
    const plane = await outbound(to);
    expect(await new Client(plane).closed()).toBe('220 ready\r\n');
    // Remembered over changes of the destination, but not for ever.
    plane.route(to.key, { ...to, policy: { timeout: 1_000 } });
    const { table } = plane.stacks[0]!;
    expect(table.serverFirst(plane.runtime.now())).toBe(true);
    expect(table.serverFirst(plane.runtime.now() + 600_000)).toBe(false);
  });

  test('a client with nothing to say hears what the server says to that', async () => {
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      socket.resume().on('end', () => socket.end('noted'));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    cleanups.push(() => void server.close());
    const { port } = server.address() as net.AddressInfo;
    const client = new Client(await outbound(destination([`127.0.0.1:${port}`])));
    client.socket.end();
    expect(await client.closed()).toBe('noted');
  });
});

test('a drain loses nothing: accepted requests are answered, then connections close', async () => {
  const waiting: net.Socket[] = [];
  const address = await upstream((socket) => void waiting.push(socket));
  const plane = await outbound(destination([address]));
  const before = new Client(plane);
  before.socket.write(GET);
  while (waiting.length < 1) await new Promise((resolve) => setImmediate(resolve));
  const drained = drain(plane, { grace: 20_000, minimum: 100, quiet: 100, clock: systemClock });
  const late = new Client(plane);
  late.socket.write(GET);
  while (waiting.length < 2) await new Promise((resolve) => setImmediate(resolve));
  for (const socket of waiting) socket.write(answer('done'));
  for (const client of [before, late]) {
    expect(await client.closed()).toBe(
      'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nconnection: close\r\n\r\ndone',
    );
  }
  await drained;
});

describe('a body that stands still', () => {
  const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf';
  const limits = { bodyIdle: 60 };

  test('of the request: 408, and no endpoint is to blame', async () => {
    const plane = await outbound(destination([await upstream(() => {})]), limits);
    const client = new Client(plane);
    client.socket.write(POST);
    expect(await client.closed()).toMatch(/ 408 [\s\S]*weir-proxy-error: body-timeout/);
    expect(plane.runtime.metrics.expose()).not.toMatch(/response_total\{.*dst_revision/);
    expect(plane.runtime.inFlight).toBe(0);
  });

  test('of the response: the connection breaks, and the endpoint has failed', async () => {
    const address = await upstream((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
    });
    const plane = await outbound(destination([address]), limits);
    const client = new Client(plane);
    client.socket.write(GET);
    expect(await client.closed()).toMatch(/half$/);
    expect(plane.runtime.metrics.expose()).toMatch(/response_total\{.*classification="failure".* 1/);
  });

  test('waiting for an answer is no standstill, nor is a body that trickles', async () => {
    const address = await upstream((socket, text) => {
      let left = text.startsWith('GET') ? 4 : 0;
      const tick = setInterval(() => {
        left -= 1;
        if (left === 3) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n');
        else if (left >= 0) socket.write('x');
        else clearInterval(tick);
      }, 100);
    });
    const client = new Client(await outbound(destination([address]), { bodyIdle: 180 }));
    client.socket.write(GET);
    await client.until((text) => text.endsWith('xxx'));
  });
});
