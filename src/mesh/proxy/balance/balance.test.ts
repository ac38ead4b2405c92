import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { RetryBudget } from './budget.ts';
import { type Candidate, PeakEwma, pickTwo } from './ewma.ts';
import { cumulate, pickWeighted, seededRandom } from './split.ts';

describe('split', () => {
  test('shares converge to the weights, and a weight of 0 gets exactly none (property)', () => {
    fc.assert(
      fc.property(
        fc
          .array(fc.nat(100), { minLength: 1, maxLength: 6 })
          .filter((weights) => weights.some((weight) => weight > 0)),
        fc.integer(),
        (weights, seed) => {
          const random = seededRandom(seed);
          const cumulative = cumulate(weights);
          const counts = weights.map(() => 0);
          const rounds = 4_000;
          for (let i = 0; i < rounds; i += 1) counts[pickWeighted(cumulative, random())]! += 1;
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          for (const [index, weight] of weights.entries()) {
            if (weight === 0) expect(counts[index]).toBe(0);
            // Five standard deviations of the binomial, and a little for tiny weights.
            const share = weight / total;
            const spread = 5 * Math.sqrt(rounds * share * (1 - share)) + 3;
            expect(Math.abs(counts[index]! - rounds * share)).toBeLessThan(spread);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  test('nothing to pick from', () => {
    expect(pickWeighted(cumulate([]), 0.5)).toBe(-1);
    expect(pickWeighted(cumulate([0, 0]), 0)).toBe(-1);
    expect(pickWeighted(cumulate([0, 1, 0]), 1 - 2 ** -53)).toBe(1);
  });
});

const candidate = (pending = 0, evictedUntil = 0): Candidate => ({
  pending,
  evictedUntil,
  latency: new PeakEwma(0),
});

describe('power of two choices', () => {
  test('equal endpoints get equal shares', () => {
    const random = seededRandom(7);
    const all = [candidate(), candidate(), candidate(), candidate()];
    const counts = new Map(all.map((each) => [each, 0]));
    for (let i = 0; i < 8_000; i += 1) {
      const picked = pickTwo(all, 0, random)!;
      counts.set(picked, counts.get(picked)! + 1);
    }
    for (const count of counts.values()) expect(Math.abs(count - 2_000)).toBeLessThan(250);
  });

  test('a slow endpoint and a busy one get less', () => {
    const random = seededRandom(7);
    const slow = candidate();
    slow.latency.observe(0, 500);
    const busy = candidate(20);
    const free = [candidate(), candidate()];
    let avoided = 0;
    for (let i = 0; i < 1_000; i += 1)
      if (free.includes(pickTwo([slow, busy, ...free], 0, random)!)) avoided += 1;
    expect(avoided).toBeGreaterThan(750);
  });

  test('an evicted endpoint gets nothing while another is available; alone it is probed', () => {
    const random = seededRandom(1);
    const [gone, there] = [candidate(0, 1_000), candidate()];
    for (let i = 0; i < 200; i += 1) expect(pickTwo([gone, there], 0, random)).toBe(there);
    expect(pickTwo([gone], 0, random)).toBe(gone);
    const sooner = candidate(0, 500);
    expect(pickTwo([gone, sooner, gone], 0, random)).toBe(sooner);
    expect(pickTwo([gone, there], 0, random, undefined, new Set([there]))).toBe(gone);
    expect(pickTwo([], 0, random)).toBeUndefined();
  });
});

test('a peak counts at once and is forgotten with time', () => {
  const latency = new PeakEwma(0, 1);
  latency.observe(0, 200);
  expect(latency.at(0)).toBe(200);
  latency.observe(10_000, 10);
  expect(latency.at(10_000)).toBeLessThan(100);
  expect(latency.at(60_000)).toBeLessThan(1);
});

describe('failures', () => {
  /** Asked and failed within a millisecond. */
  const fail = (latency: PeakEwma, at: number) => latency.failed(at, at - 1);

  test('one or two change nothing, three in a row put it behind, those of one moment are one', () => {
    const latency = new PeakEwma(0, 10);
    for (let n = 0; n < 9; n += 1) latency.failed(50, 40);
    fail(latency, 60);
    expect(latency.at(60)).toBe(10);
    fail(latency, 70);
    expect(latency.at(70)).toBe(10_000);
    expect(latency.at(1069)).toBe(10_000);
    expect(latency.at(1070)).toBeLessThanOrEqual(10);
  });

  test('each further one doubles the spell, up to ten seconds; an answer ends it and the row', () => {
    const latency = new PeakEwma(0, 10);
    const spells: number[] = [];
    let now = 100;
    for (let n = 0; n < 9; n += 1) {
      fail(latency, now);
      const began = now;
      while (latency.at(now) >= 10_000) now += 100;
      spells.push(now - began);
      now += 1;
    }
    expect(spells).toEqual([0, 0, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
    fail(latency, now);
    // What was asked before it failed says nothing of now.
    latency.observe(now + 1, 5);
    expect(latency.at(now + 1)).toBe(10_000);
    latency.observe(now + 6, 5);
    expect(latency.at(now + 6)).toBeLessThan(10);
    fail(latency, now + 10);
    fail(latency, now + 20);
    expect(latency.at(now + 20)).toBeLessThan(10);
  });

  test('one that took long counts for as long as it took', () => {
    const latency = new PeakEwma(0, 10);
    latency.failed(500, 0);
    expect(latency.at(500)).toBe(500);
  });
});

test('retries stay within a fifth of the requests plus ten a second', () => {
  const budget = new RetryBudget(0);
  let allowed = 0;
  for (let i = 0; i < 1_000; i += 1) {
    budget.deposit();
    if (budget.withdraw(i)) allowed += 1;
  }
  expect(allowed).toBeGreaterThan(150);
  expect(allowed).toBeLessThan(225);
});

describe('a retry budget of a policy', () => {
  const spent = (budget: RetryBudget, now: number) => {
    let allowed = 0;
    while (allowed < 1_000 && budget.withdraw(now)) allowed += 1;
    return allowed;
  };

  test('is a percentage of the requests and so many a second', () => {
    const budget = new RetryBudget(0);
    budget.rule({ percent: 50, minPerSecond: 0 }, 0);
    spent(budget, 0);
    for (let i = 0; i < 10; i += 1) budget.deposit();
    expect(spent(budget, 60_000)).toBe(5);
    budget.rule({ percent: 0, minPerSecond: 2 }, 60_000);
    for (let i = 0; i < 100; i += 1) budget.deposit();
    expect(spent(budget, 62_000)).toBe(4);
    budget.rule({ percent: 0, minPerSecond: 0 }, 62_000);
    expect(spent(budget, 100_000)).toBe(0);
  });

  test('that changes gives nothing back of what was spent before', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            percent: fc.integer({ min: 0, max: 100 }),
            minPerSecond: fc.integer({ min: 0, max: 50 }),
          }),
          {
            maxLength: 10,
          },
        ),
        (policies) => {
          const budget = new RetryBudget(0);
          spent(budget, 0);
          for (const policy of policies) budget.rule(policy, 0);
          expect(budget.withdraw(0)).toBe(false);
        },
      ),
    );
  });
});
