import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../lib/clock.ts';
import { seededRandom } from './balance/split.ts';
import { drain } from './drain.ts';
import { Client, cleanUp, destination, outbound, upstream } from './fixtures.ts';
import { ask, connect, echo, MiB, type Serve, server } from './http2-fixtures.ts';
import { PREFACE } from './protocol/http2/frames.ts';

afterEach(cleanUp);

describe('HTTP/2 to HTTP/2', () => {
  test('bodies and trailers both ways, small and large', async () => {
    const { address } = await server(echo);
    const session = connect(await outbound(destination([address])));
    const small = await ask(session, { ':method': 'POST', ':path': '/a?b' }, 'hello', { 'x-sent': 'yes' });
    expect(small).toMatchObject({ status: 200, body: 'hello', trailers: { 'x-seen': 'yes' } });
    expect(small.headers['x-path']).toBe('/a?b');
    const large = await ask(session, { ':method': 'PUT' }, MiB);
    expect(large.body === MiB.toString()).toBe(true);
    expect((await ask(session)).body).toBe('');
    expect((await ask(session, { ':method': 'HEAD' })).status).toBe(200);
  });

  test('many clients with many streams share one connection to the server', async () => {
    const { address, sessions } = await server(echo);
    const plane = await outbound(destination([address]));
    const clients = [1, 2, 3, 4].map(() => connect(plane));
    const first = await ask(clients[0]!);
    expect(first.status).toBe(200);
    const replies = await Promise.all(
      Array.from({ length: 80 }, (_, n) =>
        ask(clients[n % 4]!, { ':method': 'POST', ':path': `/${n}` }, `body ${n}`),
      ),
    );
    for (const [n, { headers, body }] of replies.entries()) {
      expect([headers['x-path'], body]).toEqual([`/${n}`, `body ${n}`]);
    }
    expect(sessions.size).toBe(1);
  });

  test('each stream is split by weight, and 0 gets none', async () => {
    const [a, b, c] = await Promise.all(
      ['a', 'b', 'c'].map((name) =>
        server((stream) => stream.respond({ 'x-who': name }, { endStream: true })),
      ),
    );
    const to = destination([]);
    to.backends = [a!, b!, c!].map(({ address }, n) => ({
      name: 'abc'[n]!,
      weight: [80, 20, 0][n]!,
      endpoints: [{ address }],
    }));
    const session = connect(await outbound(to));
    const counts: Record<string, number> = { a: 0, b: 0, c: 0 };
    for (const { headers } of await Promise.all(Array.from({ length: 400 }, () => ask(session))))
      counts[headers['x-who'] as string]! += 1;
    expect(counts.c).toBe(0);
    expect(counts.b).toBeGreaterThan(40);
    expect(counts.b).toBeLessThan(140);
  });

  test('interim responses and early answers', async () => {
    const { address } = await server((stream, headers) => {
      if (headers[':path'] === '/hints') stream.additionalHeaders({ ':status': 103, link: '</a>' });
      stream.respond({ ':status': 200 });
      stream.end('early');
    });
    const session = connect(await outbound(destination([address])));
    const hinted = session.request({ ':path': '/hints' });
    const [hints] = await once(hinted, 'headers');
    expect(hints[':status']).toBe(103);
    expect(await text(hinted)).toBe('early');
    const stream = session.request({ ':method': 'POST' });
    stream.write('begun');
    expect(await text(stream)).toBe('early');
    expect((await ask(session)).body).toBe('early');
  });

  test('a client that cancels cancels upstream; the connection goes on', async () => {
    const cancelled = Promise.withResolvers<number>();
    const { address, sessions } = await server((stream, headers) => {
      if (headers[':path'] === '/') return stream.respond({ ':status': 204 }, { endStream: true });
      stream.on('close', () => cancelled.resolve(stream.rstCode));
      stream.respond();
      stream.write('x');
    });
    const plane = await outbound(destination([address]));
    const session = connect(plane);
    const stream = session.request({ ':path': '/long' });
    stream.on('error', () => {});
    await once(stream, 'data');
    stream.close(http2.constants.NGHTTP2_CANCEL);
    expect(await cancelled.promise).toBe(http2.constants.NGHTTP2_CANCEL);
    expect((await ask(session)).status).toBe(204);
    expect(sessions.size).toBe(1);
    expect(plane.runtime.inFlight).toBe(0);
  });

  test('an upstream that breaks off: 502 before its answer, RST_STREAM in the middle', async () => {
    const { address } = await server((stream, headers) => {
      if (headers[':path'] === '/head') stream.respond();
      if (headers[':path'] === '/head') stream.write('part');
      setImmediate(() => stream.destroy(new Error('broken')));
    });
    const session = connect(await outbound(destination([address])));
    const before = await ask(session);
    expect([before.status, before.headers['weir-proxy-error']]).toEqual([502, 'reset']);
    await expect(ask(session, { ':path': '/head' })).rejects.toThrow('NGHTTP2_INTERNAL_ERROR');
  });

  test('streams the server refuses unseen are sent again, POST too', async () => {
    let refused = 0;
    const { address } = await server((stream) => {
      if (refused < 2) {
        refused += 1;
        return stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
      }
      echo(stream, {});
    });
    const session = connect(await outbound(destination([address])));
    expect((await ask(session, { ':method': 'POST' }, 'twice')).body).toBe('twice');
    expect(refused).toBe(2);
  });

  test('GOAWAY of the server: requests go on over a new connection, none is lost', async () => {
    let served = 0;
    const { address } = await server((stream) => {
      served += 1;
      if (served % 10 === 0) stream.session!.goaway();
      stream.respond({ ':status': 200 });
      stream.end('ok');
    });
    const session = connect(await outbound(destination([address])));
    for (let round = 0; round < 20; round += 1) {
      const replies = await Promise.all(Array.from({ length: 5 }, () => ask(session)));
      expect(replies.map(({ body }) => body)).toEqual(Array(5).fill('ok'));
    }
  });

  test('an endpoint that refuses connections is passed over; with none left 502 says why', async () => {
    const { address } = await server(echo);
    const closed = net.createServer();
    await once(closed.listen(0, '127.0.0.1'), 'listening');
    const dead = `127.0.0.1:${(closed.address() as net.AddressInfo).port}`;
    closed.close();
    const session = connect(await outbound(destination([dead, address])));
    for (let n = 0; n < 10; n += 1) expect((await ask(session, { ':method': 'POST' }, 'x')).body).toBe('x');
    const other = connect(await outbound(destination([dead])));
    const reply = await ask(other, { ':method': 'POST' }, 'x');
    expect([reply.status, reply.headers['weir-proxy-error']]).toEqual([502, 'connect']);
  });

  test('policy: timeout, fault, retries', async () => {
    let tries = 0;
    const { address } = await server((stream, headers) => {
      if (headers[':path'] === '/never') return;
      tries += 1;
      stream.respond({ ':status': tries === 1 ? 500 : 200 }, { endStream: true });
    });
    const policy = { timeout: 100, retries: { max: 1, on: ['5xx' as const] } };
    const session = connect(await outbound(destination([address], { policy })));
    expect((await ask(session, { ':path': '/never' })).status).toBe(504);
    expect((await ask(session)).status).toBe(200);
    const faulty = { fault: { abort: { percent: 100, status: 418 } } };
    const other = connect(await outbound(destination([address], { policy: faulty })));
    expect((await ask(other)).status).toBe(418);
    const some = { fault: { ...faulty.fault, headers: [{ name: 'x-user', value: 'a' }] } };
    const concerned = connect(await outbound(destination([address], { policy: some })));
    const of = async (user: string) => (await ask(concerned, { 'x-user': user })).status;
    expect([await of('a'), await of('b'), (await ask(concerned)).status]).toEqual([418, 200, 200]);
  });

  test('policy: an attempt that takes too long goes to another endpoint, where that is safe', async () => {
    let asked = 0;
    const silent = await server(() => {
      asked += 1;
    });
    const quick = await server((stream) => stream.respond({ ':status': 200 }, { endStream: true }));
    const policy = { attemptTimeout: 1_500, retries: { max: 1, on: ['5xx' as const] } };
    const session = connect(await outbound(destination([silent.address, quick.address], { policy })));
    while (asked === 0) expect((await ask(session)).status).toBe(200);
    const alone = connect(await outbound(destination([silent.address], { policy })));
    const reply = await ask(alone, { ':method': 'POST' }, 'x');
    expect([reply.status, reply.headers['weir-proxy-error']]).toEqual([504, 'timeout']);
  });

  test('a client that does not read stops the server, and is cut off after the deadline alone', async () => {
    let written = 0;
    const { address } = await server((stream, headers) => {
      stream.respond();
      if (headers[':path'] === '/') {
        stream.end('ok');
        return;
      }
      const chunk = Buffer.alloc(65_536);
      const more = () => {
        while (!stream.destroyed && written < 64 * 1_048_576) {
          written += chunk.length;
          if (!stream.write(chunk)) {
            stream.once('drain', more);
            return;
          }
        }
      };
      more();
    });
    const plane = await outbound(destination([address]), { windowStall: 1_000 });
    const session = connect(plane);
    await once(session, 'connect');
    // The stream that is not read must not take the window of the whole connection.
    session.setLocalWindowSize(MiB.length);
    const stalled = session.request({ ':path': '/flood' });
    const closed = once(stalled, 'close');
    await once(stalled, 'response');
    expect((await ask(session)).body).toBe('ok');
    await closed;
    expect(stalled.rstCode).toBe(http2.constants.NGHTTP2_CANCEL);
    expect(written).toBeLessThan(4 * 1_048_576);
    expect((await ask(session)).body).toBe('ok');
  });

  test('a client that does not read holds up no other, though they share the connection to the server', async () => {
    const { address, sessions } = await server(
      (stream, headers) => {
        stream.respond();
        stream.end(headers[':path'] === '/' ? 'ok' : MiB);
      },
      { maxSessionMemory: 1_000 },
    );
    const plane = await outbound(destination([address]));
    const [idle, busy] = [connect(plane), connect(plane)];
    await once(idle, 'connect');
    idle.setLocalWindowSize(16 * MiB.length);
    const stalled = Array.from({ length: 40 }, () => idle.request({ ':path': '/large' }));
    await Promise.all(stalled.map((stream) => once(stream, 'response')));
    for (let n = 0; n < 5; n += 1)
      expect((await ask(busy, { ':path': '/large' })).body.length).toBe(MiB.length);
    expect(sessions.size).toBe(1);
    for (const stream of stalled) stream.close();
    expect((await ask(idle)).body).toBe('ok');
    while (plane.runtime.inFlight > 0) await new Promise(setImmediate);
    expect(plane.runtime.limits.http2.backlog.bytes).toBe(0);
  });

  test('a header block that does not become whole ends its connection at the deadline', async () => {
    const { address } = await server(echo);
    const client = new Client(await outbound(destination([address]), { headDeadline: 200 }));
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    client.socket.write(Buffer.concat([PREFACE, settings, Buffer.from([0, 0, 9, 1, 5, 0, 0, 0, 1, 0x82])]));
    expect(await client.closed()).toContain('a header block was not whole in time');
  });

  test('draining: GOAWAY, what is under way ends well, and the connection closes', async () => {
    const gate = Promise.withResolvers<void>();
    const { address } = await server((stream) => {
      stream.respond();
      void gate.promise.then(() => stream.end('done'));
    });
    const plane = await outbound(destination([address]));
    const session = connect(plane);
    const reply = ask(session);
    while (plane.runtime.inFlight === 0) await new Promise(setImmediate);
    const goaway = once(session, 'goaway');
    const drained = drain(plane, { grace: 6_000, minimum: 0, quiet: 0, clock: systemClock });
    await goaway;
    gate.resolve();
    expect((await reply).body).toBe('done');
    if (!session.destroyed) await once(session, 'close');
    await drained;
  });
});

