import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LEAST, MOST, portionAfter, SHARE } from './portion.ts';

describe('what is handled at a time', () => {
  test('is never less than the least nor more than the most, and shrinks only by what took too long', () => {
    const read = fc.record({ share: fc.double({ min: 0.1, max: 1 }), took: fc.double({ min: 0, max: 50 }) });
    fc.assert(
      fc.property(fc.array(read), (reads) => {
        let portion = MOST;
        for (const { share, took } of reads) {
          const next = portionAfter(portion, Math.ceil(portion * share), took);
          expect(next).toBeGreaterThanOrEqual(LEAST);
          expect(next).toBeLessThanOrEqual(MOST);
          if (next < portion) expect(took).toBeGreaterThan(SHARE);
          portion = next;
        }
      }),
    );
  });

  test('comes down to the least in five steps, and back in five', () => {
    let portion = MOST;
    for (let n = 0; n < 5; n += 1) portion = portionAfter(portion, portion, 10);
    expect(portion).toBe(LEAST);
    for (let n = 0; n < 5; n += 1) portion = portionAfter(portion, portion, 0.05);
    expect(portion).toBe(MOST);
  });
});
