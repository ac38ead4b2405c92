/** Tunnels that an HTTP/2 client asks for (RFC 8441), by Node's own client: to servers of HTTP/1.1, of HTTP/2, over two hops. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';
import { WebSocket, WebSocketServer } from 'ws';
import { hops, inbound } from './hops-fixtures.ts';
import { cleanUp, cleanups, destination, outbound, upstream } from './proxy/fixtures.ts';
import { connect, http1, server } from './proxy/http2-fixtures.ts';
import type { DataPlane } from './proxy/proxy.ts';
import { until } from './proxy/until-fixtures.ts';

afterEach(cleanUp);

/** A client that knows that it may ask. */
async function ready(plane: DataPlane): Promise<http2.ClientHttp2Session> {
  const session = connect(plane);
  const [settings] = (await once(session, 'remoteSettings')) as [http2.Settings];
  expect(settings.enableConnectProtocol).toBe(true);
  return session;
}

const CONNECT = {
  ':method': 'CONNECT',
  ':protocol': 'websocket',
  ':scheme': 'http',
  ':authority': 'web',
  'sec-websocket-version': '13',
};
function ask(session: http2.ClientHttp2Session, headers: http2.OutgoingHttpHeaders = {}) {
  const stream = session.request({ ...CONNECT, ':path': '/chat', ...headers }, { endStream: false });
  stream.on('error', () => {});
  return stream;
}
async function answered(stream: http2.ClientHttp2Stream) {
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders & { ':status': number }];
  return headers;
}

/** A WebSocket over a stream that is a tunnel. */
function websocket(stream: http2.ClientHttp2Stream): WebSocket {
  const socket = new WebSocket(null as unknown as string, [], {});
  const within = socket as unknown as {
    _isServer: boolean;
    _closeTimeout: number;
    setSocket(stream: unknown, head: Buffer, options: object): void;
  };
  within._isServer = false;
  within._closeTimeout = 30_000;
  within.setSocket(stream, Buffer.alloc(0), { allowSynchronousEvents: true, maxPayload: 2 ** 26 });
  return socket;
}

/** A WebSocket server that echoes; what it was asked. */
async function echoServer() {
  const heads: http.IncomingMessage[] = [];
  const app = http.createServer((request, response) => {
    response.writeHead(request.url === '/plain' ? 200 : 401, { 'x-why': 'because' }).end('no tunnel');
  });
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'v2.chat' });
  app.on('upgrade', (request, socket, head) => {
    heads.push(request);
    if (request.url === '/refused' || request.url === '/plain') {
      const status = request.url === '/plain' ? '200 OK' : '401 Unauthorized';
      socket.end(`HTTP/1.1 ${status}\r\nX-Why: because\r\nContent-Length: 9\r\n\r\nno tunnel`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (each) => {
      each.on('error', () => {});
      each.on('message', (data, isBinary) => each.send(data, { binary: isBinary }));
      if (request.url === '/greet') each.send('server first');
    });
  });
  await once(app.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => {
    app.close();
    app.closeAllConnections();
    for (const each of sockets.clients) each.terminate();
  });
  return { heads, address: `127.0.0.1:${(app.address() as net.AddressInfo).port}` };
}

