import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { QueryResult } from 'prometheus-query';
import { apart, united } from './union.ts';

const answer = (...elements: [Record<string, string>, string][]) =>
  QueryResult.fromJSON({
    resultType: 'vector',
    result: elements.map(([metric, value]) => ({ metric, value: [1, value] })),
  });

describe('several expressions as one query', () => {
  test('each part carries its number; one alone is asked as it is', () => {
    expect(united(['sum(a)', 'sum(b)', 'sum(a)'])).toEqual([
      {
        union: 'label_replace(sum(a),"weir_part","0","","") or label_replace(sum(b),"weir_part","1","","")',
        parts: ['sum(a)', 'sum(b)'],
      },
    ]);
    expect(united(['sum(a)'])).toEqual([{ union: 'sum(a)', parts: ['sum(a)'] }]);
    expect(united([])).toEqual([]);
  });

  test('every expression is in exactly one, and none is too long for a URL unless one part is', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 3000, size: 'max' }), { maxLength: 12 }), (expressions) => {
        const unions = united(expressions);
        expect(unions.flatMap(({ parts }) => parts)).toEqual([...new Set(expressions)]);
        for (const { union, parts } of unions) {
          if (parts.length > 1) expect(encodeURIComponent(union).length).toBeLessThanOrEqual(6000);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('the answer goes back to its parts; one that is missing is no data, several of one an error', () => {
    const got = apart(
      ['a', 'b', 'c'],
      answer(
        [{ weir_part: '2', pod: 'x' }, '5'],
        [{ weir_part: '0' }, '0.5'],
        [{ weir_part: '2', pod: 'y' }, '6'],
      ),
    );
    expect(got).toMatchObject([
      { kind: 'value', query: 'a', value: 0.5 },
      { kind: 'no-data', query: 'b' },
      { kind: 'error', query: 'c', message: expect.stringContaining('2 series') },
    ]);
  });

  test('an answer that is no vector is an error of each', () => {
    const scalar = QueryResult.fromJSON({ resultType: 'matrix', result: [] });
    expect(apart(['a', 'b'], scalar)).toMatchObject([
      { kind: 'error', query: 'a' },
      { kind: 'error', query: 'b' },
    ]);
  });
});
