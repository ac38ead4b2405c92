import type { AcknowledgementFrame } from '../api/acknowledgement.ts';

const NONE: readonly AcknowledgementFrame[] = [];

/** What a replica of the mesh has said last of each port, found by split: a thousand of them are asked for a thousand at a time. */
export class Frames {
  readonly #byKey = new Map<string, AcknowledgementFrame>();
  readonly #bySplit = new Map<string, AcknowledgementFrame[]>();

  /** The frame of the same key that it takes the place of. */
  set(frame: AcknowledgementFrame): AcknowledgementFrame | undefined {
    const before = this.#byKey.get(frame.key);
    if (before) this.#remove(before);
    this.#byKey.set(frame.key, frame);
    this.#bySplit.set(frame.split, [...this.of(frame.split), frame]);
    return before;
  }

  #remove(frame: AcknowledgementFrame): void {
    const left = this.of(frame.split).filter((each) => each !== frame);
    if (left.length > 0) this.#bySplit.set(frame.split, left);
    else this.#bySplit.delete(frame.split);
  }

  of(split: string): readonly AcknowledgementFrame[] {
    return this.#bySplit.get(split) ?? NONE;
  }

  splits(): string[] {
    return [...this.#bySplit.keys()];
  }

  clear(): void {
    this.#byKey.clear();
    this.#bySplit.clear();
  }
}
