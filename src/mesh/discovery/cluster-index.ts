import { keyOf } from '../../api/meta.ts';
import type { TrafficSplit } from '../../api/traffic-split.ts';
import type { EndpointSlice, Pod, Service } from './objects.ts';
import { type PodInfo, podInfo } from './pod-info.ts';

/** What of the cluster discovery looks at, fed object by object. */
export type ClusterObject =
  | { kind: 'Service'; object: Service }
  | { kind: 'EndpointSlice'; object: EndpointSlice }
  | { kind: 'Pod'; object: Pod }
  | { kind: 'TrafficSplit'; object: TrafficSplit };

const SERVICE_NAME = 'kubernetes.io/service-name';

/**
 * The cluster as discovery sees it, with the indexes that tell which Services a change can affect. No I/O: informers
 * feed it. `set` and `remove` return the keys (`namespace/name`) of the affected Services, roots of splits included.
 */
export class ClusterIndex {
  readonly #trustDomain: string;
  readonly #services = new Map<string, Service>();
  readonly #slices = new Map<string, EndpointSlice>();
  readonly #pods = new Map<string, PodInfo>();
  readonly #splits = new Map<string, TrafficSplit>();
  readonly #slicesByService = new MultiMap();
  readonly #servicesByPod = new MultiMap();
  readonly #splitsByRoot = new MultiMap();
  readonly #splitsByLeaf = new MultiMap();

  constructor(options: { trustDomain: string }) {
    this.#trustDomain = options.trustDomain;
  }

  service(key: string): Service | undefined {
    return this.#services.get(key);
  }

  slicesOf(serviceKey: string): EndpointSlice[] {
    return this.#slicesByService.get(serviceKey).map((key) => this.#slices.get(key)!);
  }

  pod(key: string): PodInfo | undefined {
    return this.#pods.get(key);
  }

  pods(): IterableIterator<PodInfo> {
    return this.#pods.values();
  }

  /** Splits of a root Service, the one in force (the oldest) first. */
  splitsOf(rootKey: string): TrafficSplit[] {
    return this.#splitsByRoot
      .get(rootKey)
      .map((key) => this.#splits.get(key)!)
      .sort((a, b) => ageOf(a).localeCompare(ageOf(b)) || keyOf(a).localeCompare(keyOf(b)));
  }

  set(change: ClusterObject): Set<string> {
    const key = keyOf(change.object);
    switch (change.kind) {
      case 'Service':
        this.#services.set(key, change.object);
        return this.#withRoots([key]);
      case 'EndpointSlice': {
        const before = this.remove(change);
        this.#slices.set(key, change.object);
        const service = serviceOf(change.object);
        if (service === undefined) return before;
        this.#slicesByService.add(service, key);
        for (const pod of podsOf(change.object)) this.#servicesByPod.add(pod, service, key);
        return union(before, this.#withRoots([service]));
      }
      case 'Pod': {
        const info = podInfo(change.object, this.#trustDomain);
        const previous = this.#pods.get(key);
        this.#pods.set(key, info);
        // Pods change their status all the time; only what reaches a destination matters.
        if (previous && sameForPeers(previous, info)) return new Set();
        return this.#withRoots(this.#servicesByPod.get(key));
      }
      case 'TrafficSplit': {
        const before = this.remove(change);
        this.#splits.set(key, change.object);
        const root = rootOf(change.object);
        this.#splitsByRoot.add(root, key);
        for (const leaf of leavesOf(change.object)) this.#splitsByLeaf.add(leaf, root, key);
        return before.add(root);
      }
    }
  }

  remove(change: ClusterObject): Set<string> {
    const key = keyOf(change.object);
    switch (change.kind) {
      case 'Service':
        this.#services.delete(key);
        return this.#withRoots([key]);
      case 'EndpointSlice': {
        const stored = this.#slices.get(key);
        const service = stored && serviceOf(stored);
        this.#slices.delete(key);
        if (!stored || service === undefined) return new Set();
        this.#slicesByService.delete(service, key);
        for (const pod of podsOf(stored)) this.#servicesByPod.delete(pod, service, key);
        return this.#withRoots([service]);
      }
      case 'Pod': {
        this.#pods.delete(key);
        return this.#withRoots(this.#servicesByPod.get(key));
      }
      case 'TrafficSplit': {
        const stored = this.#splits.get(key);
        if (!stored) return new Set();
        this.#splits.delete(key);
        const root = rootOf(stored);
        this.#splitsByRoot.delete(root, key);
        for (const leaf of leavesOf(stored)) this.#splitsByLeaf.delete(leaf, root, key);
        return new Set([root]);
      }
    }
  }

  #withRoots(services: string[]): Set<string> {
    const affected = new Set(services);
    for (const service of services) for (const root of this.#splitsByLeaf.get(service)) affected.add(root);
    return affected;
  }
}

/** `namespace/name` of the Service a TrafficSplit splits; SMI allows `name` and `name.namespace…`. */
export function rootOf(split: TrafficSplit): string {
  const [name = ''] = split.spec.service.split('.');
  return `${split.metadata.namespace ?? 'default'}/${name}`;
}

const leavesOf = (split: TrafficSplit): string[] =>
  split.spec.backends.map(({ service }) => `${split.metadata.namespace ?? 'default'}/${service}`);

const ageOf = (split: TrafficSplit): string => split.metadata.creationTimestamp ?? '';

function serviceOf(slice: EndpointSlice): string | undefined {
  const name = slice.metadata.labels?.[SERVICE_NAME];
  return name ? `${slice.metadata.namespace ?? 'default'}/${name}` : undefined;
}

function podsOf(slice: EndpointSlice): string[] {
  const namespace = slice.metadata.namespace ?? 'default';
  return (slice.endpoints ?? []).flatMap(({ targetRef }) =>
    targetRef?.kind === 'Pod' && targetRef.name
      ? [`${targetRef.namespace ?? namespace}/${targetRef.name}`]
      : [],
  );
}

function sameForPeers(a: PodInfo, b: PodInfo): boolean {
  return (
    a.identity === b.identity &&
    a.revision === b.revision &&
    a.deployment === b.deployment &&
    JSON.stringify(a.meshPorts) === JSON.stringify(b.meshPorts)
  );
}

function union(a: Set<string>, b: Set<string>): Set<string> {
  for (const each of b) a.add(each);
  return a;
}

/** key -> values, each value held by one or more owners and gone with the last of them. */
class MultiMap {
  readonly #map = new Map<string, Map<string, Set<string>>>();

  get(key: string): string[] {
    return [...(this.#map.get(key)?.keys() ?? [])];
  }

  add(key: string, value: string, owner = ''): void {
    const values = this.#map.get(key) ?? new Map<string, Set<string>>();
    const owners = values.get(value) ?? new Set<string>();
    this.#map.set(key, values.set(value, owners.add(owner)));
  }

  delete(key: string, value: string, owner = ''): void {
    const values = this.#map.get(key);
    const owners = values?.get(value);
    if (!values || !owners) return;
    owners.delete(owner);
    if (owners.size === 0) values.delete(value);
    if (values.size === 0) this.#map.delete(key);
  }
}