describe('to a server of HTTP/1.1', () => {
  const paths: [string, (address: string) => Promise<DataPlane>][] = [
    ['outbound', async (address) => outbound(http1(address))],
    [
      'inbound',
      async (address) =>
        inbound(address, {
          inbound: [{ listen: '127.0.0.1:0', forward: address, tls: 'off', protocol: 'http1' }],
        }),
    ],
    [
      'over two hops',
      async (address) => (await hops(address, destination([], { protocol: 'http1' }))).outbound,
    ],
  ];
  test.each(paths)('%s: WebSocket is an Upgrade there, and a tunnel here', async (_name, start) => {
    const { address, heads } = await echoServer();
    const plane = await start(address);
    const session = await ready(plane);
    const stream = ask(session, { 'sec-websocket-protocol': 'v2.chat', cookie: 'a=1', ':path': '/chat?x=1' });
    const headers = await answered(stream);
    expect([headers[':status'], headers['sec-websocket-protocol']]).toEqual([200, 'v2.chat']);
    for (const name of ['connection', 'upgrade', 'sec-websocket-accept'])
      expect(headers[name]).toBeUndefined();
    const { method, url, headers: seen } = heads[0]!;
    expect([method, url, seen.host, seen.upgrade, seen.cookie]).toEqual([
      'GET',
      '/chat?x=1',
      'web',
      'websocket',
      'a=1',
    ]);
    expect(Buffer.from(seen['sec-websocket-key']!, 'base64').length).toBe(16);
    const socket = websocket(stream);
    for (const size of [0, 1, 126, 70_000, 1_000_000]) {
      const said = randomBytes(size);
      const back = once(socket, 'message');
      socket.send(said);
      expect(((await back)[0] as Buffer).equals(said)).toBe(true);
    }
    expect(plane.runtime.inFlight).toBe(0);
    socket.close(1000, 'enough');
    expect((await once(socket, 'close'))[0]).toBe(1000);
    await until(() => stream.closed);
  });

  test('many on one connection, beside requests; the server may speak first', async () => {
    const { address } = await echoServer();
    const session = await ready(await outbound(http1(address)));
    const streams = Array.from({ length: 20 }, (_, n) =>
      ask(session, { ':path': n % 2 ? '/greet' : '/chat' }),
    );
    await Promise.all(
      streams.map(async (stream, n) => {
        expect((await answered(stream))[':status']).toBe(200);
        const socket = websocket(stream);
        if (n % 2) expect((await once(socket, 'message'))[0].toString()).toBe('server first');
        for (let round = 0; round < 5; round += 1) {
          socket.send(`${n}/${round}`);
          expect((await once(socket, 'message'))[0].toString()).toBe(`${n}/${round}`);
        }
        socket.terminate();
      }),
    );
    const plain = session.request({ ':path': '/' });
    expect((await answered(plain))[':status']).toBe(401);
  });

  test('a refusal is an answer as any other; an answer of 200 without an upgrade is not taken for a tunnel', async () => {
    const { address } = await echoServer();
    const plane = await outbound(http1(address));
    const session = await ready(plane);
    const refused = ask(session, { ':path': '/refused' });
    expect(await answered(refused)).toMatchObject({ ':status': 401, 'x-why': 'because' });
    expect((await buffer(refused)).toString()).toBe('no tunnel');
    const plain = ask(session, { ':path': '/plain' });
    expect(await answered(plain)).toMatchObject({ ':status': 502, 'weir-proxy-error': 'bad-response' });
    await until(() => plane.runtime.inFlight === 0);
    expect((await answered(ask(session)))[':status']).toBe(200);
  });

  test('a server that answers another key than ours is refused', async () => {
    const accept = createHash('sha1').update('another').digest('base64');
    const address = await upstream((socket) =>
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      ),
    );
    const session = await ready(await outbound(http1(address)));
    expect(await answered(ask(session))).toMatchObject({
      ':status': 502,
      'weir-proxy-error': 'bad-response',
    });
  });

  /** A tunnel of any protocol to a raw server. */
  async function raw() {
    const sockets: net.Socket[] = [];
    /** What they were sent after their request. */
    const seen: string[] = [];
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      const n = sockets.push(socket) - 1;
      let all = '';
      socket.on('data', (chunk: Buffer) => {
        all += chunk.toString('latin1');
        const [, rest] = all.split('\r\n\r\n');
        if (seen[n] === undefined && rest !== undefined)
          socket.write(
            'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: bytes\r\n\r\nearly',
          );
        seen[n] = rest ?? '';
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    cleanups.push(() => {
      server.close();
      for (const each of sockets) each.destroy();
    });
    const plane = await outbound(http1(`127.0.0.1:${(server.address() as net.AddressInfo).port}`));
    const session = await ready(plane);
    const stream = ask(session, { ':protocol': 'bytes' });
    return { plane, session, stream, sockets, seen };
  }

  test('half-close passes, each way; bytes that came with either head are there', async () => {
    const { stream, sockets, seen, plane } = await raw();
    stream.write('sent before the answer');
    expect((await answered(stream))[':status']).toBe(200);
    let got = '';
    stream.on('data', (chunk: Buffer) => {
      got += chunk.toString();
    });
    await until(() => got === 'early' && seen[0] === 'sent before the answer');
    const ended = once(sockets[0]!, 'end');
    stream.end('last');
    await ended;
    expect(seen[0]).toBe('sent before the answerlast');
    sockets[0]!.write('still');
    await until(() => got === 'earlystill');
    sockets[0]!.end();
    await until(() => stream.closed);
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_NO_ERROR);
    await until(() => plane.runtime.inFlight === 0);
  });

  test('a reset passes, each way', async () => {
    const { stream, sockets } = await raw();
    await answered(stream);
    sockets[0]!.resetAndDestroy();
    await until(() => stream.closed);
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_CANCEL);

    const other = await raw();
    await answered(other.stream);
    let error: NodeJS.ErrnoException | undefined;
    other.sockets[0]!.on('error', (each) => {
      error = each;
    });
    other.stream.close(http2.constants.NGHTTP2_CANCEL);
    // Node's client ends its half first: that it is all over shows when the server has something to say.
    await until(() => {
      other.sockets[0]!.write('x');
      return other.sockets[0]!.destroyed;
    });
    expect(['ECONNRESET', 'EPIPE']).toContain(error?.code);
  });

  test('a server that does not read holds back this tunnel alone', async () => {
    const { stream, sockets, seen, session } = await raw();
    await answered(stream);
    sockets[0]!.pause();
    // More than the kernel holds, less than Node's client lets wait (10 MB) before it refuses further requests.
    const body = Buffer.alloc(9_000_000, 'x');
    stream.end(body);
    const other = ask(session, { ':protocol': 'bytes' });
    expect((await answered(other))[':status']).toBe(200);
    sockets[0]!.resume();
    await until(() => seen[0]!.length === body.length);
  });
});

