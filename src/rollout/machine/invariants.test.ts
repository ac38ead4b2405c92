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

const canary = (spec: object) => ({ strategy: { canary: { dwell: '1m', ...spec } } });
const blueGreen = (spec: object = {}) => ({ strategy: { blueGreen: { dwell: '1m', ...spec } } });
const SPECS = {
  steps: canary({ weights: [5, 20, 50] }),
  'fewer steps': canary({ weights: [50] }),
  pauses: canary({ steps: [{ weight: 20 }, { pause: { for: '30s' } }, { weight: 60 }] }),
  watch: { ...canary({ weights: [5, 50] }), watch: '3m' },
  green: blueGreen(),
  'kept blue': blueGreen({ keepBlue: '2m', preview: { service: 'web-preview' } }),
};
const DECLARED = [0, 5, 20, 50, 60, 100];

const past = (world: World, version: string) => {
  const { entry } = world.gate;
  world.gate.entry = undefined;
  world.apply(version);
  world.gate.entry = entry;
};
const asks = (world: World, verb: 'abort' | 'approve' | 'promote' | 'retry', more: object = {}) => {
  world.commands[verb] = { id: 'now', by: 'ann', at: '', ...more };
};

/** What people, Kubernetes and the mesh do to a Rollout. */
const ACTS: Record<string, (world: World) => void> = {
  v1: (world) => world.apply('v1'),
  v2: (world) => world.apply('v2'),
  v3: (world) => world.apply('v3'),
  'v2 past the gate': (world) => past(world, 'v2'),
  'v3 past the gate': (world) => past(world, 'v3'),
  abort: (world) => asks(world, 'abort'),
  approve: (world) => asks(world, 'approve'),
  promote: (world) => asks(world, 'promote'),
  'promote to the end': (world) => asks(world, 'promote', { full: true }),
  retry: (world) => asks(world, 'retry'),
  pause: (world) => {
    world.commands.paused = { id: String(world.now), by: 'ann', at: '' };
  },
  resume: (world) => {
    delete world.commands.paused;
  },
  'v2 breaks': (world) => world.broken.add('v2'),
  'v3 breaks': (world) => world.broken.add('v3'),
  'v2 limps': (world) => world.limping.set('v2', 1),
  mend: (world) => {
    world.broken.clear();
    world.limping.clear();
  },
  up: (world) => world.scale(8),
  down: (world) => world.scale(3),
  'to 0': (world) => world.scale(0),
  recreate: (world) => world.create('v2'),
  'paused in Git': (world) => {
    Object.assign(world.deployment!, { paused: true, generation: world.deployment!.generation + 1 });
  },
  'delete the canary': (world) => {
    world.sets = world.sets.filter((set) => !set.canary);
  },
  'edit the split': (world) => {
    if (!world.weights) return;
    world.weights = { stable: 30, canary: 70 };
    world.version += 1;
  },
  unpin: (world) => {
    delete world.services.web!.hash;
  },
  'no word of the mesh': (world) => {
    world.acknowledging = false;
  },
  'the mesh is back': (world) => {
    world.acknowledging = true;
  },
  problem: (world) => {
    world.problem = { reason: 'PortNotFound', message: 'no port' };
  },
  'no problem': (world) => {
    world.problem = undefined;
  },
  fail: (world) => {
    world.verdict = 'fail';
  },
  hold: (world) => {
    world.verdict = 'hold';
  },
  pass: (world) => {
    world.verdict = 'pass';
  },
  crash: (world) => void world.turn(world.now % 4),
  'crash before it is written': (world) => void world.turn(-1),
  sleep: (world) => {
    world.now += 700_000;
  },
  ...Object.fromEntries(
    Object.entries(SPECS).map(([name, spec]) => [name, (world: World) => world.configure(spec)]),
  ),
};

test('invariants: whatever people and pods do, weights are declared ones, and every run ends with nothing left of it', () => {
  const act = fc.tuple(fc.constantFrom(...Object.keys(ACTS)), fc.integer({ min: 0, max: 12 }));
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), (script) => {
      const world = new World(SPECS.steps).rest();
      const turns = (count: number) => {
        for (let each = 0; each < count; each += 1) {
          world.turn();
          world.now += 7000;
        }
      };
      for (const [name, count] of script) {
        ACTS[name]!(world);
        world.settle();
        turns(count);
      }
      for (const name of ['mend', 'pass', 'the mesh is back', 'no problem', 'resume']) ACTS[name]!(world);
      if (world.deployment!.replicas === 0) world.scale(2);
      world.settle();
      // Twice: a Deployment that was re-created is taken over first.
      for (const _ of [1, 2]) {
        world.until(({ state }) => state.phase.name === 'Healthy' || state.phase.name === 'Failed', 1500);
        turns(12);
      }
      // What somebody has deleted is missed until the next turn.
      expect(world.problems.filter((problem) => !problem.startsWith('the stable leaf'))).toEqual([]);
      expect(world.weightsSeen.every((weight) => DECLARED.includes(weight))).toBe(true);
      expect(world.outcome()).toMatchObject({ canaries: 0, pins: {} });
      expect(world.weights?.canary ?? 0).toBe(0);
      const serving = world.sets.filter(({ ready }) => ready > 0);
      expect(serving.map(({ ready }) => ready)).toEqual([world.deployment!.replicas]);
    }),
    { numRuns: 50 },
  );
});