describe('nothing is left behind', () => {
  /** A server that answers late, in pieces, with errors, or not at all, as the path says. */
  const unsteady: Serve = (stream, headers) => {
    const [, what, size] = String(headers[':path']).split('/');
    if (what === 'never') return;
    if (what === 'reset') return void stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    stream.resume();
    stream.respond({ ':status': what === 'error' ? 500 : 200 });
    stream.write(Buffer.alloc(Number(size)));
    if (what === 'half') return;
    setImmediate(() => stream.end());
  };

  test.each<[string, 'detect' | 'http1']>([
    ['HTTP/2 to HTTP/2', 'detect'],
    ['HTTP/2 to HTTP/1.1', 'http1'],
  ])('%s: clients that cancel, stall and disappear, servers that break off', async (_, protocol) => {
    const address =
      protocol === 'detect'
        ? (await server(unsteady)).address
        : await upstream((socket, request) => {
            const [, what, size] = request.split(' ')[1]?.split('/') ?? [];
            if (what === undefined || what === 'never') return;
            if (what === 'reset') return void socket.destroy();
            const status = what === 'error' ? 500 : 200;
            socket.write(`HTTP/1.1 ${status} X\r\nContent-Length: ${size}\r\n\r\n`);
            socket.write(Buffer.alloc(what === 'half' ? Number(size) >> 1 : Number(size)));
          });
    const plane = await outbound(destination([address], { protocol }));
    const random = seededRandom(7);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
    const sessions: http2.ClientHttp2Session[] = [];
    for (let round = 0; round < 12; round += 1) {
      const session = connect(plane);
      sessions.push(session);
      await once(session, 'connect');
      const streams = Array.from({ length: 30 }, () => {
        const path = `/${pick(['fine', 'fine', 'never', 'reset', 'error', 'half'])}/${pick([2, 1_000, 100_000, 600_000])}`;
        const post = random() < 0.4;
        const stream = session.request(
          { ':path': path, ':method': post ? 'POST' : 'GET' },
          { endStream: !post },
        );
        stream.on('error', () => {});
        if (post) stream.write(Buffer.alloc(pick([1, 5_000, 200_000])));
        if (post && random() < 0.7) stream.end();
        if (random() < 0.7) stream.resume();
        return stream;
      });
      await new Promise(setImmediate);
      for (const stream of streams) if (random() < 0.3) stream.close(http2.constants.NGHTTP2_CANCEL);
      await Promise.race(streams.map((stream) => once(stream, 'close')));
      if (random() < 0.5) session.destroy();
      else for (const stream of streams) stream.close(http2.constants.NGHTTP2_CANCEL);
    }
    // A stream whose body the server does not take is only reset once it is written: end it from outside.
    for (const session of sessions) session.destroy();
    const { runtime } = plane;
    const [endpoint] = plane.stacks[0]!.table.backends[0]!.endpoints;
    const left = () => runtime.inFlight + endpoint!.pending + runtime.connections;
    while (left() > 0) await new Promise(setImmediate);
    expect(runtime.limits.http2.backlog.bytes).toBe(0);
    expect((await ask(connect(plane), { ':path': '/fine/3' })).body.length).toBe(3);
    expect([runtime.inFlight, endpoint!.pending]).toEqual([0, 0]);
  });
});
