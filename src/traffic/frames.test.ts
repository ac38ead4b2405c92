import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { AcknowledgementFrame } from '../api/acknowledgement.ts';
import { Frames } from './frames.ts';

const frame = fc.record({
  type: fc.constant('acknowledgement' as const),
  key: fc.constantFrom('a:80', 'a:81', 'b:80', 'c:80'),
  split: fc.constantFrom('shop/a', 'shop/b', 'shop/c'),
  version: fc.constantFrom('1', '2'),
  subscribed: fc.nat(3),
  acknowledged: fc.nat(3),
});

test('the last frame of each key stands under its split, and no other', () => {
  fc.assert(
    fc.property(fc.array(frame), (said) => {
      const frames = new Frames();
      const last = new Map<string, AcknowledgementFrame>();
      for (const each of said) {
        expect(frames.set(each as AcknowledgementFrame)).toBe(last.get(each.key));
        last.set(each.key, each as AcknowledgementFrame);
      }
      const splits = new Set([...last.values()].map(({ split }) => split));
      expect(new Set(frames.splits())).toEqual(splits);
      for (const split of ['shop/a', 'shop/b', 'shop/c'])
        expect(new Set(frames.of(split))).toEqual(
          new Set([...last.values()].filter((each) => each.split === split)),
        );
      frames.clear();
      expect([frames.splits(), frames.of('shop/a')]).toEqual([[], []]);
    }),
  );
});
