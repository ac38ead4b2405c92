/** What is sent again, what never is, and when. */
import { once } from 'node:events';
import type net from 'node:net';
import { text as bodyOf } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Policy } from '../discovery/model.ts';
import { answer, Client, cleanUp, destination, GET, outbound, upstream } from './fixtures.ts';
import { ask, connect, grpc, server } from './http2-fixtures.ts';
import type { DataPlane } from './proxy.ts';
import { DEFAULT_LIMITS } from './runtime.ts';

afterEach(cleanUp);

const ERROR = 'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n';
const retries: Policy['retries'] = { max: 3, on: ['connect', '5xx'] };
/** The longest pauses that there are. */
const most = () => 0.999;
const none = () => 0;

interface Attempt {
  at: number;
  /** What came of the request: its head and its body. */
  head: string;
  body: number;
}

/** A server of HTTP/1.1 that reads whole requests and then does `then`. */
async function recorder(then: (socket: net.Socket, nth: number) => void) {
  const attempts: Attempt[] = [];
  const pending = new WeakMap<net.Socket, string>();
  const address = await upstream((socket, chunk) => {
    const all = (pending.get(socket) ?? '') + chunk;
    pending.set(socket, all);
    const end = all.indexOf('\r\n\r\n') + 4;
    const length = Number(/content-length: (\d+)/i.exec(all)?.[1] ?? 0);
    if (end < 4 || all.length < end + length) return;
    pending.set(socket, '');
    attempts.push({ at: performance.now(), head: all.slice(0, end), body: length });
    then(socket, attempts.length);
  });
  return { address, attempts };
}

/** The status that a request gets in the end. */
async function status(plane: DataPlane, request: string): Promise<string> {
  const client = new Client(plane);
  client.socket.write(request);
  const text = await client.until((all) => all.includes('\r\n\r\n'));
  client.socket.destroy();
  return text.slice(9, 12);
}

const gaps = (attempts: Attempt[]) => attempts.slice(1).map(({ at }, n) => at - attempts[n]!.at);
const to = (address: string, policy: Policy = { retries }) => destination([address], { policy });
const put = (size: number) =>
  `PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n${'a'.repeat(size)}`;
const fail = (socket: net.Socket) => void socket.write(ERROR);
const reset = (socket: net.Socket) => void socket.resetAndDestroy();

describe('the pause before a request is sent again', () => {
  test.each([
    ['an answer of 500', fail, '500'],
    ['a reset', reset, '502'],
  ])('doubles: after %s', async (_name, then, last) => {
    const { address, attempts } = await recorder(then);
    expect(await status(await outbound(to(address), {}, most), GET)).toBe(last);
    expect(attempts.length).toBe(4);
    const [first, second, third] = gaps(attempts) as [number, number, number];
    // A timer may be a millisecond early by this clock.
    expect(first).toBeGreaterThanOrEqual(23);
    expect(second).toBeGreaterThanOrEqual(48);
    expect(third).toBeGreaterThanOrEqual(98);
  });

  test('of HTTP/2 and gRPC, too', async () => {
    const at: number[] = [];
    const { address } = await server((stream, headers) => {
      at.push(performance.now());
      const failed =
        headers['content-type'] === 'application/grpc' ? { 'grpc-status': 14 } : { ':status': 503 };
      stream.respond(failed, { endStream: true });
    });
    const session = connect(await outbound(to(address, { retries: { max: 1, on: ['5xx'] } }), {}, most));
    expect((await ask(session)).status).toBe(503);
    expect((await ask(session, grpc, 'request')).headers['grpc-status']).toBe('14');
    expect(at.length).toBe(4);
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(23);
    expect(at[3]! - at[2]!).toBeGreaterThanOrEqual(23);
  });

  test('is a random part of that: none at all by the dice', async () => {
    const { address, attempts } = await recorder(fail);
    const plane = await outbound(to(address), {}, none);
    // A busy machine may take long over one of them, not over each of ten.
    let least = Number.POSITIVE_INFINITY;
    for (let n = 0; n < 10; n += 1) {
      attempts.length = 0;
      expect(await status(plane, GET)).toBe('500');
      least = Math.min(least, attempts.at(-1)!.at - attempts[0]!.at);
    }
    expect(least).toBeLessThan(98);
  });

  test('never outlasts the timeout: the answer that is there is passed on', async () => {
    const { address, attempts } = await recorder(fail);
    const policy: Policy = { timeout: 1_000, retries: { max: 10, on: ['5xx'] } };
    expect(await status(await outbound(to(address, policy), {}, most), GET)).toBe('500');
    expect(attempts.length).toBeGreaterThan(1);
    // All ten would take 1.9 seconds of pauses.
    expect(attempts.length).toBeLessThan(9);
  });

  test('ends with the client: nothing is sent for one who has gone', async () => {
    const { address, attempts } = await recorder(fail);
    const plane = await outbound(to(address, { retries: { max: 10, on: ['5xx'] } }), {}, most);
    const client = new Client(plane);
    client.socket.write('GET /gone HTTP/1.1\r\nHost: a\r\n\r\n');
    while (attempts.length < 1) await new Promise(setImmediate);
    // One that only says no more would still be answered.
    client.socket.resetAndDestroy();
    while (plane.runtime.inFlight > 0) await new Promise(setImmediate);
    const sent = attempts.length;
    // One that takes as long as the other would have.
    expect(await status(plane, GET)).toBe('500');
    expect(attempts.filter(({ head }) => head.startsWith('GET /gone')).length).toBe(sent);
    expect(sent).toBeLessThan(11);
  });

  test('does not hold up another endpoint where nothing was sent', async () => {
    const { address } = await recorder((socket) => void socket.write(answer('ok')));
    let least = Number.POSITIVE_INFINITY;
    for (let n = 0; n < 5; n += 1) {
      // By these dice the last ones are chosen first. Nobody listens there: refused, and on to the next at once.
      const all = destination([address, '127.0.0.1:1', '127.0.0.1:2'], { policy: { retries } });
      const plane = await outbound(all, {}, most);
      const begun = performance.now();
      expect(await status(plane, GET)).toBe('200');
      least = Math.min(least, performance.now() - begun);
      const { endpoints } = plane.stacks[0]!.table.backends[0]!;
      expect(endpoints.some(({ evictedUntil }) => evictedUntil > 0)).toBe(true);
    }
    expect(least).toBeLessThan(25);
  });
});

