import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { WriteQueue } from './write-queue.ts';

test('what comes out is what went in, whatever the sizes', () => {
  const step = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => ({ push: Buffer.from(bytes) })),
    fc.record({ window: fc.integer({ min: 1, max: 64 }), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
      const queue = new WriteQueue();
      const pushed: Buffer[] = [];
      const taken: Buffer[] = [];
      const take = (window: number, part: number) => {
        const into = Buffer.alloc(window);
        const length = queue.peek(into);
        expect(length).toBe(Math.min(window, queue.size));
        const count = Math.floor(length * part);
        taken.push(Buffer.from(into.subarray(0, count)));
        queue.take(count);
      };
      for (const each of steps) {
        if ('push' in each) {
          queue.push(each.push);
          pushed.push(each.push);
        } else take(each.window, each.part);
        const waits = Buffer.concat(pushed).length - Buffer.concat(taken).length;
        expect(queue.size).toBe(waits);
      }
      while (queue.size > 0) take(17, 1);
      expect(Buffer.concat(taken).equals(Buffer.concat(pushed))).toBe(true);
    }),
  );
});

test('cleared, it holds nothing', () => {
  const queue = new WriteQueue();
  queue.push(Buffer.from('abc'));
  queue.take(1);
  queue.clear();
  expect([queue.size, queue.peek(Buffer.alloc(8))]).toEqual([0, 0]);
  queue.push(Buffer.from('xyz'));
  const into = Buffer.alloc(3);
  queue.peek(into);
  expect(into.toString()).toBe('xyz');
});
