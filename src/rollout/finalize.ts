import { kinds } from '../api/kinds.ts';
import type { KubeObject } from '../api/meta.ts';
import { FINALIZER, GATE_CONFIG_MAP, labels, PINS_CONFIG_MAP } from '../api/names.ts';
import type { Rollout, RolloutSpec } from '../api/rollout.ts';
import { isCode } from '../lib/errors.ts';
import type { CachedService } from './cached.ts';
import { carryOut, type EffectContext } from './effects/index.ts';
import { pinService } from './effects/pin-service.ts';
import type { Effect, Observation, State } from './machine/types.ts';
import type { ConfigMap } from './objects.ts';

/** Without every proxy's word after this long; the proxies fall back to stable by themselves. */
const PATIENCE = 10_000;

/** The end of a Rollout. True: its finalizer is gone. */
export async function finalize(
  context: EffectContext,
  state: State | undefined,
  observation: Observation,
  now: number,
  signal: AbortSignal,
): Promise<boolean> {
  const { client, namespace, rollout } = context;
  const impatient = now - Date.parse(rollout.metadata.deletionTimestamp!) >= PATIENCE;
  if (!(await letGo(context, state, observation, impatient, signal))) return false;
  await withoutFinalizer(client, namespace, rollout, signal);
  return true;
}

/**
 * Undoes everything that a Rollout has done, in an order that is safe at every point: traffic to stable, canary away, pins and
 * gate cleared, and the Deployment let go only if nothing was in flight or the spec says so. True: it is done.
 */
export async function letGo(
  given: EffectContext,
  state: State | undefined,
  observation: Observation,
  impatient: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const { client, namespace, rollout, spec } = given;
  // Nobody looks again afterwards, so what is undone here is what is there now.
  const context: EffectContext = {
    ...given,
    service: (name) => client.find<CachedService>(kinds.Service, namespace, name, signal),
  };
  const { deployment, gate, route, root } = observation;
  const carry = (effect: Effect) => carryOut(effect, context, signal);
  // A Rollout that never had the Deployment cleans up nothing of the one that has it.
  const mine = gate.entry === undefined || gate.entry === rollout.metadata.name;
  if (mine) {
    const canaries = observation.replicaSets.filter(({ canary }) => canary);
    const stable = state?.stable?.hash;
    if (canaries.length > 0 && stable && deployment?.uid === state?.deploymentUid) {
      if (observation.stableLeaf && observation.stableLeaf.hash !== stable) {
        await carry({
          kind: 'ensure-leaf',
          role: 'stable',
          service: observation.stableLeaf.name,
          hash: stable,
        });
      }
      if (root && root.hash !== stable) {
        await carry({ kind: 'pin-service', service: root.name, hash: stable });
      }
      if (route.weights && route.weights.canary > 0) {
        await carry({ kind: 'set-weights', stable: 100, canary: 0 });
        return false;
      }
      if (route.weights && !route.acknowledged.done && !impatient) return false;
    }
    for (const { name, uid, resourceVersion, deleting } of canaries) {
      if (!deleting) await carry({ kind: 'delete-replica-set', name, uid, resourceVersion });
    }
    if (canaries.length > 0) return false;
    const current = observation.replicaSets.filter(({ digest }) => digest === deployment?.digest);
    // Never unpause before adoption: the Deployment would start pods of its own and throw the tested ones away.
    if (current.some(({ released, owned }) => released && !owned)) return false;
    await clearGate(context, spec, signal);
    // Adopted in full a moment ago: nothing is in flight, whatever the state says.
    const adopted = current.some(
      ({ owned, replicas }) => owned && replicas > 0 && replicas === deployment?.replicas,
    );
    const inFlight = deployment !== undefined && deployment.digest !== state?.stable?.digest && !adopted;
    if (deployment?.paused && state?.stable && (!inFlight || spec.onDelete === 'Release')) {
      await carry({
        kind: 'set-paused',
        paused: false,
        resourceVersion: deployment.resourceVersion,
        digest: deployment.digest,
      });
    }
    await context.router.release(context.route, signal);
    await deleteLeaves(context, signal);
  }
  return true;
}

