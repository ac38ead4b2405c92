/** The reactor sleeps when there is nothing to do, whatever state its connections are in, and leaves Node its time when there is. */
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { until } from '../../until-fixtures.ts';
import { cleanups, connecting, listening, rawClient, rawServer } from '../contract-fixtures.ts';
import { ReactorTransport, reactorMachine } from './reactor.ts';

const machine = reactorMachine();
const here = 'reason' in machine ? describe.skip : describe;

here('a reactor', () => {
  if ('reason' in machine) return;
  const { loop } = machine;
  const transport = new ReactorTransport(machine);
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  afterAll(async () => {
    await until(() => loop.counts.sockets === 0);
    expect(loop.counts).toEqual({ sockets: 0, sessions: 0, contexts: 0, pipes: 0 });
  });

  /** Turns of the loop while a timer ticks fifty times. */
  async function turnsInFiftyTicks(): Promise<number> {
    const before = loop.turns;
    let ticks = 0;
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        ticks += 1;
        if (ticks < 50) return;
        clearInterval(timer);
        resolve();
      }, 2);
    });
    return loop.turns - before;
  }

  /**
   * Each tick wakes Node, and with it the reactor; so does all else that goes on in a test runner, five hundred times at
   * most so far. What spins takes eight to fifteen thousand turns, however busy the machine is.
   */
  const ASLEEP = 2000;

  test('without a connection takes no turn at all', async () => {
    expect(await turnsInFiftyTicks()).toBe(0);
  });

  test('with connections that say nothing', async () => {
    const { next, port } = await listening(transport);
    await rawClient(port);
    await next();
    expect(await turnsInFiftyTicks()).toBeLessThan(ASLEEP);
  });

  test('with one that the peer has half-closed', async () => {
    const { next, port } = await listening(transport);
    const raw = await rawClient(port);
    const server = await next();
    raw.end('bye');
    await until(() => server.events.includes('end'));
    expect(await turnsInFiftyTicks()).toBeLessThan(ASLEEP);
    // A reset afterwards is heard all the same.
    raw.resetAndDestroy();
    await until(() => server.closed);
    expect(['ECONNRESET', 'EPIPE']).toContain((server.error as NodeJS.ErrnoException).code);
  });

  test('with a paused one that has data, an end, or a reset waiting', async () => {
    const { next, port } = await listening(transport);
    const raws = [await rawClient(port), await rawClient(port), await rawClient(port)];
    const servers = [await next(), await next(), await next()];
    for (const { connection } of servers) connection.pause();
    raws[0]!.write('data');
    raws[1]!.end('data');
    raws[2]!.resetAndDestroy();
    expect(await turnsInFiftyTicks()).toBeLessThan(ASLEEP);
    expect(servers.flatMap(({ events }) => events)).toEqual([]);
    for (const { connection } of servers) connection.resume();
    await until(
      () => servers[2]!.closed && servers[1]!.events.includes('end') && servers[0]!.text === 'data',
    );
  });

  test('with one that cannot write', async () => {
    const port = await rawServer((socket) => void socket.pause());
    const client = connecting(transport, port);
    await until(() => client.events.includes('open'));
    const piece = Buffer.alloc(65_536);
    while (client.connection.write(piece));
    expect(await turnsInFiftyTicks()).toBeLessThan(ASLEEP);
  });

  test('that is busy takes its events many to a turn, and Node has its own all the same', async () => {
    const { next, port } = await listening(transport);
    const client = connecting(transport, port);
    const server = await next();
    const piece = Buffer.from('ball');
    let passes = 0;
    const back = (connection: { write(chunk: Buffer): boolean }) => () => {
      passes += 1;
      connection.write(piece);
    };
    server.data = back(server.connection);
    client.data = back(client.connection);
    const before = loop.turns;
    client.connection.write(piece);
    let [ticks, settled] = [0, 0];
    const timer = setInterval(() => {
      ticks += 1;
      void Promise.resolve().then(() => {
        settled += 1;
      });
    }, 5);
    await until(() => ticks >= 20 && settled >= 20);
    clearInterval(timer);
    expect(passes).toBeGreaterThan(2 * (loop.turns - before));
    client.connection.destroy();
    server.connection.destroy();
  });
});
