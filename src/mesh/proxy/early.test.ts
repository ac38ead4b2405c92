/** Answers that come before all of the request has. */
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Destination } from '../discovery/model.ts';
import { Client, cleanUp, cleanups, destination, outbound, upstream } from './fixtures.ts';

afterEach(cleanUp);

/** More than the buffers of both ends take. */
const SIZE = 24 * 1_048_576;
const HEAD = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${SIZE}\r\n\r\n`;
const full = 'HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nfull';

/** A client that looks for the answer once it has sent all that it has to say, as many libraries do. */
async function stubborn(to: Destination): Promise<string> {
  const plane = await outbound(to);
  const client = new Client(plane);
  client.socket.pause();
  client.socket.write(HEAD);
  await new Promise<void>((resolve, reject) => {
    client.socket.write(Buffer.alloc(SIZE, 'x'), (error) => (error ? reject(error) : resolve()));
  });
  client.socket.resume();
  const text = await client.closed();
  client.socket.end();
  while (plane.runtime.connections > 0) await new Promise(setImmediate);
  return text;
}

describe('an answer that comes before all of the request reaches a client that first sends everything', () => {
  test('the proxy’s own', async () => {
    expect(await stubborn(destination([]))).toMatch(/^HTTP\/1.1 503 .*weir-proxy-error: no-endpoint/s);
  });

  test('the server’s', async () => {
    let answered = false;
    const address = await upstream((socket) => {
      if (answered) return;
      answered = true;
      socket.pause().end(full);
    });
    expect(await stubborn(destination([address], { protocol: 'http1' }))).toMatch(/^HTTP\/1.1 413 .*full$/s);
  });
});

// Node's own sockets end with the first write that fails, whatever there is to be read.
const reactor = process.env.WEIR_TRANSPORT === 'portable' ? test.skip : test;

reactor('a server that answers an upload early and closes without reading it is heard', async () => {
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.pause().write(full, () => socket.destroy()));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => void server.close());
  const { port } = server.address() as net.AddressInfo;
  for (let n = 0; n < 10; n += 1)
    expect(await stubborn(destination([`127.0.0.1:${port}`], { protocol: 'http1' }))).toMatch(
      /^HTTP\/1.1 413 /,
    );
});

test('a client that goes on sending after its answer is not listened to for ever', async () => {
  const plane = await outbound(destination([]), { linger: 500 });
  const client = new Client(plane);
  client.socket.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
  const more = () => {
    while (!client.socket.destroyed && client.socket.write(`10000\r\n${'x'.repeat(65_536)}\r\n`));
  };
  client.socket.on('drain', more);
  more();
  await client.until((text) => text.includes(' 503 '));
  const answered = performance.now();
  while (plane.runtime.connections > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(performance.now() - answered).toBeGreaterThan(400);
});