describe('to a server of HTTP/2', () => {
  const echo: Parameters<typeof server>[0] = (stream, headers) => {
    stream.on('error', () => {});
    if (headers[':path'] === '/refused') return stream.respond({ ':status': 403 }, { endStream: true });
    stream.respond({ ':status': 200, 'x-protocol': headers[':protocol'] as string });
    stream.pipe(stream);
  };
  const settings = { enableConnectProtocol: true };

  test.each(['one proxy', 'two'])('%s: end to end where it takes them', async (many) => {
    const { address } = await server(echo, { settings });
    const to = { protocol: 'http2' as const };
    const plane =
      many === 'two'
        ? (await hops(address, destination([], to))).outbound
        : await outbound(destination([address], to));
    const session = await ready(plane);
    for (let n = 0; n < 3; n += 1) {
      const stream = ask(session);
      expect(await answered(stream)).toMatchObject({ ':status': 200, 'x-protocol': 'websocket' });
      const sent = randomBytes(500_000);
      const back = buffer(stream);
      stream.write(sent.subarray(0, 100));
      stream.end(sent.subarray(100));
      expect((await back).equals(sent)).toBe(true);
      await until(() => stream.closed);
      expect(stream.rstCode).toBe(http2.constants.NGHTTP2_NO_ERROR);
    }
    const refused = ask(session, { ':path': '/refused' });
    expect((await answered(refused))[':status']).toBe(403);
    await until(() => plane.runtime.inFlight === 0);
  });

  test('501 where it does not, and the connection goes on', async () => {
    const { address } = await server(echo);
    const plane = await outbound(destination([address], { protocol: 'http2' }));
    const session = await ready(plane);
    expect((await answered(ask(session)))[':status']).toBe(501);
    const plain = session.request({ ':path': '/' });
    expect((await answered(plain))[':status']).toBe(200);
    plain.close();
  });

  test('a connection that ends before the server has said what it takes is none, and that is said at once', async () => {
    const address = await upstream((socket) => void socket.end());
    const plane = await outbound(destination([address], { protocol: 'http2' }), { bodyIdle: 5_000 });
    const session = await ready(plane);
    expect(await answered(ask(session))).toMatchObject({ ':status': 502, 'weir-proxy-error': 'reset' });
    await until(() => plane.runtime.inFlight === 0);
  });

  test('a server that says late what it takes has its tunnel; a client that did not wait for it is forgotten', async () => {
    const late: net.Socket[] = [];
    const { address } = await server(echo, { settings });
    const [host, port] = address.split(':');
    // Holds back what the server says first.
    const relay = await upstream((socket, text) => {
      const to = net.connect({ host, port: Number(port) });
      cleanups.push(() => void to.destroy());
      to.on('error', () => {});
      late.push(to);
      to.write(Buffer.from(text, 'latin1'));
      socket.removeAllListeners('data');
      socket.pipe(to);
      to.on('resumed', () => to.pipe(socket));
    });
    const plane = await outbound(destination([relay], { protocol: 'http2' }));
    const session = await ready(plane);
    const gone = ask(session);
    const stays = ask(session);
    await until(() => plane.runtime.inFlight === 2 && late.length === 1);
    gone.close(http2.constants.NGHTTP2_CANCEL);
    await until(() => plane.runtime.inFlight === 1);
    late[0]!.emit('resumed');
    expect((await answered(stays))[':status']).toBe(200);
    stays.destroy();
    await until(() => plane.runtime.inFlight === 0);
  });
});

test('a CONNECT without :protocol and a lane for a stranger are refused; no name of a protocol is malformed', async () => {
  const { address } = await echoServer();
  const session = await ready(await outbound(http1(address)));
  const plain = session.request({ ':method': 'CONNECT', ':authority': 'db:5432' }, { endStream: false });
  expect((await answered(plain))[':status']).toBe(501);
  expect((await answered(ask(session, { ':protocol': 'weir-http1' })))[':status']).toBe(501);
  const malformed = ask(session, { ':protocol': 'web socket' });
  await until(() => malformed.closed);
  expect(malformed.rstCode).toBe(http2.constants.NGHTTP2_PROTOCOL_ERROR);
});
