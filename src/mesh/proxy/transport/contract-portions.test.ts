/** A connection whose bytes are dear leaves the others their turn, on both transports. */
import { Buffer } from 'node:buffer';
import { expect, test } from '@jest/globals';
import { until } from '../until-fixtures.ts';
import { connecting, listening, onBoth } from './contract-fixtures.ts';
import { LEAST, MOST } from './portion.ts';

onBoth((make) => {
  test('what is dear is handled in small portions, between which others have their turn, and in large ones again when it is not', async () => {
    const transport = make();
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
  });
});
