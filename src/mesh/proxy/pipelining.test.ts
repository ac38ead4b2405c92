/** A client that sends requests ahead of their answers, many more than it is let. */
import { afterEach, expect, test } from '@jest/globals';
import { answer, Client, cleanUp, count, destination, GET, outbound, upstream } from './fixtures.ts';

afterEach(cleanUp);

const read = (metrics: string) =>
  Number(/^tcp_read_bytes_total\{direction="outbound",peer="src"[^}]*\} (\d+)/m.exec(metrics)?.[1]);

test('with each answer no more is read ahead than was there already', async () => {
  const SERVED = 50;
  let asked = 0;
  const address = await upstream((socket, text) => {
    for (let n = count(text, ' HTTP/1.1\r\n'); n > 0; n -= 1) {
      asked += 1;
      if (asked <= SERVED) socket.write(answer('fine'));
    }
  });
  const plane = await outbound(destination([address], { protocol: 'http1' }));
  const client = new Client(plane);
  client.socket.write(GET.repeat(300_000));
  await client.until((text) => count(text, 'fine') === SERVED);
  // 64 KiB, one read that goes beyond, and what was served.
  expect(read(plane.runtime.metrics.expose())).toBeLessThan(3 * 65_536);
});

test('every request is answered in the end, whatever the sizes of what comes ahead', async () => {
  const REQUESTS = 1_500;
  const address = await upstream((socket, text) => {
    for (let n = count(text, '!'); n > 0; n -= 1) socket.write(answer('fine'));
  });
  const plane = await outbound(destination([address], { protocol: 'http1' }));
  const client = new Client(plane);
  const post = (n: number) => {
    const body = `${'x'.repeat(n % 7 === 0 ? 2_000 : n % 40)}!`;
    return `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  };
  client.socket.write(Array.from({ length: REQUESTS }, (_, n) => post(n)).join(''));
  // And a body that is longer than all that is read ahead.
  const long = `${'x'.repeat(300_000)}!`;
  client.socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${long.length}\r\n\r\n${long}${GET}`);
  await client.until((text) => count(text, 'fine') === REQUESTS + 1);
});
