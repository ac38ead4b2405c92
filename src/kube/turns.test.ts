import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Rank } from './rank.ts';
import { type Turn, Turns } from './turns.ts';

const BOUNDS = { first: 16, least: 8, most: 64 };

/**
 * A server that works on `cores` calls at a time, each for `work` ms, `away` ms from here; `asks` callers keep it busy. Time is made:
 * answers come in the order of their times. Answers the limit that is found, and the milliseconds that the last calls took.
 */
async function meet(
  turns: Turns,
  clock: { now: number },
  {
    cores,
    work,
    away,
    asks,
    calls,
  }: { cores: number; work: number; away: number; asks: number; calls: number },
): Promise<number> {
  const free = new Array<number>(cores).fill(clock.now);
  const under: { at: number; turn: Turn }[] = [];
  let took = 0;
  let asked = 0;
  const ask = () => {
    asked += 1;
    void turns.take().then((turn) => {
      const core = free.indexOf(Math.min(...free));
      free[core] = Math.max(free[core]!, clock.now + away / 2) + work;
      under.push({ at: free[core] + away / 2, turn });
      took = free[core] + away / 2 - clock.now;
    });
  };
  for (let index = 0; index < asks; index += 1) ask();
  for (let done = 0; done < calls; done += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    under.sort((a, b) => a.at - b.at);
    const { at, turn } = under.shift()!;
    clock.now = Math.max(clock.now, at);
    turn.answered();
    turn.end();
    if (asked < calls) ask();
  }
  return took;
}

describe('how many calls at the same time', () => {
  test('a small server is asked for little more than it can work on, so that answers stay quick', async () => {
    const clock = { now: 0 };
    const turns = new Turns({ ...BOUNDS, now: () => clock.now });
    const took = await meet(turns, clock, { cores: 2, work: 10, away: 0, asks: 200, calls: 1500 });
    expect(turns.limit).toBeLessThanOrEqual(16);
    expect(took).toBeLessThan(100);
  });

  test('a server that is far away, or large, is asked for more', async () => {
    for (const server of [
      { cores: 1000, work: 1, away: 300 },
      { cores: 64, work: 5, away: 1 },
    ]) {
      const clock = { now: 0 };
      const turns = new Turns({ ...BOUNDS, now: () => clock.now });
      await meet(turns, clock, { ...server, asks: 200, calls: 4000 });
      expect(turns.limit).toBeGreaterThan(48);
    }
  });

  test('who is alone is not held up, and changes nothing', async () => {
    const clock = { now: 0 };
    const turns = new Turns({ ...BOUNDS, now: () => clock.now });
    await meet(turns, clock, { cores: 1, work: 10, away: 0, asks: 1, calls: 1000 });
    expect(turns.limit).toBe(16);
  });

  test('what is urgent comes before all that wait, and may be given up like them', async () => {
    const turns = new Turns({ first: 1, least: 1, most: 1 });
    const first = await turns.take();
    const order: string[] = [];
    const ask = async (name: string, rank: Rank, signal?: AbortSignal) => {
      const turn = await turns.take(signal, rank);
      order.push(name);
      turn.end();
    };
    const given = new AbortController();
    const others = [
      ask('a', 'later'),
      ask('soon', 'soon'),
      ask('b', 'later'),
      ask('c', 'urgent'),
      ask('given up', 'urgent', given.signal).catch(() => {}),
      ask('d', 'urgent'),
    ];
    given.abort();
    first.end();
    await Promise.all(others);
    expect(order).toEqual(['c', 'd', 'soon', 'a', 'b']);
  });

  test('while it is held only what is urgent gets a turn, and the others get theirs after that', async () => {
    const turns = new Turns({ first: 4, least: 2, most: 8 });
    const order: string[] = [];
    const ask = async (name: string, rank: Rank) => {
      const turn = await turns.take(undefined, rank);
      order.push(name);
      await new Promise(setImmediate);
      turn.end();
    };
    const before = ask('under way', 'later');
    turns.hold(true);
    const others = [ask('a', 'later'), ask('b', 'soon'), ask('c', 'urgent')];
    await Promise.all([before, others[2]]);
    await new Promise(setImmediate);
    expect(order).toEqual(['under way', 'c']);
    turns.hold(false);
    expect(turns.limit).toBe(2);
    await Promise.all(others);
    expect(order).toEqual(['under way', 'c', 'b', 'a']);
  });

  test('never more than the limit, never outside of its bounds, in order, and nobody is forgotten', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 400 })), {
          maxLength: 300,
        }),
        async (script) => {
          let now = 0;
          const turns = new Turns({ first: 3, least: 2, most: 5, now: () => now });
          const under: Turn[] = [];
          const waiting: { stop: AbortController; number: number }[] = [];
          const order: number[] = [];
          let number = 0;
          for (const [act, ms] of script) {
            now += ms;
            if (act < 2) {
              const each = { stop: new AbortController(), number: number++ };
              waiting.push(each);
              turns.take(each.stop.signal).then(
                (turn) => {
                  waiting.splice(waiting.indexOf(each), 1);
                  order.push(each.number);
                  under.push(turn);
                },
                () => {},
              );
            } else if (act === 2) {
              const turn = under.shift();
              turn?.answered();
              turn?.end();
            } else waiting.pop()?.stop.abort();
            await new Promise((resolve) => setImmediate(resolve));
            expect(turns.limit >= 2 && turns.limit <= 5).toBe(true);
            expect(under.length).toBeLessThanOrEqual(5);
            if (waiting.length > 0) expect(under.length).toBeGreaterThanOrEqual(turns.limit);
          }
          expect(order).toEqual([...order].sort((a, b) => a - b));
        },
      ),
      { numRuns: 40 },
    );
  });
});