/** A preview that the Rollout names no more: the user's loses its pin, Weir's own is gone. */
export async function letGoPreview(given: EffectContext, name: string, signal: AbortSignal): Promise<void> {
  const { client, namespace, rollout } = given;
  const live = await client.find<CachedService>(kinds.Service, namespace, name, signal);
  const { labels: marks } = live?.metadata ?? {};
  if (marks?.[labels.managedBy] === 'weir' && marks[labels.rollout] === rollout.metadata.name)
    return deleteService(client, namespace, name, signal);
  const context = { ...given, service: async () => live };
  await pinService(context, { kind: 'pin-service', service: name, hash: undefined }, signal);
}

async function clearGate(context: EffectContext, spec: RolloutSpec, signal: AbortSignal): Promise<void> {
  const { client, namespace, gate } = context;
  const preview = spec.strategy.blueGreen?.preview?.service;
  for (const service of [spec.service.name, ...(preview ? [preview] : [])]) {
    await pinService(context, { kind: 'pin-service', service, hash: undefined }, signal);
  }
  await gate.write(namespace, { [`deployment.${spec.targetRef.name}`]: null }, signal);
  if (await deleteEmpty(client, namespace, GATE_CONFIG_MAP, signal)) {
    await deleteEmpty(client, namespace, PINS_CONFIG_MAP, signal);
  }
}

/** False: it has entries of others. */
async function deleteEmpty(
  client: EffectContext['client'],
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<boolean> {
  const left = await client.find<ConfigMap>(kinds.ConfigMap, namespace, name, signal);
  if (!left) return true;
  if (Object.keys(left.data ?? {}).length > 0) return false;
  try {
    await client.delete(kinds.ConfigMap, namespace, name, {
      preconditions: { resourceVersion: left.metadata.resourceVersion! },
      signal,
    });
  } catch (error) {
    // Another Rollout has just written to it, or the namespace is on its way out.
    if (!isCode(error, 'NotFound', 'Conflict')) throw error;
  }
  return true;
}

/** By label: with --cascade=orphan nobody else would. */
async function deleteLeaves(
  { client, namespace, rollout }: EffectContext,
  signal: AbortSignal,
): Promise<void> {
  const leaves = await client.list<KubeObject>(
    kinds.Service,
    namespace,
    { labelSelector: `${labels.rollout}=${rollout.metadata.name},${labels.managedBy}=weir` },
    signal,
  );
  for (const { metadata } of leaves.items) await deleteService(client, namespace, metadata.name, signal);
}

async function deleteService(
  client: EffectContext['client'],
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await client.delete(kinds.Service, namespace, name, { signal });
  } catch (error) {
    if (!isCode(error, 'NotFound')) throw error;
  }
}

export async function withoutFinalizer(
  client: EffectContext['client'],
  namespace: string,
  rollout: Rollout,
  signal: AbortSignal,
): Promise<void> {
  const live = await client.find<Rollout & KubeObject>(
    kinds.Rollout,
    namespace,
    rollout.metadata.name,
    signal,
  );
  if (!live?.metadata.finalizers?.includes(FINALIZER) || live.metadata.uid !== rollout.metadata.uid) return;
  try {
    await client.patch(
      kinds.Rollout,
      namespace,
      rollout.metadata.name,
      {
        type: 'merge',
        body: {
          metadata: {
            resourceVersion: live.metadata.resourceVersion,
            finalizers: live.metadata.finalizers.filter((each) => each !== FINALIZER),
          },
        },
      },
      { signal },
    );
  } catch (error) {
    if (!isCode(error, 'NotFound')) throw error;
  }
}
