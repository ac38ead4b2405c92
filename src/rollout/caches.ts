import { kinds } from '../api/kinds.ts';
import { type KubeObject, keyOf, type ResourceKind } from '../api/meta.ts';
import { GATE_CONFIG_MAP, labels } from '../api/names.ts';
import type { Rollout } from '../api/rollout.ts';
import { Informer, type KubeClient } from '../kube/index.ts';
import type { Logger } from '../lib/log.ts';
import type { ConfigMap, Deployment, EndpointSlice, Pod, ReplicaSet, Service } from './objects.ts';
import type { Sources } from './observe.ts';

interface Target {
  targetRef?: { name?: string };
  service?: { name?: string };
  strategy?: { blueGreen?: { preview?: { service?: string } } };
}

const targetOf = (rollout: Rollout): Target => (rollout.spec ?? {}) as Target;
const namespaceOf = (object: KubeObject): string => object.metadata.namespace ?? '';

const serviceNames = (rollout: Rollout): string[] => {
  const { service, strategy } = targetOf(rollout);
  const name = service?.name;
  const preview = strategy?.blueGreen?.preview?.service;
  return [...(name ? [name, `${name}-stable`, `${name}-canary`] : []), ...(preview ? [preview] : [])];
};

/** Everything the controller watches, and who is to be told of a change: one Rollout's view costs a few lookups. */
export class Caches {
  readonly rollouts: Informer<Rollout & KubeObject>;
  readonly deployments: Informer<Deployment>;
  readonly replicaSets: Informer<ReplicaSet>;
  readonly pods: Informer<Pod>;
  readonly services: Informer<Service>;
  readonly slices: Informer<EndpointSlice>;
  readonly gates: Informer<ConfigMap>;

  constructor(client: KubeClient, log: Logger, namespace?: string) {
    const common = { client, log, ...(namespace ? { namespace } : {}) };
    const informer = <T extends KubeObject>(
      kind: ResourceKind,
      indexers: Record<string, (object: T) => string[]> = {},
      extra: { labelSelector?: string; fieldSelector?: string } = {},
    ) => new Informer<T>({ ...common, ...extra, kind, indexers });
    const within = (object: KubeObject, names: (string | undefined)[]) =>
      names.flatMap((name) => (name ? [`${namespaceOf(object)}/${name}`] : []));
    this.rollouts = informer<Rollout & KubeObject>(kinds.Rollout, {
      namespace: (rollout) => [namespaceOf(rollout)],
      target: (rollout) => within(rollout, [targetOf(rollout).targetRef?.name]),
      service: (rollout) => within(rollout, serviceNames(rollout)),
    });
    this.deployments = informer<Deployment>(kinds.Deployment);
    this.replicaSets = informer<ReplicaSet>(kinds.ReplicaSet, {
      owner: ({ metadata }) => (metadata.ownerReferences ?? []).map(({ uid }) => uid),
      rollout: (set) => within(set, [set.metadata.labels?.[labels.rollout]]),
    });
    this.pods = informer<Pod>(
      kinds.Pod,
      { hash: (pod) => within(pod, [pod.metadata.labels?.[labels.podTemplateHash]]) },
      { labelSelector: labels.podTemplateHash },
    );
    this.services = informer<Service>(kinds.Service, { namespace: (service) => [namespaceOf(service)] });
    this.slices = informer<EndpointSlice>(kinds.EndpointSlice, {
      service: (slice) => within(slice, [slice.metadata.labels?.['kubernetes.io/service-name']]),
    });
    this.gates = informer<ConfigMap>(
      kinds.ConfigMap,
      {},
      { fieldSelector: `metadata.name=${GATE_CONFIG_MAP}` },
    );
  }

  get #all() {
    return [
      this.rollouts,
      this.deployments,
      this.replicaSets,
      this.pods,
      this.services,
      this.slices,
      this.gates,
    ] as const;
  }

  get synced(): boolean {
    return this.#all.every(({ hasSynced }) => hasSynced);
  }

  async start(signal: AbortSignal): Promise<void> {
    for (const informer of this.#all) informer.start(signal);
    await Promise.all(this.#all.map(({ synced }) => synced));
  }

  /** Calls back with the key of every Rollout that a change may concern. */
  onChange(tell: (key: string) => void): void {
    const byIndex = (index: string, value: string) => {
      for (const rollout of this.rollouts.store.byIndex(index, value)) tell(keyOf(rollout));
    };
    const ofReplicaSet = (set: ReplicaSet) => {
      const namespace = namespaceOf(set);
      const owner = set.metadata.labels?.[labels.rollout];
      if (owner) tell(`${namespace}/${owner}`);
      for (const { kind, name } of set.metadata.ownerReferences ?? []) {
        if (kind === 'Deployment') byIndex('target', `${namespace}/${name}`);
      }
    };
    this.rollouts.onChange(({ type, object }) => {
      tell(keyOf(object));
      // A rival may take over.
      if (type === 'deleted') {
        byIndex('target', `${namespaceOf(object)}/${targetOf(object).targetRef?.name ?? ''}`);
      }
    });
    this.deployments.onChange(({ object }) => byIndex('target', keyOf(object)));
    this.replicaSets.onChange(({ object }) => ofReplicaSet(object));
    this.pods.onChange(({ object }) => {
      const owner = object.metadata.ownerReferences?.find(({ controller }) => controller);
      const set = owner && this.replicaSets.store.get(`${namespaceOf(object)}/${owner.name}`);
      if (set) ofReplicaSet(set);
    });
    this.services.onChange(({ object }) => byIndex('service', keyOf(object)));
    this.slices.onChange(({ object }) => {
      const service = object.metadata.labels?.['kubernetes.io/service-name'];
      if (service) byIndex('service', `${namespaceOf(object)}/${service}`);
    });
    this.gates.onChange(({ object }) => byIndex('namespace', namespaceOf(object)));
  }

  sources(rollout: Rollout): Sources {
    const namespace = rollout.metadata.namespace!;
    const key = (name: string) => `${namespace}/${name}`;
    const deployment = this.deployments.store.get(key(targetOf(rollout).targetRef?.name ?? ''));
    const sets = new Map(
      [
        ...(deployment ? this.replicaSets.store.byIndex('owner', deployment.metadata.uid!) : []),
        ...this.replicaSets.store.byIndex('rollout', key(rollout.metadata.name)),
      ].map((set) => [set.metadata.name, set]),
    );
    return {
      deployment: (name) => this.deployments.store.get(key(name)),
      replicaSets: () => sets.values(),
      pods: () =>
        [...sets.values()].flatMap((set) => {
          const hash = set.spec.template.metadata?.labels?.[labels.podTemplateHash];
          return hash ? this.pods.store.byIndex('hash', key(hash)) : [];
        }),
      service: (name) => this.services.store.get(key(name)),
      services: () => this.services.store.byIndex('namespace', namespace),
      slices: (name) => this.slices.store.byIndex('service', key(name)),
      gate: () => this.gates.store.get(key(GATE_CONFIG_MAP)),
    };
  }
}
