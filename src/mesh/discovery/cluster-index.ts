import { keyOf } from '../../api/meta.ts';
import type { TrafficPolicy } from '../../api/traffic-policy.ts';
import type { TrafficSplit } from '../../api/traffic-split.ts';
import { sameJson } from '../../lib/same-json.ts';
import type { PolicySource } from '../policy/attach.ts';
import { type ReadPolicy, readPolicy } from '../policy/read.ts';
import { canonicalIp } from './destination-key.ts';
import type { EndpointSlice, Pod, Service } from './objects.ts';
import { type PodInfo, podInfo } from './pod-info.ts';
import { splitProblem } from './split-problem.ts';

/** What of the cluster discovery looks at, fed object by object. */
export type ClusterObject =
  | { kind: 'Service'; object: Service }
  | { kind: 'EndpointSlice'; object: EndpointSlice }
  | { kind: 'Pod'; object: Pod }
  | { kind: 'TrafficSplit'; object: TrafficSplit }
  | { kind: 'TrafficPolicy'; object: TrafficPolicy };

const SERVICE_NAME = 'kubernetes.io/service-name';

/** Deleted pods that are remembered: far more than those that a late EndpointSlice still names. */
const GONE = 10_000;

/**
 * The cluster as discovery sees it, with the indexes that tell which Services a change can affect. No I/O: informers
 * feed it. `set` and `remove` return what is affected: the keys (`namespace/name`) of Services, roots of splits included,
 * and addresses (`addressSubject`).
 */
export class ClusterIndex {
  readonly #trustDomain: string;
  readonly #services = new Map<string, Service>();
  readonly #slices = new Map<string, EndpointSlice>();
  readonly #pods = new Map<string, PodInfo>();
  readonly #splits = new Map<string, TrafficSplit>();
  readonly #policies = new Map<string, { object: TrafficPolicy; read: ReadPolicy }>();
  readonly #slicesByService = new MultiMap();
  readonly #servicesByPod = new MultiMap();
  readonly #splitsByRoot = new MultiMap();
  readonly #splitsByLeaf = new MultiMap();
  readonly #policiesByService = new MultiMap();
  readonly #servicesByIp = new MultiMap();
  readonly #podsByIp = new MultiMap();

  /** UIDs of pods that were deleted, the oldest first. */
  readonly #gone = new Set<string>();

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

  /**
   * A pod of this UID was there and was deleted. Its EndpointSlice may say otherwise for as long as the controller that writes it
   * does not hear of it: ten seconds and more after the API server was away.
   */
  gone(uid: string): boolean {
    return this.#gone.has(uid);
  }

  /** The Service with this cluster IP (canonical). */
  serviceAt(ip: string): Service | undefined {
    const [key] = this.#servicesByIp.get(ip);
    return key === undefined ? undefined : this.#services.get(key);
  }

  /** The pod with this address (canonical). */
  podAt(ip: string): PodInfo | undefined {
    const key = this.#podsByIp.get(ip).at(-1);
    return key === undefined ? undefined : this.#pods.get(key);
  }

  /** Services whose EndpointSlices name the pod. */
  servicesOf(pod: PodInfo): Service[] {
    return this.#servicesByPod
      .get(`${pod.namespace}/${pod.name}`)
      .flatMap((key) => this.#services.get(key) ?? []);
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

  policy(key: string): { object: TrafficPolicy; read: ReadPolicy } | undefined {
    return this.#policies.get(key);
  }

  policyKeys(): IterableIterator<string> {
    return this.#policies.keys();
  }

  /** TrafficPolicies that target a Service, in no order. */
  policiesOf(serviceKey: string): PolicySource[] {
    return this.#policiesByService.get(serviceKey).flatMap((key) => {
      const read = this.#policies.get(key)?.read;
      return read && 'source' in read ? [read.source] : [];
    });
  }

