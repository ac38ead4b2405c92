import { afterEach, describe, expect, test } from '@jest/globals';
import { machine } from '../machine.ts';
import { World } from './world.fixture.ts';

let world: World;
const given = (spec: object = {}, replicas = 4) => {
  world = new World(spec, replicas);
  return world.rest();
};
const canary = (canary: object) => ({ strategy: { canary } });
const at = (weight: number) => world.until(({ weights }) => weights?.canary === weight);
const some = (turns = 10) => {
  for (let count = 0; count < turns; count += 1) {
    world.now += 1000;
    world.turn();
  }
};

afterEach(() => {
  expect(world.problems).toEqual([]);
});

describe('a Rollout that is changed during its run', () => {
  test('fewer steps: what was not passed is not skipped', () => {
    given(canary({ weights: [10, 50], dwell: '1m' })).apply('v2');
    at(50);
    world.verdict = 'hold';
    world.configure(canary({ weights: [10], dwell: '1m' }));
    some();
    expect(world.weights).toEqual({ stable: 90, canary: 10 });
    expect(world.state.history.at(-1)).toMatchObject({ reason: 'StepsChanged' });
    world.verdict = 'pass';
    world.rest();
    expect(world.weightsSeen).toEqual([10, 50, 10, 100, 0]);
  });

  test('a pause that is taken out: the weight before it is judged once more', () => {
    given(canary({ steps: [{ weight: 10 }, { pause: {} }, { weight: 50 }] })).apply('v2');
    world.until(({ state }) => state.phase.name === 'Progressing' && state.phase.step.index === 1);
    world.verdict = 'hold';
    world.configure(canary({ steps: [{ weight: 10 }, { weight: 50 }] }));
    some();
    expect(world.weights?.canary).toBe(10);
    world.verdict = 'pass';
    world.rest();
    expect(world.weightsSeen).toEqual([10, 50, 100, 0]);
  });

  test.each([
    ['a person', () => Object.assign(world.commands, { paused: { id: 'p', by: 'ann', at: '' } })],
    [
      'a freeze',
      () => {
        world.now = Date.parse('2026-01-05T15:00:00Z');
      },
    ],
  ])('a larger first step sends nobody while %s holds it; what runs goes on being judged', (_who, hold) => {
    const windows = [{ freeze: '0 14 * * *', for: '4h' }];
    given({ windows }).apply('v2');
    at(10);
    hold();
    world.configure({ windows, ...canary({ weights: [80] }) });
    some();
    expect(world.weights).toEqual({ stable: 90, canary: 10 });
    expect(world.last?.message).toContain('the steps were changed to 80 %, which waits');
    world.verdict = 'fail';
    world.phase('Failed');
    expect(world.weightsSeen).toEqual([10, 0]);
  });

  test('a larger first step that nothing holds is taken', () => {
    given().apply('v2');
    at(10);
    world.configure(canary({ weights: [20, 60] }));
    world.rest();
    expect(world.weightsSeen).toEqual([10, 20, 60, 100, 0]);
  });

  test('from canary to blue/green: green is judged without users first', () => {
    given().apply('v2');
    at(50);
    world.verdict = 'hold';
    world.configure({ strategy: { blueGreen: { dwell: '1m' } } });
    some();
    expect(world.weights).toEqual({ stable: 100, canary: 0 });
    world.verdict = 'pass';
    world.rest();
    expect(world.weightsSeen).toEqual([10, 50, 0, 100, 0]);
  });

  test('another Deployment: the run ends, and nothing that was known of the first one is believed of it', () => {
    given().apply('v2');
    at(10);
    expect(world.state).toMatchObject({ gate: 'v1', names: { target: 'web', service: 'web' } });
    world.configure({ targetRef: { name: 'shop' } });
    const seen = world.observe();
    seen.gate.probe = undefined;
    const { state } = machine(world.state, seen, world.now);
    expect(state.names).toEqual({ target: 'shop', service: 'web' });
    expect(state).not.toHaveProperty('gate');
    expect(state.history.find(({ to }) => to === 'Initializing')?.message).toContain(
      'about Deployment shop and Service web now',
    );
  });
});

