/** The one owner of a connected descriptor and of its TLS session: both are freed here, once. */
import {
  EAGAIN,
  EINTR,
  EINVAL,
  EPOLLIN,
  EPOLLOUT,
  MSG_NOSIGNAL,
  SHUT_WR,
  SO_LINGER,
  SOL_SOCKET,
  SPLICE_FLAGS,
  systemError,
} from './libc.ts';
import type { Loop, Source, Watch } from './loop.ts';
import type { Pipe } from './pipes.ts';
import type { TlsSession } from './tls-session.ts';

/** What a read gives beside a number of bytes and 0 for the end of what the peer sends. */
export const AGAIN = -1;
/** A read or write that failed; `Socket.error` says how. */
export const FAILED = -2;
/** The kernel does not do that with this descriptor. */
export const REFUSED = -3;

export class Socket implements Source {
  readonly fd: number;
  readonly loop: Loop;
  watch: Watch;
  closed = false;
  error: Error | undefined;
  #tls: TlsSession | undefined;
  /** What epoll is asked for; 0 = the descriptor is not in the set. */
  #wanted = 0;

  /** Takes over a non-blocking descriptor. */
  constructor(loop: Loop, fd: number, watch: Watch) {
    this.loop = loop;
    this.fd = fd;
    this.watch = watch;
    loop.counts.sockets += 1;
    loop.join(this);
  }

  /** From now on what is read and written goes through `tls`. */
  secure(tls: TlsSession): void {
    this.#tls = tls;
  }

  get tls(): TlsSession | undefined {
    return this.#tls;
  }

  /** Asks for events; 0 takes the descriptor out, for then even errors that last would wake the loop in vain. */
  want(events: number): void {
    const before = this.#wanted;
    if (events === before || this.closed) return;
    this.#wanted = events;
    this.loop.control(before === 0 ? 'add' : events === 0 ? 'del' : 'mod', this.fd, events);
  }

  /** Bytes that have been taken from the kernel and not been read: epoll does not tell of them. */
  get pending(): boolean {
    return this.#tls?.pending ?? false;
  }

  /** The session could not read because it has something to say first. */
  get crossed(): boolean {
    return this.#tls?.crossed ?? false;
  }

  /** Reads up to `size` bytes into `loop.input`. */
  read(size: number): number {
    const { address } = this.loop.input;
    if (this.#tls) return this.#tls.read(this, address, size);
    const { libc } = this.loop;
    for (;;) {
      const count = libc.recv(this.fd, address, size, 0);
      if (count >= 0) return count;
      const errno = libc.errno();
      if (errno === EAGAIN) return AGAIN;
      if (errno !== EINTR) return this.fail(systemError('read', errno));
    }
  }

  /** How many bytes were taken; fewer, down to 0, when the peer does not keep up. */
  write(address: number, size: number): number {
    if (this.#tls) return this.#tls.write(this, address, size);
    const { libc } = this.loop;
    for (;;) {
      const count = libc.send(this.fd, address, size, MSG_NOSIGNAL);
      if (count >= 0) return count;
      const errno = libc.errno();
      if (errno === EAGAIN) return 0;
      if (errno !== EINTR) return this.fail(systemError('write', errno));
    }
  }

  /** The same for bytes that are anywhere. */
  send(chunk: Buffer): number {
    const { input, output } = this.loop;
    const own = input.holds(chunk);
    let sent = 0;
    while (sent < chunk.length) {
      const size = Math.min(output.size, chunk.length - sent);
      let address: number;
      if (own) address = input.addressOf(chunk) + sent;
      else {
        chunk.copy(output.bytes, 0, sent, sent + size);
        address = output.address;
      }
      const count = this.write(address, size);
      if (count === FAILED) return FAILED;
      sent += count;
      if (count < size) return sent;
    }
    return sent;
  }

  /** Reads up to `size` bytes into an empty pipe. */
  readInto(pipe: Pipe, size: number): number {
    const count = this.#splice('read', this.fd, pipe.write, size);
    if (count > 0) pipe.held += count;
    return count;
  }

  /** Writes what is in the pipe, or as much of it as is taken. */
  writeFrom(pipe: Pipe): number {
    const count = this.#splice('write', pipe.read, this.fd, pipe.held);
    if (count > 0) pipe.held -= count;
    return count;
  }

  #splice(call: string, from: number, to: number, size: number): number {
    const { libc } = this.loop;
    for (;;) {
      const count = libc.splice(from, 0, to, 0, size, SPLICE_FLAGS);
      if (count >= 0) return count;
      const errno = libc.errno();
      if (errno === EAGAIN) return AGAIN;
      if (errno === EINVAL) return REFUSED;
      if (errno !== EINTR) return this.fail(systemError(call, errno));
    }
  }

  /** Says that nothing more will come; false = to be tried again when it can be written. */
  shutdown(): boolean {
    if (this.#tls && !this.#tls.shutdown(this)) return false;
    this.loop.libc.shutdown(this.fd, SHUT_WR);
    return true;
  }

  /** Goes on with the TLS handshake: true = done, false = waits for the peer, an error = failed. */
  handshake(): boolean | Error {
    // Signatures take a millisecond: answers that are ready must not wait for those of many.
    this.loop.outbox.send();
    const outcome = this.#tls!.handshake(this);
    if (outcome === 'read') this.want(EPOLLIN);
    else if (outcome === 'write') this.want(EPOLLOUT);
    else return outcome;
    return false;
  }

  fail(error: Error): typeof FAILED {
    this.error = error;
    return FAILED;
  }

  /** Closing will be a reset, and what has not left by then is gone. */
  reset(): void {
    const { libc, scratch } = this.loop;
    scratch.bytes.writeInt32LE(1, 64);
    scratch.bytes.writeInt32LE(0, 68);
    libc.setsockopt(this.fd, SOL_SOCKET, SO_LINGER, scratch.address + 64, 8);
  }

  /** Closes at the end of the turn; `then` is the last that happens. */
  close(then?: () => void): void {
    if (this.closed) return;
    this.closed = true;
    this.loop.bury(() => {
      this.#tls?.free();
      this.loop.leave(this);
      this.loop.libc.close(this.fd);
      this.loop.counts.sockets -= 1;
      then?.();
    });
  }
}
