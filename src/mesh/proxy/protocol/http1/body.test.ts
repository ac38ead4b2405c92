import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type BodyKind, BodyReader } from './body.ts';

/** Feeds `text` in pieces cut at `cuts`; how many bytes belong to the body, or -1. */
function feed(
  kind: BodyKind,
  length: number,
  text: string,
  cuts: number[] = [],
): { used: number; done: boolean } {
  const reader = new BodyReader();
  reader.start(kind, length);
  const buffer = Buffer.from(text, 'latin1');
  const edges = [...new Set([0, ...cuts.map((cut) => cut % (buffer.length + 1)), buffer.length])].sort(
    (a, b) => a - b,
  );
  let used = 0;
  for (let i = 1; i < edges.length && !reader.done; i += 1) {
    const end = reader.advance(buffer, edges[i - 1]!, edges[i]!);
    if (end < 0) return { used: -1, done: false };
    used = end;
  }
  return { used, done: reader.done };
}

describe('chunked', () => {
  test.each([
    ['one chunk', '3\r\nabc\r\n0\r\n\r\n'],
    ['extension', '3;a=b\r\nabc\r\n0\r\n\r\n'],
    ['trailers', '3\r\nabc\r\n0\r\nX: y\r\nZ:\r\n\r\n'],
    ['upper case and leading zero', '0A\r\n0123456789\r\n0\r\n\r\n'],
  ])('%s', (_name, text) => {
    expect(feed('chunked', 0, `${text}GET /`)).toEqual({ used: text.length, done: true });
  });

  test.each([
    ['no size', '\r\nabc'],
    ['sign', '-3\r\nabc\r\n'],
    ['prefix', '0x3\r\nabc\r\n'],
    ['space before the size', ' 3\r\nabc\r\n'],
    ['space after the size', '3 \r\nabc\r\n'],
    ['bare LF', '3\nabc\r\n'],
    ['too many digits', '00000000000003\r\nabc\r\n'],
    ['size longer than the data', '4\r\nabc\r\n0\r\n\r\n'],
    ['size shorter than the data', '2\r\nabc\r\n0\r\n\r\n'],
    ['bare LF in a trailer', '0\r\nX: y\n\r\n'],
    ['folded trailer', '0\r\nX: y\r\n z\r\n\r\n'],
    ['long extension', `3;${'a'.repeat(2_000)}\r\nabc\r\n`],
    ['endless trailers', `0\r\n${'X: y\r\n'.repeat(5_000)}`],
    ['tiny chunks with large extensions', `1;${'a'.repeat(900)}\r\nx\r\n`.repeat(30)],
  ])('refuses %s', (_name, text) => {
    expect(feed('chunked', 0, text).used).toBe(-1);
  });
});

test('any split of the input gives the same result (property)', () => {
  const valid = fc
    .array(fc.string({ minLength: 1, maxLength: 40 }), { maxLength: 8 })
    .map((chunks) => chunks.map((chunk) => Buffer.from(chunk).toString('latin1')))
    .map(
      (chunks) =>
        `${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`,
    );
  fc.assert(
    fc.property(fc.oneof(valid, fc.string()), fc.array(fc.nat(), { maxLength: 10 }), (text, cuts) => {
      expect(feed('chunked', 0, text, cuts)).toEqual(feed('chunked', 0, text));
    }),
  );
  fc.assert(
    fc.property(fc.string(), fc.nat(60), fc.array(fc.nat(), { maxLength: 5 }), (text, length, cuts) => {
      const result = feed('length', length, text, cuts);
      const size = Buffer.from(text, 'latin1').length;
      expect(result.used).toBe(Math.min(length, size));
      expect(result.done).toBe(length <= size);
    }),
  );
});

test('a body that ends with the connection ends only then', () => {
  const reader = new BodyReader();
  reader.start('eof');
  expect(reader.advance(Buffer.from('abc'), 0, 3)).toBe(3);
  expect(reader.done).toBe(false);
  expect(reader.finish()).toBe(true);
  reader.start('length', 5);
  reader.advance(Buffer.from('abc'), 0, 3);
  expect(reader.finish()).toBe(false);
});

test('payload and trailers are the same however the input is cut, and lie inside of it; advance agrees (property)', () => {
  const parts = fc.constantFrom(
    '3\r\nabc\r\n',
    '1;x=y\r\nz\r\n',
    '0\r\n',
    'X: y\r\n',
    '\r\n',
    'f',
    '\n',
    'a\r\n0123456789\r\n',
  );
  const texts = fc.oneof(
    fc.array(parts, { maxLength: 8 }).map((all) => all.join('')),
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  );
  const unframed = (kind: BodyKind, text: string, cuts: number[]) => {
    const reader = new BodyReader();
    reader.start(kind, 7);
    const buffer = Buffer.from(text, 'latin1');
    const edges = [...new Set([0, ...cuts.map((cut) => cut % (buffer.length + 1)), buffer.length])];
    edges.sort((a, b) => a - b);
    let [payload, trailer, used] = ['', '', 0];
    for (let n = 1; n < edges.length && !reader.done; n += 1) {
      const [from, to] = [edges[n - 1]!, edges[n]!];
      const end = reader.unframe(buffer, from, to, {
        payload: (bytes, start, stop) => {
          expect(bytes).toBe(buffer);
          expect(from <= start && start <= stop && stop <= to).toBe(true);
          payload += bytes.toString('latin1', start, stop);
        },
        trailer: (byte) => {
          trailer += String.fromCharCode(byte);
        },
      });
      if (end < 0) return { used: -1, done: false };
      used = end;
    }
    return { used, done: reader.done, payload, trailer };
  };
  fc.assert(
    fc.property(
      fc.constantFrom<BodyKind>('chunked', 'length', 'eof'),
      texts,
      fc.array(fc.nat(), { maxLength: 6 }),
      (kind, text, cuts) => {
        const whole = unframed(kind, text, []);
        expect(unframed(kind, text, cuts)).toEqual(whole);
        expect(feed(kind, 7, text, cuts)).toEqual({ used: whole.used, done: whole.done });
      },
    ),
    { numRuns: 2_000 },
  );
});
