import { afterEach, describe, expect, test } from '@jest/globals';
import { service } from './machine/views.fixture.ts';
import { World } from './machine/world.fixture.ts';

const MINUTE = 60_000;
let world: World;
const given = (spec: object = {}, replicas = 4) => {
  world = new World(spec, replicas);
  return world.rest();
};
const command = (verb: 'approve' | 'promote' | 'abort' | 'retry', more: object = {}) => {
  world.commands[verb] = { id: `${verb}-${world.now}`, by: 'ann', at: '', ...more };
};

afterEach(() => {
  expect(world.problems).toEqual([]);
});

describe('canary', () => {
  test('1: a running Deployment is taken over as it is', () => {
    given();
    expect(world.outcome()).toMatchObject({
      phase: 'Healthy',
      stable: ['app:v1'],
      paused: false,
      canaries: 0,
    });
    // Nothing of a route before it is needed.
    expect(world.weights).toBeUndefined();
    expect(Object.keys(world.services)).toEqual(['web']);
    expect(world.started).toBe(4);
  });

  test('a name that Weir will need and somebody else has is told before the first run', () => {
    world = new World({}, 4);
    for (const name of ['web-stable', 'web-canary']) world.services[name] = service(name, false);
    world.turn();
    world.turn();
    expect(
      world.last?.effects.flatMap((effect) => (effect.kind === 'ensure-leaf' ? [effect.service] : [])),
    ).toEqual(['web-stable', 'web-canary']);
  });

  test('2: climbs as declared and the tested pods stay', () => {
    given().apply('v2');
    world.until(({ weights }) => weights?.canary === 50);
    const tested = world.sets.find(({ canary }) => canary)!.uid;
    world.rest();
    expect(world.weightsSeen).toEqual([10, 50, 100, 0]);
    expect(world.outcome()).toMatchObject({
      stable: ['app:v2'],
      paused: false,
      pods: [[['app:v2'], 4]],
      pins: {},
    });
    expect(world.sets.find(({ current }) => current > 0)!.uid).toBe(tested);
    expect(world.started).toBe(8);
    expect(world.state.history.at(-1)).toMatchObject({ to: 'Healthy', reason: 'Promoted' });
  });

  test('3: a failure takes the weight to 0, drains the canary, and counts what it cost', () => {
    given().apply('v2');
    world.until(({ weights }) => weights?.canary === 10);
    world.verdict = 'fail';
    world.phase('Failed').turn();
    expect(world.outcome()).toMatchObject({
      weights: { canary: 0 },
      canaries: 0,
      paused: true,
      pods: [[['app:v1'], 4]],
    });
    expect(world.state.last?.message).toContain('7 failed requests');
    expect(world.last?.message).toContain('42% < 99%');
  });

  test('5: a third revision starts over from 0', () => {
    given({ strategy: { canary: { steps: [{ weight: 10 }, { pause: {} }] } } }).apply('v2');
    world.until(({ state }) => state.phase.name === 'Progressing' && state.phase.step.index === 1);
    world.apply('v3');
    world.until(
      ({ weights, sets }) => weights?.canary === 10 && sets.some(({ images }) => images[0] === 'app:v3'),
    );
    expect(world.weightsSeen).toEqual([10, 0, 10]);
    expect(world.sets.some(({ images }) => images[0] === 'app:v2')).toBe(false);
  });

  test('6: the canary grows with stable and never shrinks', () => {
    given({ strategy: { canary: { steps: [{ weight: 25 }, { pause: {} }] } } }).apply('v2');
    const canary = () => world.sets.find((set) => set.canary)!.replicas;
    world.until(({ weights }) => weights?.canary === 25);
    expect(canary()).toBe(1);
    world.scale(8);
    world.until(() => canary() === 2);
    world.scale(4);
    for (let count = 0; count < 5; count += 1) world.turn();
    expect(canary()).toBe(2);
    expect(world.weightsSeen).toEqual([25]);
  });

  test('7: failed, then Git reverts: no run, Healthy, unpaused', () => {
    given().apply('v2');
    world.verdict = 'fail';
    world.phase('Failed').turn();
    world.apply('v1');
    world.rest();
    expect(world.outcome()).toMatchObject({ stable: ['app:v1'], paused: false, canaries: 0 });
    expect(world.deployment!.paused).toBe(false);
  });

  test('failed: spec.retry and the command start it again', () => {
    given().apply('v2');
    world.verdict = 'fail';
    world.phase('Failed').turn();
    world.verdict = 'pass';
    command('retry');
    world.rest();
    expect(world.state.stable?.images).toEqual(['app:v2']);
  });

  test('10: a pause outlives the deadline; spec.approve goes on', () => {
    const steps = { canary: { steps: [{ weight: 10 }, { pause: {} }, { weight: 50 }] } };
    given({ strategy: steps, progressDeadline: '1m' }).apply('v2');
    world.until(({ state }) => state.phase.name === 'Progressing' && state.phase.step.index === 1);
    world.now += 90 * MINUTE;
    world.turn();
    world.now += 90 * MINUTE;
    world.turn();
    expect(world.state.phase.name).toBe('Progressing');
    world.configure({ strategy: steps, progressDeadline: '1m', approve: 'v2' });
    world.rest();
    expect(world.state.stable?.images).toEqual(['app:v2']);
    expect(world.state.history.some(({ by }) => by?.includes('spec.approve'))).toBe(true);
  });

  test('11: no verdict holds for as long as it takes', () => {
    given({ analysis: { inconclusive: { after: '1d' } } }).apply('v2');
    world.verdict = 'hold';
    world.until(({ weights }) => weights?.canary === 10);
    for (let count = 0; count < 60; count += 1) {
      world.now += 5000;
      world.turn();
    }
    expect(world.weights).toEqual({ stable: 90, canary: 10 });
    world.verdict = 'pass';
    world.rest();
    expect(world.state.stable?.images).toEqual(['app:v2']);
  });

  test.each([
    ['rollback', 'Failed'],
    ['promote', 'Healthy'],
  ] as const)('12: inconclusive: %s', (then, end) => {
    given({ analysis: { inconclusive: { after: '5m', then } } }).apply('v2');
    world.verdict = 'hold';
    world.until(({ weights }) => weights?.canary === 10);
    world.until(({ state }) => state.phase.name === end, 1000);
    expect(JSON.stringify(world.state.history)).toContain('inconclusive');
    if (then === 'promote') expect(world.state.last?.message).toContain('unproven');
  });

  test('a step that passes before its time is over says how long it takes', () => {
    given().apply('v2');
    world.until(({ weights }) => weights?.canary === 10);
    world.until(({ last }) =>
      /^10 %: success-rate 100%; the step takes \S+ at least$/.test(last?.message ?? ''),
    );
    expect(world.weightsSeen).toEqual([10]);
  });

  test('inconclusive: pause waits for approval', () => {
    given({ analysis: { inconclusive: { after: '5m', then: 'pause' } } }).apply('v2');
    world.verdict = 'hold';
    world.until(({ last }) => last?.message.includes('paused until approved') ?? false);
    command('approve');
    world.until(({ weights }) => weights?.canary === 50);
    expect(world.state.history.some(({ by }) => by === 'ann')).toBe(true);
  });

  test('14, 20: a Deployment that is re-created ends the run and drops the pin first', () => {
    given().apply('v2');
    world.until(({ weights }) => weights?.canary === 10);
    world.create('v3');
    world.turn();
    expect(world.services.web!.hash).toBeUndefined();
    expect(world.services['web-stable']!.hash).toBeUndefined();
    world.rest();
    expect(world.outcome()).toMatchObject({ stable: ['app:v3'], canaries: 0, pins: {} });
  });

  test('17: v1, v2, v1, v2: the tested pods of each run are kept', () => {
    given();
    for (const version of ['v2', 'v1', 'v2', 'v1']) {
      world.apply(version);
      world.until(({ weights }) => weights?.canary === 50);
      const tested = world.sets.find(({ canary }) => canary)!.uid;
      world.rest();
      expect(world.sets.find(({ current }) => current > 0)!.uid).toBe(tested);
    }
    expect(world.started).toBe(20);
  });

  test('18: a revision that arrives between release and unpause is gated', () => {
    given().apply('v2');
    world.until(({ sets }) => sets.some(({ images, owned }) => images[0] === 'app:v2' && owned));
    world.apply('v3');
    world.until(
      ({ weights, sets }) => weights?.canary === 10 && sets.some(({ images }) => images[0] === 'app:v3'),
    );
    expect(world.state.stable?.images).toEqual(['app:v2']);
    expect(world.deployment!.paused).toBe(true);
    world.rest();
    expect(world.state.stable?.images).toEqual(['app:v3']);
  });

  test('21: unready pods just before the release hold it', () => {
    given().apply('v2');
    world.phase('Promoting');
    world.limping.set('v2', 1);
    world.settle();
    for (let count = 0; count < 10; count += 1) world.turn();
    expect(world.sets.find(({ images }) => images[0] === 'app:v1')!.current).toBe(4);
    world.limping.clear();
    world.settle();
    world.rest();
    expect(world.state.stable?.images).toEqual(['app:v2']);
  });

  test('pods that never become available end in Failed, by the deadline, with traffic untouched', () => {
    given({ progressDeadline: '2m' });
    world.broken.add('v2');
    world.apply('v2');
    world.phase('Failed');
    expect(world.weightsSeen).toEqual([]);
    world.broken.clear();
  });

  test('proxies that do not acknowledge hold the step, then roll it back regardless', () => {
    given({ progressDeadline: '2m' }).apply('v2');
    world.phase('Preparing');
    world.acknowledging = false;
    world.until(({ state }) => state.phase.name === 'RollingBack');
    expect(world.weightsSeen).toEqual([10, 0]);
    world.phase('Failed');
    expect(world.weightsSeen).toEqual([10, 0]);
  });

  test('a hand edit of the weights is put back at once', () => {
    given().apply('v2');
    world.until(({ weights }) => weights?.canary === 10);
    world.weights = { stable: 0, canary: 100 };
    world.turn();
    expect(world.weights).toEqual({ stable: 90, canary: 10 });
  });

  test('promote --full goes to 100 % and says that it is unproven', () => {
    given().apply('v2');
    world.until(({ weights }) => weights?.canary === 10);
    command('promote', { full: true });
    world.rest();
    expect(world.weightsSeen).toEqual([10, 100, 0]);
    expect(world.state.last?.message).toContain('unproven');
  });

  test('abort rolls back, and a second look at the same command does nothing', () => {
    given().apply('v2');
    world.until(({ weights }) => weights?.canary === 10);
    command('abort');
    world.phase('Failed');
    expect(world.state.history.find(({ reason }) => reason === 'Aborted')?.by).toBe('ann');
    expect(world.commands.abort).toBeUndefined();
  });

  test('windows: closed, it waits at the gate; a freeze mid-run finishes the step and holds', () => {
    const freeze = [{ freeze: '30 12 * * *', for: '2h' }];
    given({ windows: freeze, strategy: { canary: { weights: [10, 50], dwell: '40m' } } }).apply('v2');
    world.until(({ now }) => now > Date.parse('2026-01-05T13:30:00Z'), 3000);
    expect(world.weights?.canary).toBe(10);
    expect(world.last?.message).toContain('frozen');
    world.until(({ weights }) => weights?.canary === 50, 3000);
    expect(world.now).toBeGreaterThanOrEqual(Date.parse('2026-01-05T14:30:00Z'));
  });

  test('suspend starts no run; without it the run starts', () => {
    given({ suspend: true }).apply('v2');
    for (let count = 0; count < 5; count += 1) world.turn();
    expect(world.state.phase.name).toBe('Waiting');
    world.configure({ suspend: false });
    world.rest();
    expect(world.state.stable?.images).toEqual(['app:v2']);
  });

  test('watch: a failure at 100 % flips back without starting a pod', () => {
    given({ watch: '10m' }).apply('v2');
    world.phase('Watching');
    const before = world.started;
    world.verdict = 'fail';
    world.phase('Failed');
    expect(world.weightsSeen).toEqual([10, 50, 100, 0]);
    expect(world.started).toBe(before);
  });

  test('paused: true in Git: given up after the third time, naming the manager', () => {
    given();
    const deployment = world.deployment!;
    for (let count = 0; count < 3; count += 1) {
      deployment.paused = true;
      deployment.pausedBy = 'argocd';
      deployment.generation += 1;
      world.until(() => !deployment.paused);
    }
    deployment.paused = true;
    deployment.generation += 1;
    for (let count = 0; count < 3; count += 1) world.turn();
    expect(deployment.paused).toBe(true);
    expect(world.last?.stalled?.message).toContain('argocd');
  });

  test.each([
    ['NoRevisionHistory', { revisionHistoryLimit: 0 }],
    ['Recreate', { strategy: 'Recreate' as const }],
    ['SelectorTooWide', { selectsEverything: true }],
  ])('%s is refused before anything is started', (reason, change) => {
    given();
    Object.assign(world.deployment!, change);
    world.apply('v2');
    for (let count = 0; count < 5; count += 1) world.turn();
    expect(world.last?.stalled?.reason).toBe(reason);
    expect(world.sets.some(({ canary }) => canary)).toBe(false);
  });
});

