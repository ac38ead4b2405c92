/** The outgoing half of a connection: header blocks, data within the peer's windows, and what has to wait. */
import type { Backlog, Holder } from './backlog.ts';
import { append, release } from './chunks.ts';
import type { Field } from './field.ts';
import { DEFAULT_WINDOW, FLAG, FRAME, FRAME_HEADER, FRAME_SIZE, MAX_WINDOW, Output } from './frames.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import type { Http2Stream, StreamHandler } from './stream.ts';

/** Bytes written in one turn beyond which bodies wait for the next: one connection must not take it all. */
const TURN = 262_144;

export class Sender implements Holder {
  readonly output = new Output();
  readonly encoder = new HpackEncoder();
  /** What the whole connection may still send. */
  window = DEFAULT_WINDOW;
  /** The transport is full: bodies wait. */
  blocked = false;
  /** Bytes of all streams that wait. */
  queued = 0;
  #dataFrames = 0;
  readonly #waiting = new Set<Http2Stream>();
  readonly #written: () => void;
  /** A stream's END_STREAM has gone out. */
  readonly #ended: (stream: Http2Stream) => void;

  readonly #threw: (stream: Http2Stream, handler: StreamHandler | undefined, error: unknown) => void;
  readonly #backlog: Backlog;
  /** Ends a stream whose bytes have waited too long. */
  readonly #giveUp: (stream: Http2Stream) => void;

  constructor(
    backlog: Backlog,
    events: {
      written(): void;
      ended(stream: Http2Stream): void;
      giveUp(stream: Http2Stream): void;
      threw(stream: Http2Stream, handler: StreamHandler | undefined, error: unknown): void;
    },
  ) {
    this.#backlog = backlog;
    this.#written = events.written;
    this.#ended = events.ended;
    this.#giveUp = events.giveUp;
    this.#threw = events.threw;
  }

  /** Streams with data that waits. */
  get waiting(): ReadonlySet<Http2Stream> {
    return this.#waiting;
  }

  /** DATA frames sent since the last call. */
  takeDataFrames(): number {
    const count = this.#dataFrames;
    this.#dataFrames = 0;
    return count;
  }

  /** A header section of `count` fields with `size` bytes, as FieldList counts. */
  headers(stream: Http2Stream, fields: readonly Field[], count: number, size: number, end: boolean): void {
    const { output } = this;
    output.reserve(FRAME_HEADER + HpackEncoder.bound(size));
    const at = output.length;
    const start = at + FRAME_HEADER;
    const length = this.encoder.encode(fields, count, output.bytes, start) - start;
    const flags = (end ? FLAG.endStream : 0) | FLAG.endHeaders;
    output.header(Math.min(length, FRAME_SIZE), FRAME.headers, flags, stream.id);
    if (length <= FRAME_SIZE) output.length = start + length;
    else this.#split(stream, at, length, flags);
    if (end) this.#ended(stream);
    this.#written();
  }

