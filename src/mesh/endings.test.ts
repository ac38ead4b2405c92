/** The end of one side as the other sees it, whatever lies between: an orderly one stays so, and what broke off never looks whole. */
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { hops } from './hops-fixtures.ts';
import { Client, cleanUp, cleanups, destination, outbound, upstream } from './proxy/fixtures.ts';
import { connect, ENDLESS, frame, http1, server } from './proxy/http2-fixtures.ts';
import { FLAG, FRAME } from './proxy/protocol/http2/frames.ts';
import type { DataPlane } from './proxy/proxy.ts';
import { until } from './proxy/until-fixtures.ts';

afterEach(cleanUp);

/** One connection as its server sees it. */
interface Seen {
  socket: net.Socket;
  text: string;
  ended: boolean;
  broken: boolean;
}

/** A server that says nothing by itself. */
async function silent() {
  const seen: Seen[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const each: Seen = { socket, text: '', ended: false, broken: false };
    seen.push(each);
    socket.on('data', (chunk) => {
      each.text += chunk.toString('latin1');
    });
    socket.on('end', () => {
      each.ended = true;
    });
    socket.on('error', () => {
      each.broken = true;
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => {
    server.close();
    for (const { socket } of seen) socket.destroy();
  });
  /** The connection on which this was asked for. */
  const asked = async (text: string): Promise<Seen> => {
    await until(() => seen.some((each) => each.text.includes(text)));
    return seen.find((each) => each.text.includes(text))!;
  };
  return { address: `127.0.0.1:${(server.address() as net.AddressInfo).port}`, asked };
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`;

const ways: [string, (address: string) => Promise<DataPlane>][] = [
  ['through one proxy', async (address) => outbound(http1(address))],
  [
    'over mutual TLS',
    async (address) => (await hops(address, destination([], { protocol: 'http1' }))).outbound,
  ],
  [
    'in a lane',
    async (address) => {
      const planes = await hops(address);
      // So many without an answer that what comes with them shares a connection.
      for (let n = 1; n <= 9; n += 1) {
        new Client(planes.outbound).socket.write(get('/held'));
        if (n === 1 || n === 9) await until(() => planes.inbound.runtime.inFlight === n);
      }
      const [endpoint] = planes.outbound.stacks[0]!.table.backends[0]!.endpoints;
      expect(endpoint!.http2.live()).toBeDefined();
      return planes.outbound;
    },
  ],
];

const HALVES: [string, string][] = [
  ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'],
  ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
];
const OPEN = 'HTTP/1.1 200 OK\r\n\r\nhalf';

describe.each(ways)('%s', (_way, start) => {
  test.each(HALVES)('an answer with %s that ends too early is broken off', async (_how, head) => {
    for (const end of ['end', 'resetAndDestroy'] as const) {
      const { address, asked } = await silent();
      const client = new Client(await start(address));
      client.socket.write(get('/half'));
      const { socket } = await asked('/half');
      socket.write(head);
      await client.until((text) => text.includes('half'));
      socket[end]();
      await client.gone;
      expect(client.broken).toBe(true);
    }
  });

  test('one that ends with its connection is whole by an orderly end, and by no other', async () => {
    for (const end of ['end', 'resetAndDestroy'] as const) {
      const { address, asked } = await silent();
      const client = new Client(await start(address));
      client.socket.write(get('/open'));
      const { socket } = await asked('/open');
      socket.write(OPEN);
      await client.until((text) => text.includes('half'));
      socket[end]();
      await client.gone;
      expect(client.broken).toBe(end === 'resetAndDestroy');
    }
  });

  test.each([
    ['a length', 'Content-Length: 10\r\n\r\nhalf'],
    ['chunks', 'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
  ])('a request with %s whose client goes is broken off', async (_how, head) => {
    for (const end of ['end', 'resetAndDestroy'] as const) {
      const { address, asked } = await silent();
      const plane = await start(address);
      const before = plane.runtime.inFlight;
      const client = new Client(plane);
      client.socket.write(`POST /upload HTTP/1.1\r\nHost: web\r\n${head}`);
      const server = await asked('half');
      client.socket[end]();
      await until(() => server.ended || server.broken);
      expect([server.broken, server.ended]).toEqual([true, false]);
      await until(() => plane.runtime.inFlight === before);
    }
  });

  test('a client that has only half-closed gets its answer', async () => {
    const { address, asked } = await silent();
    const client = new Client(await start(address));
    client.socket.end(get('/last'));
    const { socket } = await asked('/last');
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    expect(await client.closed()).toMatch(/ok$/);
    expect(client.broken).toBe(false);
  });

  test('a tunnel passes on an end as an end and a reset as a reset', async () => {
    const { address, asked } = await silent();
    const plane = await start(address);
    const open = async (path: string) => {
      const client = new Client(plane);
      client.socket.write(`GET ${path} HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n`);
      const server = await asked(path);
      server.socket.write('HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
      await client.until((text) => text.includes('101'));
      return { client, server };
    };
    const half = await open('/a');
    half.client.socket.end('last');
    await until(() => half.server.ended);
    expect(half.server.text).toMatch(/last$/);
    half.server.socket.end('words');
    expect(await half.client.closed()).toMatch(/words$/);
    expect([half.client.broken, half.server.broken]).toEqual([false, false]);
    const up = await open('/b');
    up.client.socket.resetAndDestroy();
    await until(() => up.server.ended || up.server.broken);
    expect([up.server.broken, up.server.ended]).toEqual([true, false]);
    const down = await open('/c');
    down.server.socket.resetAndDestroy();
    await down.client.gone;
    expect(down.client.broken).toBe(true);
  });
});

describe('bytes over mutual TLS', () => {
  async function tunnel() {
    const { address, asked } = await silent();
    const { outbound: plane } = await hops(address, destination([], { protocol: 'tcp' }));
    const client = new Client(plane);
    client.socket.write('hello\r\n');
    return { client, server: await asked('hello'), plane };
  }

  test('each half ends by itself', async () => {
    const { client, server, plane } = await tunnel();
    client.socket.end('last');
    await until(() => server.ended);
    expect(server.text).toBe('hello\r\nlast');
    server.socket.end('words');
    expect(await client.closed()).toBe('words');
    expect([client.broken, server.broken]).toEqual([false, false]);
    await until(() => plane.runtime.connections === 0);
  });

  test('the server first', async () => {
    const { client, server, plane } = await tunnel();
    server.socket.end('words');
    expect(await client.closed()).toBe('words');
    client.socket.end('last');
    await until(() => server.ended);
    expect([server.text, server.broken]).toEqual(['hello\r\nlast', false]);
    await until(() => plane.runtime.connections === 0);
  });

  test('a reset is one at the other end', async () => {
    const up = await tunnel();
    up.client.socket.resetAndDestroy();
    await until(() => up.server.ended || up.server.broken);
    expect([up.server.broken, up.server.ended]).toEqual([true, false]);
    const down = await tunnel();
    down.server.socket.resetAndDestroy();
    await down.client.gone;
    expect(down.client.broken).toBe(true);
    await until(() => up.plane.runtime.connections + down.plane.runtime.connections === 0);
  });
});

/** One of its own would be an attacker's, or the kernel's for a proxy that was killed (RFC 8446, 6.1). */
const strict = process.env.WEIR_TRANSPORT === 'portable' ? test.skip : test;

strict('an end of TCP below TLS, without close_notify, is no end of what TLS carries', async () => {
  for (const protocol of ['tcp', 'http1'] as const) {
    const { address, asked } = await silent();
    const to = destination([], { protocol });
    const { inbound, outbound: plane } = await hops(address, to);
    const between: net.Socket[] = [];
    const relay = net.createServer({ allowHalfOpen: true }, (near) => {
      const far = net.connect({ port: inbound.ports[0]!, host: '127.0.0.1', allowHalfOpen: true });
      for (const [from, into] of [
        [near, far],
        [far, near],
      ] as const) {
        from.on('data', (chunk) => into.write(chunk));
        from.on('error', () => into.destroy());
      }
      between.push(near, far);
    });
    await once(relay.listen(0, '127.0.0.1'), 'listening');
    cleanups.push(() => {
      relay.close();
      for (const socket of between) socket.destroy();
    });
    const [endpoint] = to.backends[0]!.endpoints;
    const relayed = { ...endpoint!, address: `127.0.0.1:${(relay.address() as net.AddressInfo).port}` };
    plane.route(to.key, { ...to, backends: [{ ...to.backends[0]!, endpoints: [relayed] }] });
    const client = new Client(plane);
    client.socket.write(get('/open'));
    const server = await asked('/open');
    server.socket.write(OPEN);
    await client.until((text) => text.includes('half'));
    for (const socket of between) socket.end();
    await client.gone;
    await until(() => server.broken || server.ended);
    expect([protocol, client.broken, server.broken]).toEqual([protocol, true, true]);
  }
});

describe('a client of HTTP/2 before a server of HTTP/1.1', () => {
  test.each([...HALVES, ['its connection as the end', OPEN]] as [string, string][])(
    'an answer with %s that breaks off',
    async (_how, head) => {
      for (const end of ['end', 'resetAndDestroy'] as const) {
        if (head === OPEN && end === 'end') continue;
        const { address, asked } = await silent();
        const stream = connect(await outbound(http1(address))).request({ ':path': '/half' });
        stream.on('error', () => {});
        const { socket } = await asked('/half');
        socket.write(head);
        await once(stream, 'data');
        socket[end]();
        await until(() => stream.closed);
        expect(stream.rstCode).toBe(http2.constants.NGHTTP2_INTERNAL_ERROR);
      }
    },
  );

  test('a request that its client breaks off', async () => {
    const { address, asked } = await silent();
    const plane = await outbound(http1(address));
    const session = connect(plane);
    for (const end of ['stream', 'connection']) {
      const stream = session.request({ ':path': `/${end}`, ':method': 'POST' });
      stream.on('error', () => {});
      stream.write('half');
      const server = await asked(`/${end}`);
      await until(() => server.text.includes('half'));
      if (end === 'stream') stream.close(http2.constants.NGHTTP2_CANCEL);
      else session.destroy();
      await until(() => server.ended || server.broken);
      expect([server.broken, server.ended]).toEqual([true, false]);
      await until(() => plane.runtime.inFlight === 0);
    }
  });
});

describe('a server of HTTP/2', () => {
  /** One that answers half, and what it has been asked for. */
  async function half() {
    const streams: http2.ServerHttp2Stream[] = [];
    const { address, sessions } = await server((stream) => {
      streams.push(stream);
      stream.respond({ ':status': 200 });
      stream.write('half');
    });
    const asked = async () => {
      await until(() => streams.length > 0);
      return streams.shift()!;
    };
    return { plane: await outbound(destination([address], { protocol: 'http2' })), asked, sessions };
  }
  /** A server in frames, since Node's own ends a stream before it resets it. */
  async function raw() {
    const sockets: net.Socket[] = [];
    const address = await upstream((socket) => {
      if (sockets.push(socket) > 1) return;
      const body = frame(FRAME.data, 0, 1, Buffer.from('half'));
      socket.write(
        Buffer.concat([ENDLESS, frame(FRAME.headers, FLAG.endHeaders, 1, Buffer.from([0x88])), body]),
      );
    });
    return { plane: await outbound(destination([address], { protocol: 'http2' })), sockets };
  }
  const breaks: [string, (socket: net.Socket) => void][] = [
    ['its stream', (socket) => void socket.write(frame(FRAME.rstStream, 0, 1, Buffer.from([0, 0, 0, 2])))],
    ['its connection', (socket) => void socket.end()],
    ['both by a reset', (socket) => void socket.resetAndDestroy()],
  ];

  test.each(breaks)('that breaks off %s', async (_what, end) => {
    const one = await raw();
    const client = new Client(one.plane);
    client.socket.write(get('/'));
    await client.until((text) => text.includes('half'));
    end(one.sockets[0]!);
    await client.gone;
    expect(client.broken).toBe(true);

    const two = await raw();
    const stream = connect(two.plane).request({ ':path': '/' });
    stream.on('error', () => {});
    await once(stream, 'data');
    end(two.sockets[0]!);
    await until(() => stream.closed);
    expect(stream.rstCode).not.toBe(http2.constants.NGHTTP2_NO_ERROR);
    await until(() => one.plane.runtime.inFlight + two.plane.runtime.inFlight === 0);
  });

  test('hears of a client that is gone by a reset of its stream alone', async () => {
    const { plane, asked, sessions } = await half();
    const stays = connect(plane).request({ ':path': '/' });
    stays.on('error', () => {});
    await asked();
    const client = new Client(plane);
    client.socket.write('POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\nhalf');
    const first = await asked();
    await client.until((text) => text.includes('half'));
    client.socket.resetAndDestroy();
    await until(() => first.closed);
    expect(first.rstCode).toBe(http2.constants.NGHTTP2_CANCEL);
    const session = connect(plane);
    const stream = session.request({ ':path': '/', ':method': 'POST' });
    stream.on('error', () => {});
    stream.write('half');
    const second = await asked();
    await once(stream, 'data');
    session.destroy();
    await until(() => second.closed);
    expect(second.rstCode).toBe(http2.constants.NGHTTP2_CANCEL);
    await until(() => plane.runtime.inFlight === 1);
    expect([stays.closed, sessions.size]).toEqual([false, 1]);
  });
});
