import { afterEach, describe, expect, test } from '@jest/globals';
import { setTimeout as after } from 'node:timers/promises';
import { answer, Client, cleanUp, count, destination, GET, outbound, upstream } from './fixtures.ts';

afterEach(cleanUp);

/** How many of `times` requests, one after the other and each on a connection of its own, had an answer of 200. */
async function good(plane: Awaited<ReturnType<typeof outbound>>, times: number): Promise<number> {
  let fine = 0;
  for (let n = 0; n < times; n += 1) {
    const client = new Client(plane);
    client.socket.write(GET);
    await client.until((text) => /\r\n\r\n/.test(text));
    if (client.text.includes(' 200 ')) fine += 1;
    client.socket.destroy();
  }
  return fine;
}

describe('an endpoint that takes requests and never answers', () => {
  const silent = () => {};

  test('is not the one that looks quickest', async () => {
    const plane = await outbound(
      destination([await upstream(silent), await upstream((socket) => socket.write(answer('ok')))], {
        policy: { timeout: 60 },
      }),
    );
    // Two random ones of two: the better one of both is asked each time, once both are known.
    expect(await good(plane, 20)).toBeGreaterThanOrEqual(18);
  });

  test('makes an attempt at another one look no slower than it was', async () => {
    let asked = 0;
    const plane = await outbound(
      destination(
        [
          await upstream(() => {
            asked += 1;
          }),
          await upstream((socket) => socket.write(answer('ok'))),
        ],
        { policy: { attemptTimeout: 60, retries: { max: 1, on: ['5xx'] } } },
      ),
    );
    expect(await good(plane, 20)).toBe(20);
    expect(asked).toBeLessThanOrEqual(2);
  });

  test('… nor where its clients give up', async () => {
    let asked = 0;
    const plane = await outbound(
      destination([
        await upstream(() => {
          asked += 1;
        }),
        await upstream((socket) => socket.write(answer('ok'))),
      ]),
    );
    for (let n = 0; n < 20; n += 1) {
      const client = new Client(plane);
      client.socket.write(GET);
      await Promise.race([client.until((text) => count(text, 'ok') === 1), after(60)]);
      client.socket.resetAndDestroy();
      await client.gone;
    }
    expect(asked).toBeLessThanOrEqual(3);
  });
});
