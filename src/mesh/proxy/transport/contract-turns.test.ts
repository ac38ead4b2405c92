/** What is written in one turn: whenever it leaves, nobody can tell the order apart from that of the calls. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { until } from '../until-fixtures.ts';
import { connecting, listening, onBoth, pair, pattern, rawClient } from './contract-fixtures.ts';

/** Bytes and the way in which they are written. */
const write = fc.record({
  size: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 4_000, max: 40_000 })),
  how: fc.constantFrom('write', 'copy', 'pair'),
  /** Which of the connections of this turn. */
  to: fc.nat(2),
});

onBoth((make) => {
  test('several connections, in whatever sizes and ways, and the end behind it', async () => {
    const transport = make();
    await fc.assert(
      fc.asyncProperty(
        fc.array(write, { minLength: 1, maxLength: 40 }),
        fc.boolean(),
        async (writes, close) => {
          const pairs = [await pair(transport), await pair(transport), await pair(transport)];
          const expected = pairs.map(() => [] as Buffer[]);
          pairs[0]!.server.on.data = () => {
            for (const [n, { size, how, to }] of writes.entries()) {
              const { connection } = pairs[to]!.server;
              const bytes = pattern(size, n + 1);
              expected[to]!.push(Buffer.from(bytes));
              if (how === 'write') connection.write(bytes);
              else if (how === 'copy') {
                connection.writeCopy(Buffer.concat([bytes, bytes]), size);
              } else connection.writePair(bytes.subarray(0, size >> 1), bytes.subarray(size >> 1));
            }
            for (const { server } of pairs) close ? server.connection.finish() : server.connection.end();
          };
          pairs[0]!.client.connection.write(Buffer.from('x'));
          await until(() => pairs.every(({ client }) => client.events.includes('end')));
          for (const [n, { client }] of pairs.entries())
            expect(Buffer.concat(client.chunks).equals(Buffer.concat(expected[n]!))).toBe(true);
          for (const { client, server } of pairs) {
            client.connection.destroy();
            server.connection.destroy();
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test('what was written before it was destroyed is not lost', async () => {
    const transport = make();
    const { client, server } = await pair(transport);
    server.on.data = () => {
      server.connection.write(Buffer.from('last words'));
      server.connection.destroy();
    };
    client.connection.write(Buffer.from('x'));
    await until(() => client.closed || client.events.includes('end'));
    expect(client.text).toBe('last words');
  });

  test('a peer that is gone closes its connection, and the others of the turn go on', async () => {
    const transport = make();
    const { next, port } = await listening(transport);
    const raw = await rawClient(port);
    const lost = await next();
    const client = connecting(transport, port);
    const server = await next();
    raw.write('x');
    await until(() => lost.text === 'x');
    // Not read from, it does not hear of the reset before it writes.
    lost.connection.pause();
    raw.resetAndDestroy();
    await until(() => raw.closed);
    server.on.data = () => {
      expect(lost.connection.write(Buffer.from('nobody'))).toBe(true);
      server.connection.write(Buffer.from('here'));
    };
    client.connection.write(Buffer.from('x'));
    await until(() => client.text === 'here' && lost.closed);
    expect(lost.count('close')).toBe(1);
  });

  test.each(['end', 'finish'] as const)(
    'a reset that shows by what was put off is told of, whatever comes behind it: %s',
    async (how) => {
      const transport = make();
      const { next, port } = await listening(transport);
      const raw = await rawClient(port);
      const lost = await next();
      const client = connecting(transport, port);
      const server = await next();
      server.on.data = () => {
        // In this very turn: it can hear of it by nothing but what it writes.
        raw.resetAndDestroy();
        lost.connection.write(Buffer.from('nobody'));
        lost.connection[how]();
      };
      client.connection.write(Buffer.from('x'));
      await until(() => lost.closed);
      expect(lost.events).toEqual(['close']);
      expect(['EPIPE', 'ECONNRESET']).toContain((lost.error as NodeJS.ErrnoException).code);
    },
  );
});