describe('a revision that came past the gate and does not come up', () => {
  /** Its own controller keeps the old pods, as it would without Weir. */
  const stuck = () => {
    given();
    world.broken.add('v2');
    world.gate.entry = undefined;
    world.apply('v2');
    world.settle();
    world.turn();
    expect(world.state).toMatchObject({ stable: { images: ['app:v2'] }, gateOpen: expect.anything() });
    expect(podsOf('v1')).toBe(4);
  };
  const podsOf = (version: string) =>
    world.sets.find(({ images }) => images[0] === `app:${version}`)?.ready ?? 0;

  test('is not what users are kept on when the next one is judged', () => {
    stuck();
    world.turn();
    world.apply('v3');
    world.until(({ weights }) => {
      expect(podsOf('v1')).toBe(4);
      return weights?.canary === 10;
    });
    expect(world.state.stable?.images).toEqual(['app:v1']);
    world.broken.clear();
    world.rest();
    expect(world.outcome()).toMatchObject({ stable: ['app:v3'], pods: [[['app:v3'], 4]] });
  });

  test('is gone when what serves is applied again: nobody loses a pod', () => {
    stuck();
    world.turn();
    world.apply('v1');
    const before = world.sets.find(({ images }) => images[0] === 'app:v1')!.uid;
    world.until(({ deployment, state }) => {
      expect(podsOf('v1')).toBe(4);
      return deployment?.paused === false && state.phase.name === 'Healthy';
    });
    world.broken.clear();
    world.rest();
    expect(world.sets.find(({ current }) => current > 0)!.uid).toBe(before);
    expect(world.outcome()).toMatchObject({ stable: ['app:v1'], paused: false, pods: [[['app:v1'], 4]] });
  });
});

test('scaled up from 0 while a template of before is held: its pods are there already, and are stable', () => {
  given();
  world.scale(0);
  world.apply('v2');
  world.rest();
  world.configure({ suspend: true });
  world.apply('v1');
  world.phase('Waiting');
  world.scale(2);
  world.settle();
  some();
  expect(world.outcome()).toMatchObject({
    phase: 'Healthy',
    stable: ['app:v1'],
    paused: false,
    pods: [[['app:v1'], 2]],
  });
});

test('a template that is taken back again and again is no fight over the pause', () => {
  given();
  for (const version of ['v2', 'v3', 'v4', 'v5', 'v6']) {
    world.verdict = 'fail';
    world.apply(version);
    world.phase('Failed');
    world.apply('v1');
    world.rest();
    expect([version, world.deployment!.paused, world.last?.stalled]).toEqual([version, false, undefined]);
  }
});

test('aborted while it waits: a retry of before does not start it again', () => {
  given({ suspend: true }).apply('v2');
  world.phase('Waiting');
  world.configure({ suspend: true, retry: 'v2' });
  world.turn();
  world.commands.abort = { id: 'a', by: 'ann', at: '' };
  world.phase('Failed');
  some();
  expect(world.state.phase.name).toBe('Failed');
});

test('a command that is written by hand once more is one more command', () => {
  const steps = [{ weight: 10 }, { pause: {} }, { weight: 50 }, { pause: {} }, { weight: 80 }];
  given(canary({ steps })).apply('v2');
  for (const [weight, next] of [
    [10, 50],
    [50, 80],
  ] as const) {
    world.until(({ last }) => last?.message.includes(`paused at ${weight} % until approved`) ?? false);
    world.commands.approve = { id: 'true', by: 'kubectl annotate', at: '' };
    at(next);
    expect(world.commands.approve).toBeUndefined();
  }
});

describe('users on the canary', () => {
  test('all of its pods are lost just before the release: users go back at once', () => {
    given().apply('v2');
    world.phase('Promoting');
    world.until(({ services }) => services['web-stable']?.hash?.[0] === 'e');
    world.broken.add('v2');
    world.settle();
    world.turn();
    expect(world.state.phase).toMatchObject({ name: 'RollingBack', reason: 'PodsLost' });
    expect(world.services['web-stable']!.hash).toBe(world.state.stable!.hash);
    expect(world.weights).toEqual({ stable: 100, canary: 0 });
    world.broken.clear();
    world.phase('Failed');
  });

  test('a hold at 100 % is no blindfold, with nothing to watch for either', () => {
    given().apply('v2');
    at(50);
    world.until(({ weights }) => weights?.canary === 100);
    world.commands.paused = { id: 'p', by: 'ann', at: '' };
    some();
    expect(world.last?.message).toContain('promotion waits: paused by ann');
    world.verdict = 'fail';
    some(20);
    expect(world.weights).toEqual({ stable: 100, canary: 0 });
    expect(world.state.history.some(({ reason }) => reason === 'MetricFailed')).toBe(true);
  });

  test('a controller whose clock is behind judges them all the same', () => {
    given({ analysis: { inconclusive: { after: '1d' } } }).apply('v2');
    world.verdict = 'hold';
    at(10);
    some();
    expect(world.state.analysis?.id).toContain('/0/');
    world.now -= 600_000;
    world.look = undefined;
    world.verdict = 'fail';
    some();
    expect(world.weights).toEqual({ stable: 100, canary: 0 });
  });

  test('nor does it wait for the first look until its clock has come to where the step began', () => {
    given().apply('v2');
    world.verdict = 'fail';
    const step = () => (world.state.phase.name === 'Progressing' ? world.state.phase.step : undefined);
    world.until(() => world.weights?.canary === 10 && step()?.acknowledgedAt !== undefined);
    delete world.state.analysis;
    world.look = undefined;
    world.now -= 600_000;
    some();
    expect(world.weights).toEqual({ stable: 100, canary: 0 });
  });
});
