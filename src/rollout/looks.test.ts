import { describe, expect, test } from '@jest/globals';
import type { Judge, Verdict } from '../analysis/ports.ts';
import { rolloutSpecSchema } from '../api/rollout.ts';
import { silentLogger } from '../lib/log.ts';
import type { EffectOf } from './effects/context.ts';
import { Looks } from './looks.ts';

const { analysis } = rolloutSpecSchema.parse({
  targetRef: { name: 'web' },
  service: { name: 'web', port: 80 },
  strategy: { canary: { weights: [10] } },
});
const revisions = {
  namespace: 'shop',
  service: 'web',
  port: 80,
  deployment: 'web',
  canary: 'new',
  stable: 'old',
};
const effect = (id: string, after = 0): EffectOf<'look'> => ({
  kind: 'look',
  id,
  after,
  stepStartedAt: 0,
  runStartedAt: 0,
  memory: { kept: { failures: 2 } },
  canary: 'new',
  stable: 'old',
  minRequests: 10,
  alone: false,
});
const passed: Verdict = {
  decision: 'pass',
  reason: 'WithinThresholds',
  message: '',
  metrics: [],
  requests: 100,
  failedRequests: 0,
  memory: {},
};

/** Looks whose judge answers when it is told to. */
function setup() {
  const asked: {
    id: string;
    signal: AbortSignal;
    answer: (verdict: Verdict) => void;
    fail: (error: Error) => void;
  }[] = [];
  const done: string[] = [];
  const time = { now: 1000 };
  const judge: Judge = {
    look: ({ revisions: { canary } }, signal) =>
      new Promise((answer, fail) => asked.push({ id: canary, signal, answer, fail })),
  };
  const looks = new Looks({
    judge,
    log: silentLogger,
    done: (key) => done.push(key),
    clock: { now: () => time.now } as never,
  });
  const start = (of: EffectOf<'look'>) => looks.start('shop/web', of, analysis, revisions);
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  return { asked, done, looks, start, settled, time };
}

describe('looks', () => {
  test('one at a time for a step, and its outcome stays until the next', async () => {
    const { asked, done, looks, start, settled } = setup();
    start(effect('step-1', 900));
    start(effect('step-1', 900));
    expect(asked).toHaveLength(1);
    asked[0]!.answer(passed);
    await settled();
    expect(looks.last('shop/web')).toEqual({ id: 'step-1', at: 1000, verdict: passed });
    expect(done).toEqual(['shop/web']);
    // It is younger than what is asked for.
    start(effect('step-1', 900));
    expect(asked).toHaveLength(1);
    start(effect('step-1', 1500));
    expect(asked).toHaveLength(2);
  });

  test('after the clock was set back the one of the future is not waited for', async () => {
    const { asked, looks, start, settled, time } = setup();
    start(effect('step-1', 900));
    asked[0]!.answer(passed);
    await settled();
    time.now = 600;
    start(effect('step-1', 600));
    expect(asked).toHaveLength(2);
    asked[1]!.answer(passed);
    await settled();
    expect(looks.last('shop/web')?.at).toBe(600);
  });

  test('that of another step ends the one before, whose late outcome is nobody’s', async () => {
    const { asked, done, looks, start, settled } = setup();
    start(effect('step-1'));
    start(effect('step-2'));
    expect(asked.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    asked[0]!.answer(passed);
    await settled();
    expect(looks.last('shop/web')).toBeUndefined();
    expect(done).toEqual([]);
    asked[1]!.answer(passed);
    await settled();
    expect(looks.last('shop/web')).toMatchObject({ id: 'step-2' });
    expect(done).toEqual(['shop/web']);
  });

  test('forgotten, it ends and tells nothing', async () => {
    const { asked, done, looks, start, settled } = setup();
    start(effect('step-1'));
    looks.forget('shop/web');
    expect(asked[0]!.signal.aborted).toBe(true);
    asked[0]!.answer(passed);
    await settled();
    expect(looks.last('shop/web')).toBeUndefined();
    expect(done).toEqual([]);
  });

  test('a judge that fails holds, and what was remembered is kept', async () => {
    const { asked, done, looks, start, settled } = setup();
    start(effect('step-1'));
    asked[0]!.fail(new Error('out of memory'));
    await settled();
    expect(looks.last('shop/web')?.verdict).toMatchObject({
      decision: 'hold',
      message: 'the metrics could not be read: out of memory',
      memory: { kept: { failures: 2 } },
    });
    expect(done).toEqual(['shop/web']);
  });
});
