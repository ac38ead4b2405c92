import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson } from './canonical.ts';
import { sameJson } from './same-json.ts';

test('says the same as comparing canonical text', () => {
  fc.assert(
    fc.property(fc.json(), fc.json(), (a, b) => {
      const [left, right] = [JSON.parse(a) as unknown, JSON.parse(b) as unknown];
      expect(sameJson(left, right)).toBe(canonicalJson(left) === canonicalJson(right));
      expect(sameJson(left, JSON.parse(canonicalJson(left)))).toBe(true);
    }),
  );
});

test('absent is undefined, and what JSON cannot write is null', () => {
  expect(sameJson({ a: 1, b: undefined }, { a: 1 })).toBe(true);
  expect(sameJson({ a: 1 }, { a: 1, b: null })).toBe(false);
  expect(sameJson({ a: Number.NaN }, { a: null })).toBe(true);
  expect(sameJson([1, 2], [1])).toBe(false);
});
