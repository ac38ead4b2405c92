/** How the last streams of a connection ended: what a late frame means depends on it (RFC 9113 5.1). */
export const CLOSED_BY = { unknown: 0, end: 1, peer: 2, us: 3 } as const;

const SIZE = 256;

export class ClosedStreams {
  readonly #ids = new Int32Array(SIZE);
  readonly #how = new Uint8Array(SIZE);
  #next = 0;

  add(id: number, how: number): void {
    this.#ids[this.#next] = id;
    this.#how[this.#next] = how;
    this.#next = (this.#next + 1) % SIZE;
  }

  /** `unknown` for one that was never used or ended long ago. */
  how(id: number): number {
    const at = this.#ids.lastIndexOf(id);
    return at < 0 ? CLOSED_BY.unknown : this.#how[at]!;
  }
}
