/** Bodies and streams long enough to go through unseen: they are framed, counted and timed as any other. */
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { Client, cleanUp, cleanups, count, destination, outbound, upstream } from './fixtures.ts';
import type { DataPlane } from './proxy.ts';
import { until } from './until-fixtures.ts';

afterEach(cleanUp);

const SIZE = 5_000_000;
const BODY = Buffer.alloc(SIZE, 'abcdefghijk');
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const HEAD = `HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`;
const POST = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${SIZE}\r\n\r\n`;
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** The proxy's counter of bytes for one side. */
function bytes(plane: DataPlane, what: 'read' | 'write', peer: 'src' | 'dst'): number {
  const text = plane.runtime.metrics.expose();
  const line = text
    .split('\n')
    .find((each) => each.startsWith(`tcp_${what}_bytes_total{`) && each.includes(`peer="${peer}"`));
  return Number(line?.split(' ').at(-1));
}

/** Reads `socket` until so many bytes have come; returns them. */
async function take(socket: net.Socket, size: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  while (length < size) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    chunks.push(chunk);
    length += chunk.length;
  }
  return Buffer.concat(chunks);
}

function client(plane: DataPlane): net.Socket {
  const socket = net.connect({ port: plane.ports[0]!, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {});
  cleanups.push(() => void socket.destroy());
  return socket;
}

test('long responses one after the other over one connection, each whole, and every byte counted', async () => {
  let connections = 0;
  const seen = new Set<net.Socket>();
  const address = await upstream((socket, text) => {
    if (!seen.has(socket)) connections += 1;
    seen.add(socket);
    for (let n = count(text, '\r\n\r\n'); n > 0; n -= 1) {
      socket.write(HEAD);
      socket.write(BODY);
    }
  });
  const plane = await outbound(destination([address]));
  const socket = client(plane);
  for (let n = 0; n < 3; n += 1) {
    socket.write(GET);
    const got = await take(socket, HEAD.length + SIZE);
    expect(got.subarray(0, HEAD.length).toString()).toBe(HEAD);
    expect(got.subarray(HEAD.length).equals(BODY)).toBe(true);
  }
  expect(connections).toBe(1);
  const whole = 3 * (HEAD.length + SIZE);
  expect([bytes(plane, 'read', 'dst'), bytes(plane, 'write', 'src')]).toEqual([whole, whole]);
  expect(plane.runtime.inFlight).toBe(0);
});

test('two pipelined requests with long bodies reach the server whole, and every byte is counted', async () => {
  const received: Buffer[] = [];
  let length = 0;
  let answered = 0;
  const one = POST.length + SIZE;
  const address = await upstream(() => {});
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk);
      length += chunk.length;
      while (length >= (answered + 1) * one) {
        answered += 1;
        socket.write(OK);
      }
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => void server.close());
  expect(address).toBeTruthy();
  const plane = await outbound(destination([`127.0.0.1:${(server.address() as net.AddressInfo).port}`]));
  const socket = client(plane);
  socket.write(Buffer.concat([Buffer.from(POST), BODY, Buffer.from(POST), BODY]));
  const got = await take(socket, 2 * OK.length);
  expect(got.toString()).toBe(OK + OK);
  const all = Buffer.concat(received);
  expect(all.equals(Buffer.concat([Buffer.from(POST), BODY, Buffer.from(POST), BODY]))).toBe(true);
  expect([bytes(plane, 'read', 'src'), bytes(plane, 'write', 'dst')]).toEqual([2 * one, 2 * one]);
});

test('a response that ends too early breaks the connection, and the next one is served', async () => {
  let first = true;
  const address = await upstream((socket) => {
    socket.write(HEAD);
    if (first) socket.end(BODY.subarray(0, SIZE - 1));
    else socket.write(BODY);
    first = false;
  });
  const plane = await outbound(destination([address]));
  const broken = new Client(plane);
  broken.socket.write(GET);
  const text = await broken.closed();
  expect(text.length).toBeLessThan(HEAD.length + SIZE);
  expect(plane.runtime.metrics.causes.get('reset')).toBe(1);
  const socket = client(plane);
  socket.write(GET);
  expect((await take(socket, HEAD.length + SIZE)).length).toBe(HEAD.length + SIZE);
});

test('a server that says more than it announced has its connection closed, and the client does not see it', async () => {
  const address = await upstream((socket) => {
    socket.write(HEAD);
    socket.write(Buffer.concat([BODY, Buffer.from('HTTP/1.1 200 OK\r\n\r\n')]));
  });
  const plane = await outbound(destination([address]));
  const socket = client(plane);
  for (let n = 0; n < 2; n += 1) {
    socket.write(GET);
    expect((await take(socket, HEAD.length + SIZE)).equals(Buffer.concat([Buffer.from(HEAD), BODY]))).toBe(
      true,
    );
  }
});

test('a client that stops reading in the middle of a long response is let go, and so is the server', async () => {
  let closed = 0;
  const address = await upstream((socket) => {
    socket.on('close', () => {
      closed += 1;
    });
    socket.write(HEAD.replace(String(SIZE), String(100 * SIZE)));
    for (let n = 0; n < 100; n += 1) socket.write(BODY);
  });
  const plane = await outbound(destination([address]), { bodyIdle: 300 });
  const socket = client(plane);
  socket.write(GET);
  await once(socket, 'data');
  socket.pause();
  await until(() => plane.runtime.connections === 0 && plane.runtime.inFlight === 0);
  expect(plane.runtime.metrics.causes.get('body-timeout')).toBe(1);
  await until(() => closed === 1);
});

test('a server that stops reading a long request is answered for', async () => {
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.pause();
    cleanups.push(() => void socket.destroy());
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => void server.close());
  const plane = await outbound(destination([`127.0.0.1:${(server.address() as net.AddressInfo).port}`]), {
    bodyIdle: 300,
  });
  const socket = client(plane);
  socket.write(POST.replace(String(SIZE), String(100 * SIZE)));
  for (let n = 0; n < 100; n += 1) socket.write(BODY);
  const [head] = (await once(socket, 'data')) as [Buffer];
  expect(head.toString()).toContain('HTTP/1.1 504');
  await until(() => plane.runtime.inFlight === 0);
});

test('a tunnel counts what goes through unseen, and ends when it stands still', async () => {
  const address = await upstream((socket, text) => {
    if (text.includes('go')) for (let n = 0; n < 4; n += 1) socket.write(BODY);
  });
  const plane = await outbound(destination([address], { protocol: 'tcp' }), { tcpIdle: 400 });
  const socket = client(plane);
  socket.write('go');
  await take(socket, 4 * SIZE);
  expect([bytes(plane, 'read', 'dst'), bytes(plane, 'write', 'src')]).toEqual([4 * SIZE, 4 * SIZE]);
  expect([bytes(plane, 'read', 'src'), bytes(plane, 'write', 'dst')]).toEqual([2, 2]);
  await until(() => plane.runtime.connections === 0);
});
