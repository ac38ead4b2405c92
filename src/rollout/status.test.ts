import { expect, test } from '@jest/globals';
import type { RolloutStatus } from '../api/rollout.ts';
import { World } from './machine/world.fixture.ts';
import { machine, type Observation } from './machine.ts';
import { brokenStatus, renderStatus, sameStatus, stateOf } from './status.ts';

const render = (world: World, change: Partial<Observation> = {}, previous?: RolloutStatus) => {
  const observation = { ...world.observe(), ...change };
  const result = machine(world.state, observation, world.now);
  return renderStatus(result, observation, previous, world.now);
};
const conditions = ({ conditions: list }: RolloutStatus) =>
  Object.fromEntries(list.map(({ type, status }) => [type, status]));

test('at rest: Ready, and nothing is going on', () => {
  const status = render(new World({}).rest());
  expect(conditions(status)).toEqual({
    Ready: 'True',
    Reconciling: 'False',
    Stalled: 'False',
    Promoted: 'True',
    Gated: 'True',
  });
  expect(status).not.toHaveProperty('canary');
  expect(status).not.toHaveProperty('step');
});

test('the state reads back as it was written, with one history; so does what an earlier Weir wrote', () => {
  const world = new World({}).rest();
  world.apply('v2');
  world.until(({ weights }) => weights?.canary === 10);
  const status = render(world);
  expect(status.machine).not.toHaveProperty('history');
  const { state } = machine(world.state, world.observe(), world.now);
  const read = stateOf(JSON.parse(JSON.stringify(status)));
  expect(read).toEqual(JSON.parse(JSON.stringify(state)));
  expect(stateOf({ ...status, history: [], machine: state })).toEqual(state);
  expect(stateOf(undefined)).toBeUndefined();
});

test('what goes on once a person approves says so: Argo CD calls it suspended', () => {
  const world = new World({ strategy: { canary: { steps: [{ weight: 10 }, { pause: {} }] } } }).rest();
  const reason = () => render(world).conditions.find(({ type }) => type === 'Reconciling')!.reason;
  world.apply('v2');
  world.until(({ weights }) => weights?.canary === 10);
  expect(reason()).toBe('Progressing');
  world.until(({ last }) => last?.message.startsWith('paused at 10 % until approved') ?? false);
  expect(reason()).toBe('AwaitingApproval');
});

test('progressing: step, traffic, revisions; the time of a condition is that of its change', () => {
  const world = new World({}).rest();
  const rest = render(world);
  world.apply('v2');
  world.until(({ weights, state }) => weights?.canary === 10 && state.analysis !== undefined);
  const status = render(world, {}, rest);
  expect(conditions(status)).toMatchObject({
    Ready: 'False',
    Reconciling: 'True',
    Stalled: 'False',
    Promoted: 'Unknown',
  });
  expect(status).toMatchObject({
    step: { index: 0, of: 3, weight: 10 },
    traffic: { stable: 90, canary: 10, acknowledged: { proxies: 3, of: 3 } },
    canary: { images: ['app:v2'] },
    stable: { images: ['app:v1'] },
  });
  const time = (of: RolloutStatus, type: string) =>
    of.conditions.find((each) => each.type === type)!.lastTransitionTime;
  expect(time(status, 'Gated')).toBe(time(rest, 'Gated'));
  expect(time(status, 'Ready')).not.toBe(time(rest, 'Ready'));
});

test('rolled back: Stalled, so that a GitOps wait fails fast, with value and cost', () => {
  const world = new World({}).rest();
  world.apply('v2');
  world.until(({ weights }) => weights?.canary === 10);
  world.verdict = 'fail';
  world.phase('Failed').until(({ sets }) => sets.every(({ canary }) => !canary));
  const status = render(world);
  expect(conditions(status)).toMatchObject({
    Ready: 'False',
    Reconciling: 'False',
    Stalled: 'True',
    Promoted: 'False',
  });
  expect(status.conditions.find(({ type }) => type === 'Stalled')?.message).toContain('42% < 99%');
});

test('callers outside the mesh and other Services are told while it is judged', () => {
  const world = new World({}).rest();
  world.apply('v2');
  world.until(({ weights }) => weights?.canary === 10);
  const route = (done: boolean, of: number) => ({
    others: ['metrics'],
    route: { ...world.observe().route, acknowledged: { done, proxies: of, of } },
  });
  expect(conditions(render(world, route(true, 0)))).toMatchObject({
    NoMeshedCaller: 'True',
    UnpinnedServices: 'True',
  });
  expect(conditions(render(world, route(true, 2)))).not.toHaveProperty('NoMeshedCaller');
  // No replica of the mesh has spoken: that is not the same as nobody.
  expect(conditions(render(world, route(false, 0)))).not.toHaveProperty('NoMeshedCaller');
});

test('a problem mid-run is told, takes no step forward, and a failing canary is still rolled back', () => {
  const world = new World({}).rest();
  world.apply('v2');
  world.until(({ weights }) => weights?.canary === 10);
  world.problem = { reason: 'PortNotFound', message: 'spec.service.port: Service web has no port 80' };
  world.until(({ last }) => last?.message.includes('the next step waits') ?? false);
  for (let count = 0; count < 20; count += 1) {
    world.now += 60_000;
    world.turn();
  }
  expect(world.weights?.canary).toBe(10);
  const status = render(world);
  expect(status.phase).toBe('Progressing');
  expect(status.conditions.find(({ type }) => type === 'Held')).toMatchObject({
    status: 'True',
    ...world.problem,
  });
  world.verdict = 'fail';
  world.until(({ state }) => state.phase.name === 'RollingBack' || state.phase.name === 'Failed');
  world.phase('Failed');
  expect(world.weights).toEqual({ stable: 100, canary: 0 });
  expect(world.problems).toEqual([]);
});

test('a problem that is mended mid-run lets the run go on to its end', () => {
  const world = new World({}).rest();
  world.apply('v2');
  world.until(({ weights }) => weights?.canary === 10);
  world.problem = { reason: 'TargetTaken', message: 'taken' };
  world.until(({ last }) => last?.message.includes('the next step waits: taken') ?? false);
  world.problem = undefined;
  world.rest();
  expect(world.state.stable?.images).toEqual(['app:v2']);
  expect(conditions(render(world))).not.toHaveProperty('Held');
});

test('broken: the condition says what to correct, the rest stays as it was', () => {
  const before = render(new World({}).rest());
  const status = brokenStatus(before, 7, 'InvalidSpec', 'spec.watch: no', 0);
  expect(status).toMatchObject({
    phase: 'Healthy',
    message: 'spec.watch: no',
    machine: before.machine,
    observedGeneration: 7,
  });
  expect(conditions(status)).toMatchObject({ Ready: 'False', Stalled: 'True', Gated: 'True' });
  expect(brokenStatus(undefined, 1, 'InvalidSpec', 'no', 0).phase).toBe('Initializing');
  expect(sameStatus(before, structuredClone(before))).toBe(true);
  expect(sameStatus(before, status)).toBe(false);
});
