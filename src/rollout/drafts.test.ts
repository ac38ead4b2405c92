import { describe, expect, test } from '@jest/globals';
import type { RolloutStatus } from '../api/rollout.ts';
import { Drafts, pressing, tells } from './drafts.ts';
import { initialState, type State } from './machine.ts';

const run = {
  id: 'a',
  digest: 'd',
  hash: 'h',
  replicaSet: 'web-h',
  images: ['app:v2'],
  startedAt: 0,
  retry: '',
  peak: 1,
};
const progressing = (step: object = {}, more: object = {}): State => ({
  ...initialState(),
  phase: { name: 'Progressing', run, step: { index: 0, since: 5, ...step }, ...more },
});
const status = (machine: State, more: Partial<RolloutStatus> = {}): RolloutStatus => ({
  observedGeneration: 1,
  phase: machine.phase.name,
  conditions: [],
  history: [],
  machine,
  ...more,
});
const condition = (value: 'True' | 'False' | 'Unknown') => ({
  type: 'Gated',
  status: value,
  reason: '',
  message: '',
  lastTransitionTime: '',
});

describe('what is written at once', () => {
  const before = status(progressing(), { conditions: [condition('True')] });
  const next = (machine: State, more: Partial<RolloutStatus> = {}) =>
    status(machine, { conditions: [condition('True')], ...more });

  test('what a restart could not see again', () => {
    expect(pressing(undefined, before)).toBe(true);
    expect(pressing(before, next(progressing(), { observedGeneration: 2 }))).toBe(true);
    expect(pressing(before, next(progressing({ index: 1 })))).toBe(true);
    expect(pressing(before, next(progressing({ undecided: true })))).toBe(true);
    expect(pressing(before, next({ ...progressing(), consumed: { approve: 'x' } }))).toBe(true);
    expect(pressing(before, next(progressing(), { conditions: [condition('False')] }))).toBe(true);
  });

  test('a Rollout that was just taken over, once its gate was tried or something is wrong', () => {
    const healthy = { ...initialState(), phase: { name: 'Healthy' } } as State;
    const taken = (gated: 'True' | 'False' | 'Unknown', ready: 'True' | 'False' = 'True') =>
      status(healthy, { conditions: [condition(gated), { ...condition(ready), type: 'Ready' }] });
    expect(pressing(undefined, taken('Unknown'))).toBe(false);
    expect(pressing(undefined, taken('True'))).toBe(true);
    expect(pressing(undefined, taken('False'))).toBe(true);
    expect(pressing(undefined, taken('Unknown', 'False'))).toBe(true);
    expect(pressing(taken('Unknown'), taken('True'))).toBe(true);
  });

  test('every line of history', () => {
    const line = { at: '', from: 'Progressing', to: 'Progressing', reason: 'Paused', message: '' } as const;
    expect(pressing(before, next(progressing(), { history: [line] }))).toBe(true);
  });

  test('not what is observed again: acknowledgements, looks, waits, words', () => {
    const wait = { what: 'pods', since: 1, best: 0 };
    expect(pressing(before, next(progressing({ acknowledgedAt: 9, granted: 1 }, { wait })))).toBe(false);
    expect(
      pressing(before, next(progressing(), { message: 'another', traffic: { stable: 90, canary: 10 } })),
    ).toBe(false);
  });

  test('not advice to people, but what stops a run', () => {
    const told = (type: string) =>
      next(progressing(), { conditions: [condition('True'), { ...condition('True'), type }] });
    expect(pressing(before, told('NoMeshedCaller'))).toBe(false);
    expect(pressing(before, told('Held'))).toBe(true);
  });

  test('on the way back every weight', () => {
    const back = (canary: number) =>
      status(
        {
          ...initialState(),
          phase: { name: 'RollingBack', run, cause: 'failed', reason: '', message: '', since: 0 },
        },
        { traffic: { stable: 100 - canary, canary } },
      );
    expect(pressing(back(30), back(0))).toBe(true);
    expect(pressing(back(0), back(0))).toBe(false);
  });
});