  set(change: ClusterObject): Set<string> {
    const key = keyOf(change.object);
    switch (change.kind) {
      case 'Service': {
        const before = this.remove(change);
        this.#services.set(key, change.object);
        for (const ip of ipsOf(change.object)) this.#servicesByIp.add(ip, key);
        return union(before, this.#affectedBy(key, change.object));
      }
      case 'EndpointSlice': {
        const { object } = change;
        const previous = this.#slices.get(key);
        const affected = union(this.#dropSlice(key), namedOtherwise(previous, object));
        this.#slices.set(key, object);
        const service = serviceOf(object);
        if (service === undefined) return affected;
        this.#slicesByService.add(service, key);
        for (const pod of podsOf(object)) this.#servicesByPod.add(pod, service, key);
        return union(affected, this.#withRoots([service]));
      }
      case 'Pod': {
        const info = podInfo(change.object, this.#trustDomain);
        const previous = this.#pods.get(key);
        this.#pods.set(key, info);
        // Pods change their status all the time; only what reaches a destination matters.
        if (previous && sameForPeers(previous, info)) return new Set();
        for (const ip of previous?.ips ?? []) this.#podsByIp.delete(ip, key);
        for (const ip of info.ips) this.#podsByIp.add(ip, key);
        return this.#affectedByPod(key, [...(previous?.ips ?? []), ...info.ips]);
      }
      case 'TrafficSplit': {
        const before = this.remove(change);
        if (splitProblem(change.object)) return before;
        this.#splits.set(key, change.object);
        const root = rootOf(change.object);
        this.#splitsByRoot.add(root, key);
        for (const leaf of leavesOf(change.object)) this.#splitsByLeaf.add(leaf, root, key);
        return before.add(root);
      }
      case 'TrafficPolicy': {
        const { object } = change;
        const known = this.#policies.get(key);
        // Every change of its status comes by here.
        if (known && sameForTargets(known.object, object)) {
          this.#policies.set(key, { object, read: known.read });
          return new Set();
        }
        const before = this.remove(change);
        const read = readPolicy(object);
        this.#policies.set(key, { object, read });
        const targets = targetsOf(read);
        for (const service of targets) this.#policiesByService.add(service, key);
        return union(before, this.#affectedByPolicy(targets));
      }
    }
  }

  remove(change: ClusterObject): Set<string> {
    const key = keyOf(change.object);
    switch (change.kind) {
      case 'Service': {
        const stored = this.#services.get(key);
        this.#services.delete(key);
        if (!stored) return this.#withRoots([key]);
        for (const ip of ipsOf(stored)) this.#servicesByIp.delete(ip, key);
        return this.#affectedBy(key, stored);
      }
      case 'EndpointSlice': {
        const stored = this.#slices.get(key);
        return union(this.#dropSlice(key), namedOtherwise(stored, undefined));
      }
      case 'Pod': {
        const ips = this.#pods.get(key)?.ips ?? [];
        this.#pods.delete(key);
        this.#bury(change.object.metadata.uid);
        for (const ip of ips) this.#podsByIp.delete(ip, key);
        return this.#affectedByPod(key, ips);
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
      case 'TrafficPolicy': {
        const stored = this.#policies.get(key);
        if (!stored) return new Set();
        this.#policies.delete(key);
        const targets = targetsOf(stored.read);
        for (const service of targets) this.#policiesByService.delete(service, key);
        return this.#affectedByPolicy(targets);
      }
    }
  }

  #dropSlice(key: string): Set<string> {
    const stored = this.#slices.get(key);
    const service = stored && serviceOf(stored);
    this.#slices.delete(key);
    if (!stored || service === undefined) return new Set();
    this.#slicesByService.delete(service, key);
    for (const pod of podsOf(stored)) this.#servicesByPod.delete(pod, service, key);
    return this.#withRoots([service]);
  }

  /** A Service's own destinations, and its pods' where they are called in its name. */
  #affectedByPolicy(services: Set<string>): Set<string> {
    const affected = new Set<string>();
    for (const key of services) {
      affected.add(key);
      const service = this.#services.get(key);
      if (service && isHeadless(service)) union(affected, this.#affectedBy(key, service));
    }
    return affected;
  }

  /** A Service decides about its own addresses, and by its ports' protocols about those of its pods. */
  #affectedBy(key: string, service: Service): Set<string> {
    const affected = this.#withRoots([key]);
    for (const ip of ipsOf(service)) affected.add(addressSubject(ip));
    for (const slice of this.slicesOf(key))
      for (const { addresses } of slice.endpoints ?? [])
        for (const ip of addresses ?? []) affected.add(addressSubject(canonicalIp(ip) ?? ip));
    return affected;
  }

  #bury(uid: string | undefined): void {
    if (uid === undefined) return;
    this.#gone.add(uid);
    for (const oldest of this.#gone) {
      if (this.#gone.size <= GONE) return;
      this.#gone.delete(oldest);
    }
  }

  #affectedByPod(key: string, ips: string[]): Set<string> {
    const affected = this.#withRoots(this.#servicesByPod.get(key));
    for (const ip of ips) affected.add(addressSubject(ip));
    return affected;
  }

  #withRoots(services: string[]): Set<string> {
    const affected = new Set(services);
    for (const service of services) for (const root of this.#splitsByLeaf.get(service)) affected.add(root);
    return affected;
  }
}

/** How an address (canonical) is named among the keys of Services. */
export const addressSubject = (ip: string): string => `ip ${ip}`;

/** Addresses of its own: a headless Service has none, its name means its pods. */
function ipsOf({ spec }: Service): string[] {
  if (spec?.type === 'ExternalName') return [];
  return (spec?.clusterIPs ?? [spec?.clusterIP]).flatMap((ip) => (ip && canonicalIp(ip)) || []);
}

/** Its name means the addresses of its pods. */
export const isHeadless = ({ spec }: Service): boolean => spec?.clusterIP === 'None';

/** `namespace/name` of the Services that a policy targets. */
const targetsOf = (read: ReadPolicy): Set<string> =>
  new Set(
    'source' in read ? read.source.spec.targetRefs.map(({ name }) => `${read.source.namespace}/${name}`) : [],
  );

const sameForTargets = (a: TrafficPolicy, b: TrafficPolicy): boolean =>
  a.metadata.creationTimestamp === b.metadata.creationTimestamp && sameJson(a.spec, b.spec);

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

/** Subjects of the addresses whose pods have come to a slice or left it; of all, where its Service or its ports changed. */
function namedOtherwise(from: EndpointSlice | undefined, to: EndpointSlice | undefined): Set<string> {
  const [before, after] = [namesOf(from), namesOf(to)];
  const same = from && to && serviceOf(from) === serviceOf(to) && sameJson(from.ports, to.ports);
  const names = [...before, ...after].filter((name) => !(same && before.has(name) && after.has(name)));
  return new Set(names.map((name) => addressSubject(name.slice(0, name.indexOf(' ')))));
}

/** Address and pod. */
const namesOf = (slice: EndpointSlice | undefined): Set<string> =>
  new Set(
    (slice?.endpoints ?? []).flatMap(({ addresses, targetRef }) =>
      (addresses ?? []).map((ip) => `${canonicalIp(ip) ?? ip} ${targetRef?.name}`),
    ),
  );

function sameForPeers(a: PodInfo, b: PodInfo): boolean {
  return (
    a.identity === b.identity &&
    a.revision === b.revision &&
    a.deployment === b.deployment &&
    sameJson(
      [a.meshPorts, a.notIntercepted, a.ips, a.opaque],
      [b.meshPorts, b.notIntercepted, b.ips, b.opaque],
    )
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
