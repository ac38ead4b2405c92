import { kinds } from '../api/kinds.ts';
import { FIELD_MANAGER, labels } from '../api/names.ts';
import type { TrafficSplit } from '../api/traffic-split.ts';
import { type KubeClient, type Rank, UNTRACKED } from '../kube/index.ts';
import { AppError, isCode } from '../lib/errors.ts';
import type { RouteObservation, RouteRef, TrafficRouter } from '../rollout/ports.ts';
import type { Acknowledged } from './acknowledgements.ts';

export interface MeshRouterOptions {
  /** Writes through to `splits`: a write of ours that the cache does not show yet would be repeated. */
  client: KubeClient;
  /** Cache of TrafficSplits, by `namespace/name`. */
  splits: {
    get(key: string): TrafficSplit | undefined;
    onChange(listener: (key: string) => void): () => void;
  };
  acknowledgements: {
    of(split: string, version: string): Acknowledged;
    onChange(listener: (split: string) => void): () => void;
  };
}

type Weights = { stable: number; canary: number };
const keyOfRoute = ({ namespace, rollout }: RouteRef): string => `${namespace}/${rollout}`;

/** Weir's own mesh: an SMI TrafficSplit named after the Rollout, weights in percent. */
export function meshRouter({ client, splits, acknowledgements }: MeshRouterOptions): TrafficRouter {
  const write = async (
    route: RouteRef,
    weights: Weights,
    signal: AbortSignal,
    rank: Rank = 'later',
  ): Promise<TrafficSplit> => {
    const seen = splits.get(keyOfRoute(route));
    const { namespace, rollout: name } = route;
    const options = { fieldManager: FIELD_MANAGER, signal, rank };
    const split: TrafficSplit = {
      apiVersion: 'split.smi-spec.io/v1alpha4',
      kind: 'TrafficSplit',
      metadata: {
        name,
        namespace,
        labels: { [labels.rollout]: route.rollout, [labels.managedBy]: 'weir' },
        ownerReferences: [
          {
            apiVersion: 'weir.dev/v1alpha1',
            kind: 'Rollout',
            name: route.rollout,
            uid: route.rolloutUid,
            controller: true,
          },
        ],
      },
      spec: {
        service: route.service,
        backends: [
          { service: route.stableService, weight: weights.stable },
          { service: route.canaryService, weight: weights.canary },
        ],
      },
    };
    // Not by server-side apply, which costs an API server half as much again.
    if (!seen) {
      try {
        return await client.create<TrafficSplit>(kinds.TrafficSplit, split, options);
      } catch (error) {
        if (!isCode(error, 'AlreadyExists')) throw error;
        throw new AppError('Conflict', `TrafficSplit ${name} is there by now: it is looked at again`);
      }
    }
    const { metadata, spec } = split;
    // What was decided on another state than this one is a Conflict, and decided anew.
    const { resourceVersion } = seen.metadata;
    const body = {
      metadata: { ...metadata, ...UNTRACKED, resourceVersion },
      // What somebody else has set stays otherwise, and would keep the split from ever being Weir's.
      spec: { ...spec, matches: null },
    };
    return client.patch<TrafficSplit>(kinds.TrafficSplit, namespace, name, { type: 'merge', body }, options);
  };

  return {
    async ensure(route, signal) {
      // Asked for only while none is seen: one that was made a moment ago stands at 100/0 too.
      await write(route, { stable: 100, canary: 0 }, signal);
    },
    async setWeights(route, weights, signal) {
      // Everything else can wait when traffic is taken away from a canary.
      return (await write(route, weights, signal, weights.canary === 0 ? 'urgent' : 'soon')).metadata
        .resourceVersion!;
    },
    observe(route): RouteObservation {
      const key = keyOfRoute(route);
      const split = splits.get(key);
      const version = split?.metadata.resourceVersion;
      return {
        weights: split && weightsOf(split, route),
        version,
        acknowledged:
          version === undefined
            ? { done: false, proxies: 0, of: 0, why: 'the TrafficSplit is not there yet' }
            : acknowledgements.of(key, version),
      };
    },
    onChange(listener) {
      const stops = [splits.onChange(listener), acknowledgements.onChange(listener)];
      return () => {
        for (const stop of stops) stop();
      };
    },
    async release(route, signal) {
      try {
        await client.delete(kinds.TrafficSplit, route.namespace, route.rollout, { signal });
      } catch (error) {
        if (!isCode(error, 'NotFound')) throw error;
      }
    },
  } satisfies TrafficRouter;
}

/** Percentages; undefined when the split is not the one Weir writes, so that it is written again. */
function weightsOf(split: TrafficSplit, route: RouteRef): Weights | undefined {
  const { backends, service, matches } = split.spec;
  const weightOf = (name: string) => backends.find((backend) => backend.service === name)?.weight;
  const stable = weightOf(route.stableService);
  const canary = weightOf(route.canaryService);
  if (service !== route.service || backends.length !== 2 || (matches?.length ?? 0) > 0) return undefined;
  return stable === undefined || canary === undefined ? undefined : { stable, canary };
}
