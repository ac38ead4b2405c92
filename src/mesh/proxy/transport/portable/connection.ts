/** One connection on a socket of node:net or node:tls. */
import type net from 'node:net';
import type tls from 'node:tls';
import { NOBODY } from '../nobody.ts';
import { originalDestination, sameMachine } from '../original-destination.ts';
import { LEAST, MOST, portionAfter, SHARE } from '../portion.ts';
import { spiffeIds } from '../spiffe.ts';
import type { Address, Connection, ConnectionHandler, ListenOptions } from '../types.ts';

/** Hands the socket over to a TLS server; calls back once, without a socket when the handshake failed. */
export type Terminate = (socket: net.Socket, done: (inside: tls.TLSSocket | undefined) => void) => void;

export class PortableConnection implements Connection {
  handler: ConnectionHandler;
  peerIdentity: string | undefined;
  alpn: string | undefined;
  readonly secure: boolean;
  /** Why the peer may have ended it without a word. */
  suspicion: (() => Error | undefined) | undefined;
  readonly #socket: net.Socket;
  readonly #terminate: Terminate | undefined;
  readonly #refused: ListenOptions['refused'];
  #error: Error | undefined;
  #paused = false;
  /** Bytes that are handled at a time. */
  #portion = MOST;

  constructor(
    socket: net.Socket,
    handler: ConnectionHandler,
    secure: boolean,
    terminate?: Terminate,
    refused?: ListenOptions['refused'],
  ) {
    this.#terminate = terminate;
    this.#refused = refused;
    this.#socket = socket;
    this.handler = handler;
    this.secure = secure;
    socket.on('data', (chunk: Buffer) => {
      this.suspicion = undefined;
      this.#take(chunk);
    });
    socket.on('drain', () => this.handler.drain());
    socket.on('end', () => this.handler.end());
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('close', () => {
      const last = this.handler;
      this.handler = NOBODY;
      last.close(this.suspicion?.() ?? this.#error);
    });
  }

  /** Node reads 64 KiB at a time: where those are dear, others have their turn before the rest. */
  #take(chunk: Buffer) {
    const socket = this.#socket;
    let spent = 0;
    for (let at = 0; at < chunk.length; ) {
      if (spent > SHARE || this.#paused) return this.#leave(chunk.subarray(at));
      const size = this.#portion;
      const part = at === 0 && chunk.length <= size ? chunk : chunk.subarray(at, at + size);
      at += part.length;
      const began = part.length < LEAST ? 0 : performance.now();
      try {
        this.handler.data(part);
      } catch (thrown) {
        // An error in handling one connection ends that connection and nothing else.
        socket.destroy(thrown as Error);
      }
      if (socket.destroyed) return;
      const took = part.length < LEAST ? 0 : performance.now() - began;
      if (took > 0) this.#portion = portionAfter(size, part.length, took);
      spent += took;
    }
  }

  #leave(rest: Buffer) {
    this.#socket.pause();
    this.#socket.unshift(rest);
    setImmediate(() => {
      if (!this.#paused && !this.#socket.destroyed) this.#socket.resume();
    });
  }

  write(chunk: Buffer): boolean {
    return this.#socket.writable ? this.#socket.write(chunk) : true;
  }

  writeCopy(bytes: Buffer, end: number): boolean {
    return this.write(Buffer.from(bytes.subarray(0, end)));
  }

  writePair(first: Buffer, second: Buffer): boolean {
    if (!this.#socket.writable) return true;
    this.#socket.cork();
    this.#socket.write(first);
    const more = this.#socket.write(second);
    this.#socket.uncork();
    return more;
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  finish(): void {
    this.#socket.destroySoon();
  }

  destroy(error?: Error): void {
    this.#socket.destroy(error);
  }

  breakOff(): void {
    const socket = this.#socket;
    // Of TLS, the socket below.
    const below = (socket as { _parent?: net.Socket | null })._parent ?? socket;
    // `resetAndDestroy` would wait for what is to be written; libuv refuses while a shutdown is under way.
    const shutting = socket.writableEnded && !socket.writableFinished;
    if (!shutting && !below.connecting) (below as { resetAndClosing?: boolean }).resetAndClosing = true;
    below.destroy();
    socket.destroy();
  }

  keep(chunk: Buffer): Buffer {
    return chunk;
  }

  originalDestination(): Address | undefined {
    // Node tells a socket's descriptor nowhere else.
    const { fd = -1 } = (this.#socket as { _handle?: { fd?: number } })._handle ?? {};
    return fd < 0 ? undefined : originalDestination(fd, this.#socket.remoteAddress ?? '');
  }

  local(): boolean {
    return sameMachine(this.#socket.remoteAddress, this.#socket.localAddress);
  }

  startTls(first: Buffer, done: (inside: Connection | undefined) => ConnectionHandler | undefined): void {
    const socket = this.#socket;
    const terminate = this.#terminate;
    const refused = this.#refused;
    if (!terminate) throw new Error('this listener offers no TLS');
    this.handler = NOBODY;
    socket.pause();
    for (const event of ['data', 'drain', 'end']) socket.removeAllListeners(event);
    socket.unshift(first);
    terminate(socket, (secured) => {
      if (secured) acceptSecure(secured, done, refused);
      else done(undefined);
    });
  }
}

/** Gives a socket that is past its handshake to `accept`, if its peer is one of the mesh. */
export function acceptSecure(
  socket: tls.TLSSocket,
  accept: (connection: Connection) => ConnectionHandler | undefined,
  refused: ListenOptions['refused'],
): void {
  const connection = new PortableConnection(socket, NOBODY, true);
  const identity = spiffeIds(socket.getPeerCertificate())[0];
  connection.peerIdentity = identity;
  connection.alpn = socket.alpnProtocol || undefined;
  // Signed by the right authority but nobody of the mesh: not a peer.
  if (identity === undefined)
    refused?.({ cause: 'identity', peer: socket.remoteAddress, detail: 'its certificate has no SPIFFE id' });
  const handler = identity === undefined ? undefined : accept(connection);
  if (handler) connection.handler = handler;
  else socket.destroy();
}
