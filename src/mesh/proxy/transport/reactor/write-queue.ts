/** Bytes that the kernel has not taken yet, in the order they were written. Pure. */
export class WriteQueue {
  /** Bytes that wait. */
  size = 0;
  #chunks: Buffer[] = [];
  /** The first chunk that is not gone, and what of it is. */
  #head = 0;
  #offset = 0;

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.size += chunk.length;
  }

  /** Copies what comes first into `into`, without taking it out; returns how much. */
  peek(into: Buffer): number {
    let length = 0;
    let offset = this.#offset;
    for (let n = this.#head; n < this.#chunks.length && length < into.length; n += 1) {
      length += this.#chunks[n]!.copy(into, length, offset);
      offset = 0;
    }
    return length;
  }

  /** The first `count` bytes have left. */
  take(count: number): void {
    this.size -= count;
    let left = count + this.#offset;
    while (this.#head < this.#chunks.length && left >= this.#chunks[this.#head]!.length) {
      left -= this.#chunks[this.#head]!.length;
      // The bytes may go; what is left of the list moves only now and then.
      this.#chunks[this.#head] = EMPTY;
      this.#head += 1;
    }
    this.#offset = left;
    if (this.#head === this.#chunks.length) {
      this.#chunks = [];
      this.#head = 0;
    } else if (this.#head > 256) {
      this.#chunks.splice(0, this.#head);
      this.#head = 0;
    }
  }

  clear(): void {
    this.#chunks = [];
    this.#head = 0;
    this.#offset = 0;
    this.size = 0;
  }
}

const EMPTY = Buffer.alloc(0);
