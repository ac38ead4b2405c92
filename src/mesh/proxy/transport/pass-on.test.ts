/** Bytes that go from one connection to another without being shown: what has to hold whether a transport moves or reads them. */
import { once } from 'node:events';
import type net from 'node:net';
import { expect, test } from '@jest/globals';
import { until } from '../until-fixtures.ts';
import {
  cleanups,
  connecting,
  listening,
  onBoth,
  pattern,
  Recorder,
  rawClient,
  rawServer,
} from './contract-fixtures.ts';
import { ReactorTransport, reactorMachine } from './reactor/reactor.ts';
import type { Connection, Transport } from './types.ts';

const MIB = 1_048_576;
/** Bytes whose place shows, made quickly: the pattern is as long as no power of two. */
const PATTERN = pattern(65_521);
const bytes = (size: number) => Buffer.alloc(size, PATTERN);
const PIECE = bytes(100_000);

/** A connection of a relay: passes on what comes, and remembers how it came. */
class Relayed extends Recorder {
  moves = 0;
  /** Bytes that came unseen. */
  unseen = 0;
  /** Times the other side could take no more. */
  full = 0;
  to!: Connection;

  override data(chunk: Buffer) {
    this.size += chunk.length;
    this.#wrote(this.to.write(chunk));
  }

  moved(count: number, more: boolean) {
    this.moves += 1;
    this.unseen += count;
    this.size += count;
    this.#wrote(more);
  }

  #wrote(more: boolean) {
    if (more) return;
    this.full += 1;
    this.connection.pause();
  }
}

/** A relay to `server`: `client` is who connected to it. */
async function relay(
  transport: Transport,
  server: (socket: net.Socket) => void,
  count = Number.POSITIVE_INFINITY,
) {
  const target = await rawServer(server);
  const [front, back] = [new Relayed(), new Relayed()];
  const listener = await transport.listen(
    { host: '127.0.0.1', port: 0, tls: 'off', handshakeTimeout: 1000 },
    (connection) => {
      front.connection = connection;
      connection.pause();
      back.connection = transport.connect({ host: '127.0.0.1', port: target }, back);
      front.to = back.connection;
      back.to = connection;
      back.on.open = () => {
        connection.passOn?.(back.connection, count);
        back.connection.passOn?.(connection, count);
        connection.resume();
      };
      return front;
    },
  );
  for (const [one, other] of [
    [front, back],
    [back, front],
  ] as const) {
    one.on.drain = () => other.connection.resume();
    one.on.end = () => one.to.end();
    one.on.close = (error) => (error ? one.to.destroy() : one.to.finish());
  }
  cleanups.push(() => {
    listener.close();
    front.connection?.destroy();
    back.connection?.destroy();
  });
  const client = await rawClient(listener.port);
  return { client, front, back };
}

