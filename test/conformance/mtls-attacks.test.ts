/**
 * Attacks on a proxy that asks for certificates: by peers that have one, by applications behind another proxy, and by whoever finds the
 * port. A bystander's requests go over two hops of mutual TLS meanwhile.
 */
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ATTACKS as HTTP1 } from './support/http1-attacks.ts';
import { type Identity, Proxies, type Running } from './support/proxies.ts';
import { origin, withstand } from './support/siege.ts';

const DURATION = 2_000;
const GROWTH = 96 * 1_048_576;
const LIMITS = {
  headerDeadline: '1s',
  bodyIdle: '1s',
  keepAliveIdle: '2s',
  handshakeTimeout: '1s',
  http2Idle: '2s',
};

type From = 'a peer' | 'behind a proxy' | 'nobody of the mesh';

const SIEGES: [from: From, name: string, cause: string | undefined][] = [
  ['a peer', 'slow heads, a field at a time', 'head-timeout'],
  ['a peer', 'trailers without end', 'bad-request'],
  ['a peer', 'rapid reset (CVE-2023-44487)', 'http2-protocol'],
  ['a peer', 'CONTINUATION without end (CVE-2024-27316)', 'http2-protocol'],
  ['behind a proxy', 'bodies that stand still', 'body-timeout'],
  ['nobody of the mesh', 'silent connections', undefined],
  ['nobody of the mesh', 'malformed requests, again and again', undefined],
];

(process.platform === 'linux' ? describe : describe.skip)('attacks on mutual TLS', () => {
  const proxies = new Proxies();
  const servers: Awaited<ReturnType<typeof origin>>[] = [];
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  let identity: Identity;
  let proxy: Running;
  /** Of another proxy, to the listener that is attacked. */
  let before = 0;
  /** Of another proxy, to a listener beside it. */
  let bystander = 0;

  const ask = (port = bystander) =>
    new Promise<void>((resolve, reject) => {
      const request = http.get({ port, host: '127.0.0.1', agent, timeout: 10_000 }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => {
          if (response.statusCode === 200) resolve();
          else reject(new Error(`${response.statusCode} ${text}`));
        });
      });
      request.on('error', reject);
    });

  beforeAll(async () => {
    identity = await proxies.credentials();
    // HTTP/2 attacks are ended before a server sees them, or reset their requests: one of HTTP/1.1 will do.
    for (let n = 0; n < 2; n += 1) servers.push(await origin('http1'));
    const upstreams = servers.map(({ port }) => `127.0.0.1:${port}`);
    const [attacked, beside] = await proxies.inbounds(upstreams, LIMITS);
    proxy = proxies.running(attacked!);
    before = await proxies.toPeer(attacked!, 'http1');
    bystander = await proxies.toPeer(beside!, 'http1');
    for (let n = 0; n < 200; n += 1) await ask();
  });

  afterAll(async () => {
    agent.destroy();
    await proxies.stop();
    for (const server of servers) server.stop();
  });

  test.each(SIEGES)('%s: %s', async (from, name, cause) => {
    const cutOff = from !== 'behind a proxy' && HTTP1[name]?.cutOff === true;
    const toll = await withstand({
      name,
      proxy,
      ask,
      cause,
      // Handshakes cost something, also those of a few slow ones.
      quiet: false,
      milliseconds: DURATION,
      growth: GROWTH,
      ...(from === 'behind a proxy' ? { port: before } : {}),
      ...(from === 'a peer' ? { identity } : {}),
    });
    if (cutOff) expect(toll.cutOff).toBe(HTTP1[name]!.connections);
    // What was attacked is there, too.
    await ask(before);
  });
});
