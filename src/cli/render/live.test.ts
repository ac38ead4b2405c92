import { PassThrough } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { colour, displayWidth, stripColour } from './colour.ts';
import { clip, LiveBlock, wrap } from './live.ts';

describe('live block', () => {
  test('no clipped line is wider than the terminal, and colours are closed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 2, max: 40 }), (text, columns) => {
        expect(displayWidth(clip(text, columns))).toBeLessThanOrEqual(columns);
      }),
    );
    expect(clip(`\u001b[32m${'x'.repeat(20)}\u001b[39m`, 5)).toBe('\u001b[32mxxxx\u001b[0m…');
  });

  test('wraps between words and clips what is left over', () => {
    expect(wrap('one two three four', 9, 2)).toEqual(['one two', 'three fo…']);
    expect(wrap('short', 9, 2)).toEqual(['short']);
  });

  test('draws over itself: goes up by what it drew, never by more than the terminal has', () => {
    const stream = Object.assign(new PassThrough(), { columns: 20, rows: 5, isTTY: true });
    const block = new LiveBlock(stream as unknown as NodeJS.WriteStream);
    const drawn = () => String(stream.read());
    block.draw(['a', 'b'.repeat(50)]);
    const first = drawn();
    expect(
      stripColour(first)
        .split('\n')
        .every((line) => displayWidth(line) < 20),
    ).toBe(true);
    block.draw(Array.from({ length: 30 }, (_, index) => colour(String(index), 'red', stream)));
    expect(drawn().startsWith('\u001b[2A')).toBe(true);
    block.draw(['end']);
    expect(drawn().startsWith('\u001b[4A')).toBe(true);
  });
});
