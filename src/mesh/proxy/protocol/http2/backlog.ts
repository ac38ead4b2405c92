/** Whoever keeps bytes for a peer: one connection's sender. */
export interface Holder {
  /** Bytes that wait. */
  readonly queued: number;
  /** Ends streams, those that have waited longest first, until about so many bytes are gone. */
  shed(bytes: number): void;
}

/**
 * Bytes that wait for peers to take them, over all connections of a proxy. Windows of connections are never withheld
 * because of them: a server's connection serves many clients, and those that read would starve with those that do not.
 * When there is too much, whoever holds most gives up what has waited longest.
 */
export class Backlog {
  bytes = 0;
  readonly most: number;
  readonly #holders = new Set<Holder>();
  readonly #full: () => void;

  /** `full` is called when more than `most` bytes wait, possibly often: `relieve` must follow, not within the call. */
  constructor(most: number, full: () => void = () => {}) {
    this.most = most;
    this.#full = full;
  }

  add(holder: Holder, bytes: number): void {
    this.#holders.add(holder);
    this.bytes += bytes;
    if (this.bytes > this.most) this.#full();
  }

  /** Called after `holder.queued` has gone down. */
  remove(holder: Holder, bytes: number): void {
    this.bytes -= bytes;
    if (holder.queued === 0) this.#holders.delete(holder);
  }

  /** Makes room until no more than `most` bytes wait. */
  relieve(): void {
    while (this.bytes > this.most) {
      let heaviest: Holder | undefined;
      for (const holder of this.#holders) {
        if (heaviest === undefined || holder.queued > heaviest.queued) heaviest = holder;
      }
      const before = this.bytes;
      heaviest?.shed(heaviest.queued / 2);
      if (this.bytes === before) return;
    }
  }
}
