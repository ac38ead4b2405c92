import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { FakeClock } from '../lib/clock.ts';
import type { Rank } from './rank.ts';
import { WorkQueue } from './workqueue.ts';

const signal = new AbortController().signal;

describe('workqueue', () => {
  test('a key waits at most once', async () => {
    const queue = new WorkQueue();
    queue.add('a');
    queue.add('a');
    expect(queue.length).toBe(1);
    expect(await queue.get(signal)).toBe('a');
    expect(queue.length).toBe(0);
  });

  test('a key added while it is worked on comes back when that work is done', async () => {
    const queue = new WorkQueue();
    queue.add('a');
    await queue.get(signal);
    queue.add('a');
    expect(queue.length).toBe(0);
    queue.done('a');
    expect(await queue.get(signal)).toBe('a');
  });

  test('failures come back later and later, success resets', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock, initialDelay: 100, maxDelay: 1000 });
    for (const delay of [100, 200, 400, 800, 1000]) {
      queue.addRateLimited('a');
      await clock.advance(delay - 1);
      expect(queue.length).toBe(0);
      await clock.advance(1);
      expect(await queue.get(signal)).toBe('a');
      queue.done('a');
    }
    queue.forget('a');
    queue.addRateLimited('a');
    await clock.advance(100);
    expect(queue.length).toBe(1);
  });

  test('the earliest of several wake-ups wins', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock });
    queue.addAfter('a', 500);
    queue.addAfter('a', 100);
    queue.addAfter('a', 900);
    await clock.advance(100);
    expect(queue.length).toBe(1);
    await queue.get(signal);
    queue.done('a');
    await clock.advance(1000);
    expect(queue.length).toBe(0);
  });

  describe('what is urgent', () => {
    const urgent = new Set<string>();
    const queueOf = (...keys: string[]) => {
      urgent.clear();
      const queue = new WorkQueue({ rank: (key) => (urgent.has(key) ? 'urgent' : 'later') });
      for (const key of keys) queue.add(key);
      return queue;
    };

    test('goes before what waits already', async () => {
      const queue = queueOf('a', 'b');
      urgent.add('c');
      queue.add('c');
      expect(queue.length).toBe(3);
      expect([await queue.get(signal), await queue.get(signal)]).toEqual(['c', 'a']);
    });

    test('and so does what has become urgent while it waited, once', async () => {
      const queue = queueOf('a', 'b');
      urgent.add('b');
      queue.add('b');
      queue.add('b');
      expect(queue.length).toBe(2);
      expect([await queue.get(signal), await queue.get(signal)]).toEqual(['b', 'a']);
    });

    test('and what is to come soon between that and all else, in the order in which it came', async () => {
      const ranks: Record<string, Rank> = {
        a: 'later',
        b: 'soon',
        c: 'later',
        d: 'soon',
        e: 'urgent',
        f: 'next',
      };
      const queue = new WorkQueue({ rank: (key) => ranks[key]! });
      for (const key of Object.keys(ranks)) queue.add(key);
      // One that has done what was to be soon waits like all others.
      ranks.b = 'later';
      queue.add('b');
      const taken: unknown[] = [];
      for (let count = 0; count < 6; count += 1) taken.push(await queue.get(signal));
      expect(taken).toEqual(['e', 'd', 'f', 'a', 'c', 'b']);
    });

    test('has workers of its own, who take nothing else', async () => {
      const queue = queueOf('a');
      const taken: (string | undefined)[] = [];
      const leave = new AbortController();
      void queue.get(leave.signal, 'urgent').then((key) => taken.push(key));
      await new Promise(setImmediate);
      expect(taken).toEqual([]);
      urgent.add('a');
      queue.add('a');
      await new Promise(setImmediate);
      expect([taken, queue.length]).toEqual([['a'], 0]);
      const waits = queue.get(leave.signal, 'urgent');
      leave.abort();
      expect(await waits).toBeUndefined();
      queue.done('a');
      queue.add('a');
      expect(queue.length).toBe(1);
    });
  });

  test('an aborted wait takes no key', async () => {
    const queue = new WorkQueue();
    const stop = new AbortController();
    const waiting = queue.get(stop.signal);
    stop.abort();
    expect(await waiting).toBeUndefined();
    queue.add('a');
    expect(await queue.get(signal)).toBe('a');
  });

  test('never two workers on one key, and nothing added is lost', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('add' as const), key: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ do: fc.constant('take' as const) }),
      fc.record({ do: fc.constant('done' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const queue = new WorkQueue();
        const working: string[] = [];
        const owed = new Set<string>();
        for (const action of steps) {
          if (action.do === 'add') {
            queue.add(action.key);
            owed.add(action.key);
          } else if (action.do === 'take' && queue.length > 0) {
            const key = (await queue.get(signal))!;
            expect(working).not.toContain(key);
            working.push(key);
            owed.delete(key);
          } else if (action.do === 'done' && working.length > 0) queue.done(working.shift()!);
        }
        for (const key of working.splice(0)) queue.done(key);
        while (queue.length > 0) {
          const key = (await queue.get(signal))!;
          owed.delete(key);
          queue.done(key);
        }
        expect([...owed]).toEqual([]);
      }),
    );
  });
});
