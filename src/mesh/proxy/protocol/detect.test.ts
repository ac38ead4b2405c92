import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { detect } from './detect.ts';

const starts = fc.constantFrom(
  'GET / HTTP/1.1\r\n',
  'PROPPATCH /',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'PRI * HTTP/1.1\r\n',
  'SSH-2.0-x\r\n',
  '\x16\x03\x01\x02\x00',
  '\r\nGET / HTTP/1.1\r\n',
  'get / HTTP/1.1\r\n',
);
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((all) => Buffer.from(all)),
  fc.tuple(starts, fc.string({ maxLength: 10 })).map((parts) => Buffer.from(parts.join(''), 'latin1')),
);

test('what begins one way never turns out to be another: more of the bytes only ends the waiting', () => {
  fc.assert(
    fc.property(bytes, (all) => {
      const whole = detect(all);
      for (let cut = 0; cut <= all.length; cut += 1) {
        const part = detect(all.subarray(0, cut));
        if (part !== 'more') expect([cut, part]).toEqual([cut, whole]);
      }
      // Nothing is waited for beyond the longest beginning there is.
      if (all.length >= 24) expect(whole).not.toBe('more');
    }),
    { numRuns: 1_000 },
  );
});
