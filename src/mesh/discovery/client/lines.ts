import { AppError } from '../../../lib/errors.ts';

/** Cuts a byte stream into lines, with a limit on what may be waiting for its end. */
export class LineReader {
  readonly #limit: number;
  readonly #line: (text: string) => void;
  #rest: Buffer[] = [];
  #size = 0;

  constructor(line: (text: string) => void, limit = 16 * 1_048_576) {
    this.#line = line;
    this.#limit = limit;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, start)) {
      const piece = chunk.subarray(start, at);
      const line = this.#size > 0 ? Buffer.concat([...this.#rest, piece]) : piece;
      this.#rest = [];
      this.#size = 0;
      start = at + 1;
      if (line.length > 0) this.#line(line.toString('utf8'));
    }
    if (start === chunk.length) return;
    // A copy: the chunk is only lent.
    this.#rest.push(Buffer.from(chunk.subarray(start)));
    this.#size += chunk.length - start;
    if (this.#size > this.#limit)
      throw new AppError('Invalid', `a frame is longer than ${this.#limit} bytes`);
  }
}
