import type { Http2Connection } from '../protocol/http2/connection.ts';
import { ERROR, errorName } from '../protocol/http2/frames.ts';
import type { FieldList } from '../protocol/http2/list.ts';
import type { Http2Stream, ResetBy, StreamHandler } from '../protocol/http2/stream.ts';
import type { Runtime } from '../runtime.ts';
import type { Connection, ConnectionHandler } from '../transport/types.ts';

const NOTHING = Buffer.alloc(0);
/** How long a peer may take to end its half of a stream that is over for us. */
const LINGER = 5_000;

/** Both ends of the HTTP/2 connection have one of these for the stream. */
export interface Beneath {
  readonly connection: Connection;
  readonly http2: Http2Connection;
  readonly runtime: Pick<Runtime, 'moment' | 'transport' | 'wheel'>;
}

/** The DATA of one HTTP/2 stream as a connection: bytes both ways as they are, half-close, back-pressure by its window. */
export class StreamConnection implements Connection, StreamHandler {
  handler: ConnectionHandler;
  readonly alpn = undefined;
  readonly #role: 'client' | 'server';
  #beneath: Beneath;
  #stream: Http2Stream | undefined;
  #paused = false;
  /** Passed on while paused: the peer is told of it later. */
  #owed = 0;
  #wantsDrain = false;
  #ending: 'no' | 'half' | 'close' = 'no';
  #closed = false;
  /** The stream ended, and the peer says that it has not seen what was sent. */
  unprocessed = false;

  constructor(role: 'client' | 'server', beneath: Beneath, handler: ConnectionHandler) {
    this.#role = role;
    this.#beneath = beneath;
    this.handler = handler;
  }

  /** From now on it is this stream. */
  begin(stream: Http2Stream): void {
    this.#stream = stream;
    stream.handler = this;
  }

  get peerIdentity(): string | undefined {
    return this.#beneath.connection.peerIdentity;
  }

  get secure(): boolean {
    return this.#beneath.connection.secure;
  }

  get closed(): boolean {
    return this.#closed;
  }

  // --- from the stream ---

  /** The server agrees; what it was sent meanwhile is on its way. */
  headers({ status }: FieldList, end: boolean): void {
    if (status >= 200 && status < 300 && !end) return;
    if (status >= 200) this.#refused(`the peer answered ${status}`);
  }

  #refused(reason: string): void {
    const stream = this.#stream!;
    if (!stream.closed) this.#beneath.http2.cancel(stream);
    this.close(reason);
  }

  data(bytes: Buffer, from: number, to: number, end: boolean): void {
    const size = to - from;
    if (size > 0) {
      if (this.#paused) this.#owed += size;
      else this.#beneath.http2.consume(this.#stream!, size);
      this.handler.data(bytes.subarray(from, to));
    }
    if (!end || this.#closed) return;
    this.handler.end();
    this.#settle();
  }

  trailers(): void {
    if (this.#closed) return;
    this.handler.end();
    this.#settle();
  }

  flushed(): void {
    if (this.#stream!.waiting) return;
    if (this.#wantsDrain) {
      this.#wantsDrain = false;
      this.handler.drain();
    }
    this.#settle();
  }

  reset(code: number, by: ResetBy, unprocessed: boolean): void {
    this.unprocessed = unprocessed;
    this.close(by === 'connection' ? 'the connection closed' : `the stream ended with ${errorName(code)}`);
  }

  /** Nothing is left to come or to be sent. */
  #settle(): void {
    const stream = this.#stream;
    if (stream === undefined || stream.closed || (this.#ending === 'close' && stream.localDone)) this.close();
  }

  /** Tells whoever uses it, once. */
  close(reason?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#stream) this.#stream.handler = undefined;
    this.handler.close(reason === undefined ? undefined : new Error(reason));
  }

  // --- to the stream ---

  write(chunk: Buffer): boolean {
    return this.writeCopy(chunk, chunk.length);
  }

  writeCopy(bytes: Buffer, end: number): boolean {
    const stream = this.#stream;
    if (stream === undefined || stream.closed || this.#ending !== 'no') return true;
    const { http2, runtime } = this.#beneath;
    if (http2.sender.data(stream, bytes, 0, end, false, runtime.moment()) === end) return true;
    this.#wantsDrain = true;
    return false;
  }

  writePair(first: Buffer, second: Buffer): boolean {
    const more = this.write(first);
    return this.write(second) && more;
  }

  // --- its end ---

  end(): void {
    this.#endAs('half');
  }

  /** What the peer still sends, until it sees the end, is dropped. */
  finish(): void {
    this.#endAs('close');
  }

  #endAs(how: 'half' | 'close'): void {
    const stream = this.#stream;
    if (this.#closed || this.#ending === 'close') return;
    const first = this.#ending === 'no';
    this.#ending = how;
    if (stream !== undefined && first && !stream.closed) this.#sendEnd(stream);
    if (stream !== undefined && how === 'close' && !stream.closed) this.#linger(stream);
    this.#beneath.runtime.transport.afterTurn(() => this.#settle());
  }

  /** A stream whose other half never ends would be one less for ever. At once it would cut off what is on its way. */
  #linger(stream: Http2Stream): void {
    const { http2, runtime } = this.#beneath;
    const deadline = runtime.wheel.deadline(() => {
      if (stream.closed) return;
      // What waits for its window gets the time that such streams get.
      if (stream.waiting) runtime.wheel.arm(deadline, LINGER);
      else if (this.#role === 'client') http2.cancel(stream);
      else http2.reset(stream, ERROR.none);
    });
    runtime.wheel.arm(deadline, LINGER);
  }

  #sendEnd(stream: Http2Stream): void {
    this.#beneath.http2.sender.data(stream, NOTHING, 0, 0, true, this.#beneath.runtime.moment());
  }

  destroy(): void {
    this.#destroy(true);
  }

  /** What a server breaks off must not look whole; a client has nothing left to say to a server that has ended. */
  breakOff(): void {
    this.#destroy(this.#role === 'client');
  }

  #destroy(orderly: boolean): void {
    if (this.#closed) return;
    const stream = this.#stream;
    if (stream !== undefined && !stream.closed) {
      const { http2 } = this.#beneath;
      // A peer that has ended its half is told the same; that nothing is cut off costs no budget for resets.
      if (orderly && stream.remoteDone && !stream.localDone && !stream.waiting) this.#sendEnd(stream);
      else if (this.#role === 'client') http2.cancel(stream);
      // RFC 8441 5: as the reset of a TCP connection.
      else http2.reset(stream, stream.localDone ? ERROR.none : ERROR.cancel);
    }
    this.#ending = 'close';
    this.#beneath.runtime.transport.afterTurn(() => this.close());
  }

  // --- reading ---

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.#owed === 0) return;
    if (this.#stream) this.#beneath.http2.consume(this.#stream, this.#owed);
    this.#owed = 0;
  }

  keep(chunk: Buffer): Buffer {
    return this.#beneath.connection.keep(chunk);
  }
}