/** Everything that comes, until its end. */
async function all(socket: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

const moves = (transport: Transport) => transport instanceof ReactorTransport;

onBoth((make) => {
  test('sixteen MiB each way at once come out as they went in, with half-closes, and are counted', async () => {
    const transport = make();
    const up = bytes(16 * MIB);
    const down = bytes(16 * MIB + 5).subarray(5);
    let received: Promise<Buffer> | undefined;
    const { client, front, back } = await relay(transport, (socket) => {
      received = all(socket);
      socket.end(down);
    });
    client.end(up);
    expect((await all(client)).equals(down)).toBe(true);
    expect((await received!).equals(up)).toBe(true);
    await until(() => front.closed && back.closed);
    expect([front.size, back.size]).toEqual([up.length, down.length]);
    expect([front.error, back.error]).toEqual([undefined, undefined]);
    if (moves(transport)) expect(front.unseen + back.unseen).toBeGreaterThan(8 * MIB);
    else expect(front.moves + back.moves).toBe(0);
  });

  test('a few bytes at a time, asked and answered, go on one by one', async () => {
    const transport = make();
    const { client, front, back } = await relay(transport, (socket) => void socket.pipe(socket));
    for (let n = 0; n < 50; n += 1) {
      const asked = bytes(1_000 + n).subarray(n);
      let got = Buffer.alloc(0);
      client.write(asked);
      while (got.length < asked.length) got = Buffer.concat([got, (await once(client, 'data'))[0]]);
      expect(got.equals(asked)).toBe(true);
    }
    client.end();
    await until(() => front.closed && back.closed);
    expect([front.size, back.size]).toEqual([50_000, 50_000]);
    if (moves(transport)) expect([front.unseen, back.unseen]).toEqual([50_000, 50_000]);
  });

  test('what is beyond the bytes that may go unseen is shown', async () => {
    const transport = make();
    const shown: Buffer[] = [];
    const { client, back, front } = await relay(transport, (socket) => socket.end(bytes(2 * MIB)), MIB + 17);
    back.data = (chunk) => {
      shown.push(Buffer.from(chunk));
      back.size += chunk.length;
      if (!client.destroyed && !front.connection.write(chunk)) back.connection.pause();
    };
    expect((await all(client)).equals(bytes(2 * MIB))).toBe(true);
    expect(back.size).toBe(2 * MIB);
    const seen = Buffer.concat(shown);
    expect(back.unseen).toBeLessThanOrEqual(MIB + 17);
    // Reading may go past the end of what could have been moved, moving may not.
    expect(seen.subarray(-(MIB - 17)).equals(bytes(2 * MIB).subarray(MIB + 17))).toBe(true);
    if (moves(transport)) expect(back.unseen).toBeGreaterThan(0);
  });

  test('a reader that does not read stops the sender, and gets everything in order once it reads', async () => {
    const transport = make();
    const sent = bytes(16 * MIB);
    let taken = 0;
    const { client, back, front } = await relay(transport, (socket) => {
      let at = 0;
      const more = () => {
        while (at < sent.length) {
          const part = sent.subarray(at, at + 100_000);
          at += part.length;
          taken = at;
          if (!socket.write(part)) return;
        }
        socket.end();
      };
      socket.on('drain', more);
      more();
    });
    client.pause();
    await until(() => back.full > 0);
    expect(taken).toBeLessThan(sent.length);
    // What is written meanwhile comes after what was moved before.
    const note = Buffer.from('written behind it');
    const before = back.size;
    front.connection.write(note);
    const got = await all(client.resume());
    expect(got.length).toBe(sent.length + note.length);
    expect(got.subarray(0, before).equals(sent.subarray(0, before))).toBe(true);
    expect(got.subarray(before, before + note.length).toString()).toBe('written behind it');
    expect(got.subarray(before + note.length).equals(sent.subarray(before))).toBe(true);
  });

  test.each(['reader', 'sender', 'relay'] as const)(
    'the %s breaks off in the middle: both sides end once, and nothing is left',
    async (who) => {
      const transport = make();
      let sender: net.Socket | undefined;
      const { client, front, back } = await relay(transport, (socket) => {
        sender = socket;
        const more = () => {
          while (socket.writable && socket.write(PIECE));
        };
        socket.on('drain', more);
        more();
      });
      client.pause();
      await until(() => back.full > 0);
      if (who === 'reader') client.resetAndDestroy();
      else if (who === 'sender') {
        sender!.resetAndDestroy();
        client.resume();
      } else {
        front.connection.destroy();
        back.connection.destroy();
      }
      await until(() => front.closed && back.closed, 60);
      expect([front.count('close'), back.count('close')]).toEqual([1, 1]);
      const machine = reactorMachine();
      if (moves(transport) && !('reason' in machine)) expect(machine.loop.counts.pipes).toBe(0);
    },
  );

  test('more slow readers than there are pipes: the rest is read and written', async () => {
    const transport = make();
    const size = 7 * MIB;
    const flows = await Promise.all(
      Array.from({ length: 70 }, () => relay(transport, (socket) => socket.end(Buffer.alloc(size, 'x')))),
    );
    for (const { client } of flows) client.pause();
    await until(() => flows.every(({ back }) => back.full > 0));
    for (const { client, back } of [flows[0]!, flows.at(-1)!]) {
      expect((await all(client.resume())).equals(Buffer.alloc(size, 'x'))).toBe(true);
      await until(() => back.size === size);
    }
  });

  test('a connection of another kind, or one that is gone, is no target', async () => {
    const transport = make();
    const { next, port } = await listening(transport);
    const client = connecting(transport, port);
    const server = await next();
    const gone = connecting(transport, port);
    await next();
    gone.connection.destroy();
    await until(() => gone.closed);
    server.connection.passOn?.(gone.connection, 1_000_000);
    client.connection.write(bytes(300_000));
    await until(() => server.size === 300_000);
    server.connection.passOn?.({} as Connection, 1_000_000);
    client.connection.write(bytes(300_000));
    await until(() => server.size === 600_000);
  });
});
