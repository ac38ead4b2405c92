import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { World } from './world.fixture.ts';

describe('13: killed between any two effects', () => {
  const crash = (verdict: 'pass' | 'fail', crashes: number[], backwards = false) => {
    const world = new World({}).rest();
    world.verdict = verdict;
    world.backwards = backwards;
    world.apply('v2');
    const end = verdict === 'pass' ? 'Healthy' : 'Failed';
    for (const after of crashes) {
      world.turn(after);
      world.now += 10_000;
    }
    world.until(
      ({ state, deployment }) =>
        state.phase.name === end && (end === 'Failed' || deployment?.digest === state.stable?.digest),
    );
    if (end === 'Healthy') world.rest();
    else for (let count = 0; count < 5; count += 1) world.turn();
    return world;
  };

  test.each(['pass', 'fail'] as const)('%s: the same end', (verdict) => {
    const expected = crash(verdict, []).outcome();
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -1, max: 6 }), { maxLength: 60 }),
        fc.boolean(),
        (crashes, backwards) => {
          const result = crash(verdict, crashes, backwards);
          expect(result.problems).toEqual([]);
          expect(result.outcome()).toEqual(expected);
          expect(result.weightsSeen.every((weight) => [0, 10, 50, 100].includes(weight))).toBe(true);
        },
      ),
      { numRuns: 20 },
    );
  });
});

const ACTS = [
  'v1',
  'v2',
  'v3',
  'abort',
  'promote',
  'approve',
  'retry',
  'break',
  'mend',
  'up',
  'down',
  'fail',
  'pass',
  'recreate',
  'steps',
  'fewer',
  'green',
] as const;
const spec = (strategy: object) => ({ strategy });
const canary = (weights: number[]) => spec({ canary: { weights, dwell: '1m' } });
const SPECS: Partial<Record<(typeof ACTS)[number], object>> = {
  steps: canary([5, 20, 50]),
  fewer: canary([50]),
  green: spec({ blueGreen: { dwell: '1m' } }),
};

test('invariants: whatever people and pods do, weights are declared ones and every run ends', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...ACTS), fc.integer({ min: 1, max: 12 })), { maxLength: 25 }),
      (script) => {
        const world = new World(canary([5, 20, 50])).rest();
        for (const [act, turns] of script) {
          const changed = SPECS[act];
          if (changed) world.configure(changed);
          else if (act === 'v1' || act === 'v2' || act === 'v3') world.apply(act);
          else if (act === 'abort' || act === 'promote' || act === 'approve' || act === 'retry')
            world.commands[act] = { id: `${act}-${world.now}`, by: 'ann', at: '' };
          else if (act === 'break') world.broken.add('v2');
          else if (act === 'mend') world.broken.clear();
          else if (act === 'up') world.scale(8);
          else if (act === 'down') world.scale(3);
          else if (act === 'recreate') world.create('v2');
          else if (act === 'pass' || act === 'fail') world.verdict = act;
          world.settle();
          for (let count = 0; count < turns; count += 1) {
            world.turn();
            world.now += 7000;
          }
        }
        world.broken.clear();
        world.verdict = 'pass';
        world.settle();
        world.until(({ state }) => state.phase.name === 'Healthy' || state.phase.name === 'Failed');
        expect(world.problems).toEqual([]);
        expect(world.weightsSeen.every((weight) => [0, 5, 20, 50, 100].includes(weight))).toBe(true);
      },
    ),
    { numRuns: 25 },
  );
});
