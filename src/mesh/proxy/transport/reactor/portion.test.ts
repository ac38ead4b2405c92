import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cleanups, connecting, listening, until } from '../contract-fixtures.ts';
import { LEAST, MOST, portionAfter, SHARE } from './portion.ts';
import { ReactorTransport, reactorMachine } from './reactor.ts';

describe('what is handled at a time', () => {
  test('is never less than the least nor more than the most, and shrinks only by what took too long', () => {
    const read = fc.record({ share: fc.double({ min: 0.1, max: 1 }), took: fc.double({ min: 0, max: 50 }) });
    fc.assert(
      fc.property(fc.array(read), (reads) => {
        let portion = MOST;
        for (const { share, took } of reads) {
          const next = portionAfter(portion, Math.ceil(portion * share), took);
          expect(next).toBeGreaterThanOrEqual(LEAST);
          expect(next).toBeLessThanOrEqual(MOST);
          if (next < portion) expect(took).toBeGreaterThan(SHARE);
          portion = next;
        }
      }),
    );
  });

  test('comes down to the least in five steps, and back in five', () => {
    let portion = MOST;
    for (let n = 0; n < 5; n += 1) portion = portionAfter(portion, portion, 10);
    expect(portion).toBe(LEAST);
    for (let n = 0; n < 5; n += 1) portion = portionAfter(portion, portion, 0.05);
    expect(portion).toBe(MOST);
  });
});

const machine = reactorMachine();
const here = 'reason' in machine ? describe.skip : describe;

here('a connection whose bytes are dear', () => {
  const transport = 'reason' in machine ? undefined! : new ReactorTransport(machine);
  test('is read in small portions, between which others have their turn, and in large ones again when they are not', async () => {
    const { next, port } = await listening(transport);
    const dear = connecting(transport, port);
    const server = await next();
    const other = connecting(transport, port);
    const otherServer = await next();
    await until(() => dear.events.includes('open') && other.events.includes('open'));
    /** Bytes of the dear one between two of the other one's. */
    let [since, most, heard] = [0, 0, 0];
    let cheap = false;
    let largest = 0;
    server.on.data = ({ length }) => {
      since += length;
      if (cheap) {
        largest = Math.max(largest, length);
        return;
      }
      // Half a millisecond for each KiB.
      const end = performance.now() + length / 2_048;
      while (performance.now() < end);
    };
    otherServer.on.data = () => {
      heard += 1;
      // The first of them came before anybody knew what the others cost.
      if (heard > 10) most = Math.max(most, since);
      since = 0;
      otherServer.connection.write(Buffer.from('pong'));
    };
    other.on.data = () => void other.connection.write(Buffer.from('ping'));
    const piece = Buffer.alloc(65_536);
    const pour = () => {
      while (dear.connection.write(Buffer.from(piece)));
    };
    dear.on.drain = pour;
    other.connection.write(Buffer.from('ping'));
    pour();
    await until(() => heard >= 60);
    // A turn of each way, and those that were going on.
    expect(most).toBeLessThanOrEqual(4 * LEAST);
    cheap = true;
    await until(() => largest > MOST / 2);
    for (const { connection } of [dear, other]) connection.destroy();
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    await until(() => !('reason' in machine) && machine.loop.counts.sockets === 0);
  });
});
