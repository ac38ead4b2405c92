/** Memory that C code reads and writes: bytes that do not move, with their address. */
import type { Koffi } from '../../../../lib/koffi.ts';

/** Below this size V8 may keep bytes inside its own heap, where they move. */
const SMALLEST = 256;

/** Lives as long as it is referenced; whoever gives its address to C keeps it that long. */
export class Region {
  readonly bytes: Buffer;
  readonly address: number;
  readonly size: number;
  /** Asking a Buffer for it is a call into C++. */
  readonly #memory: ArrayBufferLike;
  readonly #offset: number;

  constructor(koffi: Koffi, size: number) {
    this.bytes = Buffer.alloc(Math.max(size, SMALLEST));
    this.size = this.bytes.length;
    this.#memory = this.bytes.buffer;
    this.#offset = this.bytes.byteOffset;
    // Addresses of user space have 47 bits, a number holds 53.
    this.address = Number(koffi.address(this.bytes));
  }

  /** Whether these bytes are part of the region. */
  holds(bytes: Buffer): boolean {
    return bytes.buffer === this.#memory;
  }

  /** These bytes, or a copy of them if they are of the region, which is overwritten. */
  keep(bytes: Buffer): Buffer {
    return this.holds(bytes) ? Buffer.from(bytes) : bytes;
  }

  addressOf(part: Buffer): number {
    return this.address + part.byteOffset - this.#offset;
  }
}

/** What the reactor holds of the system, for tests: all of it returns to zero when the last connection has gone. */
export interface Counts {
  sockets: number;
  sessions: number;
  contexts: number;
  /** In use; a few that are empty are kept. */
  pipes: number;
}
