/**
 * HTTP/1.1 attacks on a running proxy. Meanwhile others are served; afterwards the proxy is there and no larger, and
 * whoever is slow on purpose has been cut off by the limits on time.
 */
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ATTACKS } from './support/http1-attacks.ts';
import { Proxies, type Running } from './support/proxies.ts';
import { origin, withstand } from './support/siege.ts';

const DURATION = 2_000;
/** Buffers of the attackers' connections, and young garbage. */
const GROWTH = 64 * 1_048_576;
const LIMITS = { headerDeadline: '1s', bodyIdle: '1s', keepAliveIdle: '2s', connections: 2_000 };

(process.platform === 'linux' ? describe : describe.skip)('HTTP/1.1 attacks', () => {
  const proxies = new Proxies();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const servers: Awaited<ReturnType<typeof origin>>[] = [];
  let proxy: Running;
  /** Of somebody else's listener, with a server that the attacks do not reach. */
  let other = 0;

  const ask = (port = other) =>
    new Promise<void>((resolve, reject) => {
      const request = http.get({ port, host: '127.0.0.1', agent, timeout: 10_000 }, (response) => {
        response.resume();
        response.on('end', () => {
          if (response.statusCode === 200) resolve();
          else reject(new Error(`${response.statusCode}`));
        });
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        // The connection was idle for as long as the limits allow, and closed as it was chosen.
        if (request.reusedSocket && error.code === 'ECONNRESET') ask(port).then(resolve, reject);
        else reject(error);
      });
    });

  beforeAll(async () => {
    for (let n = 0; n < 2; n += 1) servers.push(await origin('http1'));
    const upstreams = servers.map(({ port }) => `127.0.0.1:${port}`);
    const ports = await proxies.outbounds(upstreams, 'http1', LIMITS);
    proxy = proxies.running(ports[0]!);
    other = ports[1]!;
    for (let n = 0; n < 500; n += 1) await ask();
  });

  afterAll(async () => {
    agent.destroy();
    await proxies.stop();
    for (const server of servers) server.stop();
  });

  test.each(Object.entries(ATTACKS))('%s', async (name, { cause, cutOff, connections }) => {
    const quiet = cutOff === true;
    const siege = { name, proxy, ask, cause, quiet, milliseconds: DURATION, growth: GROWTH };
    const toll = await withstand(siege);
    if (cutOff) expect(toll.cutOff).toBe(connections);
    // What was attacked is there, too.
    await ask(proxy.port);
  });
});
