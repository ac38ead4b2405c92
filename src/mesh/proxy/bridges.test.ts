import { once } from 'node:events';
import http2 from 'node:http2';
import type net from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { answer, Client, cleanUp, destination, outbound, upstream } from './fixtures.ts';
import { ask, connect, echo, grpc, http1, MiB, server } from './http2-fixtures.ts';

afterEach(cleanUp);

describe('HTTP/2 to a server of HTTP/1.1', () => {
  test('the message is written out: authority, cookies, lengths, chunks', async () => {
    const seen: string[] = [];
    const address = await upstream((socket, request) => {
      seen.push(request);
      if (request.includes('\r\n\r\n')) socket.write(answer('ok'));
    });
    const session = connect(await outbound(http1(address)));
    const reply = await ask(session, {
      ':authority': 'a:1',
      ':path': '/p',
      cookie: ['a=b', 'c=d'],
      te: 'trailers',
      x: 'y',
    });
    expect([reply.status, reply.body]).toEqual([200, 'ok']);
    expect(seen[0]).toBe('GET /p HTTP/1.1\r\nhost: a:1\r\nx: y\r\ncookie: a=b; c=d\r\n\r\n');
    await ask(session, { ':method': 'POST', ':authority': 'a:1', 'content-length': 3 }, 'abc');
    expect(seen.slice(1).join('')).toBe('POST / HTTP/1.1\r\nhost: a:1\r\ncontent-length: 3\r\n\r\nabc');
  });

  test('chunks, trailers, HEAD, no content, and bodies that end with the connection', async () => {
    const address = await upstream((socket, request) => {
      const path = request.split(' ')[1];
      if (path === '/chunked')
        socket.write(
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: z\r\n\r\n',
        );
      else if (path === '/eof') socket.end('HTTP/1.1 200 OK\r\n\r\nuntil the end');
      else if (request.startsWith('HEAD')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n');
      else socket.write('HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n');
    });
    const session = connect(await outbound(http1(address)));
    expect(await ask(session, { ':path': '/chunked' })).toMatchObject({
      body: 'abcde',
      trailers: { 'x-t': 'z' },
    });
    expect((await ask(session, { ':path': '/eof' })).body).toBe('until the end');
    expect((await ask(session, { ':method': 'HEAD' })).headers['content-length']).toBe('5');
    const none = await ask(session);
    expect([none.status, none.headers['keep-alive'], none.headers.connection]).toEqual([
      204,
      undefined,
      undefined,
    ]);
  });

  test('1 MiB each way, many at a time', async () => {
    const address = await upstream((socket, chunk) => {
      const state = socket as net.Socket & { seen?: number };
      state.seen = (state.seen ?? 0) + chunk.length;
      if (state.seen < MiB.length) return;
      state.seen = 0;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${MiB.length}\r\n\r\n`);
      socket.write(MiB);
    });
    const plane = await outbound(http1(address));
    const session = connect(plane);
    const replies = await Promise.all(
      Array.from({ length: 5 }, () => ask(session, { ':method': 'POST', 'content-length': MiB.length }, MiB)),
    );
    for (const { body } of replies) expect(body === MiB.toString()).toBe(true);
    expect(plane.runtime.connections).toBe(1);
  });

  test('cancelling, and errors of the proxy', async () => {
    const closed = Promise.withResolvers<void>();
    const address = await upstream((socket) => {
      socket.on('end', () => closed.resolve());
      socket.on('close', () => closed.resolve());
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart');
    });
    const session = connect(await outbound(http1(address)));
    const stream = session.request({ ':path': '/' });
    stream.on('error', () => {});
    await once(stream, 'data');
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await closed.promise;
    const other = connect(await outbound(destination([], { protocol: 'http1' })));
    const reply = await ask(other);
    expect([reply.status, reply.headers['weir-proxy-error']]).toEqual([503, 'no-endpoint']);
    expect((await ask(other, grpc, 'x')).headers['grpc-status']).toBe('14');
  });
});

describe('HTTP/1.1 to a server of HTTP/2', () => {
  const to = (address: string) => destination([address], { protocol: 'http2' });

  test('keep-alive over streams of one connection; lengths, chunks, trailers', async () => {
    const { address, sessions } = await server(echo);
    const client = new Client(await outbound(to(address)));
    client.socket.write('GET /a HTTP/1.1\r\nHost: h\r\n\r\n');
    const first = await client.until((all) => all.endsWith('0\r\nx-seen: none\r\n\r\n'));
    expect(first).toContain('HTTP/1.1 200 \r\nx-path: /a\r\nx-method: GET\r\n');
    client.text = '';
    client.socket.write(
      'POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sent: yes\r\n\r\n',
    );
    await client.until((all) => all.endsWith('\r\n\r\n3\r\nabc\r\n0\r\nx-seen: yes\r\n\r\n'));
    client.text = '';
    client.socket.write(`PUT /c HTTP/1.1\r\nHost: h\r\nContent-Length: ${MiB.length}\r\n\r\n`);
    client.socket.write(MiB);
    await client.until((all) => all.length > MiB.length && all.endsWith('x-seen: none\r\n\r\n'));
    expect(sessions.size).toBe(1);
  });

  test('HEAD, 204, errors, and connections that could not be made', async () => {
    const { address } = await server((stream, headers) => {
      if (headers[':path'] === '/break') return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      const status = headers[':method'] === 'HEAD' ? 200 : 204;
      stream.respond(
        { ':status': status, ...(status === 200 ? { 'content-length': 7 } : {}) },
        { endStream: true },
      );
    });
    const client = new Client(await outbound(to(address)));
    client.socket.write('HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await client.until((all) => all.includes('content-length: 7') && all.includes('HTTP/1.1 204'));
    client.socket.write('POST /break HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n');
    await client.until((all) => all.includes('weir-proxy-error: reset'));
    const other = new Client(await outbound(to('127.0.0.1:1')));
    other.socket.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await other.until((all) => all.includes('HTTP/1.1 502') && all.includes('weir-proxy-error: connect'));
  });

  test('a client that reads slowly slows the server', async () => {
    let written = 0;
    const { address } = await server((stream) => {
      stream.respond({ 'content-length': 64 * MiB.length });
      const more = () => {
        while (!stream.destroyed && written < 64 * MiB.length) {
          written += MiB.length;
          if (!stream.write(MiB)) {
            stream.once('drain', more);
            return;
          }
        }
      };
      more();
    });
    const client = new Client(await outbound(to(address)));
    client.socket.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await client.until((all) => all.includes('\r\n\r\n'));
    client.socket.pause();
    let last = -1;
    while (last !== written) {
      last = written;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(written).toBeLessThan(32 * MiB.length);
    client.socket.resume();
    await client.until((all) => all.length > 64 * MiB.length);
  });
});
