import { Budget } from './budget.ts';
import { CLOSED_BY, ClosedStreams } from './closed.ts';
import type { ConnectionEvents } from './connection.ts';
import { ERROR, MAX_WINDOW } from './frames.ts';
import type { Http2Limits } from './limits.ts';
import type { ReceiveWindows } from './receive-windows.ts';
import type { Sender } from './sender.ts';
import { Http2Stream, type ResetBy, type StreamHandler } from './stream.ts';

/** The streams of one connection (RFC 9113 5.1): how they begin and how they end, in order or not. */
export class Streams {
  readonly #server: boolean;
  readonly #limits: Http2Limits;
  readonly #sender: Sender;
  readonly #windows: ReceiveWindows;
  readonly #events: Pick<ConnectionEvents, 'written' | 'idle' | 'threw'>;
  readonly #open = new Map<number, Http2Stream>();
  readonly #closed = new ClosedStreams();
  readonly #resets: Budget;
  readonly #cancelled = new Set<Http2Stream>();
  #nextLocal = 1;
  /** The highest that the peer has begun. */
  lastRemote = 0;
  /** Those above are ignored after our GOAWAY. */
  lastAccepted = MAX_WINDOW;

  constructor(
    server: boolean,
    limits: Http2Limits,
    parts: {
      sender: Sender;
      windows: ReceiveWindows;
      events: Pick<ConnectionEvents, 'written' | 'idle' | 'threw'>;
    },
  ) {
    this.#server = server;
    this.#limits = limits;
    this.#sender = parts.sender;
    this.#windows = parts.windows;
    this.#events = parts.events;
    this.#resets = new Budget(...limits.resets);
  }

  get count(): number {
    return this.#open.size;
  }

  /** Client role: there are numbers left. */
  get unspent(): boolean {
    return this.#nextLocal < MAX_WINDOW - 2;
  }

  get(id: number): Http2Stream | undefined {
    return this.#open.get(id);
  }

  all(): Iterable<Http2Stream> {
    return this.#open.values();
  }

  /** How one ended that is not open; see CLOSED_BY. */
  ended(id: number): number {
    return this.#closed.how(id);
  }

  /** Whether no frame but HEADERS or PRIORITY may name this stream yet. */
  isIdle(id: number): boolean {
    const theirs = (id & 1) === (this.#server ? 1 : 0);
    return theirs ? id > this.lastRemote : id >= this.#nextLocal;
  }

  // --- beginning ---

  /** Client role: a new stream for one request. */
  begin(handler: StreamHandler, bodiless: boolean, sendWindow: number): Http2Stream {
    const stream = new Http2Stream(this.#nextLocal, sendWindow, this.#limits.responseWindow);
    stream.handler = handler;
    stream.bodiless = bodiless;
    this.#nextLocal += 2;
    this.#open.set(stream.id, stream);
    return stream;
  }

  /** Server role: the head of a request has come. */
  accept(id: number, sendWindow: number): Http2Stream {
    const stream = new Http2Stream(id, sendWindow, this.#limits.streamWindow);
    stream.headed = true;
    this.#open.set(id, stream);
    return stream;
  }

  // --- ending well ---

  localEnd(stream: Http2Stream): void {
    stream.localDone = true;
    if (stream.remoteDone) this.#remove(stream, CLOSED_BY.end);
  }

  remoteEnd(stream: Http2Stream): void {
    stream.remoteDone = true;
    if (stream.localDone) this.#remove(stream, CLOSED_BY.end);
  }

  /** Something on a stream ended well that goes on: one more may be broken. */
  earn(): void {
    this.#resets.earn(1);
  }

  // --- breaking ---

  /**
   * Client role: ends a stream whose answer nobody wants. A server cuts off whoever resets too many, and with it the
   * requests of all others on this connection; beyond that a stream is left where its window ends, until there is room.
   */
  cancel(stream: Http2Stream, now: number): void {
    if (stream.closed) return;
    stream.handler = undefined;
    this.#cancelled.add(stream);
    this.cancelMore(now);
  }

  /** Those that were left. */
  get cancelling(): number {
    return this.#cancelled.size;
  }

  /** Resets those that were left, as far as there is room. */
  cancelMore(now: number): void {
    for (const stream of this.#cancelled) {
      if (!stream.closed && !this.#resets.spend(now)) return;
      this.#cancelled.delete(stream);
      this.reset(stream, ERROR.cancel);
    }
  }

  /** Ends a stream at once. Its handler is not told. */
  reset(stream: Http2Stream, code: number): void {
    if (stream.closed) return;
    stream.handler = undefined;
    this.#sender.output.rstStream(stream.id, code);
    this.#remove(stream, CLOSED_BY.us);
    this.#events.written();
  }

  /** Ends a stream whose peer does not take what waits for it. */
  giveUp(stream: Http2Stream, code: number): void {
    this.#sender.output.rstStream(stream.id, code);
    this.#events.written();
    this.break(stream, code, 'self', false);
  }

  /** Gives up those whose peer has taken nothing for `milliseconds` although something waits for it. */
  resetStalled(now: number, milliseconds: number): void {
    for (const stream of [...this.#sender.waiting]) {
      if (now - stream.waitingSince >= milliseconds) this.giveUp(stream, ERROR.cancel);
    }
  }

  /** Client role: the server has acted on nothing above `last`. */
  unprocessed(last: number): void {
    for (const stream of [...this.#open.values()])
      if (stream.id > last) this.break(stream, ERROR.refusedStream, 'peer', true);
  }

  /** The connection is gone: every one is told. */
  close(): void {
    for (const stream of [...this.#open.values()]) this.break(stream, ERROR.cancel, 'connection', false);
  }

  /** The peer's doing breaks a stream, whether it is open or not. */
  refuse(id: number, code: number): void {
    this.#sender.output.rstStream(id, code);
    this.#events.written();
    const stream = this.#open.get(id);
    if (stream) this.break(stream, code, 'self', false);
    else this.#closed.add(id, CLOSED_BY.us);
  }

  /** One more was broken; false: there were too many. */
  spendReset(now: number): boolean {
    return this.#resets.spend(now);
  }

  break(stream: Http2Stream, code: number, by: ResetBy, unprocessed: boolean): void {
    const { handler } = stream;
    stream.handler = undefined;
    this.#remove(stream, by === 'peer' ? CLOSED_BY.peer : CLOSED_BY.us);
    this.#tell(handler, code, by, unprocessed);
  }

  #tell(handler: StreamHandler | undefined, code: number, by: ResetBy, unprocessed: boolean): void {
    try {
      handler?.reset(code, by, unprocessed);
    } catch (thrown) {
      this.#events.threw(thrown);
    }
  }

  /** `handler` has thrown: what it did with the stream is worth nothing, and is no matter of the connection's other ones. */
  threw(stream: Http2Stream, handler: StreamHandler | undefined, error: unknown): void {
    this.#events.threw(error);
    // One that has let go of the stream may serve another by now.
    const concerned = stream.handler === handler ? handler : undefined;
    this.reset(stream, ERROR.internal);
    stream.handler = undefined;
    this.#tell(concerned, ERROR.internal, 'self', false);
  }

  #remove(stream: Http2Stream, how: number): void {
    if (stream.closed) return;
    stream.closed = true;
    this.#windows.forget(stream);
    if (how === CLOSED_BY.end) this.#resets.earn(1);
    if (stream.waiting) this.#sender.forget(stream);
    this.#open.delete(stream.id);
    this.#closed.add(stream.id, how);
    if (this.#open.size === 0) this.#events.idle();
  }
}
