import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AppError } from '../../../lib/errors.ts';
import { LineReader } from './lines.ts';

/** What comes of `bytes` in pieces that end at `cuts`; the error that ended it. */
function read(bytes: Buffer, cuts: number[], limit?: number): { lines: string[]; error: unknown } {
  const lines: string[] = [];
  const reader = new LineReader((line) => void lines.push(line), limit);
  const edges = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])];
  edges.sort((a, b) => a - b);
  try {
    for (let n = 1; n < edges.length; n += 1) reader.push(bytes.subarray(edges[n - 1]!, edges[n]!));
  } catch (error) {
    return { lines, error };
  }
  return { lines, error: undefined };
}

const frames = fc.array(fc.oneof(fc.json(), fc.string(), fc.constant('Grüße, 世界')), { maxLength: 12 });
const cuts = fc.array(fc.nat(), { maxLength: 12 });

test('lines are the same however the stream is cut, in the middle of a character too', () => {
  fc.assert(
    fc.property(frames, cuts, (all, at) => {
      const texts = all.map((each) => each.replaceAll('\n', ' '));
      const bytes = Buffer.from(texts.map((each) => `${each}\n`).join(''));
      const want = Buffer.from(texts.join('\n'))
        .toString()
        .split('\n')
        .filter((each) => each !== '');
      expect(read(bytes, at)).toEqual({ lines: want, error: undefined });
    }),
  );
});

test('whatever the bytes are: lines, or the one error that says what is wrong', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), cuts, (bytes, at) => {
      const { lines, error } = read(Buffer.from(bytes), at, 50);
      if (error !== undefined) expect(error).toBeInstanceOf(AppError);
      expect(lines.join('').includes('\n')).toBe(false);
      // What comes after a line is never held back by it.
      if (error === undefined) expect(read(Buffer.from(bytes), [], 400).lines).toEqual(lines);
    }),
  );
});
