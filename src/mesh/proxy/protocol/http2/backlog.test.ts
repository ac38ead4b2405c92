import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Backlog, type Holder } from './backlog.ts';
import { append, release } from './chunks.ts';

class Streams implements Holder {
  queued = 0;
  readonly #sizes: number[] = [];
  readonly #backlog: Backlog;

  constructor(backlog: Backlog) {
    this.#backlog = backlog;
  }

  wait(bytes: number) {
    this.#sizes.push(bytes);
    this.queued += bytes;
    this.#backlog.add(this, bytes);
  }

  shed(bytes: number) {
    const until = this.queued - bytes;
    while (this.queued > until) {
      const size = this.#sizes.shift()!;
      this.queued -= size;
      this.#backlog.remove(this, size);
    }
  }
}

test('never more than the limit, whoever waits, and whoever holds little keeps it', () => {
  const step = fc.record({ holder: fc.nat(4), bytes: fc.integer({ min: 1, max: 400 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      let full = 0;
      const backlog = new Backlog(1_000, () => {
        full += 1;
      });
      const holders = Array.from({ length: 5 }, () => new Streams(backlog));
      const modest = new Streams(backlog);
      modest.wait(50);
      for (const { holder, bytes } of steps) {
        const before = full;
        holders[holder]!.wait(bytes);
        const over = backlog.bytes > 1_000;
        expect(full > before).toBe(over);
        if (over) backlog.relieve();
        expect(backlog.bytes).toBeLessThanOrEqual(1_000);
        expect(backlog.bytes).toBe(holders.reduce((sum, { queued }) => sum + queued, modest.queued));
      }
      expect(modest.queued).toBe(50);
    }),
  );
});

test('what is appended comes out the same, in pieces that are worth their keep', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 20_000 }), { maxLength: 30 }), (pieces) => {
      const chunks: Buffer[] = [];
      for (const piece of pieces) append(chunks, Buffer.from(piece), 0, piece.length);
      expect(Buffer.concat(chunks).equals(Buffer.concat(pieces))).toBe(true);
      for (const chunk of chunks) release(chunk);
    }),
    { numRuns: 50 },
  );
  const single: Buffer[] = [];
  for (let n = 0; n < 65_536; n += 1) append(single, Buffer.from([n & 255]), 0, 1);
  expect(single).toHaveLength(16);
  expect(Buffer.concat(single).every((byte, n) => byte === (n & 255))).toBe(true);
});
