import type { Region } from './memory.ts';

/** Who has put off what it writes to the end of the turn: `late` bytes of the outbox from `lateAt` on. */
export interface Late {
  late: number;
  lateAt: number;
  /** Sends them now. */
  sendLate(): void;
}

/** What is put off at most at once: to copy more costs more than it saves. */
const SMALL = 8_192;

/**
 * What the connections of a turn have written, until it ends. Whoever is woken by the first of it then finds the rest soon
 * after, and answers in one go, too: the fewer turns there are for as many requests, the less each of them costs.
 */
export class Outbox {
  readonly #region: Region;
  #used = 0;
  #who: (Late | undefined)[] = [];
  #count = 0;
  readonly #threw: (thrown: unknown) => void;

  /** `threw` is told of errors, which hold up nobody else. */
  constructor(region: Region, threw: (thrown: unknown) => void) {
    this.#region = region;
    this.#threw = threw;
  }

  /** Takes a copy of the first `size` bytes. False: they have to be sent now, behind what `who` has here already. */
  put(who: Late, bytes: Buffer, size: number): boolean {
    const at = this.#used;
    if (size > SMALL || at + size > this.#region.size) return false;
    if (who.late === 0) {
      who.lateAt = at;
      this.#who[this.#count] = who;
      this.#count += 1;
    } else if (who.lateAt + who.late !== at) return false;
    // Setting all of another array is a third of what `copy` costs.
    if (size === bytes.length) this.#region.bytes.set(bytes, at);
    else bytes.copy(this.#region.bytes, at, 0, size);
    this.#used += size;
    who.late += size;
    return true;
  }

  addressOf({ lateAt }: Late): number {
    return this.#region.address + lateAt;
  }

  /** Those bytes that begin `from` behind the first; valid until the next `send`. */
  bytesOf({ lateAt }: Late, from: number, to: number): Buffer {
    return this.#region.bytes.subarray(lateAt + from, lateAt + to);
  }

  /** Sends everything: at the end of a turn, and before anything in it that takes long. */
  send(): void {
    for (let n = 0; n < this.#count; n += 1) {
      const who = this.#who[n]!;
      this.#who[n] = undefined;
      try {
        who.sendLate();
      } catch (thrown) {
        this.#threw(thrown);
      }
    }
    // Not to be as long for ever as it once was.
    if (this.#count > 1_024) this.#who = [];
    this.#count = 0;
    this.#used = 0;
  }
}
