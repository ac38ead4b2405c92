/** Certificates that change, or are too old, between two proxies: what their requests notice of it. */
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { hops, ID } from './hops-fixtures.ts';
import { Authority, createRoot } from './identity/authority.ts';
import { createRequest } from './identity/client/csr.ts';
import { Changing } from './identity/tls-fixtures.ts';
import { Client, cleanUp, count, destination, upstream } from './proxy/fixtures.ts';
import type { Credentials } from './proxy/transport/types.ts';

afterEach(cleanUp);

const HOUR = 3_600_000;
let root: Awaited<ReturnType<typeof createRoot>>;
beforeAll(async () => {
  root = await createRoot('weir.local');
});

/** A certificate of this root, as it would have been issued `ago` milliseconds before. */
async function issued(ago = 0, lifetime = 24 * HOUR, from = root): Promise<Credentials> {
  const clock = { now: () => Date.now() - ago, sleep: async () => {} };
  const authority = await Authority.load(from, { trustDomain: 'weir.local', lifetime, clock });
  const { key, csr } = createRequest();
  const { certificate } = await authority.signRequest(csr, { spiffe: ID, dns: 'web.shop.weir.local' });
  return { key, cert: certificate, trust: authority.bundle };
}
const expired = () => issued(HOUR, HOUR / 2);

/** Answers each request with its path. */
const app = () =>
  upstream((socket, text) => {
    if (text.includes('Upgrade: echo'))
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n');
    else if (!text.includes('HTTP/1.1')) socket.write(text);
    else
      for (const [, path] of text.matchAll(/GET (\S+) HTTP/g))
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path!.length}\r\n\r\n${path}`);
  });

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`;

describe('a certificate that has expired', () => {
  test('of the server: refused before a byte of the request, and the client is told why', async () => {
    const asked: string[] = [];
    const server = await upstream((_socket, text) => void asked.push(text));
    const { outbound, inbound } = await hops(server, destination([]), {
      inbound: new Changing(await expired()),
      outbound: new Changing(await issued()),
    });
    const client = new Client(outbound);
    client.socket.write(get('/'));
    const text = await client.until((all) => all.endsWith('\n'));
    expect(text).toMatch(/^HTTP\/1.1 502 [\s\S]*weir-proxy-error: connect\r\n/);
    expect(text).toMatch(/connect: [^\r\n]*expired/);
    expect([asked, inbound.runtime.connections]).toEqual([[], 0]);
    expect(outbound.runtime.metrics.causes.get('connect')).toBe(1);
  });

  test('of the client: the server takes nothing from it, and its own proxy tells what became of it', async () => {
    const asked: string[] = [];
    const server = await upstream((_socket, text) => void asked.push(text));
    const { outbound, inbound } = await hops(server, destination([]), {
      inbound: new Changing(await issued()),
      outbound: new Changing(await expired()),
    });
    const client = new Client(outbound);
    client.socket.write(get('/'));
    const text = await client.until((all) => all.endsWith('\n'));
    expect(text).toMatch(/^HTTP\/1.1 502 /);
    // TLS 1.3: the server's refusal comes after its client has finished (RFC 8446 4.4.2.4, 6.2).
    expect(text).toMatch(/(connect|reset): [^\r\n]*expired/);
    expect([asked, inbound.runtime.connections]).toEqual([[], 0]);
  });

  test('does not end the connections that were made before', async () => {
    const [inner, outer] = [new Changing(await issued()), new Changing(await issued())];
    const { outbound } = await hops(await app(), destination([]), { inbound: inner, outbound: outer });
    const client = new Client(outbound);
    client.socket.write('GET / HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n');
    await client.until((all) => all.includes('101 Switching'));
    for (const each of [inner, outer]) each.rotate(await expired());
    client.socket.write('still there');
    await client.until((all) => all.endsWith('still there'));
    const other = new Client(outbound);
    other.socket.write(get('/'));
    expect(await other.until((all) => all.endsWith('\n'))).toMatch(/^HTTP\/1.1 502 /);
  });
});

test('keys and roots change under requests: none is lost, and no connection is dropped', async () => {
  const newRoot = await createRoot('weir.local');
  const [oldIn, oldOut, newIn, newOut] = [
    await issued(),
    await issued(),
    await issued(0, HOUR, newRoot),
    await issued(0, HOUR, newRoot),
  ];
  const both = oldIn.trust + newIn.trust;
  const [inner, outer] = [new Changing(oldIn), new Changing(oldOut)];
  const { outbound } = await hops(await app(), destination([]), { inbound: inner, outbound: outer });
  // Both roots first, then the new certificates, one side after the other: as `weir identity rotate` does.
  const steps = [
    () => inner.rotate({ ...oldIn, trust: both }),
    () => outer.rotate({ ...oldOut, trust: both }),
    () => inner.rotate({ ...newIn, trust: both }),
    () => outer.rotate({ ...newOut, trust: both }),
    () => inner.rotate(newIn),
    () => outer.rotate(newOut),
  ];
  const tunnel = new Client(outbound);
  tunnel.socket.write('GET / HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n');
  await tunnel.until((all) => all.includes('101 Switching'));
  let running = true;
  // Twelve at a time: connections of their own, and lanes.
  const clients = Array.from({ length: 12 }, () => new Client(outbound));
  let answered = 0;
  const asking = clients.map(async (client, n) => {
    for (let round = 0; running; round += 1) {
      client.text = '';
      client.socket.write(get(`/${n}/${round}`));
      const text = await client.until(
        (all) => all.endsWith(`\r\n\r\n/${n}/${round}`) || all.includes('HTTP/1.1 5'),
      );
      expect(text).toMatch(/^HTTP\/1.1 200 OK\r\n/);
      answered += 1;
    }
  });
  const all = Promise.all(asking);
  for (const [n, step] of steps.entries()) {
    const before = answered;
    step();
    tunnel.socket.write(`after ${n}`);
    await tunnel.until((text) => text.endsWith(`after ${n}`));
    // Some that begin after it, and new connections, which use what is new.
    const fresh = new Client(outbound);
    fresh.socket.write(get('/fresh'));
    await fresh.until((text) => text.endsWith('/fresh'));
    while (answered < before + 100) await Promise.race([all, new Promise(setImmediate)]);
  }
  running = false;
  await all;
  expect([...clients, tunnel].filter(({ ended }) => ended)).toEqual([]);
  expect(count(outbound.runtime.metrics.expose(), 'weir_proxy_errors_total{')).toBe(0);
});
