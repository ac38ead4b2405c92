/** Limits by number: what is beyond one gets what docs/proxy.md says, what is within is served. */
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import {
  answer,
  Client,
  cleanUp,
  cleanups,
  destination,
  GET,
  outbound,
  unanswering,
  upstream,
} from './fixtures.ts';
import { ask, connect, ENDLESS, frame, http1, server } from './http2-fixtures.ts';
import { FRAME, PREFACE } from './protocol/http2/frames.ts';
import type { DataPlane } from './proxy.ts';
import type { Limits } from './runtime.ts';

afterEach(cleanUp);

const SECONDS = 20_000;

async function until(condition: () => boolean, what: string) {
  const end = performance.now() + SECONDS;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${SECONDS} ms: ${what}`);
    await new Promise(setImmediate);
  }
}

/** The answer to a GET on a connection of its own. */
async function answered(plane: DataPlane): Promise<string> {
  const client = new Client(plane);
  client.socket.write(GET);
  const text = await client.until((all) => /\r\n\r\n.*\S\n?$/s.test(all));
  client.socket.destroy();
  return text;
}

/** Requests that a server of HTTP/1.1 holds until they are let go. */
async function holding() {
  const held: (() => void)[] = [];
  const address = await upstream((socket) => held.push(() => socket.write(answer('late'))));
  return { held, address };
}

/** A client of HTTP/2 that reads nothing, with windows that are never full. */
function deaf(plane: DataPlane): net.Socket {
  const socket = net.connect({ port: plane.ports[0]!, host: '127.0.0.1' });
  socket.pause().on('error', () => {});
  cleanups.push(() => void socket.destroy());
  socket.write(Buffer.concat([PREFACE, ENDLESS]));
  return socket;
}

describe('connectTimeout', () => {
  test.each(['http1', 'http2'] as const)('%s: 502 when nobody answers, not before', async (protocol) => {
    const address = await unanswering();
    const plane = await outbound(destination([address], { protocol }), { connectTimeout: 300 });
    const begun = performance.now();
    expect(await answered(plane)).toMatch(/^HTTP\/1.1 502 .*weir-proxy-error: connect\r\n/s);
    // The wheel's clock may be a turn of the loop behind.
    expect(performance.now() - begun).toBeGreaterThan(250);
    expect(performance.now() - begun).toBeLessThan(4_000);
  });
});

describe('HTTP/2 connections to servers', () => {
  test('http2Idle: one without requests is closed, one with a request is not', async () => {
    const held: (() => void)[] = [];
    const { address, sessions } = await server((stream, headers) => {
      const reply = () => stream.respond({ ':status': 200 }, { endStream: true });
      if (headers[':path'] === '/held') held.push(reply);
      else reply();
    });
    const plane = await outbound(destination([address]), { http2Idle: 100 });
    const session = connect(plane);
    expect((await ask(session)).status).toBe(200);
    await until(() => sessions.size === 0, 'the connection is closed');
    const late = ask(session, { ':path': '/held' });
    await until(() => held.length === 1, 'the request has come');
    const since = performance.now();
    await until(() => performance.now() - since > 400, 'four times as long');
    expect(sessions.size).toBe(1);
    held[0]!();
    expect((await late).status).toBe(200);
    await until(() => sessions.size === 0, 'the connection is closed again');
  });

  test('a client that leaves many answers: all are cancelled at the server, as quickly as it may be asked to', async () => {
    let [open, cancelled] = [0, 0];
    const { address } = await server((stream) => {
      open += 1;
      stream.on('close', () => {
        cancelled += 1;
      });
      stream.respond();
      stream.write('x');
    });
    const plane = await outbound(destination([address], { protocol: 'http2' }), { resets: [10, 50] });
    const session = connect(plane);
    for (let n = 0; n < 20; n += 1) session.request({ ':path': `/${n}` }).on('error', () => {});
    await until(() => open === 20, 'all have begun');
    session.destroy();
    // Nothing else happens on the connection to the server: ten of them wait for their turn.
    await until(() => cancelled === 20, 'all are over');
    expect(plane.runtime.inFlight).toBe(0);
  });

  test('PING: a server that has gone silent is asked, and left; its request fails', async () => {
    let seen = Buffer.alloc(0);
    const address = await upstream((socket, text) => {
      if (seen.length === 0) socket.write(frame(FRAME.settings, 0, 0));
      seen = Buffer.concat([seen, Buffer.from(text, 'latin1')]);
    });
    const limits: Partial<Limits> = { pingAfter: 100, pongWithin: 100 };
    const plane = await outbound(destination([address], { protocol: 'http2' }), limits);
    const { status, headers } = await ask(connect(plane));
    expect([status, headers['weir-proxy-error']]).toEqual([502, 'reset']);
    expect(seen.includes(frame(FRAME.ping, 0, 0, Buffer.alloc(8)).subarray(0, 9))).toBe(true);
    await until(
      () => /tcp_open_connections\{[^}]*peer="dst"[^}]*\} 0\n/.test(plane.runtime.metrics.expose()),
      'it is closed',
    );
  });

  test('PING: a server that answers may take its time', async () => {
    let pings = 0;
    const { address, sessions } = await server((stream) => {
      stream.session!.on('ping', () => {
        pings += 1;
        if (pings === 3) stream.respond({ ':status': 200 }, { endStream: true });
      });
    });
    const plane = await outbound(destination([address], { protocol: 'http2' }), {
      pingAfter: 50,
      pongWithin: 1_000,
    });
    expect((await ask(connect(plane))).status).toBe(200);
    expect([pings, sessions.size]).toEqual([3, 1]);
  });
});

describe('inFlight', () => {
  test('HTTP/1.1: no more than so many at once over all, and room again afterwards', async () => {
    const { held, address } = await holding();
    const plane = await outbound(destination([address]), { inFlight: 2 });
    const clients = [new Client(plane), new Client(plane)];
    for (const client of clients) client.socket.write(GET);
    await until(() => held.length === 2, 'both have come');
    expect(await answered(plane)).toMatch(
      /^HTTP\/1.1 503 .*weir-proxy-error: overload\r\n.*limits.inFlight/s,
    );
    for (const release of held.splice(0)) release();
    for (const client of clients) await client.until((text) => text.endsWith('late'));
    const next = answered(plane);
    await until(() => held.length === 1, 'the next one has come');
    held[0]!();
    expect(await next).toMatch(/^HTTP\/1.1 200 /);
  });

  test('HTTP/2: streams are requests', async () => {
    const held: (() => void)[] = [];
    const { address } = await server((stream) =>
      held.push(() => stream.respond({ ':status': 200 }, { endStream: true })),
    );
    const session = connect(await outbound(destination([address]), { inFlight: 2 }));
    const first = [ask(session), ask(session)];
    await until(() => held.length === 2, 'both have come');
    const { status, headers } = await ask(session);
    expect([status, headers['weir-proxy-error']]).toEqual([503, 'overload']);
    for (const release of held) release();
    expect((await Promise.all(first)).map((each) => each.status)).toEqual([200, 200]);
  });
});

test('connections: one too many is closed at once, and there is room when another has gone', async () => {
  const address = await upstream((socket) => socket.write(answer('ok')));
  const plane = await outbound(http1(address), { connections: 2 });
  const clients = [new Client(plane), new Client(plane)];
  for (const client of clients) {
    client.socket.write(GET);
    await client.until((text) => text.endsWith('ok'));
  }
  const third = new Client(plane);
  third.socket.write(GET);
  expect(await third.closed()).toBe('');
  clients[0]!.socket.destroy();
  await until(() => plane.runtime.connections === 1, 'the first has gone');
  expect(await answered(plane)).toMatch(/ok$/);
  // Who was there before has noticed nothing.
  clients[1]!.socket.write(GET);
  await clients[1]!.until((text) => text.endsWith('okHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
});

describe('HTTP/2 clients that do not read', () => {
  test.each([131_072, 524_288])('unread: no more is asked for them once %i bytes wait', async (unread) => {
    let asked = 0;
    const { address } = await server((stream) => {
      asked += 1;
      stream.respond({ ':status': 200 });
      stream.end(Buffer.alloc(65_536));
    });
    const plane = await outbound(destination([address], { protocol: 'http2' }), { unread });
    const socket = deaf(plane);
    const { backlog } = plane.runtime.limits.http2;
    const get = Buffer.from([0x82, 0x86, 0x84, 0x41, 1, 97]);
    let stopped = false;
    for (let id = 1; !stopped; id += 2) {
      const [before, waiting] = [asked, backlog.bytes];
      socket.write(frame(FRAME.headers, 5, id, get));
      // Either it comes and something of its answer waits, or it is not read any more.
      const since = performance.now();
      while (asked === before || backlog.bytes === waiting) {
        await new Promise(setImmediate);
        // While the kernel still takes all of an answer nothing waits.
        if (asked > before && performance.now() - since > 20) break;
        stopped = asked === before && backlog.bytes > unread && performance.now() - since > 500;
        if (stopped) break;
        if (performance.now() - since > SECONDS)
          throw new Error(`neither taken nor stopped: ${backlog.bytes} wait`);
      }
    }
    // Of one answer no more than a window waits, which is what may come on top.
    expect(backlog.bytes).toBeGreaterThan(unread);
    expect(backlog.bytes).toBeLessThan(unread + 3 * 65_536);
  });

  test('output: so much of what they make the proxy say ends their connection', async () => {
    const pings = Buffer.concat(
      Array.from({ length: 1_000 }, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8))),
    );
    const control: Limits['control'] = [10_000_000, 10_000_000];
    const { address } = await server(() => {});
    /** Whether the connection outlives so many. */
    const survives = async (output: number) => {
      const plane = await outbound(destination([address], { protocol: 'http2' }), { output, control });
      const socket = deaf(plane);
      await once(socket, 'connect');
      await until(() => plane.runtime.connections === 1, 'it is there');
      const { accepted } = plane.stacks[0]!;
      let sent = socket.bytesWritten;
      for (let n = 0; n < 500; n += 1) {
        socket.write(pings);
        sent += pings.length;
        await until(() => accepted.read >= sent || plane.runtime.connections === 0, 'it is read, or over');
        if (plane.runtime.connections === 0) return false;
      }
      return true;
    };
    expect(await survives(16_384)).toBe(false);
    expect(await survives(64 * 1_048_576)).toBe(true);
  });
});
