import { kinds } from '../api/kinds.ts';
import { type KubeObject, keyOf, type ResourceKind } from '../api/meta.ts';
import { GATE_CONFIG_MAP, labels, PINS_CONFIG_MAP } from '../api/names.ts';
import type { Rollout } from '../api/rollout.ts';
import { type ChangeEvent, Informer, type KubeClient } from '../kube/index.ts';
import type { Logger } from '../lib/log.ts';
import {
  type CachedDeployment,
  type CachedPod,
  type CachedReplicaSet,
  type CachedRollout,
  type CachedService,
  type CachedSlice,
  cachedDeployment,
  cachedGate,
  cachedPod,
  cachedReplicaSet,
  cachedRollout,
  cachedService,
  cachedSlice,
} from './cached.ts';
import type { ConfigMap } from './objects.ts';
import type { Sources } from './observe.ts';
import { serviceNames, targetOf, underWay } from './parse.ts';
import { serviceSelects } from './selector.ts';

const namespaceOf = (object: KubeObject): string => object.metadata.namespace ?? '';

const pair = (namespace: string, [key, value]: [string, string]): string => `${namespace}/${key}=${value}`;

/** A Service is found by one pair of its selector: all of them must match, so any one will do. */
const selectedBy = ({ metadata, spec }: CachedService): string[] => {
  const first = Object.entries(spec.selector ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))[0];
  return first ? [pair(metadata.namespace ?? '', first)] : [];
};

/** Everything the controller watches, and who is to be told of a change: one Rollout's view costs a few lookups. */
export class Caches {
  readonly rollouts: Informer<CachedRollout>;
  readonly deployments: Informer<CachedDeployment>;
  readonly replicaSets: Informer<CachedReplicaSet>;
  readonly pods: Informer<CachedPod>;
  readonly services: Informer<CachedService>;
  readonly slices: Informer<CachedSlice>;
  readonly gates: Informer<ConfigMap>;
  readonly pins: Informer<ConfigMap>;

  constructor(client: KubeClient, log: Logger, namespaces: string[] = []) {
    const common = { client, log, namespaces };
    const informer = <T extends KubeObject>(
      kind: ResourceKind,
      project: (object: KubeObject) => T,
      indexers: Record<string, (object: T) => string[]> = {},
      extra: { labelSelector?: string; fieldSelector?: string } = {},
    ) => new Informer<T>({ ...common, ...extra, kind, project, indexers });
    const within = (object: KubeObject, names: (string | undefined)[]) =>
      names.flatMap((name) => (name ? [`${namespaceOf(object)}/${name}`] : []));
    this.rollouts = informer(kinds.Rollout, cachedRollout, {
      target: (rollout) => within(rollout, [targetOf(rollout).targetRef?.name]),
      service: (rollout) => within(rollout, serviceNames(rollout)),
    });
    this.deployments = informer(kinds.Deployment, cachedDeployment);
    this.replicaSets = informer(kinds.ReplicaSet, cachedReplicaSet, {
      owner: ({ metadata }) => (metadata.ownerReferences ?? []).map(({ uid }) => uid),
      rollout: (set) => within(set, [set.metadata.labels?.[labels.rollout]]),
    });
    this.pods = informer(
      kinds.Pod,
      cachedPod,
      { hash: (pod) => within(pod, [pod.hash]) },
      { labelSelector: labels.podTemplateHash },
    );
    this.services = informer(kinds.Service, cachedService, { selector: selectedBy });
    this.slices = informer(kinds.EndpointSlice, cachedSlice, {
      service: (slice) => within(slice, [slice.service]),
    });
    const maps = (name: string) =>
      informer(kinds.ConfigMap, cachedGate, {}, { fieldSelector: `metadata.name=${name}` });
    this.gates = maps(GATE_CONFIG_MAP);
    this.pins = maps(PINS_CONFIG_MAP);
  }

  get all() {
    return [
      this.rollouts,
      this.deployments,
      this.replicaSets,
      this.pods,
      this.services,
      this.slices,
      this.gates,
      this.pins,
    ] as const;
  }

  get synced(): boolean {
    return this.all.every(({ hasSynced }) => hasSynced);
  }

  async start(signal: AbortSignal): Promise<void> {
    for (const informer of this.all) informer.start(signal);
    await Promise.all(this.all.map(({ synced }) => synced));
  }

  /** Calls back with the key of every Rollout that a change may concern. */
  onChange(tell: (key: string) => void): void {
    const byIndex = (index: string, value: string) => {
      for (const rollout of this.rollouts.store.byIndex(index, value)) tell(keyOf(rollout));
    };
    const ofReplicaSet = (set: CachedReplicaSet) => {
      const namespace = namespaceOf(set);
      const owner = set.metadata.labels?.[labels.rollout];
      if (owner) tell(`${namespace}/${owner}`);
      for (const { kind, name } of set.metadata.ownerReferences ?? []) {
        if (kind === 'Deployment') byIndex('target', `${namespace}/${name}`);
      }
    };
    this.rollouts.onChange(({ type, object, previous }) => {
      tell(keyOf(object));
      // A rival may take over.
      const moved = previous?.metadata.generation !== object.metadata.generation;
      if (
        moved ||
        type === 'deleted' ||
        underWay(previous?.status?.phase) !== underWay(object.status?.phase)
      ) {
        for (const each of [object, ...(previous ? [previous] : [])])
          for (const rival of this.rivals(each)) tell(keyOf(rival));
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
      if (object.service) byIndex('service', `${namespaceOf(object)}/${object.service}`);
    });
    const ofEntries =
      (index: string) =>
      ({ type, object, previous }: ChangeEvent<ConfigMap>) => {
        // One object for the whole namespace: only those whose entries changed are told.
        const now = type === 'deleted' ? {} : (object.data ?? {});
        const before = previous?.data ?? (type === 'deleted' ? (object.data ?? {}) : {});
        for (const key of new Set([...Object.keys(now), ...Object.keys(before)])) {
          if (now[key] === before[key]) continue;
          byIndex(index, `${namespaceOf(object)}/${key.slice(key.indexOf('.') + 1)}`);
        }
      };
    this.gates.onChange(ofEntries('target'));
    this.pins.onChange(ofEntries('service'));
  }

  /** Rollouts that name the same Deployment, or a Service that is this one's too; itself is among them. */
  rivals(rollout: Rollout): Set<CachedRollout> {
    const within = (name: string) => `${rollout.metadata.namespace!}/${name}`;
    const { store } = this.rollouts;
    return new Set([
      ...store.byIndex('target', within(targetOf(rollout).targetRef?.name ?? '')),
      ...serviceNames(rollout).flatMap((name) => store.byIndex('service', within(name))),
    ]);
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
          const { hash } = set.view;
          return hash ? this.pods.store.byIndex('hash', key(hash)) : [];
        }),
      service: (name) => this.services.store.get(key(name)),
      selecting: (template) =>
        Object.entries(template)
          .flatMap((each) => this.services.store.byIndex('selector', pair(namespace, each)))
          .filter(({ spec }) => serviceSelects(spec.selector, template))
          .map(({ metadata }) => metadata.name),
      slices: (name) => this.slices.store.byIndex('service', key(name)),
      gate: () => this.gates.store.get(key(GATE_CONFIG_MAP)),
      pins: () => this.pins.store.get(key(PINS_CONFIG_MAP)),
    };
  }
}
