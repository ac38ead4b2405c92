import { keyOf } from '../../api/meta.ts';
import { annotations, labels } from '../../api/names.ts';
import type { TrafficSplit } from '../../api/traffic-split.ts';
import { byCodeUnits } from '../../lib/order.ts';
import { inPorts, readPorts } from '../interception/ports.ts';
import { effectivePolicy } from '../policy/attach.ts';
import { type ClusterIndex, isHeadless, rootOf } from './cluster-index.ts';
import type { AddressKey, DestinationKey } from './destination-key.ts';
import type { Backend, Destination, Policy, Protocol } from './model.ts';
import {
  type EndpointSlice,
  type Service,
  type ServicePort,
  type SliceEndpoint,
  tcpPorts,
} from './objects.ts';
import { meshPort, type PodInfo } from './pod-info.ts';

type BackendEndpoint = Backend['endpoints'][number];

/** Ports whose protocols let the server speak first, so that detection would only cost time. */
const OPAQUE_PORTS = new Set([25, 587, 3306, 4444, 5432, 6379, 9300, 11211]);

export interface Resolution {
  /** null: no such Service or port. */
  destination: Destination | null;
  /** Why it is null, for the person who asks. */
  problem?: { code: string; message: string };
  /** Key of the destination that an address stands for. */
  alias?: string;
}

/** The state of one destination, from the cluster as indexed. Pure: equal clusters give equal destinations. */
export function resolve(index: ClusterIndex, key: DestinationKey, leaseSeconds: number): Resolution {
  const rootKey = `${key.namespace}/${key.name}`;
  const text = `${key.name}.${key.namespace}:${key.port}`;
  const service = index.service(rootKey);
  if (!service)
    return missing('NoSuchService', `Service ${rootKey} does not exist: check name and namespace`);
  const ports = tcpPorts(service);
  const port = ports.find((each) => each.port === key.port);
  if (!port)
    return missing(
      'NoSuchPort',
      `Service ${rootKey} has no port ${key.port}: it serves ${ports.map((each) => each.port).join(', ') || 'none'}`,
    );
  const split = index.splitsOf(rootKey)[0];
  const destination: Destination = {
    key: text,
    namespace: key.namespace,
    protocol: protocolOf(service, port),
    backends: [],
    policy: effectivePolicy(index.policiesOf(rootKey), key.name, port),
  };
  if (!split) {
    destination.backends.push(backendOf(index, service, port, 1));
    return { destination };
  }
  const weights = new Map<string, number>();
  for (const { service: leaf, weight } of split.spec.backends)
    weights.set(leaf, (weights.get(leaf) ?? 0) + weight);
  for (const [leaf, weight] of weights) {
    const leafService = index.service(`${key.namespace}/${leaf}`);
    const leafPort = leafService && matchingPort(leafService, port);
    destination.backends.push(
      // A leaf that is not there yet keeps its weight: its share fails visibly instead of moving elsewhere silently.
      leafService && leafPort
        ? backendOf(index, leafService, leafPort, weight)
        : { name: leaf, weight, endpoints: [] },
    );
  }
  destination.backends.sort((a, b) => byCodeUnits(a.name, b.name));
  const fallback = fallbackOf(index, split);
  if (split.metadata.labels?.[labels.managedBy] === 'weir')
    standIn(index, service, port, destination.backends, fallback);
  destination.split = {
    name: keyOf(split),
    version: split.metadata.resourceVersion ?? '',
    leaseSeconds,
    fallback,
  };
  return { destination };
}

/**
 * What a connection to an address is meant for: a Service's port, a pod, or (null) nothing the mesh knows. Pure.
 */
export function resolveAddress(index: ClusterIndex, { ip, port }: AddressKey): Resolution {
  const service = index.serviceAt(ip);
  if (service) {
    const { name, namespace = 'default' } = service.metadata;
    // A port that the Service does not have is nobody's, and its client shall see the same as without a mesh.
    const known = tcpPorts(service).some((each) => each.port === port);
    return known ? { destination: null, alias: `${name}.${namespace}:${port}` } : { destination: null };
  }
  const pod = index.podAt(ip);
  if (!pod) return { destination: null };
  const host = ip.includes(':') ? `[${ip}]` : ip;
  return {
    destination: {
      key: `${host}:${port}`,
      namespace: pod.namespace,
      protocol: podProtocol(index, pod, port),
      backends: [{ name: pod.name, weight: 1, endpoints: [podEndpoint(pod, host, port)] }],
      policy: podPolicy(index, pod, port),
    },
  };
}

