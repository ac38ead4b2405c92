import { afterEach, expect, test } from '@jest/globals';
import { answer, Client, cleanUp, count, destination, outbound, upstream } from './fixtures.ts';

afterEach(cleanUp);

const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi';
const IDLE = 60;

test('a connection whose time in the pool is over serves no request, even one that comes at that moment', async () => {
  const address = await upstream((socket) => void socket.write(answer('ok')));
  const client = new Client(await outbound(destination([address]), { pooledIdle: IDLE }));
  for (let round = 1; round <= 5; round += 1) {
    client.socket.write(POST);
    await client.until((text) => count(text, '\r\n\r\nok') === 2 * round - 1);
    // Both at once when the loop goes on: the connection's time is over, and then the request is read.
    await new Promise(setImmediate);
    client.socket.write(POST);
    const until = performance.now() + IDLE + 60;
    while (performance.now() < until);
    await client.until((text) => count(text, '\r\n\r\nok') === 2 * round || text.includes('502'));
    expect(client.text).not.toContain('502');
  }
});
