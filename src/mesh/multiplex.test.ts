import http from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { hops, ID } from './hops-fixtures.ts';
import { answer, Client, cleanUp, cleanups, upstream } from './proxy/fixtures.ts';

afterEach(cleanUp);

describe('HTTP/1.1 between two proxies', () => {
  test('one request at a time takes a connection of its own; many share one and come out as HTTP/1.1', async () => {
    const gate = Promise.withResolvers<void>();
    const heads: string[] = [];
    let waiting = 0;
    const app = await upstream((socket, text) => {
      heads.push(text);
      waiting += 1;
      const [, path] = text.split(' ');
      if (path === '/alone') return void socket.write(answer('alone'));
      void gate.promise.then(() => socket.write(answer(path!)));
    });
    const { inbound, outbound } = await hops(app);
    const first = new Client(outbound);
    first.socket.write('GET /alone HTTP/1.1\r\nHost: web\r\n\r\n');
    await first.until((all) => all.endsWith('alone'));
    expect(inbound.runtime.connections).toBe(1);

    const clients = Array.from({ length: 40 }, () => new Client(outbound));
    for (const [n, client] of clients.entries())
      client.socket.write(`GET /${n} HTTP/1.1\r\nHost: web\r\n\r\n`);
    while (waiting < 41) await new Promise(setImmediate);
    expect(inbound.runtime.connections).toBeLessThan(8);
    gate.resolve();
    for (const [n, client] of clients.entries()) await client.until((all) => all.endsWith(`\r\n\r\n/${n}`));

    for (const head of heads) {
      expect(head).toMatch(/ HTTP\/1\.1\r\nhost: web\r\n/i);
      expect(head).toContain(`weir-client-id: ${ID}\r\n`);
      expect(head).not.toContain('weir-original-version');
    }
    for (const client of clients) {
      client.text = '';
      client.socket.write('GET /alone HTTP/1.1\r\nHost: web\r\n\r\n');
    }
    for (const client of clients) await client.until((all) => all.endsWith('alone'));
  });

  test('bodies both ways, with and without a length, under load', async () => {
    const server = http.createServer((request, response) => {
      if (request.headers['content-length'])
        response.setHeader('content-length', request.headers['content-length']);
      request.pipe(response);
    });
    // For the same reason: the server must not close what the proxy is just about to use.
    server.keepAliveTimeout = 0;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => {
      server.closeAllConnections();
      server.close();
    });
    const { outbound, inbound } = await hops(`127.0.0.1:${(server.address() as { port: number }).port}`);
    const agent = new http.Agent({ keepAlive: true });
    cleanups.push(() => agent.destroy());
    const ask = (size: number, chunked: boolean) =>
      new Promise<string>((resolve, reject) => {
        const body = Buffer.alloc(size, `${size}-`);
        const headers: http.OutgoingHttpHeaders = chunked ? {} : { 'content-length': size };
        const options = { agent, port: outbound.ports[0], host: '127.0.0.1', method: 'POST', headers };
        const request = http.request(options, (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part) => parts.push(part));
          response.on('end', () => {
            const all = Buffer.concat(parts);
            resolve(all.equals(body) ? 'same' : `${response.statusCode}: ${all.toString('latin1', 0, 99)}`);
          });
          response.on('error', reject);
        });
        request.on('error', reject);
        // Twice, so that a body without a length cannot get one.
        request.write(body.subarray(0, size >> 1));
        request.end(body.subarray(size >> 1));
      });
    expect(await ask(10, false)).toBe('same');
    for (let round = 0; round < 3; round += 1) {
      const asked = Array.from({ length: 24 }, (_, n) =>
        ask([10, 1_000, 70_000, 400_000][n % 4]! + n, n % 3 === 0),
      );
      expect(await Promise.all(asked)).toEqual(Array(24).fill('same'));
    }
    expect(inbound.runtime.inFlight + outbound.runtime.inFlight).toBe(0);
    expect(outbound.runtime.metrics.expose()).not.toMatch(/classification="failure"/);
  });

  test('a proxy that drains ends lanes that wait, then their connection, and no request is lost', async () => {
    const app = await upstream((socket, text) => {
      for (const path of text.matchAll(/GET (\S+)/g)) socket.write(answer(path[1]!));
    });
    const { inbound, outbound } = await hops(app);
    const warm = new Client(outbound);
    warm.socket.write('GET /warm HTTP/1.1\r\nHost: web\r\n\r\n');
    await warm.until((all) => all.endsWith('/warm'));
    const clients = Array.from({ length: 30 }, () => new Client(outbound));
    const ask = async (path: string) => {
      for (const client of clients) client.socket.write(`GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`);
      for (const client of clients) await client.until((all) => all.endsWith(path));
    };
    await ask('/first');
    inbound.runtime.draining = true;
    while (inbound.runtime.connections > 0) {
      inbound.closeIdle();
      await new Promise(setImmediate);
    }
    await ask('/second');
    expect(outbound.runtime.metrics.expose()).not.toMatch(/classification="failure"/);
  });

  test('an upgrade keeps its own connection', async () => {
    const app = await upstream((socket, text) => {
      if (text.startsWith('GET /ws')) {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
      } else if (text.startsWith('GET')) return;
      else socket.write(text);
    });
    const { outbound } = await hops(app);
    const warm = new Client(outbound);
    warm.socket.write('GET / HTTP/1.1\r\nHost: web\r\n\r\n');
    const held = Array.from({ length: 8 }, () => new Client(outbound));
    for (const client of held) client.socket.write('GET / HTTP/1.1\r\nHost: web\r\n\r\n');
    while (outbound.runtime.inFlight < 9) await new Promise(setImmediate);
    const client = new Client(outbound);
    client.socket.write('GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    await client.until((all) => all.includes('101'));
    client.socket.write('through the tunnel');
    await client.until((all) => all.endsWith('through the tunnel'));
  });

  test('a client that goes away ends its stream alone', async () => {
    const gone = Promise.withResolvers<void>();
    let asked = 0;
    const app = await upstream((socket, text) => {
      if (text.includes('/gone')) {
        asked += 1;
        socket.on('end', () => gone.resolve());
        socket.on('close', () => gone.resolve());
      } else socket.write(answer('fine'));
    });
    const { outbound } = await hops(app);
    const warm = new Client(outbound);
    warm.socket.write('GET / HTTP/1.1\r\nHost: web\r\n\r\n');
    await warm.until((all) => all.endsWith('fine'));
    const clients = Array.from({ length: 10 }, () => new Client(outbound));
    for (const client of clients) client.socket.write('GET /gone HTTP/1.1\r\nHost: web\r\n\r\n');
    while (asked < 10) await new Promise(setImmediate);
    clients[9]!.socket.resetAndDestroy();
    await gone.promise;
    warm.text = '';
    warm.socket.write('GET / HTTP/1.1\r\nHost: web\r\n\r\n');
    await warm.until((all) => all.endsWith('fine'));
    expect(outbound.runtime.inFlight).toBe(9);
  });
});
