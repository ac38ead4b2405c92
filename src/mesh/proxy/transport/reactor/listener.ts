/** Incoming connections: accepted, greeted (plain, or TLS with a deadline), handed to the proxy. */
import { lookup } from 'node:dns/promises';
import net from 'node:net';
import type { Connection, ConnectionHandler, Listener, ListenOptions } from '../types.ts';
import { ReactorConnection } from './connection.ts';
import { enable, numericScope } from './dial.ts';
import { peerIds, shakeHands } from './handshake.ts';
import {
  AF_INET,
  AF_INET6,
  EAGAIN,
  EMFILE,
  ENFILE,
  EPOLLIN,
  IPPROTO_TCP,
  MSG_PEEK,
  SO_REUSEADDR,
  SOCK_FLAGS,
  SOCK_STREAM,
  SOL_SOCKET,
  systemError,
  TCP_NODELAY,
} from './libc.ts';
import type { Loop } from './loop.ts';
import type { OpenSsl } from './openssl.ts';
import { decodePort, encodeAddress, SOCKADDR_SIZE } from './sockaddr.ts';
import { Socket } from './socket.ts';
import type { TlsContext } from './tls-context.ts';

const BACKLOG = 1024;
/** Connections taken in one turn, so that those that are there have theirs. */
const ACCEPTS = 64;
/** The first byte of a TLS connection: a handshake record (RFC 8446, 5.1). */
const HANDSHAKE = 0x16;
const O_CLOEXEC = 0o2000000;

type Accept = (connection: Connection) => ConnectionHandler | undefined;

export interface ListenerParts {
  loop: Loop;
  openssl: OpenSsl;
  /** Keys of the moment; undefined while there are none. */
  context: () => TlsContext | undefined;
  closed: () => void;
}

export class ReactorListener implements Listener {
  port = 0;
  readonly #parts: ListenerParts;
  readonly #options: ListenOptions;
  readonly #accept: Accept;
  #socket: Socket | undefined;
  /** Given up for a moment when there are no descriptors left, to take a connection and close it. */
  #spare = -1;

  constructor(parts: ListenerParts, options: ListenOptions, accept: Accept) {
    this.#parts = parts;
    this.#options = options;
    this.#accept = accept;
  }

  /** Rejects, as `net.Server` does, when the address cannot be had. */
  async start(): Promise<this> {
    const { host, port } = this.#options;
    const ip = net.isIP(host) === 0 ? (await lookup(host)).address : host;
    const { loop } = this.#parts;
    const { libc, scratch } = loop;
    const failed = (call: string) => systemError(call, libc.errno(), `${host}:${port}`);
    const fd = libc.socket(net.isIPv6(ip) ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_FLAGS, 0);
    if (fd < 0) throw failed('socket');
    const socket = new Socket(loop, fd, { ready: () => this.#take(fd) });
    enable(loop, fd, SOL_SOCKET, SO_REUSEADDR);
    // What is accepted inherits it.
    enable(loop, fd, IPPROTO_TCP, TCP_NODELAY);
    const length = encodeAddress(scratch.bytes, numericScope(ip), port);
    const bound = libc.bind(fd, scratch.address, length) === 0 && libc.listen(fd, BACKLOG) === 0;
    if (!bound) {
      const error = failed('listen');
      socket.close();
      throw error;
    }
    scratch.bytes.writeInt32LE(SOCKADDR_SIZE, 64);
    libc.getsockname(fd, scratch.address, scratch.address + 64);
    this.port = decodePort(scratch.bytes);
    this.#spare = libc.open('/dev/null', O_CLOEXEC);
    this.#socket = socket;
    socket.want(EPOLLIN);
    return this;
  }

  close(): void {
    if (!this.#socket) return;
    this.#socket.close();
    this.#socket = undefined;
    if (this.#spare >= 0) this.#parts.loop.libc.close(this.#spare);
    this.#spare = -1;
    this.#parts.closed();
  }

  #take(listening: number): void {
    const { loop } = this.#parts;
    const { libc } = loop;
    for (let n = 0; n < ACCEPTS && this.#socket; n += 1) {
      const fd = libc.accept4(listening, 0, 0, SOCK_FLAGS);
      if (fd >= 0) {
        this.#greet(new Socket(loop, fd, IDLE));
        continue;
      }
      const errno = libc.errno();
      if (errno === EMFILE || errno === ENFILE) this.#shed(listening);
      // Whatever else went wrong is that connection's own; the set tells if there are more.
      if (errno === EAGAIN || errno === EMFILE || errno === ENFILE) return;
    }
  }

  /** Takes one connection too many and closes it: left in the backlog, it would be announced again without end. */
  #shed(listening: number): void {
    const { libc } = this.#parts.loop;
    if (this.#spare >= 0) libc.close(this.#spare);
    const fd = libc.accept4(listening, 0, 0, SOCK_FLAGS);
    if (fd >= 0) libc.close(fd);
    this.#spare = libc.open('/dev/null', O_CLOEXEC);
  }

  #greet(socket: Socket) {
    const { tls, handshakeTimeout } = this.#options;
    if (tls === 'off') return this.#open(socket, false);
    // With the keys of now, even if they change or the listener closes in the meantime.
    const context = this.#parts.context()?.retain();
    const timer = setTimeout(() => end(false), handshakeTimeout);
    const end = (well: boolean) => {
      clearTimeout(timer);
      context?.release();
      if (!well) socket.close();
    };
    const secure = () => {
      // Without a certificate no handshake can succeed.
      if (!context) return end(false);
      const { loop, openssl } = this.#parts;
      shakeHands({ socket, loop, openssl, context }, undefined, (error) => {
        end(error === undefined);
        // A failed handshake is the peer's trouble; the connection is gone already.
        if (!error) this.#open(socket, true);
      });
    };
    if (tls === 'required') return secure();
    const { libc, scratch } = this.#parts.loop;
    socket.watch = {
      ready: () => {
        const count = libc.recv(socket.fd, scratch.address, 1, MSG_PEEK);
        if (count < 0 && libc.errno() === EAGAIN) return;
        if (count <= 0) return end(false);
        if (scratch.bytes[0] === HANDSHAKE) return secure();
        end(true);
        this.#open(socket, false);
      },
    };
    socket.want(EPOLLIN);
  }

  #open(socket: Socket, secure: boolean) {
    const connection = new ReactorConnection(this.#parts.loop, undefined, secure);
    if (secure) {
      connection.peerIdentity = peerIds(socket)[0];
      connection.alpn = socket.tls?.alpn;
      // Signed by the right authority but nobody of the mesh: not a peer.
      if (connection.peerIdentity === undefined) return socket.close();
    }
    const handler = this.#accept(connection);
    if (!handler) return socket.close();
    connection.handler = handler;
    connection.open(socket, false);
  }
}

const IDLE = { ready() {} };
