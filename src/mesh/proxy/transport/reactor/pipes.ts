/** Kernel pipes, through which bytes go from one socket to another without being copied (splice(2)). */
import { O_PIPE, SETPIPE_SIZE } from './libc.ts';
import type { Loop } from './loop.ts';

/** Bytes of a pipe: as many as one move takes. */
export const PIPE_SIZE = 262_144;
/**
 * Pipes that may be lent at once: a slow reader holds one, and the kernel lets a user who is not root have 16384 pages of
 * them (pipe(7)), so 64 pages each. Beyond that bytes are copied.
 */
const LENT = 64;
/** Pipes that are kept when nobody needs them. */
const SPARE = 4;
/** Milliseconds without another try after the kernel has refused one. */
const REFUSED = 1_000;

/** A pipe that belongs to whoever has borrowed it, until it is given back. */
export interface Pipe {
  readonly read: number;
  readonly write: number;
  /** Bytes inside. */
  held: number;
}

export class Pipes {
  readonly #loop: Loop;
  readonly #spare: Pipe[] = [];
  #refusedAt = Number.NEGATIVE_INFINITY;

  constructor(loop: Loop) {
    this.#loop = loop;
  }

  /** An empty pipe, or undefined while there can be none. */
  borrow(): Pipe | undefined {
    const { counts } = this.#loop;
    if (counts.pipes >= LENT) return undefined;
    const pipe = this.#spare.pop() ?? this.#open();
    if (pipe) counts.pipes += 1;
    return pipe;
  }

  /** With bytes inside it is closed: what comes next must not find them. */
  giveBack(pipe: Pipe): void {
    this.#loop.counts.pipes -= 1;
    if (pipe.held === 0 && this.#spare.length < SPARE) this.#spare.push(pipe);
    else this.#close(pipe);
  }

  #open(): Pipe | undefined {
    const now = performance.now();
    if (now - this.#refusedAt < REFUSED) return undefined;
    const { libc, scratch } = this.#loop;
    if (libc.pipe2(scratch.address, O_PIPE) === 0) {
      const pipe = { read: scratch.bytes.readInt32LE(0), write: scratch.bytes.readInt32LE(4), held: 0 };
      if (libc.fcntl(pipe.write, SETPIPE_SIZE, PIPE_SIZE) >= PIPE_SIZE) return pipe;
      this.#close(pipe);
    }
    // No descriptors, or no pages left for this user.
    this.#refusedAt = now;
    return undefined;
  }

  #close(pipe: Pipe): void {
    this.#loop.libc.close(pipe.read);
    this.#loop.libc.close(pipe.write);
  }
}
