/** After each answer of the proxy's own the client's connection serves the next request, as after any other. */
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Destination } from '../discovery/model.ts';
import { answer, Client, cleanUp, count, destination, outbound, upstream } from './fixtures.ts';
import { ask, connect } from './http2-fixtures.ts';

afterEach(cleanUp);

const policy = (each: Destination['policy']): Partial<Destination> => ({ policy: each });
const held = () => {};

interface Failure {
  status: number;
  cause: string;
  /** What the server does with the request that fails. */
  serve?: (socket: { write(text: string): void; destroy(): void }) => void;
  /** The destination of that request, in place of the one that works. */
  to?: Partial<Destination>;
  /** Nobody behind it: refuses connections, or is not there. */
  addresses?: string[];
}

const FAILURES: Failure[] = [
  { status: 502, cause: 'connect', addresses: ['127.0.0.1:1'] },
  { status: 502, cause: 'reset', serve: (socket) => socket.destroy() },
  { status: 502, cause: 'bad-response', serve: (socket) => socket.write('SMTP ready\r\n\r\n') },
  { status: 503, cause: 'no-endpoint', addresses: [] },
  { status: 503, cause: 'overload', to: policy({ maxInFlight: 0 }) },
  { status: 503, cause: 'fault', to: policy({ fault: { abort: { percent: 100, status: 503 } } }) },
  { status: 504, cause: 'timeout', serve: held, to: policy({ timeout: 50 }) },
  { status: 429, cause: 'rate-limited', to: policy({ rateLimit: { perSecond: 0.001, burst: 0 } }) },
];

/** A plane whose destination fails until `mend` is called. */
async function failing({ serve, to = {}, addresses }: Failure) {
  let broken = true;
  const address = await upstream((socket, text) => {
    if (broken && serve) return serve(socket);
    for (let n = count(text, ' HTTP/1.1\r\n'); n > 0; n -= 1) socket.write(answer('fine'));
  });
  const extra: Partial<Destination> = { protocol: 'http1' };
  const works = destination([address], extra);
  const plane = await outbound(destination(addresses ?? [address], { ...extra, ...to }));
  const mend = () => {
    broken = false;
    plane.route(works.key, works);
  };
  return { plane, mend };
}

const REQUESTS = {
  GET: 'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST with a length': 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody',
  'POST in chunks': 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n',
};

describe.each(FAILURES)('$status $cause', (failure) => {
  test.each(Object.entries(REQUESTS))('HTTP/1.1, %s', async (_name, request) => {
    const { plane, mend } = await failing(failure);
    const client = new Client(plane);
    client.socket.write(request);
    const text = await client.until((all) => /\r\n\r\n.*\n$/.test(all));
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${failure.status} `));
    expect(text).toContain(`weir-proxy-error: ${failure.cause}\r\n`);
    expect(text.toLowerCase()).not.toContain('connection: close');
    mend();
    for (let n = 1; n <= 2; n += 1) {
      client.socket.write(request);
      await client.until((all) => count(all, '\r\n\r\nfine') === n);
    }
    expect([client.ended, plane.runtime.connections, plane.runtime.inFlight]).toEqual([false, 1, 0]);
  });

  test('HTTP/2, on the same connection', async () => {
    const { plane, mend } = await failing(failure);
    const session = connect(plane);
    const refused = await ask(session, { ':method': 'POST' }, 'body');
    expect([refused.status, refused.headers['weir-proxy-error']]).toEqual([failure.status, failure.cause]);
    mend();
    for (let n = 0; n < 2; n += 1)
      expect((await ask(session, { ':method': 'POST' }, 'body')).body).toBe('fine');
    expect([session.destroyed, plane.runtime.connections, plane.runtime.inFlight]).toEqual([false, 1, 0]);
  });
});

test('503 breaker: the connection outlives it, and serves once the breaker closes', async () => {
  let broken = true;
  const address = await upstream((socket) =>
    socket.write(broken ? 'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n' : answer('fine')),
  );
  const breaker = { consecutive: 1, successRate: 0, minRequests: 10, window: 10_000, eject: 60_000 };
  const to = destination([address], policy({ breaker }));
  const plane = await outbound(to);
  const client = new Client(plane);
  client.socket.write(REQUESTS.GET);
  await client.until((all) => all.startsWith('HTTP/1.1 500'));
  client.text = '';
  client.socket.write(REQUESTS.GET);
  await client.until((all) => all.includes('weir-proxy-error: breaker') && all.endsWith('\n'));
  broken = false;
  plane.route(to.key, { ...to, policy: {} });
  client.socket.write(REQUESTS.GET);
  await client.until((all) => all.endsWith('fine'));
  expect(plane.runtime.connections).toBe(1);
});