describe('drafts', () => {
  test('are due a second after the first change, however many follow', () => {
    const drafts = new Drafts();
    const written = status(progressing());
    expect(
      drafts.keep('a/b', 'u', { written, state: progressing({ acknowledgedAt: 1 }), tells: true }, 100),
    ).toBe(1000);
    expect(
      drafts.keep('a/b', 'u', { written, state: progressing({ acknowledgedAt: 2 }), tells: true }, 600),
    ).toBe(500);
    expect(drafts.state('a/b', 'u', written)).toEqual(progressing({ acknowledgedAt: 2 }));
    expect(
      drafts.keep('a/b', 'u', { written, state: progressing({ acknowledgedAt: 3 }), tells: true }, 1100),
    ).toBe(0);
  });

  test('of many Rollouts wait longer, so that their writes do not add up, and never longer than half a minute', () => {
    const drafts = new Drafts();
    const written = status(progressing());
    const keep = (name: string, now: number) =>
      drafts.keep(name, 'u', { written, state: progressing({ acknowledgedAt: now }), tells: true }, now);
    for (let index = 0; index < 40; index += 1) keep(`a/${index}`, 0);
    expect(keep('a/0', 1000)).toBe(3000);
    for (let index = 0; index < 1000; index += 1) keep(`a/${index}`, 0);
    expect(keep('a/0', 1000)).toBe(29_000);
    for (let index = 1; index < 1000; index += 1) drafts.drop(`a/${index}`);
    expect(keep('a/0', 1000)).toBe(0);
  });

  test('that tell nothing but the time of their look are written once a minute, and sooner once they tell more', () => {
    const drafts = new Drafts();
    const written = status(progressing());
    const keep = (tells: boolean, now: number) =>
      drafts.keep('a/b', 'u', { written, state: progressing({ acknowledgedAt: now }), tells }, now);
    const first = keep(false, 1000);
    expect(first).toBeGreaterThanOrEqual(30_000);
    expect(first).toBeLessThan(90_000);
    expect(keep(false, 6000)).toBeCloseTo(first - 5000);
    expect(keep(true, 11_000)).toBe(1000);
    expect(keep(false, 11_500)).toBeCloseTo(first - 10_500);
    expect(keep(false, 1000 + first)).toBe(0);
    drafts.drop('a/b');
    // The next look has begun anew, and a minute after the last write it is time again.
    expect(keep(false, 6000 + first)).toBeCloseTo(55_000);
  });

  test('that tell nothing of a thousand Rollouts that have begun together are due all over the minute', () => {
    const drafts = new Drafts();
    const written = status(progressing());
    const tens = new Array<number>(6).fill(0);
    for (let index = 0; index < 1000; index += 1) {
      const draft = { written, state: progressing({ acknowledgedAt: 5 }), tells: false };
      const due = 1_700_000_000_000 + drafts.keep(`shop/app-${index}`, 'u', draft, 1_700_000_000_000);
      tens[Math.floor((due % 60_000) / 10_000)]! += 1;
    }
    expect(Math.min(...tens)).toBeGreaterThan(120);
    expect(Math.max(...tens)).toBeLessThan(220);
  });

  test('a look that found the same again tells nothing; another number, message or step does', () => {
    const looked = (at: number, canary: number) => {
      const metrics = [
        { name: 'success-rate', verdict: 'pass' as const, canary, at: new Date(at).toISOString() },
      ];
      const analysis = {
        id: 'a',
        at,
        decision: 'pass',
        reason: '',
        message: '',
        metrics,
        memory: {},
      } as const;
      return status({ ...progressing(), analysis }, { analysis: { verdict: 'pass', metrics } });
    };
    expect(tells(looked(1, 0.99), looked(6000, 0.99))).toBe(false);
    expect(tells(looked(1, 0.99), looked(6000, 0.98))).toBe(true);
    expect(tells(looked(1, 0.99), { ...looked(1, 0.99), message: 'another' })).toBe(true);
    expect(tells(status(progressing()), status(progressing({ index: 1 })))).toBe(true);
    expect(tells(undefined, looked(1, 1))).toBe(true);
  });

  test('of a new Rollout wait for what comes of trying its gate, and not for ever', () => {
    const drafts = new Drafts();
    expect(drafts.keep('a/b', 'u', { written: undefined, state: progressing(), tells: true }, 0)).toBe(
      30_000,
    );
    expect(
      drafts.keep(
        'a/b',
        'u',
        { written: undefined, state: progressing({ acknowledgedAt: 1 }), tells: true },
        30_000,
      ),
    ).toBe(0);
  });

  test('are void for another object of the name, and when somebody else has written', () => {
    const drafts = new Drafts();
    const written = status(progressing());
    drafts.keep('a/b', 'u', { written, state: progressing({ acknowledgedAt: 1 }), tells: true }, 0);
    expect(drafts.state('a/b', 'other', written)).toBeUndefined();
    drafts.keep('a/b', 'u', { written, state: progressing({ acknowledgedAt: 1 }), tells: true }, 0);
    expect(drafts.state('a/b', 'u', status(progressing({ index: 1 })))).toBeUndefined();
    expect(drafts.state('a/b', 'u', written)).toBeUndefined();
  });
});
