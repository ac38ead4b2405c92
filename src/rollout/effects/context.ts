import type { KubeObject } from '../../api/meta.ts';
import type { Rollout, RolloutSpec } from '../../api/rollout.ts';
import type { KubeClient } from '../../kube/types.ts';
import type { Logger } from '../../lib/log.ts';
import type { CachedDeployment, CachedService } from '../cached.ts';
import type { Effect } from '../machine/types.ts';
import type { RouteRef, TrafficRouter } from '../ports.ts';
import type { GateWriter } from './gate-data.ts';

/** What effects need of the shell. */
export interface EffectContext {
  client: KubeClient;
  rollout: Rollout;
  spec: RolloutSpec;
  namespace: string;
  router: TrafficRouter;
  route: RouteRef;
  gate: GateWriter;
  pins: GateWriter;
  /** The Deployment as the watch last brought it: while it is held, the template that becomes a canary. */
  deployment(): CachedDeployment | undefined;
  /**
   * A Service as the observation saw it. Writes carry its resourceVersion, so one that has changed since is a Conflict
   * and is observed again.
   */
  service(name: string, signal: AbortSignal): Promise<CachedService | undefined>;
  /** Records an Event about the Rollout; never throws. */
  event(object: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** Start something in the background whose outcome comes back in a later observation. */
  look(effect: Extract<Effect, { kind: 'look' }>): void;
  probeGate(): void;
  /** The gate's data names the Deployment now. */
  gated(): void;
  log: Logger;
}

export type EffectOf<K extends Effect['kind']> = Extract<Effect, { kind: K }>;
