import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { colour, displayWidth, stripColour } from './colour.ts';
import { bar } from './progress.ts';
import { renderTable } from './table.ts';

describe('colour', () => {
  test('leaves text alone where there is no terminal', () => {
    expect(colour('ok', 'green', { isTTY: false })).toBe('ok');
  });
  test('can be stripped again, and takes no width', () => {
    const painted = `\u001b[32mok\u001b[39m`;
    expect(stripColour(painted)).toBe('ok');
    expect(displayWidth(painted)).toBe(2);
  });
});

describe('table', () => {
  test('aligns columns, shows gaps as a dash and leaves no trailing blanks', () => {
    expect(
      renderTable(
        ['NAME', { title: 'RPS', align: 'right' }, 'REVISION'],
        [
          ['web', '10.5', undefined],
          ['payments', 2, 'abc'],
        ],
      ),
    ).toBe('NAME        RPS   REVISION\nweb        10.5   -\npayments      2   abc\n');
  });
});

test('a bar always has its width', () => {
  fc.assert(
    fc.property(fc.double(), fc.integer({ min: 1, max: 60 }), (fraction, width) => {
      expect([...bar(fraction, width)]).toHaveLength(width);
    }),
  );
});
