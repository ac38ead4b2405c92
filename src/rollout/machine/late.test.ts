import { afterEach, describe, expect, test } from '@jest/globals';
import { machine } from '../machine.ts';
import { World } from './world.fixture.ts';

let world: World;
const given = (spec: object = {}, replicas = 4) => {
  world = new World(spec, replicas);
  return world.rest();
};
const command = (verb: 'approve' | 'promote' | 'retry') => {
  world.commands[verb] = { id: `${verb}-${world.now}`, by: 'ann', at: '' };
};

afterEach(() => {
  expect(world.problems).toEqual([]);
});

describe('a crash between the first weight and the state that says so', () => {
  /** The process dies in the turn that sets the first weight, with Preparing written. */
  const crashed = (spec: object = {}) => {
    given(spec).apply('v2');
    world.phase('Preparing');
    const weighted = () => (world.weights?.canary ?? 0) > 0;
    for (let count = 0; count < 50 && !weighted(); count += 1) {
      const { state } = machine(world.state, world.observe(), world.now);
      world.turn(state.phase.name === 'Progressing' ? -1 : undefined);
    }
    expect([world.state.phase.name, world.weights?.canary]).toEqual(['Preparing', 10]);
  };

  test('goes on where it was', () => {
    crashed();
    world.rest();
    expect(world.state.stable?.images).toEqual(['app:v2']);
    expect(world.weightsSeen).toEqual([10, 50, 100, 0]);
  });

  test('takes the weight back while its pods are gone, or a person holds it', () => {
    crashed();
    const gone = world.observe();
    for (const set of gone.replicaSets) if (set.canary) Object.assign(set, { ready: 0, available: 0 });
    const held = world.observe();
    held.commands.paused = { id: 'p', by: 'ann', at: '' };
    for (const seen of [gone, held]) {
      const { state, effects } = machine(world.state, seen, world.now);
      expect(state.phase.name).toBe('Preparing');
      expect(effects[0]).toEqual({ kind: 'set-weights', stable: 100, canary: 0 });
    }
  });
});

describe('at 100 % and later', () => {
  test('capacity that is lost while watching lowers the weight, and the way back is open', () => {
    given({ watch: '10m' }).apply('v2');
    world.phase('Watching');
    const seen = world.observe();
    seen.replicaSets.find(({ canary }) => canary)!.ready = 2;
    const { state, effects } = machine(world.state, seen, world.now);
    expect(state.history.at(-1)).toMatchObject({ reason: 'CapacityLost', to: 'Progressing' });
    expect(effects).toContainEqual({ kind: 'set-weights', stable: 50, canary: 50 });
    world.state = state;
    world.rest();
    expect(world.state.stable?.images).toEqual(['app:v2']);
  });

  test.each(['Watching', 'Promoting'] as const)(
    'a canary deleted while %s sends users back at once',
    (name) => {
      given({ watch: '10m' }).apply('v2');
      world.phase(name);
      if (name === 'Promoting') world.until(({ services }) => services['web-stable']?.hash?.[0] === 'e');
      world.sets = world.sets.filter(({ canary }) => !canary);
      world.turn();
      expect(world.state.phase).toMatchObject({ name: 'RollingBack', reason: 'CanaryGone' });
      expect(world.services['web-stable']!.hash).toBe(world.state.stable!.hash);
      expect(world.weights).toEqual({ stable: 100, canary: 0 });
      world.phase('Failed');
    },
  );

  test('a canary that is larger than the Deployment raises its scale before the release', () => {
    given({ watch: '10m' }).apply('v2');
    world.scale(8);
    world.phase('Watching');
    world.scale(4);
    world.rest();
    const kinds = world.effects.map(({ kind }) => kind);
    expect(kinds.indexOf('raise-scale')).toBeGreaterThan(0);
    expect(kinds.indexOf('raise-scale')).toBeLessThan(kinds.indexOf('release'));
    expect(world.deployment!.replicas).toBe(8);
  });

  test('a scale that somebody fights for ends by the deadline, before the release', () => {
    given({ watch: '10m', progressDeadline: '2m' }).apply('v2');
    world.scale(8);
    world.phase('Watching');
    world.until(({ state, deployment }) => {
      if (deployment!.replicas > 4) world.scale(4);
      world.now += 1000;
      return state.phase.name === 'Failed';
    }, 3000);
    expect(world.effects.some(({ kind }) => kind === 'release')).toBe(false);
    expect(world.state.last?.message).toContain('not promoted within 2m');
  });

  test('scaled to 0 mid-run: nothing is raised, the run ends, the template is let go', () => {
    given().apply('v2');
    world.until(({ weights }) => weights?.canary === 10);
    world.scale(0);
    world.rest();
    expect(world.effects.some(({ kind }) => kind === 'raise-scale')).toBe(false);
    expect(world.outcome()).toMatchObject({ pods: [], paused: false, canaries: 0, pins: {} });
    expect(world.state.history.some(({ reason }) => reason === 'ScaledToZero')).toBe(true);
  });
});

