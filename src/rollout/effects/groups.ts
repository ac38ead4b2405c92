import type { Effect, EffectKind, PhaseState } from '../machine/types.ts';

/**
 * What fences users off from a canary that has no pods yet. Each is a goal of its own, the canary is scaled only once all of them
 * are seen to be in place, and a crash may leave any of them undone: so none has to wait for the answer to another.
 */
const FENCE: ReadonlySet<EffectKind> = new Set<EffectKind>([
  'create-canary',
  'ensure-gate-entry',
  'pin-service',
  'ensure-leaf',
  'ensure-route',
]);

/**
 * What need not wait until the state is written. A look, which changes nothing and is told by its id. The canary's
 * ReplicaSet, which has no pods: the run's name follows from the state before it, so whoever comes to the same decision after a crash finds it, and whoever decides otherwise removes a stray. And the
 * first weight, in the turn that leaves `before` for it: who still finds Preparing written goes on with it, or takes it back. Pure.
 */
export function ahead(
  effects: readonly Effect[],
  before: PhaseState['name'],
): { first: Effect[]; rest: Effect[] } {
  const first = effects.filter(
    (effect) =>
      effect.kind === 'look' ||
      effect.kind === 'create-canary' ||
      (effect.kind === 'set-weights' && effect.canary > 0 && before === 'Preparing'),
  );
  return { first, rest: effects.filter((effect) => !first.includes(effect)) };
}

/** Effects in their order; those of one group may be carried out at the same time, and all end before the next begins. Pure. */
export function groups(effects: readonly Effect[]): Effect[][] {
  const result: Effect[][] = [];
  let open: Effect[] | undefined;
  for (const effect of effects) {
    const fence = FENCE.has(effect.kind);
    if (fence && open) open.push(effect);
    else {
      open = fence ? [effect] : undefined;
      result.push(open ?? [effect]);
    }
  }
  return result;
}
