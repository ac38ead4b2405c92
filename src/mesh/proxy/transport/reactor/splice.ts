/** The two ends of bytes that go from one socket to another through a kernel pipe: who takes them up, who sends them on. */
import { PIPE_SIZE, type Pipe, type Pipes } from './pipes.ts';
import { AGAIN, FAILED, REFUSED, type Socket } from './socket.ts';

/** Bytes that have to come at once for a pipe to be worth its calls: fewer are read and written. */
const BULK = 32_768;
/** So many times in a row fewer have to come for it not to be: a header often comes by itself, before much else. */
const PATIENCE = 2;
/** What is less was all that there was, as a rule: to look for more would be a call in vain, and epoll tells of it. */
const MORE = PIPE_SIZE / 2;

/** What comes in may go to `to` unseen, `left` bytes of it. */
export class Passage<To> {
  readonly to: To;
  #left: number;
  /** Times in a row that little came. */
  #small: number;

  constructor(to: To, left: number) {
    this.to = to;
    this.#left = left;
    // A long message is known to be one; of a stream it shows.
    this.#small = left === Number.POSITIVE_INFINITY ? PATIENCE : 0;
  }

  /** Much comes at once, so that a pipe is worth its calls. */
  get bulk(): boolean {
    return this.#small < PATIENCE;
  }

  /** Moves what has come into an empty pipe; a number of bytes, or what `Socket.readInto` says. */
  fill(pipe: Pipe, socket: Socket): number {
    return socket.readInto(pipe, Math.min(this.#left, PIPE_SIZE));
  }

  /** So many bytes may all go unseen. */
  holds(count: number): boolean {
    return count <= this.#left;
  }

  /** So many of the bytes that may go unseen have come; false: those were the last. */
  passed(count: number): boolean {
    this.#left -= count;
    this.#small = count >= BULK ? 0 : this.#small + 1;
    return this.#left > 0;
  }

  /** After `count` bytes went through a pipe, there may be more already. */
  goesOn(count: number): boolean {
    return count >= MORE;
  }
}

/** Bytes in a pipe that wait to be sent, before those of the write queue. */
export class Outlet {
  readonly #pipes: Pipes;
  #pipe: Pipe | undefined;

  constructor(pipes: Pipes) {
    this.#pipes = pipes;
  }

  /** Bytes that have not left. */
  get held(): number {
    return this.#pipe?.held ?? 0;
  }

  /** Takes over a pipe that was borrowed. */
  take(pipe: Pipe): void {
    this.#pipe = pipe;
  }

  /** Sends what the socket takes; an error: the connection broke. */
  send(socket: Socket): Error | undefined {
    const pipe = this.#pipe;
    while (pipe && pipe.held > 0) {
      const count = socket.writeFrom(pipe);
      if (count === AGAIN) return undefined;
      if (count === FAILED || count === REFUSED || count === 0)
        return socket.error ?? new Error('the kernel does not write from a pipe');
    }
    this.drop();
    return undefined;
  }

  /** Gives the pipe back, with or without what is in it. */
  drop(): void {
    if (this.#pipe) this.#pipes.giveBack(this.#pipe);
    this.#pipe = undefined;
  }
}
