import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { TimerWheel } from './timers.ts';

const TICK = 20;
beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

/** A wheel whose clock and interval move together. */
function wheel() {
  let now = 7;
  const timers = new TimerWheel(TICK, () => now);
  const advance = (milliseconds: number) => {
    for (let left = milliseconds; left > 0; left -= TICK) {
      now += Math.min(TICK, left);
      jest.advanceTimersByTime(Math.min(TICK, left));
    }
  };
  return { timers, advance, now: () => now, stall: (milliseconds: number) => (now += milliseconds) };
}

test('fires once, never early and at most two ticks late, whatever was armed before (property)', () => {
  const moves = fc.array(fc.tuple(fc.integer({ min: 1, max: 30_000 }), fc.integer({ min: 1, max: 5_000 })), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(moves, (all) => {
      const { timers, advance, now } = wheel();
      const fired: number[] = [];
      const deadline = timers.deadline(() => void fired.push(now()));
      for (const [after, wait] of all) {
        const due = now() + after;
        timers.arm(deadline, after);
        fired.length = 0;
        advance(wait);
        if (fired.length > 0) expect(fired[0]).toBeGreaterThanOrEqual(due);
        if (now() >= due + 2 * TICK) expect(fired).toHaveLength(1);
        if (fired.length > 0) expect(fired[0]! - due).toBeLessThanOrEqual(2 * TICK);
        expect(fired.length).toBeLessThanOrEqual(1);
      }
      timers.stop();
    }),
    { numRuns: 50 },
  );
});

test('disarmed and dropped ones stay silent; with nothing armed the interval ends', () => {
  const { timers, advance } = wheel();
  let fired = 0;
  const [a, b] = [timers.deadline(() => (fired += 1)), timers.deadline(() => (fired += 1))];
  timers.arm(a, 100);
  timers.arm(b, 100);
  timers.disarm(a);
  timers.drop(b);
  advance(1_000);
  expect(fired).toBe(0);
  expect(jest.getTimerCount()).toBe(0);
  timers.arm(a, 50);
  advance(100);
  expect(fired).toBe(1);
});

test('a long stall: everything that is due fires at once, the rest later', () => {
  const { timers, advance, stall } = wheel();
  const fired: string[] = [];
  for (const [name, after] of Object.entries({ a: 100, b: 15_000, c: 200_000 })) {
    timers.arm(
      timers.deadline(() => void fired.push(name)),
      after,
    );
  }
  stall(60_000);
  advance(TICK);
  expect(fired.sort()).toEqual(['a', 'b']);
  advance(140_000);
  expect(fired).toEqual(['a', 'b', 'c']);
});
