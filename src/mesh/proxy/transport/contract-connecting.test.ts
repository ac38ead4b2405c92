/** The rest of the contract: connecting, listening and turns. */
import net from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { until } from '../until-fixtures.ts';
import {
  cleanups,
  connecting,
  listening,
  onBoth,
  pair,
  type Recorder,
  rawClient,
  rawServer,
} from './contract-fixtures.ts';

onBoth((make) => {
  describe('connecting and listening', () => {
    test('a refused connection is an error, later, and never was open', async () => {
      const transport = make();
      const port = await rawServer(() => {});
      for (const cleanup of cleanups.splice(0)) await cleanup();
      const client = connecting(transport, port);
      expect(client.events).toEqual([]);
      await until(() => client.closed);
      expect(client.events).toEqual(['close']);
      expect((client.error as NodeJS.ErrnoException).code).toBe('ECONNREFUSED');
      expect(client.error!.message).toContain(`ECONNREFUSED 127.0.0.1:${port}`);
    });

    test('destroyed while it is being made, it closes and is not opened', async () => {
      const transport = make();
      const { port } = await listening(transport);
      const client = connecting(transport, port);
      client.connection.write(Buffer.from('never'));
      client.connection.destroy();
      expect(client.events).toEqual([]);
      await until(() => client.closed);
      expect(client.events).toEqual(['close']);
    });

    test('ended while it is being made, it still says what it had to say', async () => {
      const transport = make();
      const { next, port } = await listening(transport);
      const client = connecting(transport, port);
      client.connection.write(Buffer.from('hello and goodbye'));
      client.connection.finish();
      const server = await next();
      await until(() => server.events.includes('end'));
      expect(server.text).toBe('hello and goodbye');
      await until(() => client.closed);
    });

    test('names and IPv6', async () => {
      const transport = make();
      const { next, port } = await listening(transport, { host: '::' });
      for (const host of ['localhost', '::1', '127.0.0.1']) {
        const client = connecting(transport, port, { host });
        client.connection.write(Buffer.from(host));
        const server = await next();
        await until(() => server.text === host);
      }
      const nobody = connecting(transport, port, { host: 'nobody.invalid' });
      await until(() => nobody.closed);
      expect(nobody.error?.message).toMatch(/ENOTFOUND|EAI_AGAIN/);
    });

    test('a port that is taken', async () => {
      const transport = make();
      const { port } = await listening(transport);
      await expect(listening(transport, { port })).rejects.toThrow(/EADDRINUSE/);
    });

    test('a listener that has closed keeps its connections; who is not accepted is closed', async () => {
      const transport = make();
      const { listener, next, port } = await listening(transport);
      const client = connecting(transport, port);
      const server = await next();
      listener.close();
      client.connection.write(Buffer.from('still here'));
      await until(() => server.text === 'still here');
      const late = connecting(transport, port);
      await until(() => late.closed);
      expect((late.error as NodeJS.ErrnoException).code).toBe('ECONNREFUSED');
      const closed = await transport.listen(
        { host: '127.0.0.1', port: 0, tls: 'off', handshakeTimeout: 1_000 },
        () => undefined,
      );
      cleanups.push(() => closed.close());
      const unwanted = await rawClient(closed.port);
      unwanted.resume();
      await until(() => unwanted.readableEnded || unwanted.destroyed);
    });
  });

  describe('turns', () => {
    test('afterTurn comes later, once, and what it writes leaves', async () => {
      const transport = make();
      const { client, server } = await pair(transport);
      let called = 0;
      server.on.data = () => {
        transport.afterTurn(() => {
          called += 1;
          server.connection.write(Buffer.from('flushed'));
        });
        expect(called).toBe(0);
      };
      client.connection.write(Buffer.from('x'));
      await until(() => client.text === 'flushed');
      expect(called).toBe(1);
      // And from outside of any event.
      transport.afterTurn(() => {
        called += 1;
      });
      expect(called).toBe(1);
      await until(() => called === 2);
    });

    test('timers and promises run beside traffic that never stops', async () => {
      const transport = make();
      const { client, server } = await pair(transport);
      server.on.data = (chunk) => void server.connection.write(chunk);
      client.on.data = (chunk) => void client.connection.write(chunk);
      for (let n = 0; n < 32; n += 1) client.connection.write(Buffer.from('round and round'));
      let [ticks, promises] = [0, 0];
      const timer = setInterval(() => {
        ticks += 1;
        void Promise.resolve().then(() => {
          promises += 1;
        });
      }, 1);
      cleanups.push(() => clearInterval(timer));
      const before = client.size;
      await until(() => ticks >= 20 && promises >= 20);
      expect(client.size).toBeGreaterThan(before);
    });
  });

  test('hundreds of connections that end in every way close once each', async () => {
    const transport = make();
    const { peers, port } = await listening(transport, {}, (server) => {
      server.on.data = (chunk) => void server.connection.write(chunk);
      server.on.end = () => server.connection.end();
    });
    const clients: Recorder[] = [];
    const raws: net.Socket[] = [];
    for (let n = 0; n < 300; n += 1) {
      const way = n % 6;
      if (way === 5) {
        const raw = net.connect({ port, host: '127.0.0.1' }, () => {
          raw.write('x');
          raw.resetAndDestroy();
        });
        raw.on('error', () => {});
        raws.push(raw);
        continue;
      }
      const client = connecting(transport, port);
      clients.push(client);
      client.connection.write(Buffer.from('ping'));
      if (way === 0) client.connection.destroy();
      if (way === 1) client.connection.end();
      if (way === 2) client.connection.finish();
      if (way === 3) client.on.data = () => client.connection.destroy();
      if (way === 4) client.on.data = () => client.connection.end();
    }
    await until(() => clients.every(({ closed }) => closed) && raws.every(({ destroyed }) => destroyed));
    await until(() => peers.every(({ closed }) => closed));
    for (const each of [...clients, ...peers]) expect(each.count('close')).toBe(1);
  });
});
