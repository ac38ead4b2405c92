/** Both transports, and handlers that remember, for the contract that both keep. */
import { once } from 'node:events';
import net from 'node:net';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { until } from '../until-fixtures.ts';
import { PortableTransport } from './portable/portable.ts';
import { ReactorTransport, reactorMachine } from './reactor/reactor.ts';
import type { Connection, ConnectionHandler, CredentialSource, ListenOptions, Transport } from './types.ts';

/** Undoes what a test has set up; called after each. */
export const cleanups: (() => void | Promise<void>)[] = [];

export type MakeTransport = (credentials?: CredentialSource) => Transport;

/** Runs the cases on each transport; on the reactor nothing may be left of what they opened. */
export function onBoth(cases: (make: MakeTransport) => void): void {
  const ending = () => {
    afterEach(async () => {
      for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    });
  };
  describe('portable', () => {
    ending();
    cases((credentials) => new PortableTransport(credentials));
  });
  const machine = reactorMachine();
  if ('reason' in machine) {
    describe('reactor', () => test.skip(`does not run here: ${machine.reason}`, () => {}));
    return;
  }
  describe('reactor', () => {
    ending();
    cases((credentials) => {
      const transport = new ReactorTransport(machine, credentials);
      cleanups.push(() => transport.close());
      return transport;
    });
    afterAll(async () => {
      await until(() => machine.loop.counts.sockets === 0).catch(() => {});
      expect(machine.loop.counts).toEqual({ sockets: 0, sessions: 0, contexts: 0, pipes: 0 });
    });
  });
}

/** A handler that remembers what it is told, in order. */
export class Recorder implements ConnectionHandler {
  readonly events: string[] = [];
  readonly chunks: Buffer[] = [];
  connection!: Connection;
  size = 0;
  error: Error | undefined;
  /** What a test does when it hears of something. */
  on: Partial<ConnectionHandler> = {};

  open() {
    this.events.push('open');
    this.on.open?.();
  }

  data(chunk: Buffer) {
    if (this.events.at(-1) !== 'data') this.events.push('data');
    this.size += chunk.length;
    this.chunks.push(Buffer.from(chunk));
    this.on.data?.(chunk);
  }

  drain() {
    this.events.push('drain');
    this.on.drain?.();
  }

  end() {
    this.events.push('end');
    this.on.end?.();
  }

  close(error?: Error) {
    this.events.push('close');
    this.error = error;
    this.on.close?.(error);
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  get closed(): boolean {
    return this.events.includes('close');
  }

  count(event: string): number {
    return this.events.filter((each) => each === event).length;
  }
}

export const PLAIN: ListenOptions = { host: '127.0.0.1', port: 0, tls: 'off', handshakeTimeout: 5_000 };

/** A listener whose connections each get a recorder. */
export async function listening(
  transport: Transport,
  options: Partial<ListenOptions> = {},
  each: (recorder: Recorder) => void = () => {},
) {
  const peers: Recorder[] = [];
  let over = false;
  const listener = await transport.listen({ ...PLAIN, ...options }, (connection) => {
    // A handshake may be through after the test.
    if (over) return undefined;
    const recorder = new Recorder();
    recorder.connection = connection;
    peers.push(recorder);
    each(recorder);
    return recorder;
  });
  cleanups.push(() => {
    over = true;
    listener.close();
    for (const { connection } of peers) connection.destroy();
  });
  /** The recorder of the next connection to come, or one that has come and nobody asked for. */
  let taken = 0;
  const next = async () => {
    await until(() => peers.length > taken);
    taken += 1;
    return peers[taken - 1]!;
  };
  return { listener, port: listener.port, peers, next };
}

export function connecting(
  transport: Transport,
  port: number,
  options: { host?: string; identity?: string; alpn?: string[] } = {},
): Recorder {
  const recorder = new Recorder();
  recorder.connection = transport.connect({ host: '127.0.0.1', port, ...options }, recorder);
  cleanups.push(() => recorder.connection.destroy());
  return recorder;
}

/** A connection between two recorders. */
export async function pair(transport: Transport) {
  const { next, port } = await listening(transport);
  const client = connecting(transport, port);
  const server = await next();
  await until(() => client.events.includes('open'));
  return { client, server };
}

/** A socket of Node's own, to look at the transport from outside. */
export async function rawClient(port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {});
  cleanups.push(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

export async function rawServer(serve: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as net.AddressInfo).port;
}

/** Bytes that show where they belong. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed >>> 0 || 1;
  for (let n = 0; n < length; n += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[n] = state >>> 24;
  }
  return bytes;
}

/** Writes all of it, as fast as the other side takes it. */
export function pour(from: Recorder, bytes: Buffer, then: () => void, piece = 50_000): void {
  let at = 0;
  const more = () => {
    while (at < bytes.length) {
      const chunk = bytes.subarray(at, at + piece);
      at += chunk.length;
      if (!from.connection.write(Buffer.from(chunk))) return;
    }
    from.on.drain = () => {};
    then();
  };
  from.on.drain = more;
  more();
}
