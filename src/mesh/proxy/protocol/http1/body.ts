/**
 * Framing of a message body: counts bytes and validates chunked coding while the bytes themselves go through
 * untouched. No buffers are kept: any split of the input gives the same result.
 */
import { HEX, TOKEN, VALUE } from './chars.ts';

export type BodyKind = 'none' | 'length' | 'chunked' | 'eof';

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILER_START = 6;
const TRAILER_NAME = 7;
const TRAILER_VALUE = 8;
const TRAILER_LF = 9;
const LAST_LF = 10;
const DONE = 11;
const UNTIL_EOF = 12;

/** Bytes of extensions one chunk may carry, of trailers altogether, and digits of a chunk size. */
const MAX_EXTENSION = 1_024;
const MAX_TRAILERS = 16_384;
const MAX_DIGITS = 13;
/** Extension bytes a whole body may carry beyond a sixteenth of its data: many tiny chunks must not be a weapon. */
const EXTENSION_ALLOWANCE = 16_384;

export interface BodySink {
  payload(buffer: Buffer, from: number, to: number): void;
  /** One byte of the trailer section, with line ends. */
  trailer(byte: number): void;
}

export class BodyReader {
  #state = DONE;
  #remaining = 0;
  #digits = 0;
  #line = 0;
  #extensions = 0;
  #data = 0;
  kind: BodyKind = 'none';
  /** Payload bytes seen, without framing. */
  bytes = 0;

  get done(): boolean {
    return this.#state === DONE;
  }

  /** Bytes of a body of known length that have not come; 0 of any other. */
  get rest(): number {
    return this.kind === 'length' ? this.#remaining : 0;
  }

  /** As `advance`, over bytes of `rest` that went by unseen. */
  skip(count: number): void {
    this.#remaining -= count;
    this.bytes += count;
    if (this.#remaining === 0) this.#state = DONE;
  }

  start(kind: BodyKind, length = 0): void {
    this.kind = kind;
    this.bytes = 0;
    this.#digits = 0;
    this.#line = 0;
    this.#extensions = 0;
    this.#data = 0;
    this.#remaining = length;
    if (kind === 'none' || (kind === 'length' && length === 0)) this.#state = DONE;
    else if (kind === 'length') this.#state = DATA;
    else this.#state = kind === 'eof' ? UNTIL_EOF : SIZE;
  }

  /** Offset after the last byte that belongs to this body, or -1 for a malformed one. */
  advance(buffer: Buffer, start: number, end: number): number {
    let i = start;
    if (this.#state === UNTIL_EOF) {
      this.bytes += end - start;
      return end;
    }
    while (i < end && this.#state !== DONE) {
      if (this.#state === DATA) {
        const take = Math.min(this.#remaining, end - i);
        this.#remaining -= take;
        this.bytes += take;
        this.#data += take;
        i += take;
        if (this.#remaining === 0) this.#state = this.kind === 'length' ? DONE : DATA_CR;
      } else {
        if (!this.#framing(buffer[i]!)) return -1;
        i += 1;
      }
    }
    return i;
  }

  /** As `advance`, and tells which bytes are payload and which belong to trailer fields. */
  unframe(buffer: Buffer, start: number, end: number, sink: BodySink): number {
    let i = start;
    while (i < end && this.#state !== DONE) {
      const from = i;
      if (this.#state === DATA || this.#state === UNTIL_EOF) {
        const until = this.#state === DATA ? Math.min(end, i + this.#remaining) : end;
        i = this.advance(buffer, from, until);
        sink.payload(buffer, from, i);
      } else {
        const trailer = this.#state >= TRAILER_START && this.#state <= TRAILER_LF;
        if (!this.#framing(buffer[i]!)) return -1;
        i += 1;
        if (trailer) sink.trailer(buffer[from]!);
      }
    }
    return i;
  }

  /** The sender has closed. True when that is a proper end of this body. */
  finish(): boolean {
    if (this.#state === UNTIL_EOF) this.#state = DONE;
    return this.#state === DONE;
  }

  #framing(c: number): boolean {
    switch (this.#state) {
      case SIZE: {
        const digit = HEX[c]!;
        if (digit !== 255) {
          this.#digits += 1;
          this.#remaining = this.#remaining * 16 + digit;
          return this.#digits <= MAX_DIGITS;
        }
        if (this.#digits === 0) return false;
        this.#line = 0;
        if (c === 13) this.#state = SIZE_LF;
        else if (c === 59) this.#state = EXTENSION;
        else return false;
        return true;
      }
      case EXTENSION:
        if (c === 13) {
          this.#state = SIZE_LF;
          return true;
        }
        this.#line += 1;
        this.#extensions += 1;
        return (
          VALUE[c] === 1 &&
          this.#line <= MAX_EXTENSION &&
          this.#extensions <= EXTENSION_ALLOWANCE + this.#data / 16
        );
      case SIZE_LF:
        this.#digits = 0;
        this.#line = 0;
        this.#state = this.#remaining === 0 ? TRAILER_START : DATA;
        return c === 10;
      case DATA_CR:
        this.#state = DATA_LF;
        return c === 13;
      case DATA_LF:
        this.#state = SIZE;
        return c === 10;
      default:
        return this.#trailer(c);
    }
  }

  #trailer(c: number): boolean {
    this.#line += 1;
    if (this.#line > MAX_TRAILERS) return false;
    switch (this.#state) {
      case TRAILER_START:
        if (c === 13) {
          this.#state = LAST_LF;
          return true;
        }
        this.#state = TRAILER_NAME;
        return TOKEN[c] === 1;
      case TRAILER_NAME:
        if (c === 58) {
          this.#state = TRAILER_VALUE;
          return true;
        }
        return TOKEN[c] === 1;
      case TRAILER_VALUE:
        if (c === 13) {
          this.#state = TRAILER_LF;
          return true;
        }
        return VALUE[c] === 1;
      case TRAILER_LF:
        this.#state = TRAILER_START;
        return c === 10;
      case LAST_LF:
        this.#state = DONE;
        return c === 10;
      default:
        return false;
    }
  }
}
