import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { seededRandom } from '../balance/split.ts';
import { formatTraceparent, outgoing, parseTraceparent, randomId, TraceHeaders } from './context.ts';

const hex = (digits: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits })
    .map((all) => all.join(''))
    .filter((id) => !/^0+$/.test(id));

function read(headers: Record<string, string> | [string, string][]): TraceHeaders {
  const found = new TraceHeaders();
  for (const [name, value] of Array.isArray(headers) ? headers : Object.entries(headers))
    found.note(name, value);
  return found;
}

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('traceparent', () => {
  test('what is written is read back', () => {
    fc.assert(
      fc.property(hex(32), hex(16), fc.boolean(), fc.boolean(), (traceId, parentId, sampled, random) => {
        const text = formatTraceparent(traceId, parentId, { sampled, random });
        expect(parseTraceparent(text)).toEqual({ traceId, parentId, sampled, random });
      }),
    );
  });

  test('whatever comes is understood or refused, never half', () => {
    const near = fc.tuple(hex(2), hex(32), hex(16), hex(2), fc.string()).map((parts) => parts.join('-'));
    fc.assert(
      fc.property(fc.oneof(fc.string(), near), (text) => {
        const found = parseTraceparent(text);
        if (found) {
          expect(found.traceId).toMatch(/^[\da-f]{32}$/);
          expect(found.parentId).toMatch(/^[\da-f]{16}$/);
        }
      }),
    );
  });

  test.each([
    ['a version that cannot be', `ff-${TRACE}-${SPAN}-01`],
    ['more than version 00 has', `00-${TRACE}-${SPAN}-01-more`],
    ['a trace id of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['a span id of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['upper case', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['too short', `00-${TRACE.slice(1)}-${SPAN}-01`],
  ])('%s is none', (_what, text) => {
    expect(parseTraceparent(text)).toBeUndefined();
  });

  test('of a later version the known part counts', () => {
    expect(parseTraceparent(`cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`)).toMatchObject({
      traceId: TRACE,
      sampled: true,
    });
  });

  test('two of them are none', () => {
    const one: [string, string] = ['traceparent', `00-${TRACE}-${SPAN}-01`];
    expect(read([one]).context()).toMatchObject({ traceId: TRACE });
    expect(read([one, one]).context()).toBeUndefined();
  });
});

describe('B3', () => {
  test.each([
    [{ b3: `${TRACE}-${SPAN}-1` }, true],
    [{ b3: `${TRACE}-${SPAN}-d-${SPAN}` }, true],
    [{ b3: `${TRACE}-${SPAN}-0` }, false],
    [{ b3: `${TRACE}-${SPAN}` }, undefined],
    [{ 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN, 'x-b3-sampled': '1' }, true],
    [{ 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN, 'x-b3-sampled': 'false' }, false],
    [{ 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN, 'x-b3-flags': '1' }, true],
    [{ 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN }, undefined],
  ])('%j', (headers, sampled) => {
    expect(read(headers as Record<string, string>).context()).toMatchObject({
      traceId: TRACE,
      parentId: SPAN,
      sampled,
    });
  });

  test('a decision without ids', () => {
    expect(read({ b3: '0' }).decision).toBe(false);
    expect(read({ b3: 'd' }).decision).toBe(true);
    expect(read({ 'x-b3-sampled': '0' }).decision).toBe(false);
    expect(read({}).decision).toBeUndefined();
  });

  test('64-bit ids go on with 64 bits, and are padded for everybody else', () => {
    const short = read({ b3: `${SPAN}-${SPAN}-1` });
    const { traceId } = short.context()!;
    expect(traceId).toBe(`${'0'.repeat(16)}${SPAN}`);
    expect(
      outgoing(short, { traceId, spanId: 'b'.repeat(16), parentId: SPAN, sampled: true, random: false }),
    ).toEqual([['b3', `${SPAN}-${'b'.repeat(16)}-1-${SPAN}`]]);
  });
});

test('a request goes on in the formats that it came with, all of one mind', () => {
  const formats = fc.subarray(['w3c', 'b3', 'multi'] as const, { minLength: 1 });
  fc.assert(
    fc.property(
      formats,
      hex(32),
      hex(16),
      hex(16),
      fc.boolean(),
      (which, traceId, parentId, spanId, sampled) => {
        const flag = sampled ? '1' : '0';
        const came = read([
          ...(which.includes('w3c')
            ? [
                ['traceparent', formatTraceparent(traceId, parentId, { sampled, random: true })] as [
                  string,
                  string,
                ],
              ]
            : []),
          ...(which.includes('b3') ? [['b3', `${traceId}-${parentId}-${flag}`] as [string, string]] : []),
          ...(which.includes('multi')
            ? ([
                ['x-b3-traceid', traceId],
                ['x-b3-spanid', parentId],
                ['x-b3-sampled', flag],
              ] as [string, string][])
            : []),
        ]);
        const context = came.context()!;
        expect(context).toMatchObject({ traceId, parentId, sampled });
        const on = outgoing(came, { traceId, spanId, parentId, sampled, random: context.random });
        // Each format alone says the same.
        for (const prefix of ['traceparent', 'b3', 'x-b3-']) {
          const part = on.filter(
            ([name]) => name === prefix || (prefix === 'x-b3-' && name.startsWith(prefix)),
          );
          const expected = { traceparent: 'w3c', b3: 'b3', 'x-b3-': 'multi' }[prefix]!;
          expect(part.length > 0).toBe(which.includes(expected as 'w3c'));
          if (part.length > 0)
            expect(read(part).context()).toMatchObject({ traceId, parentId: spanId, sampled });
        }
      },
    ),
  );
});

test('ids repeat with their seed, and are never zero', () => {
  expect(randomId(32, seededRandom(7))).toBe(randomId(32, seededRandom(7)));
  expect(randomId(16, seededRandom(7))).toMatch(/^[\da-f]{16}$/);
  const numbers = [0, 0, 0, 0.5];
  expect(randomId(16, () => numbers.shift()!)).toBe('0000000080000000');
});
