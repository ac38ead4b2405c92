import type { Output } from './frames.ts';
import type { Http2Limits } from './limits.ts';
import type { Http2Stream } from './stream.ts';

/** What the peer may send (RFC 9113 5.2): the window of the connection, those of its streams, and when they open again. */
export class ReceiveWindows {
  readonly #server: boolean;
  readonly #limits: Http2Limits;
  readonly #output: Output;
  readonly #written: () => void;
  #window: number;
  /** What the window of the connection may grow by, not told yet. */
  #credit = 0;

  constructor(server: boolean, limits: Http2Limits, output: Output, written: () => void) {
    this.#server = server;
    this.#limits = limits;
    this.#output = output;
    this.#written = written;
    this.#window = limits.connectionWindow;
  }

  /** A DATA frame has come. False: it is more than the connection's window. */
  take(size: number): boolean {
    this.#window -= size;
    return this.#window >= 0;
  }

  /**
   * Whose it was: `payload` of its `size` are the stream's body. A server's connection serves many clients, and one that
   * does not read must not hold up the others: the window of the connection opens at once. A client holds up itself
   * alone: it opens with what has been passed on, unless it speaks for many and its streams are apart.
   */
  book(stream: Http2Stream | undefined, size: number, payload: number): void {
    const held = this.#server && stream && !stream.remoteDone && !stream.apart ? payload : 0;
    this.#credit += size - held;
    if (held > 0) stream!.unconsumed += held;
    this.#replenish();
  }

  /** `bytes` of a stream's body have been passed on: the peer may send as much again. */
  consume(stream: Http2Stream, bytes: number): void {
    if (this.#server) {
      const taken = Math.min(bytes, stream.unconsumed);
      stream.unconsumed -= taken;
      this.#credit += taken;
    }
    if (this.#credit > 0) this.#replenish();
    if (stream.remoteDone || stream.closed) return;
    stream.credit += bytes;
    if (stream.credit < stream.window / 2) return;
    // Whoever keeps up gets more at a time; for others no more waits here than the first window.
    if (stream.receiveWindow + stream.credit === stream.window && stream.window < this.#limits.fastWindow) {
      stream.credit += stream.window;
      stream.window *= 2;
    }
    this.#output.windowUpdate(stream.id, stream.credit);
    stream.receiveWindow += stream.credit;
    stream.credit = 0;
    this.#written();
  }

  /** The stream is over: what it held is free. */
  forget(stream: Http2Stream): void {
    this.#credit += stream.unconsumed;
    stream.unconsumed = 0;
    this.#replenish();
  }

  #replenish(): void {
    if (this.#credit < this.#limits.connectionWindow / 2) return;
    this.#output.windowUpdate(0, this.#credit);
    this.#window += this.#credit;
    this.#credit = 0;
    this.#written();
  }
}
