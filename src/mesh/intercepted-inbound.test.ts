import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import tls from 'node:tls';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { silentLogger } from '../lib/log.ts';
import { Authority, createRoot } from './identity/authority.ts';
import { createRequest } from './identity/client/csr.ts';
import { answer, Client, cleanUp, cleanups, GET, upstream } from './proxy/fixtures.ts';
import { OwnAddresses } from './proxy/intercept/addresses.ts';
import { InboundRoutes } from './proxy/intercept/inbound.ts';
import { DataPlane } from './proxy/proxy.ts';
import { PortableTransport } from './proxy/transport/portable/portable.ts';
import type { Address, Credentials } from './proxy/transport/types.ts';

const CALLER = 'spiffe://weir.local/ns/shop/sa/caller';
const NAME = 'web.shop.weir.local';
let server: Credentials;
let caller: Credentials;

beforeAll(async () => {
  const authority = await Authority.load(await createRoot('weir.local'), { trustDomain: 'weir.local' });
  const signed = async (spiffe: string, dns: string): Promise<Credentials> => {
    const { key, csr } = createRequest();
    const { certificate } = await authority.signRequest(csr, { spiffe, dns });
    return { key, cert: certificate, trust: authority.bundle };
  };
  server = await signed('spiffe://weir.local/ns/shop/sa/web', NAME);
  caller = await signed(CALLER, 'caller.shop.weir.local');
});
afterEach(cleanUp);

/** A proxy to whose inbound port connections come that were meant for `address`. */
async function intercepting(address: string, opaque = false, handshakeTimeout = 10_000) {
  const credentials = { current: () => server, onRotate: () => () => {} };
  const plane = new DataPlane({
    transport: new PortableTransport(credentials),
    log: silentLogger,
    config: { inbound: [], outbound: [], destinations: {}, limits: { handshakeTimeout } },
  });
  cleanups.push(() => plane.destroy());
  const [host = '', text] = address.split(':');
  const port = Number(text);
  const routes = new InboundRoutes({
    plane,
    config: {
      outbound: 4140,
      inbound: 4143,
      uid: 0,
      name: NAME,
      opaque: opaque ? [{ from: port, to: port }] : [],
    },
    ownPorts: [4140, 4143, 4191],
    own: new OwnAddresses(
      () => 0,
      () => ['127.0.0.1'],
    ),
  });
  const going: { to: Address | undefined } = { to: { host, port } };
  const options = { host: '127.0.0.1', port: 0, tls: 'offered' as const, handshakeTimeout, alpn: [] };
  await plane.listen(options, (connection) => {
    connection.originalDestination = () => going.to;
    return routes.accept(connection);
  });
  return { plane, routes, going };
}

/** As a peer's proxy connects. */
async function peer(plane: DataPlane, servername: string, own: Credentials | undefined) {
  const socket = tls.connect({
    host: '127.0.0.1',
    port: plane.ports[0]!,
    servername,
    ...(own ? { key: own.key, cert: own.cert, ca: own.trust } : { rejectUnauthorized: false }),
    checkServerIdentity: () => undefined,
  });
  cleanups.push(() => void socket.destroy());
  socket.on('error', () => {});
  return socket;
}

const requests = (plane: DataPlane, tlsLabel: string): number =>
  plane.runtime.metrics
    .expose()
    .split('\n')
    .filter((line) => line.startsWith('request_total{') && line.includes(`tls="${tlsLabel}"`))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);

