import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PeakEwma } from './ewma.ts';
import { Locality, pickEndpoint, type Zoned } from './locality.ts';
import { seededRandom } from './split.ts';

interface Testee extends Zoned {
  pending: number;
  evictedUntil: number;
}
const endpoint = (zone: string | undefined, more: Partial<Testee> = {}): Testee => ({
  zone,
  pending: 0,
  evictedUntil: 0,
  latency: new PeakEwma(0),
  ...more,
});
const many = (zone: string, count: number) => Array.from({ length: count }, () => endpoint(zone));

/** Requests for each zone, of `rounds` that a proxy in `zone` sends. */
function spread(endpoints: Testee[], zone: string, rounds = 2_000, seed = 1) {
  const backend = { endpoints, locality: Locality.of(endpoints, zone) };
  const random = seededRandom(seed);
  const counts = new Map<Testee, number>();
  for (let i = 0; i < rounds; i += 1) {
    const picked = pickEndpoint(backend, 0, random)!;
    counts.set(picked, (counts.get(picked) ?? 0) + 1);
  }
  return counts;
}
const inZone = (counts: Map<Testee, number>, zone: string) =>
  [...counts].reduce((sum, [each, count]) => sum + (each.zone === zone ? count : 0), 0);

describe('the own zone', () => {
  test('gets everything where it has its share of the endpoints', () => {
    expect(inZone(spread([...many('a', 2), ...many('b', 2)], 'a'), 'a')).toBe(2_000);
  });

  test('a small one keeps what it can take', () => {
    // One of four endpoints, two zones: half of what comes from here.
    const near = inZone(spread([...many('a', 1), ...many('b', 3)], 'a'), 'a');
    expect(near).toBeGreaterThan(850);
    expect(near).toBeLessThan(1_150);
  });

  test('every endpoint gets its equal part, whatever the zones are, where callers are spread evenly', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 2, maxLength: 4 });
    fc.assert(
      fc.property(sizes, fc.integer(), (counts, seed) => {
        const endpoints = counts.flatMap((count, zone) => many(`z${zone}`, count));
        const rounds = 1_500;
        const got = new Map<Testee, number>();
        for (const zone of counts.keys())
          for (const [each, count] of spread(endpoints, `z${zone}`, rounds, seed + zone))
            got.set(each, (got.get(each) ?? 0) + count);
        const equal = (rounds * counts.length) / endpoints.length;
        // Seven standard deviations: what is left of chance among a few hundred endpoints.
        for (const count of got.values())
          expect(Math.abs(count - equal)).toBeLessThan(7 * Math.sqrt(equal) + 5);
      }),
      { numRuns: 40 },
    );
  });

  test('that is out gets nothing, and gets it back', () => {
    const endpoints = [...many('a', 2), ...many('b', 2)];
    const locality = Locality.of<Testee>(endpoints, 'a')!;
    const random = seededRandom(3);
    const pick = (now: number) => pickEndpoint({ endpoints, locality }, now, random)!.zone;
    expect(pick(0)).toBe('a');
    endpoints[0]!.evictedUntil = 5_000;
    endpoints[1]!.evictedUntil = 5_000;
    for (let now = 1; now < 5_000; now += 50) expect(pick(now)).toBe('b');
    expect(pick(5_100)).toBe('a');
  });

  test('that loses a part keeps what the rest can take', () => {
    const endpoints = [...many('a', 4), ...many('b', 4)];
    for (const gone of endpoints.slice(0, 3)) gone.evictedUntil = 1_000;
    // One of five, two zones.
    const share = Locality.of<Testee>(endpoints, 'a')!.share(0);
    expect(share).toBeCloseTo(0.4);
    const counts = spread(endpoints, 'a');
    for (const gone of endpoints.slice(0, 3)) expect(counts.has(gone)).toBe(false);
  });

  test('an endpoint that is much busier than others is not preferred', () => {
    const endpoints = [endpoint('a', { pending: 30 }), endpoint('b', { pending: 2 })];
    // The other one of two random ones, most of the time.
    expect(inZone(spread(endpoints, 'a', 100), 'b')).toBeGreaterThan(90);
    endpoints[1]!.pending = 20;
    expect(inZone(spread(endpoints, 'a', 100), 'a')).toBe(100);
  });

  test('says nothing where zones are not known, or there is only one', () => {
    expect(Locality.of(many('a', 3), undefined)).toBeUndefined();
    expect(Locality.of(many('a', 3), 'a')).toBeUndefined();
    expect(Locality.of(many('b', 3), 'a')).toBeUndefined();
    expect(Locality.of([endpoint('a'), endpoint(undefined)], 'a')).toBeUndefined();
  });

  test('whatever is out, somebody is chosen, and somebody available if there is one', () => {
    const state = fc.record({ zone: fc.constantFrom('a', 'b', 'c'), out: fc.boolean(), pending: fc.nat(40) });
    fc.assert(
      fc.property(fc.array(state, { minLength: 1, maxLength: 8 }), fc.integer(), (states, seed) => {
        const endpoints = states.map(({ zone, out, pending }) =>
          endpoint(zone, { pending, evictedUntil: out ? 1_000 : 0 }),
        );
        const backend = { endpoints, locality: Locality.of<Testee>(endpoints, 'a') };
        const random = seededRandom(seed);
        for (let i = 0; i < 20; i += 1) {
          const picked = pickEndpoint(backend, 0, random);
          expect(picked).toBeDefined();
          if (states.length > 1 && states.some(({ out }) => !out)) expect(picked!.evictedUntil).toBe(0);
        }
      }),
    );
  });
});
