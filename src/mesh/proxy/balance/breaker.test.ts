import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Breaker, type BreakerPolicy } from './breaker.ts';
import { RateLimit } from './rate-limit.ts';

const policy = (more: Partial<BreakerPolicy> = {}): BreakerPolicy => ({
  consecutive: 3,
  successRate: 0,
  minRequests: 10,
  window: 10_000,
  eject: 1000,
  ...more,
});
const given = (more: Partial<BreakerPolicy> = {}) => new Breaker(policy(more), 0, () => 0);

describe('breaker', () => {
  test('opens after so many failures in a row, not after as many with a success between', () => {
    const breaker = given();
    for (const success of [false, false, true, false, false]) breaker.observe(success, 1);
    expect(breaker.open).toBe(false);
    expect(breaker.observe(false, 5)).toBe(true);
    expect(breaker.openUntil).toBe(1005);
  });

  test('opens below the share of successes, once there are enough requests, and forgets an old window', () => {
    const breaker = given({ consecutive: 0, successRate: 0.8 });
    for (let index = 0; index < 9; index += 1) breaker.observe(index % 3 !== 0, index);
    expect(breaker.open).toBe(false);
    // 10 seconds later those count no more: a single failure is not a share.
    breaker.observe(false, 20_000);
    expect(breaker.open).toBe(false);
    for (let index = 0; index < 8; index += 1) breaker.observe(true, 20_001);
    expect(breaker.observe(false, 20_002)).toBe(false);
    expect(breaker.observe(false, 20_003)).toBe(true);
  });

  test('one try after the time decides; each failed one doubles the time, a success closes it', () => {
    const breaker = given();
    for (let index = 0; index < 3; index += 1) breaker.observe(false, 0);
    // What was sent before it opened changes nothing, however it ends.
    breaker.observe(false, 500);
    breaker.observe(true, 600);
    expect(breaker.openUntil).toBe(1000);
    breaker.probe(1000);
    expect(breaker.openUntil).toBe(2000);
    breaker.observe(false, 1100);
    expect(breaker.openUntil).toBe(3100);
    breaker.probe(3100);
    breaker.observe(true, 3200);
    expect(breaker.open).toBe(false);
    for (let index = 0; index < 3; index += 1) breaker.observe(false, 4000);
    expect(breaker.openUntil).toBe(5000);
  });

  test('invariants: never open without a failure, never for longer than five minutes and a quarter', () => {
    const step = fc.record({ success: fc.boolean(), after: fc.nat(5000), probe: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const breaker = given({ successRate: 0.5 });
        let now = 0;
        let failed = false;
        for (const { success, after, probe } of steps) {
          now += after;
          failed ||= !success;
          if (probe && breaker.open && breaker.openUntil <= now) breaker.probe(now);
          breaker.observe(success, now);
          if (breaker.open) expect(failed).toBe(true);
          expect(breaker.openUntil - now).toBeLessThanOrEqual(375_000);
        }
      }),
    );
  });
});

test('rate limit: a burst, then the rate; time that stands still or runs back gives nothing', () => {
  const limit = new RateLimit({ perSecond: 10, burst: 3 }, 0);
  const taken = (times: number, now: number) =>
    Array.from({ length: times }, () => limit.take(now)).filter(Boolean).length;
  expect(taken(5, 0)).toBe(3);
  expect(taken(5, 100)).toBe(1);
  expect(taken(5, 50)).toBe(0);
  expect(taken(50, 60_000)).toBe(3);
});
