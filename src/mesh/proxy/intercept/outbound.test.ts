import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { silentLogger } from '../../../lib/log.ts';
import { answer, Client, cleanUp, cleanups, destination, GET, transport, upstream } from '../fixtures.ts';
import { DataPlane } from '../proxy.ts';
import type { Address, Connection, Transport } from '../transport/types.ts';
import { OwnAddresses, plainToSelf } from './addresses.ts';
import { OutboundRoutes } from './outbound.ts';

afterEach(cleanUp);

class Followed {
  readonly keys = new Set<string>();
  follow(key: string): void {
    expect(this.keys.has(key)).toBe(false);
    this.keys.add(key);
  }
  unfollow(key: string): void {
    expect(this.keys.delete(key)).toBe(true);
  }
}

function plane(on: Transport = transport()): DataPlane {
  const made = new DataPlane({
    transport: on,
    log: silentLogger,
    config: { inbound: [], outbound: [], destinations: {}, limits: {} },
  });
  cleanups.push(() => made.destroy());
  return made;
}

const own = (addresses: string[] = []) =>
  new OwnAddresses(
    () => 0,
    () => addresses,
  );

/** Listens as the proxy does, with connections that were going to wherever the test says. */
async function intercepting(patience?: number) {
  const made = plane();
  const followed = new Followed();
  const routes = new OutboundRoutes({
    plane: made,
    port: 4140,
    own: own(['127.0.0.1']),
    directory: followed,
    ...(patience === undefined ? {} : { patience }),
  });
  const going: { to: Address } = { to: { host: '', port: 0 } };
  await made.listen({ host: '127.0.0.1', port: 0, tls: 'off', handshakeTimeout: 1_000 }, (connection) => {
    connection.originalDestination = () => going.to;
    return routes.accept(connection);
  });
  const connect = (address: string) => {
    const [host = '', port] = address.split(':');
    going.to = { host, port: Number(port) };
    return new Client(made);
  };
  /** Until the connection has been accepted: what follows is then an answer about its address. */
  const asked = async (key: string) => {
    while (!followed.keys.has(key)) await new Promise((resolve) => setImmediate(resolve));
  };
  return { made, routes, followed, connect, asked };
}

describe('a connection', () => {
  test('waits for the answer about its address, and then goes to the Service’s endpoints', async () => {
    const { routes, followed, connect, asked } = await intercepting();
    const address = await upstream((socket) => socket.write(answer('web')));
    const client = connect('10.96.0.1:80');
    client.socket.write(GET);
    await asked('10.96.0.1:80');
    routes.answer('10.96.0.1:80', undefined, 'web.shop:80');
    expect([...followed.keys]).toEqual(['10.96.0.1:80', 'web.shop:80']);
    routes.answer('web.shop:80', destination([address]));
    expect(await client.until((text) => text.endsWith('web'))).toContain('200 OK');
  });

  test('goes where it was going when there is no answer, or the mesh knows nothing of it', async () => {
    const address = await upstream((socket) => socket.write(answer('outside')));
    const silent = await intercepting(20);
    const client = silent.connect(address);
    client.socket.write(GET);
    await client.until((text) => text.endsWith('outside'));

    const { routes, connect, asked } = await intercepting(600_000);
    const second = connect(address);
    second.socket.write(GET);
    await asked(address);
    routes.answer(address, undefined);
    await second.until((text) => text.endsWith('outside'));
  });

  test('that comes later goes by what is true then; one that is open stays', async () => {
    const { routes, followed, connect, asked, made } = await intercepting(600_000);
    const [before, after] = [
      await upstream((socket) => socket.write(answer('before'))),
      await upstream((socket) => socket.write(answer('after'))),
    ];
    const first = connect(before);
    first.socket.write(GET);
    await asked(before);
    routes.answer(before, undefined);
    await first.until((text) => text.endsWith('before'));
    // A Service has been created with this address.
    routes.answer(before, undefined, 'web.shop:80');
    routes.answer('web.shop:80', destination([after]));
    const second = connect(before);
    second.socket.write(GET);
    await second.until((text) => text.endsWith('after'));
    first.socket.write(GET);
    await first.until((text) => text.split('before').length === 3);
    for (const { socket } of [first, second]) socket.destroy();
    while (made.runtime.connections > 0) await new Promise((resolve) => setImmediate(resolve));
    routes.sweep(-1);
    expect([...followed.keys]).toEqual([]);
    expect(made.stacks).toEqual([]);
  });

  test('to the proxy itself is closed', async () => {
    const { connect, made, followed } = await intercepting();
    await connect('127.0.0.1:4140').closed();
    expect(made.runtime.metrics.causes.get('loop')).toBe(1);
    expect(followed.keys.size).toBe(0);
  });
});