function podEndpoint(pod: PodInfo, host: string, port: number): BackendEndpoint {
  const through = meshPort(pod, port);
  return {
    address: `${host}:${through ?? port}`,
    ...(through ? { identity: pod.identity } : {}),
    pod: pod.name,
    ...(pod.revision ? { revision: pod.revision } : {}),
    ...(pod.deployment ? { deployment: pod.deployment } : {}),
  };
}

/** Of a pod called by its own address: that of the headless Service whose name its clients looked up, first by name. */
function podPolicy(index: ClusterIndex, pod: PodInfo, port: number): Policy {
  const services = index.servicesOf(pod).filter(isHeadless);
  for (const service of services.sort((a, b) => byCodeUnits(keyOf(a), keyOf(b)))) {
    const policies = index.policiesOf(keyOf(service));
    if (policies.length === 0) continue;
    for (const each of tcpPorts(service))
      if (index.slicesOf(keyOf(service)).some((slice) => slicePort(slice, each) === port))
        return effectivePolicy(policies, service.metadata.name, each);
  }
  return {};
}

/** Of a pod called by its own address, as clients of headless Services do: what a Service of it says of that port. */
function podProtocol(index: ClusterIndex, pod: PodInfo, port: number): Protocol {
  if (inPorts(pod.opaque, port)) return 'tcp';
  for (const service of index.servicesOf(pod)) {
    for (const each of tcpPorts(service)) {
      const serves = index.slicesOf(keyOf(service)).some((slice) => slicePort(slice, each) === port);
      const protocol = serves ? protocolOf(service, each) : 'detect';
      if (protocol !== 'detect') return protocol;
    }
  }
  return OPAQUE_PORTS.has(port) ? 'tcp' : 'detect';
}

function missing(code: string, message: string): Resolution {
  return { destination: null, problem: { code, message } };
}

/** The leaf port that stands for the root's: same number, else same name, else the only one. */
function matchingPort(leaf: Service, root: ServicePort): ServicePort | undefined {
  const ports = tcpPorts(leaf);
  return (
    ports.find(({ port }) => port === root.port) ??
    ports.find(({ name }) => name !== undefined && name === root.name) ??
    (ports.length === 1 ? ports[0] : undefined)
  );
}

/**
 * A stable leaf that is new has no endpoints for a moment: the root's own pods stand in for it, which are the stable ones (the
 * root is pinned to them before a canary pod exists), or else a first split would fail every request.
 */
function standIn(index: ClusterIndex, root: Service, port: ServicePort, backends: Backend[], stable: string) {
  const at = backends.findIndex(({ name }) => name === stable);
  const backend = backends[at];
  if (!backend || backend.weight === 0 || backend.endpoints.length > 0) return;
  backends[at] = { ...backendOf(index, root, port, backend.weight), name: stable };
}

/** Where a proxy sends everything when it has lost the control plane: the stable leaf, else the heaviest. */
function fallbackOf(index: ClusterIndex, split: TrafficSplit): string {
  const namespace = split.metadata.namespace ?? 'default';
  const stable = split.spec.backends.find(
    ({ service }) => index.service(`${namespace}/${service}`)?.metadata.labels?.[labels.role] === 'stable',
  );
  if (stable) return stable.service;
  // Deleted by somebody in the middle of a run: a canary's weight makes it no place to fall back to.
  const named = split.spec.backends.find(
    ({ service }) => service === `${rootOf(split).split('/')[1]}-stable`,
  );
  if (named && split.metadata.labels?.[labels.managedBy] === 'weir') return named.service;
  return split.spec.backends.reduce((best, each) => (each.weight > best.weight ? each : best)).service;
}

function backendOf(index: ClusterIndex, service: Service, port: ServicePort, weight: number): Backend {
  const endpoints = endpointsOf(index, service, port);
  const revisions = new Set(endpoints.map(({ revision }) => revision));
  const deployments = new Set(endpoints.map(({ deployment }) => deployment));
  // A leaf that selects one revision has it even with no endpoint, so that its failures are counted where they belong.
  const revision =
    service.spec?.selector?.[labels.podTemplateHash] ??
    (revisions.size === 1 ? [...revisions][0] : undefined);
  const deployment = deployments.size === 1 ? [...deployments][0] : undefined;
  return {
    name: service.metadata.name,
    weight,
    ...(revision ? { revision } : {}),
    ...(deployment ? { deployment } : {}),
    endpoints,
  };
}

