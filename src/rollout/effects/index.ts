import { acts } from '../machine/context.ts';
import type { Effect } from '../machine/types.ts';
import { consume } from './consume.ts';
import type { EffectContext } from './context.ts';
import { createCanary } from './create-canary.ts';
import { deleteReplicaSet } from './delete-replica-set.ts';
import { ensureLeaf } from './ensure-leaf.ts';
import { ensureGateEntry } from './gate-data.ts';
import { groups } from './groups.ts';
import { pinService } from './pin-service.ts';
import { release } from './release.ts';
import { raiseScale, scaleReplicaSet } from './scale.ts';
import { setPaused } from './set-paused.ts';

export type { EffectContext } from './context.ts';
export { ahead } from './groups.ts';

/**
 * Carries out the effects of a turn, as much as possible at the same time. Throws AppError, the first, after all of its group
 * have ended; a Conflict means: observe again.
 */
export async function carryOutAll(
  effects: readonly Effect[],
  context: EffectContext,
  signal: AbortSignal,
): Promise<void> {
  for (const group of groups(effects)) {
    const outcomes = await Promise.allSettled(group.map((effect) => carryOut(effect, context, signal)));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
  }
}

export async function carryOut(effect: Effect, context: EffectContext, signal: AbortSignal): Promise<void> {
  if (acts(effect)) context.log.debug({ effect }, 'carrying out');
  switch (effect.kind) {
    case 'ensure-gate-entry':
      return ensureGateEntry(context, signal);
    case 'pin-service':
      return pinService(context, effect, signal);
    case 'ensure-leaf':
      return ensureLeaf(context, effect, signal);
    case 'ensure-route':
      return context.router.ensure(context.route, signal);
    case 'set-weights':
      await context.router.setWeights(
        context.route,
        { stable: effect.stable, canary: effect.canary },
        signal,
      );
      return;
    case 'create-canary':
      return createCanary(context, effect, signal);
    case 'scale-replica-set':
      return scaleReplicaSet(context, effect, signal);
    case 'delete-replica-set':
      return deleteReplicaSet(context, effect, signal);
    case 'raise-scale':
      return raiseScale(context, effect, signal);
    case 'release':
      return release(context, effect, signal);
    case 'set-paused':
      return setPaused(context, effect, signal);
    case 'consume':
      return consume(context, effect, signal);
    case 'look':
      return context.look(effect);
    case 'probe-gate':
      return context.probeGate();
    case 'event':
      return context.event(context.rollout, effect.type, effect.reason, effect.message);
    default:
      return effect satisfies never;
  }
}
