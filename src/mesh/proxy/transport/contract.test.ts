/** What every transport owes the protocols above it, whatever it is made of: bytes, back-pressure and the end of plain connections. */
import { once } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import { until } from '../until-fixtures.ts';
import {
  cleanups,
  connecting,
  listening,
  onBoth,
  pair,
  pattern,
  pour,
  Recorder,
  rawClient,
  rawServer,
} from './contract-fixtures.ts';

onBoth((make) => {
  describe('bytes', () => {
    test('go both ways, in order, also those written before the connection was there', async () => {
      const transport = make();
      const { next, port } = await listening(transport);
      const client = connecting(transport, port);
      client.connection.write(Buffer.from('one '));
      client.connection.writePair(Buffer.from('two '), Buffer.from('three '));
      client.connection.writeCopy(Buffer.from('four and what is not meant'), 4);
      const server = await next();
      await until(() => server.text === 'one two three four');
      server.connection.write(Buffer.from('back'));
      await until(() => client.text === 'back');
      expect(client.events).toEqual(['open', 'data']);
      expect(server.events).toEqual(['data']);
    });

    test('a MiB each way at once come out as they went in', async () => {
      const { client, server } = await pair(make());
      const [up, down] = [pattern(1_048_576, 3), pattern(1_048_576, 5)];
      pour(client, up, () => client.connection.end());
      pour(server, down, () => server.connection.end(), 300_000);
      await until(() => client.closed && server.closed);
      expect(Buffer.concat(server.chunks).equals(up)).toBe(true);
      expect(Buffer.concat(client.chunks).equals(down)).toBe(true);
      expect([client.error, server.error]).toEqual([undefined, undefined]);
    });

    test('may be passed on from inside `data`, and kept with `keep`', async () => {
      const transport = make();
      const kept: Buffer[] = [];
      const { next, port } = await listening(transport, {}, (server) => {
        server.on.data = (chunk) => {
          kept.push(server.connection.keep(chunk));
          server.connection.write(chunk);
        };
      });
      const client = connecting(transport, port);
      const sent = pattern(3 * 1_048_576);
      pour(client, sent, () => {});
      await next();
      await until(() => client.size === sent.length);
      expect(Buffer.concat(client.chunks).equals(sent)).toBe(true);
      expect(Buffer.concat(kept).equals(sent)).toBe(true);
    });

    test('given to `writeCopy` stay the caller’s, even when they have to wait', async () => {
      const { client, server } = await pair(make());
      server.connection.pause();
      const mine = Buffer.alloc(100_000);
      const sent: Buffer[] = [];
      let more = true;
      for (let n = 0; more; n += 1) {
        mine.fill(n);
        sent.push(Buffer.from(mine.subarray(0, 99_999)));
        more = client.connection.writeCopy(mine, 99_999);
      }
      mine.fill(0xff);
      server.connection.resume();
      await until(() => server.size === 99_999 * sent.length);
      expect(Buffer.concat(server.chunks).equals(Buffer.concat(sent))).toBe(true);
    });

    test('of a pair keep their order when not all of them leave', async () => {
      const { client, server } = await pair(make());
      server.connection.pause();
      const sent: Buffer[] = [];
      let more = true;
      for (let n = 1; more; n += 1) {
        const [first, second] = [pattern(777 * n, n), pattern(60_000, n + 1)];
        sent.push(first, second);
        more = client.connection.writePair(first, second);
      }
      server.connection.resume();
      await until(() => server.size === Buffer.concat(sent).length);
      expect(Buffer.concat(server.chunks).equals(Buffer.concat(sent))).toBe(true);
    });
  });

  test('a connection that is destroyed while it is accepted ends for its client too', async () => {
    const transport = make();
    const listener = await transport.listen(
      { host: '127.0.0.1', port: 0, tls: 'off', handshakeTimeout: 1000 },
      (connection) => {
        const handler = new Recorder();
        connection.destroy();
        return handler;
      },
    );
    cleanups.push(() => listener.close());
    const client = await rawClient(listener.port);
    client.on('error', () => {});
    client.resume();
    await Promise.race([once(client, 'end'), once(client, 'close')]);
  });

  describe('back-pressure', () => {
    test('a reader that does not read stops the writer, once, and little waits', async () => {
      const transport = make();
      const { next, port } = await listening(transport);
      const reader = await rawClient(port);
      reader.pause();
      const server = await next();
      const chunk = pattern(16_384);
      let written = 0;
      do written += chunk.length;
      while (server.connection.write(chunk) && written < 64 * 1_048_576);
      // The kernel takes some; what waits here is bounded by the mark and one chunk.
      expect(written).toBeLessThan(16 * 1_048_576);
      expect(server.events).toEqual([]);
      let got = 0;
      reader.on('data', (part: Buffer) => {
        got += part.length;
      });
      reader.resume();
      await until(() => got === written && server.count('drain') === 1);
      expect(server.events).toEqual(['drain']);
    });

    test('a hundred MiB through a slow reader take no memory', async () => {
      const transport = make();
      const { next, port } = await listening(transport);
      const reader = await rawClient(port);
      reader.pause();
      const server = await next();
      const piece = pattern(1_048_576);
      let left = 100;
      const more = () => {
        while (left > 0) {
          left -= 1;
          if (!server.connection.write(piece)) return;
        }
        server.connection.finish();
      };
      server.on.drain = more;
      const before = process.memoryUsage().arrayBuffers;
      more();
      let got = 0;
      let most = 0;
      while (got < 100 * 1_048_576) {
        const part = reader.read() as Buffer | null;
        got += part?.length ?? 0;
        most = Math.max(most, process.memoryUsage().arrayBuffers - before);
        if (part === null) await new Promise(setImmediate);
      }
      // Of what has been read, Node frees the memory when it gets round to it: less than all of it is what counts.
      expect(most).toBeLessThan(80 * 1_048_576);
    });

    test('paused, a connection hears of nothing; resumed, of everything', async () => {
      const { client, server } = await pair(make());
      server.connection.pause();
      client.connection.write(Buffer.from('abc'));
      client.connection.end();
      // Another connection goes all the way: what the paused one could have heard, it would have.
      const other = await pair(make());
      other.client.connection.write(Buffer.from('x'));
      await until(() => other.server.text === 'x');
      expect(server.events).toEqual([]);
      server.connection.resume();
      await until(() => server.events.includes('end'));
      expect([server.text, server.events]).toEqual(['abc', ['data', 'end']]);
    });

    test('pausing inside `data` holds back the next', async () => {
      const { client, server } = await pair(make());
      server.on.data = () => server.connection.pause();
      pour(client, pattern(1_048_576), () => {});
      let pieces = 0;
      while (server.size < 1_048_576) {
        await until(() => server.chunks.length === pieces + 1);
        pieces += 1;
        await new Promise(setImmediate);
        expect(server.chunks.length).toBe(pieces);
        server.connection.resume();
      }
    });
  });

  describe('the end', () => {
    test('either half may go first, and both gone the connection is', async () => {
      for (const first of ['client', 'server'] as const) {
        const both = await pair(make());
        const [one, two] = first === 'client' ? [both.client, both.server] : [both.server, both.client];
        one.connection.write(Buffer.from('last words'));
        one.connection.end();
        await until(() => two.events.includes('end'));
        expect(two.text).toBe('last words');
        two.connection.write(Buffer.from('an answer all the same'));
        await until(() => one.text === 'an answer all the same');
        expect(one.closed || two.closed).toBe(false);
        two.connection.end();
        await until(() => one.closed && two.closed);
        expect([one.count('close'), two.count('close'), one.error, two.error]).toEqual([
          1,
          1,
          undefined,
          undefined,
        ]);
        // Nothing after the end, whatever is asked.
        expect(one.connection.write(Buffer.from('too late'))).toBe(true);
        one.connection.destroy();
        one.connection.finish();
        await new Promise(setImmediate);
        expect(one.count('close')).toBe(1);
      }
    });

    test('finish lets everything leave and does not wait for the peer', async () => {
      const transport = make();
      const { next, port } = await listening(transport);
      const reader = await rawClient(port);
      const server = await next();
      const sent = pattern(4 * 1_048_576);
      server.connection.write(Buffer.from(sent));
      server.connection.finish();
      const got: Buffer[] = [];
      reader.on('data', (part: Buffer) => got.push(part));
      await once(reader, 'end');
      expect(Buffer.concat(got).equals(sent)).toBe(true);
      await until(() => server.closed);
      expect([server.count('close'), server.error]).toEqual([1, undefined]);
    });

    test('a reset is an error, told once', async () => {
      const { next, port } = await listening(make());
      const raw = await rawClient(port);
      const server = await next();
      raw.resetAndDestroy();
      await until(() => server.closed);
      expect(server.events).toEqual(['close']);
      expect((server.error as NodeJS.ErrnoException).code).toBe('ECONNRESET');
    });

    test('so is writing to somebody who has gone', async () => {
      const { next, port } = await listening(make());
      const raw = await rawClient(port);
      const server = await next();
      server.on.end = () => {};
      raw.destroy();
      await until(() => server.events.includes('end'));
      while (!server.closed) {
        server.connection.write(Buffer.from('anybody there?'));
        await new Promise(setImmediate);
      }
      expect(['EPIPE', 'ECONNRESET']).toContain((server.error as NodeJS.ErrnoException).code);
      expect(server.count('close')).toBe(1);
    });

    test('destroyed inside any callback, a connection says nothing more but that it is closed', async () => {
      const transport = make();
      for (const event of ['open', 'data', 'drain', 'end'] as const) {
        const port = await rawServer((socket) => {
          socket.write('some data');
          socket.on('data', () => {});
          if (event === 'end') socket.end();
        });
        const client = connecting(transport, port);
        let inside = true;
        client.on[event] = () => {
          client.connection.destroy();
          // Not from inside the call.
          inside = client.closed;
        };
        if (event === 'drain') for (let n = 0; client.connection.write(pattern(65_536)) && n < 500; n += 1);
        await until(() => client.closed);
        expect(inside).toBe(false);
        expect(client.events.slice(-2)).toEqual([event, 'close']);
        expect([client.count('close'), client.error]).toEqual([1, undefined]);
      }
    });

    test('what a handler throws ends its connection and no other', async () => {
      const transport = make();
      const { next, port } = await listening(transport);
      const [bad, good] = [connecting(transport, port), connecting(transport, port)];
      const servers = [await next(), await next()];
      for (const server of servers) {
        server.on.data = (chunk) => {
          if (chunk.toString() === 'bad') throw new Error('a fault');
          server.connection.write(chunk);
        };
      }
      bad.connection.write(Buffer.from('bad'));
      await until(
        () => bad.events.includes('end') && servers.some(({ error }) => error?.message === 'a fault'),
      );
      good.connection.write(Buffer.from('good'));
      await until(() => good.text === 'good');
    });

    test('handlers change hands in the middle', async () => {
      const { client, server } = await pair(make());
      const later = new Recorder();
      server.on.data = () => {
        server.connection.handler = later;
      };
      client.connection.write(Buffer.from('first'));
      await until(() => server.text === 'first');
      client.connection.write(Buffer.from('second'));
      await until(() => later.text === 'second');
      client.connection.destroy();
      await until(() => later.events.at(-1) === 'end' || later.closed);
      later.connection = server.connection;
      later.connection.destroy();
      await until(() => later.closed);
      expect(server.events).toEqual(['data']);
    });
  });
});
