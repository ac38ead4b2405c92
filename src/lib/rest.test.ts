import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { restWhenQuiet } from './rest.ts';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

function proxy() {
  const runtime = { lastActivity: 0, requests: 0, now: () => performance.now() };
  const given: boolean[] = [];
  const stop = restWhenQuiet(runtime, (fresh) => {
    given.push(fresh);
  });
  return { runtime, given: () => given.length, fresh: () => given, stop };
}

test('soon after the start, a minute later, and not again while nothing happens', () => {
  const { given, fresh } = proxy();
  jest.advanceTimersByTime(1_900);
  expect(given()).toBe(0);
  jest.advanceTimersByTime(200);
  expect(fresh()).toEqual([true]);
  jest.advanceTimersByTime(3_600_000);
  // Once more, for what the first seconds left behind.
  expect(fresh()).toEqual([true, true]);
  expect(given()).toBe(2);
});

test('not while there are requests, but after them', () => {
  const { runtime, given, fresh } = proxy();
  for (let n = 0; n < 50; n += 1) {
    runtime.lastActivity = runtime.now();
    jest.advanceTimersByTime(1_000);
  }
  expect(given()).toBe(0);
  jest.advanceTimersByTime(12_000);
  expect(fresh()).toEqual([false]);
});

test('not in a pause of load, but half a minute after it', () => {
  const { runtime, given } = proxy();
  for (let n = 0; n < 10; n += 1) {
    runtime.requests += 5_000;
    runtime.lastActivity = runtime.now();
    jest.advanceTimersByTime(20_000);
  }
  expect(given()).toBe(0);
  jest.advanceTimersByTime(20_000);
  expect(given()).toBe(1);
});

test('a probe every ten seconds is no reason to do it more than once a minute', () => {
  const { runtime, given, stop } = proxy();
  for (let n = 0; n < 60; n += 1) {
    runtime.lastActivity = runtime.now();
    jest.advanceTimersByTime(10_000);
  }
  expect(given()).toBeGreaterThan(5);
  expect(given()).toBeLessThanOrEqual(11);
  stop();
  const before = given();
  runtime.lastActivity = runtime.now();
  jest.advanceTimersByTime(3_600_000);
  expect(given()).toBe(before);
});

test('not where it would give back nothing', () => {
  const runtime = { lastActivity: 0, now: () => performance.now() };
  let worth = false;
  let given = 0;
  restWhenQuiet(runtime, () => (given += 1), { everyMs: 2_000, worth: () => worth });
  jest.advanceTimersByTime(2_000);
  // What starting up has left behind is always worth it.
  expect(given).toBe(1);
  runtime.lastActivity = runtime.now() + 1;
  jest.advanceTimersByTime(600_000);
  expect(given).toBe(1);
  worth = true;
  jest.advanceTimersByTime(4_000);
  expect(given).toBe(2);
});
