/** Outgoing TCP connections: names are looked up, addresses tried in turn. */
import { lookup } from 'node:dns';
import { networkInterfaces } from 'node:os';
import {
  AF_INET,
  AF_INET6,
  EINPROGRESS,
  EPOLLOUT,
  IPPROTO_TCP,
  SOCK_FLAGS,
  SOCK_STREAM,
  systemError,
  TCP_NODELAY,
} from './libc.ts';
import type { Loop } from './loop.ts';
import { encodeAddress, isAddress, isVersion6 } from './sockaddr.ts';
import { Socket } from './socket.ts';

/** Milliseconds an address has before the next one is tried, as with Node's own sockets. */
const PATIENCE = 250;

/** Sets an option that is an int to 1. */
export function enable(loop: Loop, fd: number, level: number, option: number): void {
  const { bytes, address } = loop.scratch;
  bytes.writeInt32LE(1, 64);
  loop.libc.setsockopt(fd, level, option, address + 64, 4);
}

/** `fe80::1%eth0` with the interface's number, as the kernel wants it. */
export function numericScope(ip: string): string {
  const [address, scope] = ip.split('%');
  if (scope === undefined || /^\d+$/.test(scope)) return ip;
  const found = networkInterfaces()[scope]?.find((each) => each.family === 'IPv6');
  return `${address}%${found?.family === 'IPv6' ? (found.scopeid ?? 0) : 0}`;
}

export class Dial {
  readonly #loop: Loop;
  readonly #port: number;
  readonly #done: (outcome: Socket | Error) => void;
  #addresses: string[] = [];
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #over = false;

  /** `done` is called once, later, unless it is cancelled. */
  constructor(loop: Loop, to: { host: string; port: number }, done: (outcome: Socket | Error) => void) {
    this.#loop = loop;
    this.#port = to.port;
    this.#done = done;
    if (isAddress(to.host)) {
      this.#addresses = [to.host];
      this.#next();
      return;
    }
    lookup(to.host, { all: true }, (error, found) => {
      if (this.#over) return;
      this.#addresses = found?.map(({ address }) => address) ?? [];
      if (error || this.#addresses.length === 0) this.#end(error ?? new Error(`${to.host} has no address`));
      else this.#next();
    });
  }

  #next() {
    const ip = this.#addresses.shift()!;
    const { libc, scratch } = this.#loop;
    const where = isVersion6(ip) ? `[${ip}]:${this.#port}` : `${ip}:${this.#port}`;
    const fd = libc.socket(isVersion6(ip) ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_FLAGS, 0);
    if (fd < 0) return this.#failed(systemError('socket', libc.errno()));
    const length = encodeAddress(scratch.bytes, numericScope(ip), this.#port);
    const connected = libc.connect(fd, scratch.address, length);
    const errno = connected < 0 ? libc.errno() : 0;
    if (errno !== 0 && errno !== EINPROGRESS) {
      libc.close(fd);
      return this.#failed(systemError('connect', errno, where));
    }
    enable(this.#loop, fd, IPPROTO_TCP, TCP_NODELAY);
    const socket = new Socket(this.#loop, fd, {
      ready: () => {
        const error = this.#loop.socketError(fd, 'connect');
        if (!error) return this.#end(socket);
        socket.close();
        error.message += ` ${where}`;
        this.#failed(error);
      },
    });
    this.#socket = socket;
    socket.want(EPOLLOUT);
    if (this.#addresses.length === 0) return;
    this.#timer = setTimeout(() => {
      socket.close();
      this.#next();
    }, PATIENCE);
  }

  #failed(error: Error): void {
    clearTimeout(this.#timer);
    if (this.#addresses.length > 0) this.#next();
    else this.#end(error);
  }

  /** Never from inside the caller's own call. */
  #end(outcome: Socket | Error): void {
    this.#over = true;
    this.#socket = undefined;
    clearTimeout(this.#timer);
    if (outcome instanceof Socket || this.#loop.turning) this.#done(outcome);
    else this.#loop.bury(() => this.#done(outcome));
  }

  /** Whether there was something to cancel: `done` is not going to be called. */
  cancel(): boolean {
    if (this.#over) return false;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
    return true;
  }
}