describe.each([
  ['detected', false],
  ['opaque', true],
] as const)('to a port that is %s', (_, opaque) => {
  test('whoever is outside the mesh is served as before', async () => {
    const { plane } = await intercepting(await upstream((socket) => socket.write(answer('app'))), opaque);
    const client = new Client(plane);
    client.socket.write(GET);
    await client.until((text) => text.endsWith('app'));
    expect(requests(plane, 'false')).toBe(opaque ? 0 : 1);
  });

  test('a peer’s TLS ends at the proxy, and its request says whose it is', async () => {
    const heads: string[] = [];
    const address = await upstream((socket, text) => {
      heads.push(text);
      socket.write(answer('app'));
    });
    const { plane } = await intercepting(address, opaque);
    const socket = await peer(plane, NAME, caller);
    await once(socket, 'secureConnect');
    socket.write(GET);
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    expect(chunk.toString()).toContain('app');
    expect(heads[0]!.includes(`weir-client-id: ${CALLER}`)).toBe(!opaque);
    expect(requests(plane, 'true')).toBe(opaque ? 0 : 1);
    socket.destroy();
    // Of bytes alone nobody can tell an end from half of one.
    while (!opaque && plane.runtime.connections > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  test('a peer without a certificate of the mesh is refused', async () => {
    const address = await upstream((socket) => socket.write(answer('app')));
    const { plane } = await intercepting(address, opaque);
    const socket = await peer(plane, NAME, undefined);
    socket.write(GET);
    await new Promise((resolve) => socket.once('close', resolve));
    expect(plane.runtime.connections).toBe(0);
    expect(requests(plane, 'true')).toBe(0);
  });

  test('TLS for another name is the application’s', async () => {
    const heard: string[] = [];
    const address = await upstream((socket, text) => {
      heard.push(text);
      socket.end('hello');
    });
    const probe = tls.connect({
      host: '127.0.0.1',
      port: Number(address.split(':')[1]),
      servername: 'app.example',
    });
    await new Promise((resolve) => probe.once('error', resolve));
    const { plane } = await intercepting(address, opaque);
    const raw = new Client(plane);
    raw.socket.write(Buffer.from(heard[0]!, 'latin1'));
    await raw.until((text) => text === 'hello');
    expect(heard[1]).toBe(heard[0]);
  });

  test('a server that speaks first is heard, by peers and by others', async () => {
    const greeting = createServer((socket) => {
      socket.on('error', () => {});
      socket.write('220 ready\r\n');
    });
    await once(greeting.listen(0, '127.0.0.1'), 'listening');
    cleanups.push(() => void greeting.close());
    const address = `127.0.0.1:${(greeting.address() as { port: number }).port}`;
    const { plane } = await intercepting(address, opaque);
    const plain = new Client(plane);
    await plain.until((text) => text === '220 ready\r\n');
    const socket = await peer(plane, NAME, caller);
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    expect(chunk.toString()).toBe('220 ready\r\n');
  });
});

test('a handshake that is not finished in time ends its connection', async () => {
  const { plane } = await intercepting('127.0.0.1:1', false, 300);
  // A ClientHello, and nothing after it.
  const listener = createServer();
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => void listener.close());
  const probe = tls.connect({ port: (listener.address() as { port: number }).port, servername: NAME });
  probe.on('error', () => {});
  const [socket] = (await once(listener, 'connection')) as [Socket];
  const [hello] = (await once(socket, 'data')) as [Buffer];
  probe.destroy();
  socket.destroy();
  const client = new Client(plane);
  client.socket.write(hello);
  await client.closed();
  expect(plane.runtime.connections).toBe(0);
});

test('a handshake that comes late still ends at the proxy', async () => {
  const { plane } = await intercepting(await upstream((socket) => socket.write(answer('app'))));
  const raw = new Client(plane);
  await once(raw.socket, 'connect');
  // Past the moment at which the application is called in case it speaks first.
  const opened = () => /tcp_open_total\{[^}]*peer="dst"[^}]*\} [1-9]/.test(plane.runtime.metrics.expose());
  while (!opened()) await new Promise((resolve) => setImmediate(resolve));
  const { key, cert, trust: ca } = caller;
  const socket = tls.connect({
    socket: raw.socket,
    servername: NAME,
    key,
    cert,
    ca,
    checkServerIdentity: () => undefined,
  });
  await once(socket, 'secureConnect');
  socket.write(GET);
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  expect(chunk.toString()).toContain('app');
});

test('connections that were meant for the proxy, for another machine or for nobody are closed', async () => {
  const { plane, going } = await intercepting('127.0.0.1:1');
  for (const to of [
    { host: '127.0.0.1', port: 4143 },
    { host: '127.0.0.1', port: 4191 },
    { host: '10.9.9.9', port: 80 },
    undefined,
  ]) {
    going.to = to;
    await new Client(plane).closed();
  }
  expect(plane.runtime.metrics.causes.get('loop')).toBe(4);
});

test('whoever tries all ports fills nothing up', async () => {
  const { plane, routes, going } = await intercepting('127.0.0.1:1');
  for (let port = 10_000; port < 10_300; port += 1) {
    going.to = { host: '127.0.0.1', port };
    const client = new Client(plane);
    await once(client.socket, 'connect');
    client.socket.destroy();
    while (plane.runtime.connections > 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(plane.stacks.length).toBeLessThanOrEqual(2 * 256);
  routes.sweep(-1);
  expect(plane.stacks).toEqual([]);
});
