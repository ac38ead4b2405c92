import { expect, test } from '@jest/globals';
import type { Effect } from '../machine/types.ts';
import { ahead, groups } from './groups.ts';

test('what fences goes together, everything else keeps its place', () => {
  const effects: Effect[] = [
    { kind: 'event', type: 'Normal', reason: 'Preparing', message: '' },
    { kind: 'ensure-gate-entry' },
    { kind: 'pin-service', service: 'web', hash: 'e1' },
    { kind: 'ensure-leaf', role: 'canary', service: 'web-canary', hash: 'e1' },
    { kind: 'set-weights', stable: 100, canary: 0 },
    { kind: 'ensure-route' },
  ];
  expect(groups(effects).map((group) => group.map(({ kind }) => kind))).toEqual([
    ['event'],
    ['ensure-gate-entry', 'pin-service', 'ensure-leaf'],
    ['set-weights'],
    ['ensure-route'],
  ]);
  expect(groups([])).toEqual([]);
});

test('a look waits for no write of the state', () => {
  const look: Effect = {
    kind: 'look',
    id: 'a',
    stepStartedAt: 0,
    runStartedAt: 0,
    memory: {},
    canary: 'e1',
    stable: 'e0',
    minRequests: 0,
    alone: false,
    after: 0,
  };
  const event: Effect = { kind: 'event', type: 'Normal', reason: 'StepPassed', message: '' };
  const weights: Effect = { kind: 'set-weights', stable: 80, canary: 20 };
  expect(ahead([event, look, weights], 'Progressing')).toEqual({ first: [look], rest: [event, weights] });
});
