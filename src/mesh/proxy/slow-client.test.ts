import type net from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import {
  answer,
  Client,
  cleanUp,
  cleanups,
  count,
  destination,
  GET,
  outbound,
  upstream,
} from './fixtures.ts';
import { ENDLESS, frame } from './http2-fixtures.ts';
import { FLAG, FRAME, PREFACE } from './protocol/http2/frames.ts';
import type { DataPlane } from './proxy.ts';

afterEach(cleanUp);

const BODY = 'x'.repeat(60_000);
const REQUESTS = 1_000;

/** A server that counts what it is asked, and a client that asks for more than it reads. */
async function pipelined(limits = {}) {
  const served = { requests: 0 };
  const address = await upstream((socket: net.Socket, text) => {
    const asked = count(text, '\r\n\r\n');
    served.requests += asked;
    socket.write(answer(BODY).repeat(asked));
  });
  const plane = await outbound(destination([address], { protocol: 'http1' }), limits);
  const client = new Client(plane);
  client.socket.pause();
  client.socket.write(GET.repeat(REQUESTS));
  return { plane, client, served };
}

async function others(plane: DataPlane, requests: number) {
  const other = new Client(plane);
  for (let n = 1; n <= requests; n += 1) {
    other.socket.write(GET);
    await other.until((text) => text.length >= n * answer(BODY).length);
  }
}

test('a client that pipelines and does not read has no more requests sent for it, until it reads', async () => {
  const { plane, client, served } = await pipelined();
  // As many as its socket's buffers take, and then no more, however many others are served.
  let before = -1;
  let own = 0;
  for (let asked = 0; before !== own; asked += 20) {
    before = own;
    await others(plane, 20);
    own = served.requests - asked - 20;
  }
  expect(own).toBeLessThan(REQUESTS / 2);
  let length = 0;
  client.socket.removeAllListeners('data');
  client.socket.on('data', (chunk) => {
    length += chunk.length;
  });
  client.socket.resume();
  while (length < REQUESTS * answer(BODY).length) await new Promise(setImmediate);
  expect(length).toBe(REQUESTS * answer(BODY).length);
});

test('what is written to a client that does not read is not kept for ever', async () => {
  const { plane } = await pipelined({ bodyIdle: 300 });
  while (plane.runtime.connections === 0) await new Promise(setImmediate);
  // The client itself closes nothing.
  while (plane.runtime.connections > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(plane.runtime.inFlight).toBe(0);
});

test('an error answer to a client that does not read ends with its connection', async () => {
  const plane = await outbound(destination([], { protocol: 'http1' }), { bodyIdle: 300 });
  const client = new Client(plane);
  client.socket.pause();
  const bad = 'GET / HTTP/1.1\r\nHost : a\r\n\r\n';
  client.socket.write(GET.repeat(60_000) + bad);
  while (plane.runtime.connections === 0) await new Promise(setImmediate);
  while (plane.runtime.connections > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(plane.runtime.inFlight).toBe(0);
});

test('interim responses without end wait for their client, too', async () => {
  const interim = `HTTP/1.1 103 Early Hints\r\nLink: ${'x'.repeat(8_000)}\r\n\r\n`;
  let written = 0;
  const address = await upstream((socket) => {
    const more = () => {
      while (!socket.destroyed && written < 256 * 1_048_576) {
        written += interim.length;
        if (!socket.write(interim)) return;
      }
    };
    socket.on('drain', more);
    more();
  });
  const plane = await outbound(destination([address], { protocol: 'http1' }));
  const client = new Client(plane);
  client.socket.pause();
  client.socket.write(GET);
  // Until the server has to wait: it goes on no further, however often the loop turns.
  let before = -1;
  let still = 0;
  while (still < 200) {
    still = before === written ? still + 1 : 0;
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  expect(written).toBeLessThan(64 * 1_048_576);
  client.socket.removeAllListeners('data');
  let read = 0;
  client.socket.on('data', (chunk) => {
    read += chunk.length;
  });
  client.socket.resume();
  while (read < 2 * before) await new Promise(setImmediate);
});

test('while draining, a client that has not read its last answer gets all of it, whatever it has asked for since', async () => {
  let served = 0;
  const address = await upstream((socket) => {
    served += 1;
    socket.write(answer(BODY));
  });
  const plane = await outbound(destination([address], { protocol: 'http1' }));
  const client = new Client(plane);
  client.socket.pause();
  // One by one, until one is left unserved: the answer before it waits for the client.
  let asked = 0;
  while (served === asked) {
    asked += 1;
    client.socket.write(GET);
    for (let n = 0; served < asked && n < 100; n += 1) await new Promise((resolve) => setTimeout(resolve, 5));
    while (plane.runtime.inFlight > 0) await new Promise(setImmediate);
  }
  plane.runtime.draining = true;
  const drained = setInterval(() => plane.closeIdle(), 5);
  cleanups.push(() => clearInterval(drained));
  // Slowly: what has left the proxy is still on its way.
  client.socket.on('data', () => {
    client.socket.pause();
    setTimeout(() => client.socket.resume(), 2);
  });
  client.socket.resume();
  const text = await client.closed();
  expect(text.length).toBeGreaterThanOrEqual(asked * answer(BODY).length);
  expect(text).toContain('\r\nconnection: close\r\n');
});

/** Reads on and on, but little at a time: what has left the proxy is still on its way. */
function slowly(client: Client, meanwhile: () => void = () => {}) {
  client.socket.on('data', () => {
    meanwhile();
    client.socket.pause();
    setTimeout(() => client.socket.resume(), 2);
  });
  client.socket.resume();
}

test('an answer behind which the connection closes arrives whole, though more was asked for than was read', async () => {
  const long = 'x'.repeat(2_000_000);
  // Its end is that of the connection.
  const address = await upstream((socket) => void socket.end(`HTTP/1.1 200 OK\r\n\r\n${long}`));
  const plane = await outbound(destination([address], { protocol: 'http1' }));
  const client = new Client(plane);
  client.socket.pause();
  client.socket.write(GET.repeat(20_000));
  slowly(client);
  const text = await client.closed();
  expect([client.broken, text.slice(text.indexOf('\r\n\r\n') + 4).length]).toEqual([false, long.length]);
});

test('one of HTTP/2 while draining, too, though its client goes on to say what it has read', async () => {
  const long = 'x'.repeat(2_000_000);
  const address = await upstream((socket) => void socket.write(answer(long)));
  const plane = await outbound(destination([address], { protocol: 'http1' }));
  plane.runtime.draining = true;
  const client = new Client(plane);
  client.socket.pause();
  const head = Buffer.from([0x82, 0x84, 0x86, 0x41, 1, 97]);
  const increment = Buffer.from([0, 0, 0, 1]);
  client.socket.write(
    Buffer.concat([
      PREFACE,
      ENDLESS,
      frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, head),
      // It has seen the first GOAWAY.
      frame(FRAME.ping, FLAG.ack, 0, Buffer.alloc(8)),
    ]),
  );
  slowly(client, () => void client.socket.write(frame(FRAME.windowUpdate, 0, 0, increment)));
  const bytes = Buffer.from(await client.closed(), 'latin1');
  let body = 0;
  for (let at = 0; at < bytes.length; at += 9 + bytes.readUIntBE(at, 3))
    if (bytes[at + 3] === FRAME.data) body += Math.min(bytes.readUIntBE(at, 3), bytes.length - at - 9);
  expect([client.broken, body]).toEqual([false, long.length]);
});