test('a pod calls itself in the clear', () => {
  const given = destination(['10.0.0.1:80', '10.0.0.2:80']);
  for (const each of given.backends[0]!.endpoints) each.identity = 'spiffe://weir.local/ns/shop/sa/web';
  const [self, other] = plainToSelf(given, own(['10.0.0.1'])).backends[0]!.endpoints;
  expect(self).toEqual({ address: '10.0.0.1:80' });
  expect(other?.identity).toBeDefined();
  expect(plainToSelf(given, own())).toBe(given);
});

describe('whatever is connected to, answered and forgotten, in whichever order', () => {
  const never: Transport = {
    listen: () => Promise.reject(new Error('not here')),
    connect: (_options, handler) => stub({ handler }),
    afterTurn: () => {},
    moment: () => performance.now(),
  };
  function stub(extra: Partial<Connection>): Connection {
    return {
      handler: undefined as never,
      peerIdentity: undefined,
      secure: false,
      alpn: undefined,
      write: () => true,
      writeCopy: () => true,
      writePair: () => true,
      pause: () => {},
      resume: () => {},
      end: () => {},
      finish: () => {},
      destroy() {
        const { handler } = this;
        this.handler = { data() {}, drain() {}, end() {}, close() {} };
        handler?.close();
      },
      breakOff: () => {},
      keep: (chunk) => chunk,
      ...extra,
    };
  }
  const KEYS = ['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:25'];
  const NAMES = ['web.shop:80', 'mail.shop:25'];
  const operation = fc.oneof(
    fc.record({ op: fc.constant('connect' as const), key: fc.constantFrom(...KEYS) }),
    fc.record({ op: fc.constant('close' as const), which: fc.nat(20) }),
    fc.record({
      op: fc.constant('answer' as const),
      key: fc.constantFrom(...KEYS),
      what: fc.constantFrom('nothing', 'pod', ...NAMES),
    }),
    fc.record({ op: fc.constant('service' as const), key: fc.constantFrom(...NAMES) }),
    fc.record({ op: fc.constant('sweep' as const) }),
  );

  test('exactly what is in use is followed, and nothing is left in the end', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const made = plane(never);
        const followed = new Followed();
        const routes = new OutboundRoutes({ plane: made, port: 4140, own: own(), directory: followed });
        const open: Connection[] = [];
        for (const each of operations) {
          switch (each.op) {
            case 'connect': {
              const [host = '', port] = each.key.split(':');
              const connection = stub({ originalDestination: () => ({ host, port: Number(port) }) });
              const handler = routes.accept(connection);
              if (handler) connection.handler = handler;
              open.push(connection);
              break;
            }
            case 'close':
              open.splice(each.which, 1)[0]?.destroy();
              break;
            case 'answer':
              if (NAMES.includes(each.what)) routes.answer(each.key, undefined, each.what);
              else if (each.what === 'pod')
                routes.answer(each.key, destination(['10.0.0.9:1'], { key: each.key }));
              else routes.answer(each.key, undefined);
              break;
            case 'service':
              routes.answer(each.key, destination(['10.0.0.8:1'], { key: each.key }));
              break;
            case 'sweep':
              routes.sweep(-1);
              break;
          }
          expect(KEYS.filter((key) => followed.keys.has(key))).toHaveLength(routes.size);
        }
        for (const connection of open) connection.destroy();
        expect(made.runtime.connections).toBe(0);
        routes.sweep(-1);
        routes.sweep(-1);
        expect([...followed.keys]).toEqual([]);
        expect(made.stacks).toEqual([]);
        expect(made.config.destinations).toEqual({});
        made.destroy();
      }),
    );
  });
});
