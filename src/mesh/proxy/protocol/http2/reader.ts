/** Cuts the bytes of a connection into frames, and puts header blocks together (RFC 9113 4.1 and 4.3). */
import { ERROR, FLAG, FRAME, FRAME_HEADER, FRAME_SIZE, MAX_WINDOW, PREFACE } from './frames.ts';
import type { Http2Limits } from './limits.ts';

export interface FrameEvents {
  /** Nothing is read any more. */
  readonly dead: boolean;
  /** Every frame but those of header blocks; its payload is `bytes` from `from` to `to`. */
  frame(type: number, flags: number, id: number, bytes: Buffer, from: number, to: number): void;
  /** A whole header block. `itself`: its priority makes the stream depend on itself. */
  block(bytes: Buffer, from: number, to: number, id: number, ends: boolean, itself: boolean): void;
  broken(code: number, reason: string): void;
}

export class FrameReader {
  readonly #events: FrameEvents;
  readonly #limits: Http2Limits;
  #prefaceLeft: number;
  /** The peer's first SETTINGS have come. */
  #settled = false;
  /** A frame that is not whole yet: its header, then all of it. */
  #partial: Buffer | undefined;
  #have = 0;
  readonly #header = Buffer.alloc(FRAME_HEADER);
  /** A header block that is not whole yet. */
  #block: Buffer[] | undefined;
  #blockLength = 0;
  #blockStream = 0;
  #blockEnds = false;
  #blockItself = false;

  constructor(events: FrameEvents, limits: Http2Limits, preface: boolean) {
    this.#events = events;
    this.#limits = limits;
    this.#prefaceLeft = preface ? PREFACE.length : 0;
  }

  /** Header blocks that have begun. */
  blocks = 0;

  /** A header block has begun and is not whole. */
  get inBlock(): boolean {
    return this.#block !== undefined || (this.#partial !== undefined && this.#partial[3] === FRAME.headers);
  }

  /** Bytes as they come, in whatever pieces. */
  read(chunk: Buffer) {
    const events = this.#events;
    const end = chunk.length;
    let at = 0;
    while (this.#prefaceLeft > 0 && at < end) {
      if (chunk[at] !== PREFACE[PREFACE.length - this.#prefaceLeft])
        return events.broken(ERROR.protocol, 'invalid connection preface');
      this.#prefaceLeft -= 1;
      at += 1;
    }
    while (at < end && !events.dead) {
      if (this.#have > 0) {
        at = this.#assemble(chunk, at);
        continue;
      }
      const left = end - at;
      if (left < FRAME_HEADER) {
        chunk.copy(this.#header, 0, at, end);
        this.#have = left;
        return;
      }
      const length = (chunk[at]! << 16) | (chunk[at + 1]! << 8) | chunk[at + 2]!;
      if (length > FRAME_SIZE) return events.broken(ERROR.frameSize, 'frame too large');
      if (left < FRAME_HEADER + length) {
        this.#partial = Buffer.allocUnsafe(FRAME_HEADER + length);
        chunk.copy(this.#partial, 0, at, end);
        this.#have = left;
        return;
      }
      this.#frame(chunk, at, length);
      at += FRAME_HEADER + length;
    }
  }

  /** Adds to the frame that has begun; the offset up to which `chunk` was used. */
  #assemble(chunk: Buffer, at: number): number {
    const target = this.#partial ?? this.#header;
    const take = Math.min(target.length - this.#have, chunk.length - at);
    chunk.copy(target, this.#have, at, at + take);
    this.#have += take;
    if (this.#have < target.length) return at + take;
    const length = target.readUIntBE(0, 3);
    if (target === this.#header && length > 0) {
      if (length > FRAME_SIZE) this.#events.broken(ERROR.frameSize, 'frame too large');
      else {
        this.#partial = Buffer.allocUnsafe(FRAME_HEADER + length);
        this.#header.copy(this.#partial);
      }
      return at + take;
    }
    this.#have = 0;
    this.#partial = undefined;
    this.#frame(target, 0, length);
    return at + take;
  }

  #frame(bytes: Buffer, at: number, length: number) {
    const events = this.#events;
    const type = bytes[at + 3]!;
    const flags = bytes[at + 4]!;
    const id =
      ((bytes[at + 5]! & 127) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!;
    const from = at + FRAME_HEADER;
    if (this.#block !== undefined && (type !== FRAME.continuation || id !== this.#blockStream))
      return events.broken(ERROR.protocol, 'a header block was interrupted');
    if (!this.#settled) {
      if (type !== FRAME.settings || (flags & FLAG.ack) !== 0)
        return events.broken(ERROR.protocol, 'the first frame is not SETTINGS');
      this.#settled = true;
    }
    if (type === FRAME.headers) this.#headers(bytes, from, from + length, flags, id);
    else if (type === FRAME.continuation) this.#continuation(bytes, from, from + length, flags);
    else events.frame(type, flags, id, bytes, from, from + length);
  }

  #headers(bytes: Buffer, start: number, end: number, flags: number, id: number) {
    let from = start;
    let to = end;
    this.blocks += 1;
    if (id === 0) return this.#events.broken(ERROR.protocol, 'HEADERS on stream 0');
    if ((flags & FLAG.padded) !== 0) {
      const padding = from < to ? bytes[from]! : 0;
      from += 1;
      to -= padding;
    }
    let itself = false;
    if ((flags & FLAG.priority) !== 0) {
      if (from + 5 <= to) itself = (bytes.readUInt32BE(from) & MAX_WINDOW) === id;
      from += 5;
    }
    if (from > to) return this.#events.broken(ERROR.protocol, 'padding or priority longer than its frame');
    const ends = (flags & FLAG.endStream) !== 0;
    if ((flags & FLAG.endHeaders) !== 0) return this.#events.block(bytes, from, to, id, ends, itself);
    this.#block = [Buffer.from(bytes.subarray(from, to))];
    this.#blockLength = to - from;
    this.#blockStream = id;
    this.#blockEnds = ends;
    this.#blockItself = itself;
  }

  #continuation(bytes: Buffer, from: number, to: number, flags: number) {
    if (this.#block === undefined) return this.#events.broken(ERROR.protocol, 'CONTINUATION without HEADERS');
    this.#block.push(Buffer.from(bytes.subarray(from, to)));
    this.#blockLength += to - from;
    const { headerBlock, continuations } = this.#limits;
    // CVE-2024-27316: a block without an end.
    if (this.#blockLength > headerBlock || this.#block.length > continuations + 1)
      return this.#events.broken(ERROR.enhanceYourCalm, 'header block too long');
    if ((flags & FLAG.endHeaders) === 0) return;
    const block = Buffer.concat(this.#block);
    this.#block = undefined;
    this.#events.block(block, 0, block.length, this.#blockStream, this.#blockEnds, this.#blockItself);
  }
}