describe('what is sent again', () => {
  test('a POST never, whatever came of it', async () => {
    for (const then of [fail, reset]) {
      const { address, attempts } = await recorder(then);
      const plane = await outbound(to(address));
      const post = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody';
      expect(await status(plane, post)).toBe(then === reset ? '502' : '500');
      expect(attempts.length).toBe(1);
      expect(await status(plane, put(4))).toBe(then === reset ? '502' : '500');
      expect(attempts.length).toBe(1 + 4);
    }
  });

  test('a POST of HTTP/2 neither, unless the server says that it has not seen it', async () => {
    const seen: string[] = [];
    const { address } = await server((stream, headers) => {
      const path = String(headers[':path']);
      seen.push(path);
      if (path === '/internal') return stream.close(2);
      if (path === '/refused' && seen.filter((each) => each === path).length < 3) return stream.close(7);
      void bodyOf(stream).then((body) => {
        stream.respond({ ':status': 200 });
        stream.end(body);
      });
    });
    const session = connect(await outbound(to(address), {}, most));
    const post = { ':method': 'POST' };
    expect((await ask(session, { ...post, ':path': '/internal' }, 'body')).status).toBe(502);
    expect(seen).toEqual(['/internal']);
    const begun = performance.now();
    expect((await ask(session, { ...post, ':path': '/refused' }, 'body')).body).toBe('body');
    expect(seen).toEqual(['/internal', '/refused', '/refused', '/refused']);
    // At once the first time, then after a pause.
    expect(performance.now() - begun).toBeGreaterThanOrEqual(98);
  });

  test('no request over 64 KiB, or over limits.replay', async () => {
    expect(DEFAULT_LIMITS.replay).toBe(65_536);
    const { address, attempts } = await recorder(fail);
    const times = async (plane: DataPlane, request: string) => {
      attempts.length = 0;
      expect(await status(plane, request)).toBe('500');
      return attempts.length;
    };
    const plane = await outbound(to(address), {}, none);
    expect(await times(plane, put(1_000))).toBe(4);
    expect(await times(plane, put(65_537))).toBe(1);
    const small = await outbound(to(address), { replay: 2_000 }, none);
    expect(await times(small, put(1_000))).toBe(4);
    expect(await times(small, put(2_001))).toBe(1);
  });

  test('nor one of HTTP/2 with such a body', async () => {
    let asked = 0;
    const { address } = await server((stream) => {
      asked += 1;
      stream.resume().on('end', () => stream.respond({ ':status': 500 }, { endStream: true }));
    });
    const times = async (limits: object, size: number) => {
      asked = 0;
      const session = connect(await outbound(to(address), limits, none));
      const stream = session.request({ ':method': 'PUT', ':path': '/' });
      stream.resume().end(Buffer.alloc(size));
      const [head] = await once(stream, 'response');
      expect(head[':status']).toBe(500);
      return asked;
    };
    expect(await times({}, 65_536)).toBe(4);
    expect(await times({}, 65_537)).toBe(1);
    expect(await times({ replay: 2_000 }, 2_000)).toBe(4);
    expect(await times({ replay: 2_000 }, 2_001)).toBe(1);
  });

  test('a body that came behind the lines the proxy adds counts, too', async () => {
    // Host is written anew, so the head is, and a body of this size is not copied behind it.
    const { address, attempts } = await recorder(fail);
    const plane = await outbound(to(address), { replay: 10_000 }, none);
    const absolute = `PUT http://b/ HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n${'a'.repeat(20_000)}`;
    expect(await status(plane, absolute)).toBe('500');
    expect(attempts.length).toBe(1);
  });
});
