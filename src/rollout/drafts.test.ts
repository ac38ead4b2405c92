import { describe, expect, test } from '@jest/globals';
import type { RolloutStatus } from '../api/rollout.ts';
import { Drafts, pressing } from './drafts.ts';
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
const condition = (value: 'True' | 'False') => ({
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

  test('not what is observed again: acknowledgements, looks, waits, words', () => {
    const wait = { what: 'pods', since: 1, best: 0 };
    expect(pressing(before, next(progressing({ acknowledgedAt: 9, granted: 1 }, { wait })))).toBe(false);
    expect(
      pressing(before, next(progressing(), { message: 'another', traffic: { stable: 90, canary: 10 } })),
    ).toBe(false);
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
    expect(drafts.keep('a/b', 'u', written, progressing({ acknowledgedAt: 1 }), 100)).toBe(1000);
    expect(drafts.keep('a/b', 'u', written, progressing({ acknowledgedAt: 2 }), 600)).toBe(500);
    expect(drafts.state('a/b', 'u', written)).toEqual(progressing({ acknowledgedAt: 2 }));
    expect(drafts.keep('a/b', 'u', written, progressing({ acknowledgedAt: 3 }), 1100)).toBe(0);
  });

  test('of many Rollouts wait longer, so that their writes do not add up, and never longer than ten seconds', () => {
    const drafts = new Drafts();
    const written = status(progressing());
    const keep = (name: string, now: number) =>
      drafts.keep(name, 'u', written, progressing({ acknowledgedAt: now }), now);
    for (let index = 0; index < 40; index += 1) keep(`a/${index}`, 0);
    expect(keep('a/0', 1000)).toBe(3000);
    for (let index = 0; index < 1000; index += 1) keep(`a/${index}`, 0);
    expect(keep('a/0', 1000)).toBe(9000);
    for (let index = 1; index < 1000; index += 1) drafts.drop(`a/${index}`);
    expect(keep('a/0', 1000)).toBe(0);
  });

  test('are void for another object of the name, and when somebody else has written', () => {
    const drafts = new Drafts();
    const written = status(progressing());
    drafts.keep('a/b', 'u', written, progressing({ acknowledgedAt: 1 }), 0);
    expect(drafts.state('a/b', 'other', written)).toBeUndefined();
    drafts.keep('a/b', 'u', written, progressing({ acknowledgedAt: 1 }), 0);
    expect(drafts.state('a/b', 'u', status(progressing({ index: 1 })))).toBeUndefined();
    expect(drafts.state('a/b', 'u', written)).toBeUndefined();
  });
});