  /** A block too long for one frame: HEADERS and CONTINUATIONs. */
  #split(stream: Http2Stream, at: number, length: number, flags: number): void {
    const { output } = this;
    const start = at + FRAME_HEADER;
    const block = Buffer.from(output.bytes.subarray(start, start + length));
    output.reserve(length + FRAME_HEADER * (1 + Math.ceil(length / FRAME_SIZE)));
    output.bytes[at + 4] = flags & ~FLAG.endHeaders;
    output.raw(block, 0, FRAME_SIZE);
    for (let from = FRAME_SIZE; from < length; from += FRAME_SIZE) {
      const to = Math.min(length, from + FRAME_SIZE);
      output.header(to - from, FRAME.continuation, to === length ? FLAG.endHeaders : 0, stream.id);
      output.raw(block, from, to);
    }
  }

  /** Trailers, after whatever of the body still waits. */
  trailers(stream: Http2Stream, list: { items: readonly Field[]; count: number; size: number }): void {
    if (stream.waiting) stream.trailersQueued = list.items.slice(0, list.count);
    else this.headers(stream, list.items, list.count, list.size, true);
  }

  /** Sends what the windows allow and keeps a copy of the rest; returns how many bytes have gone out. */
  data(stream: Http2Stream, bytes: Buffer, from: number, to: number, end: boolean, now: number): number {
    const size = to - from;
    let direct = 0;
    if (!stream.waiting && !this.blocked && this.output.length < TURN) {
      direct = Math.max(0, Math.min(size, stream.sendWindow, this.window));
      if (direct === size) {
        if (size > 0 || end) this.#frames(stream, bytes, from, to, end);
        return size;
      }
      if (direct > 0) this.#frames(stream, bytes, from, from + direct, false);
    }
    if (direct < size) {
      stream.queue ??= [];
      append(stream.queue, bytes, from + direct, to);
      stream.queued += size - direct;
      this.queued += size - direct;
      this.#backlog.add(this, size - direct);
    }
    stream.endQueued ||= end;
    if (!this.#waiting.has(stream)) {
      this.#waiting.add(stream);
      stream.waitingSince = now;
    }
    return direct;
  }

  #frames(stream: Http2Stream, bytes: Buffer, from: number, to: number, end: boolean): void {
    const { output } = this;
    const size = to - from;
    stream.sendWindow -= size;
    this.window -= size;
    let at = from;
    do {
      const next = Math.min(to, at + FRAME_SIZE);
      output.reserve(FRAME_HEADER + next - at);
      output.header(next - at, FRAME.data, end && next === to ? FLAG.endStream : 0, stream.id);
      output.raw(bytes, at, next);
      this.#dataFrames += 1;
      at = next;
    } while (at < to);
    if (end) this.#ended(stream);
    this.#written();
  }

  /** Sends what waits as far as the windows allow, a frame of each stream in turn. */
  pump(now: number): void {
    let progress = true;
    while (progress && !this.blocked && this.output.length < TURN) {
      progress = false;
      for (const stream of [...this.#waiting]) {
        if (this.output.length >= TURN) return;
        if (!this.#waiting.has(stream)) continue;
        const sent = this.#pumpOne(stream);
        if (sent < 0) continue;
        progress = true;
        stream.waitingSince = now;
        if (!stream.waiting) this.#waiting.delete(stream);
        const { handler } = stream;
        try {
          handler?.flushed(sent);
        } catch (thrown) {
          this.#threw(stream, handler, thrown);
        }
      }
    }
  }

  /** One frame; bytes sent, or -1 when nothing could go out. */
  #pumpOne(stream: Http2Stream): number {
    const first = stream.queue?.[0];
    if (first === undefined) {
      const { trailersQueued } = stream;
      stream.trailersQueued = undefined;
      if (trailersQueued) {
        const size = trailersQueued.reduce((sum, field) => sum + field.size, 0);
        this.headers(stream, trailersQueued, trailersQueued.length, size, true);
        return 0;
      }
      if (!stream.endQueued) return -1;
      stream.endQueued = false;
      this.#frames(stream, NOTHING, 0, 0, true);
      return 0;
    }
    const size = Math.min(first.length, FRAME_SIZE, stream.sendWindow, this.window);
    if (size <= 0) return -1;
    if (size === first.length) stream.queue!.shift();
    else stream.queue![0] = first.subarray(size);
    stream.queued -= size;
    this.#released(size);
    const end = stream.endQueued && stream.queued === 0;
    if (end) stream.endQueued = false;
    this.#frames(stream, first, 0, size, end);
    if (size === first.length) release(first);
    return size;
  }

  #released(bytes: number): void {
    this.queued -= bytes;
    this.#backlog.remove(this, bytes);
  }

  /** Ends streams, those that have waited longest first, until `bytes` are gone. */
  shed(bytes: number): void {
    const until = this.queued - bytes;
    const streams = [...this.#waiting].sort((a, b) => a.waitingSince - b.waitingSince);
    for (const stream of streams) {
      if (this.queued <= until) return;
      if (stream.queued > 0) this.#giveUp(stream);
    }
  }

  /** The stream is over: what waits is dropped. */
  forget(stream: Http2Stream): void {
    this.#waiting.delete(stream);
    stream.queue?.forEach(release);
    stream.queue = undefined;
    this.#released(stream.queued);
    stream.queued = 0;
    stream.endQueued = false;
    stream.trailersQueued = undefined;
  }

  /** The peer's window of the connection grows; false when beyond what there can be. */
  grow(increment: number): boolean {
    this.window += increment;
    return this.window <= MAX_WINDOW;
  }
}

const NOTHING = Buffer.alloc(0);
