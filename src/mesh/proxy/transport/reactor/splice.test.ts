import { expect, test } from '@jest/globals';
import { PIPE_SIZE } from './pipes.ts';
import { Passage } from './splice.ts';

/** Whether pipes are worth it after each of these has come. */
const after = (passage: Passage<undefined>, ...counts: number[]) =>
  counts.map((count) => {
    passage.passed(count);
    return passage.bulk;
  });

test('of a stream it has to show that much comes at once, a long message is known to be long', () => {
  expect(new Passage(undefined, Number.POSITIVE_INFINITY).bulk).toBe(false);
  expect(new Passage(undefined, 1_000_000).bulk).toBe(true);
});

test('one small piece between large ones changes nothing: headers come by themselves', () => {
  const passage = new Passage(undefined, Number.POSITIVE_INFINITY);
  expect(after(passage, 65_536, 240, 65_536, 240, 32_768, 240)).toEqual(Array(6).fill(true));
});

test('two small pieces in a row end it, a large one begins it again', () => {
  const passage = new Passage(undefined, Number.POSITIVE_INFINITY);
  expect(after(passage, 100, 100, 32_768, 100, 100, 100, 65_536)).toEqual([
    false,
    false,
    true,
    true,
    false,
    false,
    true,
  ]);
});

test('what filled less than half a pipe was all that there was', () => {
  const passage = new Passage(undefined, Number.POSITIVE_INFINITY);
  expect([PIPE_SIZE / 2 - 1, PIPE_SIZE / 2, PIPE_SIZE].map((count) => passage.goesOn(count))).toEqual([
    false,
    true,
    true,
  ]);
});

test('it ends with the last byte that may go unseen', () => {
  const passage = new Passage(undefined, 100_000);
  expect([passage.holds(100_000), passage.holds(100_001)]).toEqual([true, false]);
  expect([passage.passed(99_999), passage.passed(1)]).toEqual([true, false]);
});