describe('blue/green', () => {
  test('8: green that fails before it goes live never gets traffic; the fix does', () => {
    given({ strategy: { blueGreen: { dwell: '1m' } } }).apply('v2');
    world.verdict = 'fail';
    world.phase('Failed');
    expect(world.weightsSeen).toEqual([]);
    world.verdict = 'pass';
    world.apply('v3');
    world.rest();
    expect(world.weightsSeen).toEqual([100, 0]);
  });

  test('9: a failure during keepBlue flips back', () => {
    given({ strategy: { blueGreen: { dwell: '1m', keepBlue: '10m' } } }).apply('v2');
    world.phase('Watching');
    const before = world.started;
    world.verdict = 'fail';
    world.phase('Failed');
    expect(world.weightsSeen).toEqual([100, 0]);
    expect(world.started).toBe(before);
  });

  test('a green that nobody calls holds, and says what to do about it', () => {
    given({ strategy: { blueGreen: { dwell: '1m' } } }).apply('v2');
    world.verdict = 'hold';
    world.until(
      ({ last }) => last?.message.includes('green has no user traffic before it goes live') ?? false,
    );
    expect(world.last?.message).toContain('set analysis.noData: pass');
    expect(world.weightsSeen).toEqual([]);
  });

  test('autoPromote: false waits for approval', () => {
    given({ strategy: { blueGreen: { dwell: '1m', autoPromote: false } } }).apply('v2');
    world.until(({ last }) => last?.message.includes('until approved') ?? false);
    expect(world.weightsSeen).toEqual([]);
    command('approve');
    world.rest();
    expect(world.weightsSeen).toEqual([100, 0]);
  });
});
