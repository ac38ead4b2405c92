import { afterEach, describe, expect, test } from '@jest/globals';
import { machine } from '../machine.ts';
import type { GateProbe } from './types.ts';
import { World } from './world.fixture.ts';

let world: World;
const probe = (more: Partial<GateProbe> = {}): GateProbe => ({
  at: world.now,
  holds: true,
  message: '',
  version: 'v1',
  failures: 0,
  ...more,
});
const turn = (gate: { version: string | undefined; probe: GateProbe | undefined }) => {
  const seen = world.observe();
  const result = machine(world.state, { ...seen, gate: { ...seen.gate, ...gate } }, world.now);
  world.state = result.state;
  return { tried: result.effects.some(({ kind }) => kind === 'probe-gate'), wakeAt: result.wakeAt };
};

afterEach(() => {
  expect(world.problems).toEqual([]);
});

describe('whether the gate holds', () => {
  test('is tried once, and remembered over a restart', () => {
    world = new World({}, 2);
    world.rest();
    delete world.state.gate;
    expect(turn({ version: 'v1', probe: undefined }).tried).toBe(true);
    expect(turn({ version: 'v1', probe: probe() })).toEqual({ tried: false, wakeAt: undefined });
    expect(world.state.gate).toBe('v1');
    expect(turn({ version: 'v1', probe: undefined })).toEqual({ tried: false, wakeAt: undefined });
  });

  test('is tried again when the admission objects change', () => {
    world = new World({}, 2);
    world.rest();
    expect(turn({ version: 'v2', probe: probe() }).tried).toBe(true);
    expect(turn({ version: 'v2', probe: probe({ version: 'v2', holds: false, failures: 1 }) }).tried).toBe(
      false,
    );
    expect(world.state.gate).toBeUndefined();
  });

  test('is tried again with growing delays while it is open, and every minute where nothing can be watched', () => {
    world = new World({}, 2);
    world.rest();
    const open = (failures: number) => probe({ holds: false, failures });
    expect(turn({ version: 'v1', probe: open(1) }).wakeAt).toBe(world.now + 1000);
    expect(turn({ version: 'v1', probe: open(4) }).wakeAt).toBe(world.now + 8000);
    expect(turn({ version: 'v1', probe: open(12) }).wakeAt).toBe(world.now + 60_000);
    expect(turn({ version: undefined, probe: probe({ version: undefined }) }).wakeAt).toBe(
      world.now + 60_000,
    );
  });
});
