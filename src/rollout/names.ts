import type { RolloutSpec } from '../api/rollout.ts';
import type { Names } from './machine/types.ts';

export function namesOf({ targetRef, service, strategy }: RolloutSpec): Names {
  const preview = strategy.blueGreen?.preview?.service;
  return { target: targetRef.name, service: service.name, ...(preview ? { preview } : {}) };
}

/** It is about another Deployment or another Service. */
export const moved = (before: Names, now: Names): boolean =>
  before.target !== now.target || before.service !== now.service;

/** The spec as if it still named what it did; undefined: it does. */
export function formerSpec(spec: RolloutSpec, names: Names): RolloutSpec | undefined {
  const now = namesOf(spec);
  if (!moved(names, now) && names.preview === now.preview) return undefined;
  const { strategy, targetRef } = spec;
  return {
    ...spec,
    targetRef: { ...targetRef, name: names.target },
    service: { ...spec.service, name: names.service },
    strategy: strategyWith(strategy, names.preview),
  };
}

function strategyWith(
  strategy: RolloutSpec['strategy'],
  service: string | undefined,
): RolloutSpec['strategy'] {
  const { preview: _now, ...blueGreen } = strategy.blueGreen ?? {
    autoPromote: true,
    dwell: '0s',
    keepBlue: '0s',
  };
  if (service) return { blueGreen: { ...blueGreen, preview: { service } } };
  return strategy.blueGreen ? { blueGreen } : strategy;
}