describe('who decided', () => {
  test('spec.retry starts it again, once, and the history says who', () => {
    given().apply('v2');
    world.verdict = 'fail';
    world.phase('Failed').turn();
    world.configure({ retry: 'again' });
    command('retry');
    world.until(
      ({ state }) =>
        state.phase.name === 'Failed' &&
        state.history.at(-1)!.reason === 'RolledBack' &&
        state.history.filter(({ reason }) => reason === 'NewRevision').length === 2,
    );
    for (let count = 0; count < 10; count += 1) world.turn();
    // Both said the same: there is no third run.
    expect(world.state.phase.name).toBe('Failed');
    expect(world.commands.retry).toBeUndefined();
    world.configure({ retry: 'once more' });
    world.until(({ state }) => state.phase.name === 'Progressing');
    expect(world.state.history.findLast(({ reason }) => reason === 'NewRevision')?.by).toBe(
      'spec.retry (once more)',
    );
  });

  test('spec.approve and the command for the same pause: one pause is passed, the next is not', () => {
    const steps = {
      strategy: { canary: { steps: [{ weight: 10 }, { pause: {} }, { weight: 50 }, { pause: {} }] } },
    };
    given(steps).apply('v2');
    world.until(({ last }) => last?.message.includes('until approved') ?? false);
    command('approve');
    world.until(
      ({ weights, last }) => weights?.canary === 50 && (last?.message.includes('until approved') ?? false),
    );
    for (let count = 0; count < 5; count += 1) world.turn();
    expect(world.weights?.canary).toBe(50);
    expect(world.commands.approve).toBeUndefined();
  });

  test('history tells who paused and who resumed, once each, and after a restart too', () => {
    given().apply('v2');
    world.until(({ weights }) => weights?.canary === 10);
    world.commands.paused = { id: 'p1', by: 'ann', at: '' };
    world.until(({ last }) => last?.message.includes('paused by ann') ?? false);
    for (let count = 0; count < 5; count += 1) world.turn();
    delete world.commands.paused;
    world.commands.resume = { id: 'r1', by: 'bob', at: '' };
    world.rest();
    const told = () =>
      world.state.history
        .filter(({ reason }) => reason === 'Paused' || reason === 'Resumed')
        .map(({ from, to, reason, by }) => [from, to, reason, by]);
    expect(told()).toEqual([
      ['Progressing', 'Progressing', 'Paused', 'ann'],
      ['Progressing', 'Progressing', 'Resumed', 'bob'],
    ]);
    expect(world.commands.resume).toBeUndefined();
    expect(world.state.stable?.images).toEqual(['app:v2']);
  });

  test('a pause taken away by hand, and one replaced by another, are told as what they were', () => {
    given();
    world.commands.paused = { id: 'p1', by: 'ann', at: '' };
    world.turn();
    world.commands.paused = { id: 'p2', by: 'bob', at: '' };
    world.commands.resume = { id: 'r1', by: 'ann', at: '' };
    world.turn();
    delete world.commands.paused;
    world.turn();
    expect(world.state.history.slice(-4).map(({ reason, by }) => [reason, by])).toEqual([
      ['Paused', 'ann'],
      ['Resumed', 'ann'],
      ['Paused', 'bob'],
      ['Resumed', undefined],
    ]);
    expect(world.state).not.toHaveProperty('paused');
  });

  test('a window that closes while the pods start holds the first weight; promote opens it', () => {
    given({ windows: [{ freeze: '30 12 * * *', for: '2h' }] }).apply('v2');
    world.phase('Preparing');
    world.now = Date.parse('2026-01-05T12:31:00Z');
    for (let count = 0; count < 8; count += 1) world.turn();
    expect(world.state.phase.name).toBe('Preparing');
    expect(world.last?.message).toContain('the first step waits');
    command('promote');
    world.until(({ weights }) => weights?.canary === 10);
  });
});
