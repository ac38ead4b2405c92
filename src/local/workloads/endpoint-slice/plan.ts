import { kinds } from '../../../api/kinds.ts';
import { canonicalJson } from '../../../lib/canonical.ts';
import { fnv32a } from '../../../lib/fnv.ts';
import { controllerRef } from '../owners.ts';
import { safeEncode } from '../template.ts';
import type { Endpoint, EndpointSlice, Pod, Service } from '../types.ts';

export const SERVICE_NAME = 'kubernetes.io/service-name';
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
export const MANAGER = 'endpointslice-controller.k8s.io';
// The most that the API allows in one slice.
const PER_SLICE = 1000;

export interface SlicePlan {
  create: EndpointSlice[];
  update: EndpointSlice[];
  remove: EndpointSlice[];
}

type SlicePort = EndpointSlice['ports'][number];

/** The ports of a Service as one pod serves them: named target ports differ from pod to pod. */
function portsFor(service: Service, pod: Pod): SlicePort[] {
  const containers = [
    ...pod.spec.containers,
    ...(pod.spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always'),
  ];
  const result: SlicePort[] = [];
  for (const port of service.spec.ports ?? []) {
    const target = port.targetPort ?? port.port;
    const named = containers.flatMap(({ ports = [] }) => ports).find(({ name }) => name === target);
    const number = typeof target === 'number' ? target : (named?.containerPort ?? Number(target));
    if (!Number.isInteger(number)) continue;
    result.push({
      name: port.name ?? '',
      port: number,
      protocol: port.protocol ?? 'TCP',
      ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}),
    });
  }
  return result;
}

function endpointOf(service: Service, pod: Pod, zoneOf: (node: string) => string | undefined): Endpoint {
  const serving =
    pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const always = service.spec.publishNotReadyAddresses === true;
  const zone = pod.spec.nodeName ? zoneOf(pod.spec.nodeName) : undefined;
  return {
    addresses: [pod.status!.podIP!],
    conditions: { ready: always || (serving && !terminating), serving: always || serving, terminating },
    targetRef: {
      kind: 'Pod',
      namespace: pod.metadata.namespace,
      name: pod.metadata.name,
      uid: pod.metadata.uid,
    },
    ...(pod.spec.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    ...(zone ? { zone } : {}),
  };
}

/** The slices a Service should have, named deterministically so that a restart in between writes no duplicates. */
function desiredSlices(
  service: Service,
  pods: Pod[],
  zoneOf: (node: string) => string | undefined,
): EndpointSlice[] {
  const groups = new Map<string, { ports: SlicePort[]; endpoints: Endpoint[] }>();
  for (const pod of pods) {
    const phase = pod.status?.phase;
    if (!pod.status?.podIP || phase === 'Succeeded' || phase === 'Failed') continue;
    const ports = portsFor(service, pod);
    const key = canonicalJson(ports);
    const group = groups.get(key) ?? { ports, endpoints: [] };
    group.endpoints.push(endpointOf(service, pod, zoneOf));
    groups.set(key, group);
  }
  if (groups.size === 0) groups.set('', { ports: [], endpoints: [] });
  const slices: EndpointSlice[] = [];
  for (const [key, { ports, endpoints }] of groups) {
    endpoints.sort((a, b) => (a.targetRef!.name < b.targetRef!.name ? -1 : 1));
    for (let from = 0; from === 0 || from < endpoints.length; from += PER_SLICE) {
      const suffix = safeEncode(String(fnv32a(`${service.metadata.uid}/${key}/${from}`))).slice(0, 5);
      slices.push({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          name: `${service.metadata.name}-${suffix}`,
          namespace: service.metadata.namespace,
          labels: {
            ...service.metadata.labels,
            [SERVICE_NAME]: service.metadata.name,
            [MANAGED_BY]: MANAGER,
            ...(service.spec.clusterIP === 'None' ? { 'service.kubernetes.io/headless': '' } : {}),
          },
          ownerReferences: [controllerRef(kinds.Service, service)],
        },
        addressType: 'IPv4',
        endpoints: endpoints.slice(from, from + PER_SLICE),
        ports,
      });
    }
  }
  return slices;
}

/** One pass for one Service: `existing` are its slices that this controller manages. */
export function planSlices(
  service: Service,
  pods: Pod[],
  existing: EndpointSlice[],
  zoneOf: (node: string) => string | undefined = () => undefined,
): SlicePlan {
  const plan: SlicePlan = { create: [], update: [], remove: [] };
  const left = new Map(existing.map((slice) => [slice.metadata.name, slice]));
  const significant = ({ metadata, endpoints, ports }: EndpointSlice) =>
    canonicalJson([metadata.labels, endpoints ?? [], ports ?? []]);
  for (const slice of desiredSlices(service, pods, zoneOf)) {
    const before = left.get(slice.metadata.name);
    left.delete(slice.metadata.name);
    if (!before) plan.create.push(slice);
    else if (significant(before) !== significant(slice)) {
      plan.update.push({
        ...before,
        ...slice,
        metadata: { ...before.metadata, labels: slice.metadata.labels },
      });
    }
  }
  plan.remove = [...left.values()];
  return plan;
}

export function isManaged(slice: EndpointSlice): boolean {
  return slice.metadata.labels?.[MANAGED_BY] === MANAGER;
}
