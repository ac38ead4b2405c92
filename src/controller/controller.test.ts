import { afterEach, describe, expect, test } from '@jest/globals';
import { FakeClock } from '../lib/clock.ts';
import { AppError } from '../lib/errors.ts';
import { silentLogger } from '../lib/log.ts';
import { Controller, type ControllerOptions } from './controller.ts';

let stop = new AbortController();
afterEach(() => stop.abort());

function start(
  reconcile: ControllerOptions['reconcile'],
  options: Pick<ControllerOptions, 'workers' | 'rank'> = {},
) {
  stop = new AbortController();
  const clock = new FakeClock();
  const outcomes: boolean[] = [];
  const controller = new Controller({
    name: 'test',
    workers: 2,
    ...options,
    reconcile,
    log: silentLogger,
    clock,
    onReconciled: ({ error }) => outcomes.push(error),
  });
  const ended = controller.run(stop.signal);
  return { clock, controller, outcomes, ended };
}

describe('the reconcile loop', () => {
  test('reconciles that wait for nothing let timers run and answers be read in between', async () => {
    let [turns, left] = [0, 100];
    let seen = 0;
    const { controller } = start(async () => {
      for (const until = performance.now() + 2; performance.now() < until; );
      left -= 1;
      if (left === 0) seen = turns;
    });
    const turn = () => {
      turns += 1;
      if (left > 0) setImmediate(turn);
    };
    setImmediate(turn);
    for (let n = 0; n < 100; n += 1) controller.enqueue(`shop/${n}`);
    while (left > 0) await new Promise(setImmediate);
    // 200 ms of work.
    expect(seen).toBeGreaterThan(5);
  });

  test('a key that asks to be looked at again is, no sooner', async () => {
    let looks = 0;
    const { clock, controller } = start(async () => {
      looks += 1;
      return { requeueAfterMs: 5000 };
    });
    controller.enqueue('shop/web');
    await clock.advance(0);
    expect(looks).toBe(1);
    await clock.advance(4999);
    expect(looks).toBe(1);
    await clock.advance(1);
    expect(looks).toBe(2);
  });

  test('a later reconcile that has nothing to wait for takes the wake-up away', async () => {
    let looks = 0;
    const { clock, controller } = start(async () => {
      looks += 1;
      return looks === 1 ? { requeueAfterMs: 1000 } : undefined;
    });
    controller.enqueue('shop/web');
    await clock.advance(500);
    controller.enqueue('shop/web');
    await clock.advance(0);
    expect(looks).toBe(2);
    await clock.advance(60_000);
    expect(looks).toBe(2);
  });

  test.each([
    ['Unavailable', 100],
    ['NotFound', 100],
    ['Invalid', 30_000],
  ] as const)('%s is tried again within %d ms', async (code, within) => {
    let looks = 0;
    const { clock, controller, outcomes } = start(async () => {
      looks += 1;
      if (looks === 1) throw new AppError(code, 'the words');
      return undefined;
    });
    controller.enqueue('shop/web');
    await clock.advance(0);
    expect([looks, ...outcomes]).toEqual([1, true]);
    // What is terminal is not hurried.
    if (within > 1000) {
      await clock.advance(within - 1);
      expect(looks).toBe(1);
    }
    await clock.advance(within);
    expect([looks, ...outcomes]).toEqual([2, true, false]);
  });

  test('one key is never in two hands; what comes meanwhile is one more look', async () => {
    let busy = 0;
    let most = 0;
    let looks = 0;
    const gates: (() => void)[] = [];
    const { clock, controller } = start(async () => {
      looks += 1;
      busy += 1;
      most = Math.max(most, busy);
      await new Promise<void>((resolve) => gates.push(resolve));
      busy -= 1;
    });
    for (let round = 0; round < 3; round += 1) {
      controller.enqueue('shop/web');
      await clock.advance(0);
    }
    expect([looks, most]).toEqual([1, 1]);
    gates.shift()!();
    await clock.advance(0);
    expect([looks, most]).toEqual([2, 1]);
    gates.shift()!();
    await clock.advance(0);
    expect([looks, busy]).toEqual([2, 0]);
  });

  test('what is urgent waits for no worker that is busy with something else', async () => {
    const begun: string[] = [];
    const { clock, controller } = start(
      (key) => {
        begun.push(key);
        return key.startsWith('slow') ? new Promise<void>(() => {}) : Promise.resolve();
      },
      { rank: (key) => (key === 'bad' ? 'urgent' : 'later') },
    );
    for (const key of ['slow1', 'slow2', 'slow3', 'bad']) controller.enqueue(key);
    await clock.advance(0);
    expect(begun).toEqual(['slow1', 'slow2', 'bad']);
    expect(controller.queued).toBe(1);
  });

  test('run resolves when the reconcile in progress has ended', async () => {
    let finish = () => {};
    let ended = false;
    const running = start(() => new Promise<void>((resolve) => (finish = resolve)));
    void running.ended.then(() => (ended = true));
    running.controller.enqueue('shop/web');
    await running.clock.advance(0);
    stop.abort();
    await running.clock.advance(0);
    expect(ended).toBe(false);
    finish();
    await running.ended;
  });
});
