import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { labelsOf } from '../labels.ts';
import { createMatcher } from '../matcher.ts';
import { Chunk } from './chunk.ts';
import { MetricStore } from './store.ts';

const value = fc.oneof(
  fc.double(),
  fc.integer().map((number) => number),
  fc.integer({ min: -1000, max: 1000 }).map((number) => number / 8),
  fc.constantFrom(0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** 53, -(2 ** 53)),
);
const sample = fc.record({
  gap: fc.oneof(fc.constant(1000), fc.integer({ min: 1, max: 70_000 }), fc.integer({ min: 1, max: 10 ** 9 })),
  value,
  stale: fc.boolean(),
});

test('a chunk gives back exactly what went in, sealed or not', () => {
  fc.assert(
    fc.property(
      fc.array(sample, { maxLength: 300 }),
      fc.integer({ min: 0, max: 2 ** 41 }),
      (samples, start) => {
        const chunk = new Chunk();
        let time = start;
        const expected = samples.map(({ gap, value: number, stale }) => {
          time += gap;
          chunk.append(time, number, stale);
          return [time, stale ? Number.NaN : number, stale] as const;
        });
        for (const round of ['open', 'sealed']) {
          if (round === 'sealed') chunk.seal();
          const decoded: (readonly [number, number, boolean])[] = [];
          chunk.decode((...row) => decoded.push(row));
          expect(decoded).toHaveLength(expected.length);
          for (const [index, row] of decoded.entries())
            for (const [column, cell] of row.entries())
              expect(Object.is(cell, expected[index]![column])).toBe(true);
        }
      },
    ),
  );
});

test('a regular counter takes under three bytes a sample, an idle one about one', () => {
  const [busy, idle] = [new Chunk(), new Chunk()];
  for (let index = 0; index < 240; index += 1) {
    busy.append(1_767_614_400_000 + index * 1000 + (index % 3), 1e6 + index * 37);
    idle.append(1_767_614_400_000 + index * 1000, 12_345);
  }
  for (const chunk of [busy, idle]) chunk.seal();
  expect(busy.byteLength / 240).toBeLessThan(3.1);
  expect(idle.byteLength / 240).toBeLessThan(1.2);
});

describe('store', () => {
  const store = () => new MetricStore({ retention: 60_000, maxBytes: 1e9 });
  const up = (job: string) => labelsOf({ __name__: 'up', job });
  const all = [createMatcher('__name__', '=', 'up')];

  test('drops what is out of order or contradicts, and takes repeats', () => {
    const metrics = store();
    expect(metrics.append(up('a'), 1000, 1)).toBe(true);
    expect(metrics.append(up('a'), 1000, 1)).toBe(true);
    expect(metrics.append(up('a'), 1000, 2)).toBe(false);
    expect(metrics.append(up('a'), 500, 2)).toBe(false);
    expect([...metrics.select(all, 0, 2000)[0]!.values]).toEqual([1]);
  });

  test('forgets series past the retention, and finds them again when they return', () => {
    const metrics = store();
    const held = metrics.series(up('a'));
    held.append(1000, 1);
    metrics.append(up('b'), 100_000, 1);
    metrics.collect(100_000);
    expect(held.alive).toBe(false);
    expect(metrics.labelValues('job', [], 0, 1e9)).toEqual(['b']);
    metrics.append(up('a'), 100_001, 1);
    expect(metrics.labelValues('job', [], 0, 1e9)).toEqual(['a', 'b']);
  });

  test('keeps to its memory by letting the oldest go', () => {
    const metrics = new MetricStore({ retention: 1e9, maxBytes: 20_000 });
    for (let index = 0; index < 20_000; index += 1) metrics.append(up('a'), index * 1000, Math.sin(index));
    metrics.collect(20_000_000);
    expect(metrics.stats().bytes).toBeLessThanOrEqual(20_000);
    expect(metrics.stats().samples).toBeGreaterThan(200);
  });

  test('matches as Prometheus does: a missing label is an empty one', () => {
    const metrics = store();
    metrics.append(up('a'), 1, 1);
    metrics.append(labelsOf({ __name__: 'up', job: 'b', zone: 'z' }), 1, 1);
    const jobs = (...matchers: Parameters<typeof createMatcher>[]) =>
      metrics
        .select(
          matchers.map((matcher) => createMatcher(...matcher)),
          0,
          10,
        )
        .map(({ labels }) => labels[3])
        .sort();
    expect(jobs(['zone', '=', ''])).toEqual(['a']);
    expect(jobs(['zone', '!=', ''])).toEqual(['b']);
    expect(jobs(['zone', '=~', 'z|'])).toEqual(['a', 'b']);
    expect(jobs(['__name__', '=', 'up'], ['zone', '!~', '.+'])).toEqual(['a']);
    expect(jobs(['job', '=~', 'b'])).toEqual(['b']);
  });
});
