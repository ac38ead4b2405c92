import { kinds } from '../../api/kinds.ts';
import type { KubeObject, ResourceKind } from '../../api/meta.ts';
import { Informer } from '../../kube/index.ts';
import type { KubeClient } from '../../kube/types.ts';
import { isCode } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { SERVICE_NAME } from './endpoint-slice/plan.ts';
import { controllerOf } from './owners.ts';
import type { Deployment, EndpointSlice, Pod, ReplicaSet, Service } from './types.ts';

/** The caches that the workload controllers share: one watch per kind. */
export interface Caches {
  deployments: Informer<Deployment>;
  replicaSets: Informer<ReplicaSet>;
  pods: Informer<Pod>;
  services: Informer<Service>;
  endpointSlices: Informer<EndpointSlice>;
  nodes: Informer<KubeObject>;
}

export interface ControllerContext {
  client: KubeClient;
  caches: Caches;
  log: Logger;
  now: () => number;
}

const namespaceOf = (object: KubeObject): string => object.metadata.namespace ?? '';

/** Index values: `namespace`, `owner` (uid of the controller) and `orphan` (namespace of objects without one). */
const indexers = {
  namespace: (object: KubeObject) => [namespaceOf(object)],
  owner: (object: KubeObject) => {
    const owner = controllerOf(object);
    return owner ? [owner.uid] : [];
  },
  orphan: (object: KubeObject) => (controllerOf(object) ? [] : [namespaceOf(object)]),
};

export function createCaches(client: KubeClient, log: Logger): Caches {
  const informer = <T extends KubeObject>(
    kind: ResourceKind,
    extra: Record<string, (object: T) => string[]> = {},
  ) => new Informer<T>({ client, kind, indexers: { ...indexers, ...extra }, log });
  return {
    deployments: informer<Deployment>(kinds.Deployment),
    replicaSets: informer<ReplicaSet>(kinds.ReplicaSet),
    pods: informer<Pod>(kinds.Pod),
    services: informer<Service>(kinds.Service),
    endpointSlices: informer<EndpointSlice>(kinds.EndpointSlice, {
      service: (slice) => {
        const service = slice.metadata.labels?.[SERVICE_NAME];
        return service ? [`${namespaceOf(slice)}/${service}`] : [];
      },
    }),
    nodes: informer<KubeObject>(kinds.Node),
  };
}

/** A write that lost a race, or whose object is gone: the next pass sees why. Anything else is a real error. */
export function lostRace(thrown: unknown): boolean {
  return isCode(thrown, 'Conflict', 'NotFound', 'AlreadyExists');
}
