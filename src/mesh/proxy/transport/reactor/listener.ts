/** A port: connections are accepted, and given to the greeter. */
import { lookup } from 'node:dns/promises';
import type { Listener, ListenOptions } from '../types.ts';
import { enable, numericScope } from './dial.ts';
import { type Accept, Greeter, type GreeterParts } from './greeter.ts';
import {
  AF_INET,
  AF_INET6,
  EAGAIN,
  EMFILE,
  ENFILE,
  EPOLLIN,
  IPPROTO_TCP,
  SO_REUSEADDR,
  SOCK_FLAGS,
  SOCK_STREAM,
  SOL_SOCKET,
  systemError,
  TCP_NODELAY,
} from './libc.ts';
import { decodeAddress, encodeAddress, isAddress, isVersion6, SOCKADDR_SIZE } from './sockaddr.ts';
import { Socket } from './socket.ts';

const BACKLOG = 1024;
/** Connections taken in one turn, so that those that are there have theirs. */
const ACCEPTS = 64;
const O_CLOEXEC = 0o2000000;

export interface ListenerParts extends GreeterParts {
  closed: () => void;
}

export class ReactorListener implements Listener {
  port = 0;
  readonly #parts: ListenerParts;
  readonly #options: ListenOptions;
  readonly #greeter: Greeter;
  #socket: Socket | undefined;
  /** Given up for a moment when there are no descriptors left, to take a connection and close it. */
  #spare = -1;

  constructor(parts: ListenerParts, options: ListenOptions, accept: Accept) {
    this.#parts = parts;
    this.#options = options;
    this.#greeter = new Greeter(parts, options, accept);
  }

  /** Rejects, as `net.Server` does, when the address cannot be had. */
  async start(): Promise<this> {
    const { host, port } = this.#options;
    const ip = isAddress(host) ? host : (await lookup(host)).address;
    const { loop } = this.#parts;
    const { libc, scratch } = loop;
    const failed = (call: string) => systemError(call, libc.errno(), `${host}:${port}`);
    const fd = libc.socket(isVersion6(ip) ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_FLAGS, 0);
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
    this.port = decodeAddress(scratch.bytes).port;
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
        this.#greeter.greet(new Socket(loop, fd, IDLE));
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
}

const IDLE = { ready() {} };
