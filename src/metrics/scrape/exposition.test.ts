import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AppError } from '../../lib/errors.ts';
import { labelsOf, toRecord } from '../labels.ts';
import { parseExposition, parseSeries } from './exposition.ts';

const read = (text: string) => {
  const rows: [Record<string, string>, number, number | undefined][] = [];
  parseExposition(text, (series, value, timestamp) =>
    rows.push([toRecord(parseSeries(series)), value, timestamp]),
  );
  return rows;
};

describe('text format', () => {
  test('samples, comments, blanks, timestamps and odd numbers', () => {
    const text =
      '# HELP a b\n# TYPE a counter\n\na 1\n  b{}\t2 1000\r\nc{x="1",y="a b} \\"q\\" \\\\ \\n",} +Inf\nd NaN\ne -Inf -5\nf 1e3';
    expect(read(text)).toEqual([
      [{ __name__: 'a' }, 1, undefined],
      [{ __name__: 'b' }, 2, 1000],
      [{ __name__: 'c', x: '1', y: 'a b} "q" \\ \n' }, Number.POSITIVE_INFINITY, undefined],
      [{ __name__: 'd' }, Number.NaN, undefined],
      [{ __name__: 'e' }, Number.NEGATIVE_INFINITY, -5],
      [{ __name__: 'f' }, 1000, undefined],
    ]);
  });

  test.each(['a', 'a b', 'a{x="1" 2', 'a 1 x', '1a 1', 'a{x=1} 2', 'a{x="1"y="2"} 3', 'a 0x'])(
    'refuses %j and says so',
    (text) => {
      expect(() => read(text)).toThrow(AppError);
    },
  );

  test('reads back any labels that were written', () => {
    const name = fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/);
    fc.assert(
      fc.property(fc.dictionary(name, fc.string()), fc.double({ noNaN: true }), (labels, value) => {
        const escaped = (text: string) =>
          text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
        const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
        const written = `m{${pairs.join(',')}} ${Object.is(value, -0) ? '-0' : String(value).replace('Infinity', 'Inf')}\n`;
        expect(read(written)).toEqual([[toRecord(labelsOf({ ...labels, __name__: 'm' })), value, undefined]]);
      }),
    );
  });

  test('answers garbage with an AppError and nothing else', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          read(text);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(AppError);
        }
      }),
    );
  });
});
