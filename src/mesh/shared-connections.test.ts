/** When requests of HTTP/1.1 between two proxies share a connection, and when one has a connection of its own. */
import { afterEach, expect, test } from '@jest/globals';
import { silentLogger } from '../lib/log.ts';
import { as, spiffe } from './identity/tls-fixtures.ts';
import {
  answer,
  Client,
  cleanUp,
  cleanups,
  count,
  destination,
  transport,
  upstream,
} from './proxy/fixtures.ts';
import { DataPlane } from './proxy/proxy.ts';
import { until } from './proxy/until-fixtures.ts';

afterEach(cleanUp);

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const MANY = 10;

/** An outbound proxy, an inbound one and a server that answers when `together` requests wait. */
async function hops() {
  const server = { together: MANY };
  let waiting: (() => void)[] = [];
  const address = await upstream((socket) => {
    waiting.push(() => void socket.write(answer('ok')));
    if (waiting.length < server.together) return;
    for (const serve of waiting) serve();
    waiting = [];
  });
  const plane = async (account: string, config: object) => {
    const made = new DataPlane({
      transport: transport(as(account)),
      log: silentLogger,
      config: { inbound: [], outbound: [], destinations: {}, limits: { pooledIdle: 100 }, ...config },
    });
    await made.start();
    cleanups.push(() => made.destroy());
    return made;
  };
  const inbound = await plane('web', {
    inbound: [{ listen: '127.0.0.1:0', forward: address, tls: 'required' }],
  });
  const to = destination([]);
  to.backends[0]!.endpoints = [{ address: `127.0.0.1:${inbound.ports[0]}`, identity: spiffe('web') }];
  const outbound = await plane('client', {
    outbound: [{ listen: '127.0.0.1:0', destination: to.key }],
    destinations: { [to.key]: to },
  });
  return { server, inbound, outbound };
}

test('load that goes up and down makes no connections each time; a connection of its own comes when it stays down', async () => {
  const { server, inbound, outbound } = await hops();
  const clients = Array.from({ length: MANY }, () => new Client(outbound));
  let round = 0;
  const ask = async (asking: Client[]) => {
    round += 1;
    for (const client of asking) client.text = '';
    for (const client of asking) client.socket.write(GET);
    await Promise.all(asking.map((client) => client.until((text) => count(text, '\r\n\r\nok') === 1)));
  };
  // Whoever is there takes lanes: that is known from the first connections. From then on there is one.
  await ask(clients);
  await ask(clients);
  await until(() => inbound.runtime.connections === 1);
  await ask(clients);
  // One more at most, where this machine took so long that it was made for later.
  expect(inbound.runtime.connections).toBeLessThanOrEqual(2);
  server.together = 1;
  // It is made while the request goes another way.
  while (inbound.runtime.connections === 1 && round < 100_000) await ask(clients.slice(0, 1));
  expect(inbound.runtime.connections).toBe(2);
});
