/** What passes a proxy as if it were not there: outbound, inbound, and through both with mutual TLS between them. */
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { hops, inbound } from './hops-fixtures.ts';
import {
  answer,
  Client,
  cleanUp,
  cleanups,
  count,
  destination,
  outbound,
  upstream,
} from './proxy/fixtures.ts';
import type { DataPlane } from './proxy/proxy.ts';

afterEach(cleanUp);

const paths: [string, (app: string) => Promise<DataPlane>][] = [
  ['outbound', (app) => outbound(destination([app]))],
  ['inbound', (app) => inbound(app)],
  ['two hops', async (app) => (await hops(app)).outbound],
];

/** A server whose connections are the test's: `serve` gets each with what came so far, whenever more comes. */
async function app(serve: (socket: net.Socket, all: string, chunk: string) => void) {
  const all = new Map<net.Socket, string>();
  return upstream((socket, chunk) => {
    const text = (all.get(socket) ?? '') + chunk;
    all.set(socket, text);
    serve(socket, text, chunk);
  });
}

/** Answers every request with its own head. */
const mirror = () =>
  app((socket, _all, chunk) => {
    socket.write(answer(chunk));
  });

describe.each(paths)('%s', (_, path) => {
  test('a server that speaks first', async () => {
    const server = net.createServer((socket) => {
      socket.write('220 ready\r\n');
      socket.on('error', () => {});
      socket.on('data', (chunk) => socket.end(`250 ${chunk}`));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    cleanups.push(() => void server.close());
    const client = new Client(await path(`127.0.0.1:${(server.address() as net.AddressInfo).port}`));
    await client.until((text) => text === '220 ready\r\n');
    client.socket.write('EHLO a\r\n');
    expect(await client.closed()).toBe('220 ready\r\n250 EHLO a\r\n');
  });

  test.each([
    ['with Host', 'GET /a HTTP/1.0\r\nHost: h\r\n'],
    ['without Host', 'GET /a HTTP/1.0\r\nX: y\r\n'],
  ])('HTTP/1.0 %s', async (_name, head) => {
    const client = new Client(await path(await mirror()));
    client.socket.write(`${head}\r\n`);
    // The version and what it lacks stay; the answer's end is that of the connection.
    const text = await client.closed();
    expect(text.slice(text.indexOf('\r\n\r\n') + 4)).toContain(head);
    expect(count(text.toLowerCase(), 'host:')).toBe(head.includes('Host') ? 1 : 0);
  });

  test('HTTP/1.0 with keep-alive is served, and closed', async () => {
    const client = new Client(await path(await mirror()));
    client.socket.write('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    expect(await client.closed()).toMatch(/^HTTP\/1\.1 200 [\s\S]*connection: close\r\n/i);
  });

  test.each([
    ['http://other:81/p?q', 'other:81'],
    ['HTTP://OTHER', 'OTHER'],
    ['http://other?q', 'other'],
    ['http://[::1]:8/', '[::1]:8'],
  ])('RFC 9112 3.2.2: Host of %s comes from the target', async (target, host) => {
    const client = new Client(await path(await mirror()));
    client.socket.write(`GET ${target} HTTP/1.1\r\nHost: mine\r\nX: y\r\n\r\n`);
    const text = await client.until((all) => /x: y[\s\S]*\r\n\r\n/i.test(all));
    const seen = text.slice(text.indexOf('\r\n\r\n') + 4);
    expect(seen).toMatch(new RegExp(`^GET ${target.replace(/[?[\]]/g, '\\$&')} HTTP/1\\.1\r\n`));
    expect([...seen.matchAll(/^host: (.*)\r$/gim)].map(([, value]) => value)).toEqual([host]);
  });

  test('an absolute target that Host agrees with is not touched; one that hides a host is refused', async () => {
    const plane = await path(await mirror());
    const client = new Client(plane);
    client.socket.write('GET http://A/p HTTP/1.1\r\nhOsT: a\r\n\r\n');
    await client.until((all) => all.includes('GET http://A/p HTTP/1.1\r\nhOsT: a\r\n'));
    for (const target of ['http://a@b/', 'http:///p', 'http://?q']) {
      const other = new Client(plane);
      other.socket.write(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
      expect(await other.closed()).toMatch(/^HTTP\/1\.1 400 /);
    }
  });

  test('an upgrade to h2c ends at the first proxy', async () => {
    const client = new Client(await path(await mirror()));
    client.socket.write(
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nX: y\r\n\r\n',
    );
    const text = await client.until((all) => all.includes('X: y'));
    expect(text).not.toMatch(/upgrade|http2-settings/i);
  });

  test('responses without a body: HEAD, 204, 304, length 0; each is the next one’s beginning', async () => {
    const replies: Record<string, string> = {
      '/head': 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n',
      '/chunked': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
      '/204': 'HTTP/1.1 204 No Content\r\n\r\n',
      '/304': 'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: "x"\r\n\r\n',
      '/empty': 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      '/none': 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n',
    };
    const seen: string[] = [];
    const address = await app((socket, _all, chunk) => {
      const target = chunk.split(' ')[1]!;
      seen.push(target);
      socket.write(replies[target]!);
    });
    const client = new Client(await path(address));
    let expected = '';
    for (const [target, reply] of Object.entries(replies)) {
      const method = target === '/head' || target === '/chunked' ? 'HEAD' : 'GET';
      client.socket.write(`${method} ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
      expected += reply;
      await client.until((text) => text.length >= expected.length);
    }
    expect(client.text).toBe(expected);
    expect(seen).toEqual(Object.keys(replies));
  });

  test('length 0 of a request stays, and none does not become one', async () => {
    const client = new Client(await path(await mirror()));
    client.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n');
    await client.until((all) => all.includes('POST'));
    expect(client.text).toContain('Host: a\r\nContent-Length: 0\r\n');
    client.text = '';
    client.socket.write('POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n');
    const text = await client.until((all) => all.includes('X: y'));
    expect(count(text.toLowerCase(), 'content-length')).toBe(1);
  });

  test('a response that ends with its connection comes whole', async () => {
    const body = 'x'.repeat(300_000);
    const address = await app((socket) => socket.end(`HTTP/1.1 200 OK\r\n\r\n${body}`));
    const client = new Client(await path(address));
    client.socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const text = await client.closed();
    expect(text.slice(text.indexOf('\r\n\r\n') + 4)).toBe(body);
    expect(client.broken).toBe(false);
  });

  test('an answer before the request is whole comes at once, and neither connection is used again', async () => {
    const sockets = new Set<net.Socket>();
    const address = await app((socket, all, chunk) => {
      sockets.add(socket);
      if (chunk.includes('/again')) socket.write(answer('again'));
      else if (all === chunk) socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig');
    });
    const plane = await path(address);
    const client = new Client(plane);
    client.socket.write('POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin');
    const text = await client.closed();
    expect(text).toMatch(/^HTTP\/1\.1 413 [\s\S]*connection: close\r\n[\s\S]*big$/i);
    const next = new Client(plane);
    next.socket.write('GET /again HTTP/1.1\r\nHost: a\r\n\r\n');
    await next.until((all) => all.endsWith('again'));
    expect(sockets.size).toBe(2);
  });

  test('100-continue is the server’s to say, and so is its refusal', async () => {
    const address = await app((socket, _all, chunk) => {
      if (chunk.startsWith('POST /no')) socket.write('HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n');
      else if (chunk.startsWith('POST')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      else socket.write(answer(chunk));
    });
    const plane = await path(address);
    const client = new Client(plane);
    client.socket.write('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
    await client.until((text) => text === 'HTTP/1.1 100 Continue\r\n\r\n');
    client.socket.write('body');
    await client.until((text) => text.endsWith(answer('body')));
    const refused = new Client(plane);
    refused.socket.write('POST /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
    // Whether the body still comes is not known: this connection cannot go on.
    expect(await refused.closed()).toMatch(/^HTTP\/1\.1 417 [\s\S]*connection: close/i);
  });

  describe('a reset', () => {
    /** Answers with `head`, and resets when asked for more. */
    async function breaking(head: string) {
      const sockets: net.Socket[] = [];
      const address = await app((socket) => {
        sockets.push(socket);
        socket.write(head);
      });
      return { address, reset: () => sockets[0]!.resetAndDestroy() };
    }

    test.each([
      ['with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart'],
      ['in chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n'],
      ['that ends with its connection', 'HTTP/1.1 200 OK\r\n\r\npart'],
    ])('by the server breaks a body %s', async (_name, head) => {
      const { address, reset } = await breaking(head);
      const client = new Client(await path(address));
      client.socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await client.until((text) => text.includes('part'));
      reset();
      const text = await client.closed();
      expect(text).toMatch(/part(\r\n)?$/);
      // An orderly end would be the end of the message where nothing else tells it.
      await client.gone;
      expect(client.broken).toBe(true);
    });

    test('by the server resets a tunnel', async () => {
      const { address, reset } = await breaking('strange');
      const client = new Client(await path(address));
      client.socket.write('\x01\x02');
      await client.until((text) => text === 'strange');
      reset();
      await client.gone;
      expect(client.broken).toBe(true);
    });

    test.each([
      ['request', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', ''],
      ['body', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart', ''],
      ['response', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart'],
      ['tunnel', '\x01\x02', 'hello'],
    ])('by the client in its %s reaches the server', async (_name, send, reply) => {
      const closed = Promise.withResolvers<void>();
      const begun = Promise.withResolvers<void>();
      const address = await app((socket) => {
        socket.write(reply);
        socket.on('close', () => closed.resolve());
        socket.on('end', () => closed.resolve());
        begun.resolve();
      });
      const plane = await path(address);
      const client = new Client(plane);
      client.socket.write(send);
      await begun.promise;
      if (reply) await client.until((text) => text.includes(reply.slice(-4)));
      client.socket.resetAndDestroy();
      await closed.promise;
      while (plane.runtime.connections + plane.runtime.inFlight > 0) await new Promise(setImmediate);
    });
  });
});
