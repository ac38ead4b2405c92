import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { type Deadline, TimerWheel } from './timers.ts';

const TICK = 20;
beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

/** A wheel on Jest's clock, which `stall` moves without letting a timer run. */
function wheel() {
  let stalled = 7.3;
  const now = () => performance.now() + stalled;
  const timers = new TimerWheel(TICK, now);
  const stall = (milliseconds: number) => {
    stalled += milliseconds;
  };
  return { timers, now, stall };
}

/** How often a timer is set while `milliseconds` pass: each is a time that the process wakes up. */
function wakes(milliseconds: number): number {
  const set = jest.spyOn(globalThis, 'setTimeout');
  jest.advanceTimersByTime(milliseconds);
  const { length } = set.mock.calls;
  set.mockRestore();
  return length;
}

const WAIT = fc.oneof(
  fc.integer({ min: 0, max: 100 }),
  fc.integer({ min: 0, max: 30_000 }),
  // Beyond what all slots together hold.
  fc.integer({ min: 0, max: 4_000_000 }),
);
const MOVES = fc.array(
  fc.record({
    which: fc.integer({ min: 0, max: 5 }),
    move: fc.constantFrom('arm', 'arm', 'arm', 'disarm', 'drop'),
    wait: WAIT,
    then: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, WAIT),
  }),
  { minLength: 1, maxLength: 30 },
);

test('each fires once, never early and at most a tick and a millisecond late, however they were moved (property)', () => {
  fc.assert(
    fc.property(MOVES, (moves) => {
      const { timers, now } = wheel();
      /** When each is due, where it is armed: all there is to know. */
      const due: (number | undefined)[] = [];
      const deadlines: Deadline[] = Array.from({ length: 6 }, (_, n) =>
        timers.deadline(() => {
          expect(now()).toBeGreaterThanOrEqual(due[n]!);
          expect(now()).toBeLessThanOrEqual(due[n]! + TICK + 1);
          due[n] = undefined;
        }),
      );
      const inTime = () => {
        for (const at of due) expect(now()).toBeLessThanOrEqual((at ?? now()) + TICK + 1);
      };
      for (const { which, move, wait, then } of moves) {
        const deadline = deadlines[which]!;
        due[which] = move === 'arm' ? now() + wait : undefined;
        if (move === 'arm') timers.arm(deadline, wait);
        else timers[move](deadline);
        jest.advanceTimersByTime(then);
        inTime();
      }
      jest.advanceTimersByTime(4_000_000 + TICK + 1);
      inTime();
      expect(due.every((at) => at === undefined)).toBe(true);
      expect(jest.getTimerCount()).toBe(0);
    }),
    { numRuns: 300 },
  );
});

describe('while nothing is due the wheel sleeps', () => {
  test('ten thousand that are far off wake it five times in five minutes', () => {
    const { timers } = wheel();
    let fired = 0;
    for (let n = 0; n < 10_000; n += 1) {
      timers.arm(
        timers.deadline(() => (fired += 1)),
        300_000,
      );
      if (n % 10 === 0) jest.advanceTimersByTime(1);
    }
    expect(wakes(298_900)).toBeLessThanOrEqual(5);
    expect(fired).toBe(0);
    jest.advanceTimersByTime(1_200);
    expect(fired).toBe(10_000);
  });

  test('one that is moved on and on is looked at when its first moment has come', () => {
    const { timers } = wheel();
    const fired = jest.fn();
    const deadline = timers.deadline(fired);
    let woken = 0;
    for (let n = 0; n < 100; n += 1) {
      timers.arm(deadline, 10_000);
      woken += wakes(100);
    }
    expect(woken).toBeLessThanOrEqual(1);
    expect(fired).not.toHaveBeenCalled();
  });

  test('with nothing armed no timer is left', () => {
    const { timers } = wheel();
    const fired = jest.fn();
    const [a, b] = [timers.deadline(fired), timers.deadline(fired)];
    timers.arm(a, 100);
    timers.arm(b, 100);
    timers.disarm(a);
    timers.drop(b);
    expect(wakes(1_000)).toBe(0);
    expect(fired).not.toHaveBeenCalled();
    timers.arm(a, 50);
    jest.advanceTimersByTime(100);
    expect(fired).toHaveBeenCalledTimes(1);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('an early one after a far one brings it up again', () => {
    const { timers } = wheel();
    const fired: string[] = [];
    timers.arm(
      timers.deadline(() => void fired.push('far')),
      250_000,
    );
    jest.advanceTimersByTime(100_000);
    timers.arm(
      timers.deadline(() => void fired.push('near')),
      30,
    );
    jest.advanceTimersByTime(51);
    expect(fired).toEqual(['near']);
    jest.advanceTimersByTime(150_000);
    expect(fired).toEqual(['near', 'far']);
  });
});

test('a long stall: everything that is due fires at once, the rest later', () => {
  const { timers, stall } = wheel();
  const fired: string[] = [];
  for (const [name, after] of Object.entries({ a: 100, b: 15_000, c: 200_000 })) {
    timers.arm(
      timers.deadline(() => void fired.push(name)),
      after,
    );
  }
  stall(60_000);
  jest.advanceTimersByTime(100 + TICK);
  expect(fired.sort()).toEqual(['a', 'b']);
  jest.advanceTimersByTime(140_000);
  expect(fired).toEqual(['a', 'b', 'c']);
});

test('one that throws takes none of the others along', () => {
  const { timers } = wheel();
  const fired = jest.fn();
  timers.arm(
    timers.deadline(() => {
      throw new Error('thrown by one');
    }),
    100,
  );
  timers.arm(timers.deadline(fired), 100);
  timers.arm(timers.deadline(fired), 5_000);
  expect(() => jest.advanceTimersByTime(200)).toThrow('thrown by one');
  jest.advanceTimersByTime(6_000);
  expect(fired).toHaveBeenCalledTimes(2);
});

test('stopped: none fires, and what is dropped or armed afterwards does no harm', () => {
  const { timers } = wheel();
  const fired = jest.fn();
  const [a, b] = [timers.deadline(fired), timers.deadline(fired)];
  timers.arm(a, 100);
  timers.arm(b, 100);
  timers.stop();
  expect(jest.getTimerCount()).toBe(0);
  timers.drop(a);
  timers.arm(b, 200);
  jest.advanceTimersByTime(199);
  expect(fired).not.toHaveBeenCalled();
  jest.advanceTimersByTime(TICK + 2);
  expect(fired).toHaveBeenCalledTimes(1);
});
