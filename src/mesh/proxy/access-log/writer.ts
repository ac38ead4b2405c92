import { close, constants, openSync, write } from 'node:fs';

const STDOUT = 1;
/** A pipe that nobody reads is an error, not a reason to stand still. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
/** Bytes that may wait for a slow disk or reader. */
const BUFFER = 1_048_576;
/** Milliseconds that a reader which stands still has left to take what waits, once no more comes. */
const PATIENCE = 2_000;

/** Lines to a file, or to stdout as `-`, from a bounded buffer: what does not fit is dropped and counted. Never blocks. */
export class LineWriter {
  readonly file: string;
  dropped = 0;
  readonly #limit: number;
  readonly #problem: (message: string) => void;
  #fd: number | undefined;
  #waiting: string[] = [];
  #size = 0;
  #busy = false;
  #stopped = false;
  /** When a reader that stands still is given up. */
  #until = Number.POSITIVE_INFINITY;
  #idle: (() => void) | undefined;

  constructor(file: string, options: { limit?: number; problem?: (message: string) => void } = {}) {
    this.file = file;
    this.#limit = options.limit ?? BUFFER;
    this.#problem = options.problem ?? (() => {});
    this.reopen();
  }

  add(line: string): void {
    if (this.#stopped || this.#fd === undefined || this.#size + line.length > this.#limit) {
      this.dropped += 1;
      return;
    }
    this.#waiting.push(line);
    this.#size += line.length;
    // At the end of this turn: what it logs is one write.
    if (this.#busy) return;
    this.#busy = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    if (this.#waiting.length === 0) {
      this.#busy = false;
      this.#idle?.();
      return;
    }
    const lines = this.#waiting.length;
    const bytes = Buffer.from(this.#waiting.join(''));
    this.#waiting = [];
    // Counted as waiting until they are written, so that a reader that stands still bounds all.
    this.#write(bytes, 0, lines, this.#size);
  }

  #write(bytes: Buffer, from: number, lines: number, size: number): void {
    write(this.#fd!, bytes, from, bytes.length - from, null, (error, written) => {
      if (error?.code === 'EAGAIN' && performance.now() < this.#until) {
        setTimeout(() => this.#write(bytes, from, lines, size), 20).unref();
        return;
      }
      if (!error && from + written < bytes.length) return this.#write(bytes, from + written, lines, size);
      this.#size -= size;
      if (error) {
        this.dropped += lines;
        this.#problem(error.message);
      }
      this.#flush();
    });
  }

  /** Opens the file again, for those who have moved it away (SIGHUP). */
  reopen(): void {
    if (this.file === '-') {
      this.#fd = STDOUT;
      return;
    }
    try {
      const before = this.#fd;
      this.#fd = openSync(this.file, FLAGS, 0o640);
      // A write under way may still use it.
      if (before !== undefined) setTimeout(() => close(before, () => {}), 1_000).unref();
    } catch (thrown) {
      this.#problem((thrown as Error).message);
    }
  }

  /** Takes no more; resolves when what was taken is written, or given up. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#until = performance.now() + PATIENCE;
    if (this.#busy)
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    const fd = this.#fd;
    if (fd !== undefined && fd !== STDOUT) close(fd, () => {});
  }
}