function endpointsOf(index: ClusterIndex, service: Service, port: ServicePort): BackendEndpoint[] {
  if (service.spec?.type === 'ExternalName')
    return service.spec.externalName ? [{ address: `${service.spec.externalName}:${port.port}` }] : [];
  const ready = new Endpoints();
  const leaving = new Endpoints();
  for (const slice of index.slicesOf(keyOf(service))) {
    const number = slicePort(slice, port);
    if (number === undefined || slice.addressType === 'FQDN') continue;
    for (const each of slice.endpoints ?? []) {
      const endpoint = endpointOf(index, each, service.metadata.namespace ?? 'default', number);
      if (!endpoint) continue;
      const { conditions = {} } = each;
      // "ready" unset means ready (EndpointSlice API); serving+terminating serves only when nothing else does (KEP-1669).
      if (conditions.ready ?? true) ready.add(slice.addressType, endpoint);
      else if (conditions.terminating && conditions.serving) leaving.add(slice.addressType, endpoint);
    }
  }
  const { ipFamilies } = service.spec ?? {};
  return ready.of(ipFamilies) ?? leaving.of(ipFamilies) ?? [];
}

/** By the family of their addresses. */
class Endpoints {
  readonly #families = new Map<string | undefined, Map<string, BackendEndpoint>>();

  add(family: string | undefined, endpoint: BackendEndpoint): void {
    const known = this.#families.get(family) ?? new Map<string, BackendEndpoint>();
    this.#families.set(family, known.set(endpoint.address, endpoint));
  }

  /**
   * Those of the first family that there are any of, in order. In two families a pod would be there twice, and its server may
   * listen in one alone: its proxy, which takes both, could not tell the caller's in time.
   */
  of(families: readonly string[] = [...this.#families.keys()] as string[]): BackendEndpoint[] | undefined {
    const [first] = families.flatMap((family) => this.#families.get(family) ?? []);
    return first && [...first.values()].sort((a, b) => byCodeUnits(a.address, b.address));
  }
}

function slicePort(slice: EndpointSlice, port: ServicePort): number | undefined {
  const found = (slice.ports ?? []).find(({ name }) => (name ?? '') === (port.name ?? ''));
  return found?.port ?? undefined;
}

function endpointOf(
  index: ClusterIndex,
  endpoint: SliceEndpoint,
  namespace: string,
  port: number,
): BackendEndpoint | undefined {
  const ip = endpoint.addresses?.[0];
  if (!ip) return undefined;
  const host = ip.includes(':') ? `[${ip}]` : ip;
  const { targetRef, zone } = endpoint;
  if (targetRef?.uid !== undefined && index.gone(targetRef.uid)) return undefined;
  const pod =
    targetRef?.kind === 'Pod' && targetRef.name
      ? index.pod(`${targetRef.namespace ?? namespace}/${targetRef.name}`)
      : undefined;
  const through = pod && meshPort(pod, port);
  return {
    address: `${host}:${through ?? port}`,
    ...(pod && through ? { identity: pod.identity } : {}),
    ...(targetRef?.name ? { pod: targetRef.name } : {}),
    ...(zone ? { zone } : {}),
    ...(pod?.revision ? { revision: pod.revision } : {}),
    ...(pod?.deployment ? { deployment: pod.deployment } : {}),
  };
}

function protocolOf(service: Service, port: ServicePort): Protocol {
  const opaque = readPorts(service.metadata.annotations?.[`${annotations.configPrefix}opaque-ports`]);
  if (inPorts(opaque, port.port)) return 'tcp';
  switch (port.appProtocol?.toLowerCase()) {
    case 'http':
    case 'http1':
    case 'kubernetes.io/ws':
      return 'http1';
    case 'kubernetes.io/h2c':
    case 'http2':
    case 'h2c':
    case 'grpc':
      return 'http2';
    case 'tcp':
    case 'tls':
    case 'https':
    case 'kubernetes.io/wss':
      return 'tcp';
    default:
      return OPAQUE_PORTS.has(port.port) ? 'tcp' : 'detect';
  }
}
