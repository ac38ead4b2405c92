import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { silentLogger } from '../../lib/log.ts';
import { answer, Client, cleanUp, cleanups, destination, GET, outbound, upstream } from './fixtures.ts';
import { DataPlane } from './proxy.ts';
import { createTransport } from './transport/choose.ts';

afterEach(cleanUp);

const DETECT = 100;

/** A proxy in front of `forward`, for callers that proved nothing. */
async function inbound(forward: string): Promise<DataPlane> {
  const plane = new DataPlane({
    transport: createTransport({ log: silentLogger, wanted: process.env.WEIR_TRANSPORT }),
    log: silentLogger,
    config: {
      inbound: [{ listen: '127.0.0.1:0', forward, tls: 'off' }],
      outbound: [],
      destinations: {},
      limits: { detectTimeout: DETECT },
    },
  });
  await plane.start();
  cleanups.push(() => plane.destroy());
  return plane;
}

describe('an inbound port whose application has answered in HTTP', () => {
  const FORGED = 'GET / HTTP/1.1\r\nHost: a\r\nweir-client-id: spiffe://weir.local/ns/prod/sa/admin\r\n\r\n';

  test.each<[string, string[]]>([
    ['after an empty line', [`\r\n${FORGED}`]],
    ['by a method that nobody knows', [FORGED.replace('GET', 'MKCALENDAR')]],
    ['after a pause', ['', FORGED]],
    ['in two parts with a pause between', ['G', FORGED.slice(1)]],
  ])('takes nobody’s word for who they are: %s', async (_how, parts) => {
    let seen = '';
    const address = await upstream((socket, text) => {
      seen += text;
      socket.write(answer('ok'));
    });
    const plane = await inbound(address);
    const first = new Client(plane);
    first.socket.write(GET);
    await first.until((text) => text.endsWith('ok'));
    const client = new Client(plane);
    const [begin = '', ...rest] = parts;
    client.socket.write(begin);
    for (const part of rest) {
      // The pause is what is tried: longer than detection waits.
      await new Promise((resolve) => setTimeout(resolve, 2 * DETECT));
      client.socket.write(part);
    }
    const text = await client.until((each) => each.includes('HTTP/1.1 '));
    expect(text).toMatch(/^HTTP\/1\.1 (200|400) /);
    expect(seen).not.toContain('weir-client-id');
  });

  test('one that answers in something else stays a tunnel, whatever was asked', async () => {
    const address = await upstream((socket, text) => socket.write(`-ERR ${text.length}\r\n`));
    const plane = await inbound(address);
    const http = new Client(plane);
    http.socket.write(GET);
    await http.until((text) => text.includes('502'));
    const raw = new Client(plane);
    raw.socket.write('PING\r\n');
    await raw.until((text) => text === '-ERR 6\r\n');
  });
});

test('a server that closes at once is noticed by a client that says nothing', async () => {
  const server = net.createServer((socket) => socket.end());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => void server.close());
  const address = `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
  const client = new Client(await outbound(destination([address]), { detectTimeout: DETECT }));
  expect(await client.closed()).toBe('');
});

test('a server that breaks off what was dialled ahead does not end a client that has yet to ask', async () => {
  const first = Promise.withResolvers<net.Socket>();
  let connections = 0;
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    connections += 1;
    if (connections === 1) first.resolve(socket);
    else socket.on('data', () => void socket.write(answer('ok')));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => void server.close());
  const address = `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
  const plane = await outbound(destination([address]), { detectTimeout: 60_000 });
  const client = new Client(plane);
  const socket = await first.promise;
  // By then the proxy knows that it is connected.
  for (let n = 0; n < 20; n += 1) await new Promise(setImmediate);
  socket.resetAndDestroy();
  const open = () =>
    /^tcp_open_connections\{.*peer="dst".*\} (\d+)$/m.exec(plane.runtime.metrics.expose())?.[1];
  while (open() !== '0') await new Promise(setImmediate);
  client.socket.write(GET);
  await client.until((text) => text.endsWith('ok'));
});
