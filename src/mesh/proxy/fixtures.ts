/** Real sockets around a data plane, for tests. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { silentLogger } from '../../lib/log.ts';
import type { Destination } from '../discovery/model.ts';
import { DataPlane } from './proxy.ts';
import type { Limits } from './runtime.ts';
import { createTransport } from './transport/choose.ts';
import type { CredentialSource, Transport } from './transport/types.ts';

/** What a test leaves behind; to be called after each. */
export const cleanups: (() => void | Promise<void>)[] = [];
export async function cleanUp() {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

/** The transport that this run of the tests is about: WEIR_TRANSPORT=portable for the other one. */
export function transport(credentials?: CredentialSource): Transport {
  return createTransport({ credentials, log: silentLogger, wanted: process.env.WEIR_TRANSPORT });
}

/** A server that answers as `serve` says; its address. */
export async function upstream(serve: (socket: net.Socket, text: string) => void): Promise<string> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => serve(socket, chunk.toString('latin1')));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

/** A listener whose queue is full and that accepts nobody: SYNs go unanswered. */
export async function unanswering(): Promise<string> {
  const program =
    "require('net').createServer().listen({port: 0, host: '127.0.0.1', backlog: 1}, function () { console.log(this.address().port) })";
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  cleanups.push(() => void child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  child.kill('SIGSTOP');
  const port = Number(line.toString());
  for (let n = 0; ; n += 1) {
    const socket = net.connect({ port, host: '127.0.0.1' }).on('error', () => {});
    cleanups.push(() => void socket.destroy());
    const full = new Promise<boolean>((resolve) => setTimeout(resolve, 500, true));
    if (await Promise.race([once(socket, 'connect').then(() => false), full])) return `127.0.0.1:${port}`;
    if (n > 100) throw new Error('the queue of a listener took a hundred connections');
  }
}

export const answer = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

export function destination(addresses: string[], extra: Partial<Destination> = {}): Destination {
  const endpoints = addresses.map((address) => ({ address }));
  return {
    key: 'web.shop:80',
    namespace: 'shop',
    protocol: 'detect',
    backends: [{ name: 'web', weight: 1, revision: 'v1', endpoints }],
    policy: {},
    ...extra,
  };
}

export async function outbound(to: Destination, limits: Partial<Limits> = {}, random?: () => number) {
  const plane = new DataPlane({
    transport: transport(),
    log: silentLogger,
    ...(random ? { random } : {}),
    config: {
      inbound: [],
      outbound: [{ listen: '127.0.0.1:0', destination: to.key }],
      destinations: { [to.key]: to },
      limits,
    },
  });
  await plane.start();
  cleanups.push(() => plane.destroy());
  return plane;
}

/** A client that remembers all it is told. */
export class Client {
  text = '';
  ended = false;
  /** It was reset. */
  broken = false;
  /** Resolves when nothing is left of the connection. */
  readonly gone: Promise<void>;
  readonly socket: net.Socket;
  #wake: () => void = () => {};

  constructor(to: DataPlane | number) {
    const port = typeof to === 'number' ? to : to.ports[0]!;
    this.socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (chunk) => {
      this.text += chunk.toString('latin1');
      this.#wake();
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.broken = error.code === 'ECONNRESET';
    });
    // A half-open one that is told of an end stays until it ends itself.
    this.gone = new Promise((resolve) => {
      this.socket.on('close', () => resolve());
      this.socket.on('end', () => resolve());
    });
    for (const event of ['end', 'close']) {
      this.socket.on(event, () => {
        this.ended = true;
        this.#wake();
      });
    }
    cleanups.push(() => void this.socket.destroy());
  }

  /** Until what has come satisfies the condition. */
  async until(condition: (text: string) => boolean): Promise<string> {
    while (!condition(this.text)) {
      if (this.ended && !condition(this.text)) throw new Error(`closed after ${JSON.stringify(this.text)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.text;
  }

  async closed(): Promise<string> {
    while (!this.ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.text;
  }
}

export const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
export const count = (text: string, part: string) => text.split(part).length - 1;
