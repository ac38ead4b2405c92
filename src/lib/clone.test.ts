import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { clone } from './clone.ts';

test('a copy is equal and shares nothing that can change, whatever the keys are', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const original = JSON.parse(text);
      const copy = clone(original);
      expect(JSON.stringify(copy)).toBe(JSON.stringify(original));
      if (copy !== null && typeof copy === 'object') expect(copy).not.toBe(original);
    }),
  );
});

test('a key called __proto__ stays a key', () => {
  const copy = clone(JSON.parse('{"data":{"__proto__":{"a":"1"}}}'));
  expect(JSON.stringify(copy)).toBe('{"data":{"__proto__":{"a":"1"}}}');
  expect(Object.getPrototypeOf(copy.data)).toBe(Object.prototype);
});
