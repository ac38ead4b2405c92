import type { KubeObject } from '../../api/meta.ts';
import type { Discovered } from './targets.ts';

interface ContainerPort {
  name?: string;
  containerPort: number;
  protocol?: string;
}

interface Container {
  name: string;
  image?: string;
  ports?: ContainerPort[];
}

interface ContainerStatus {
  name: string;
  containerID?: string;
}

/** The parts of a Pod that discovery reads. */
export interface Pod extends KubeObject {
  spec?: { nodeName?: string; containers?: Container[]; initContainers?: Container[] };
  status?: {
    podIP?: string;
    hostIP?: string;
    phase?: string;
    conditions?: { type: string; status: string }[];
    containerStatuses?: ContainerStatus[];
    initContainerStatuses?: ContainerStatus[];
  };
}

/** A label name as Prometheus makes one of a Kubernetes key. */
export function sanitize(name: string): string {
  return name.replace(/[^a-zA-Z0-9_]/g, '_');
}

/** prometheus/discovery/kubernetes/pod.go: a target per declared port, one without a port for a container with none. */
export function podTargets(pod: Pod): Discovered[] {
  const address = pod.status?.podIP;
  if (!address) return [];
  const labels = podLabels(pod, address);
  const containers = [
    ...(pod.spec?.containers ?? []).map((container) => ({ container, init: false })),
    ...(pod.spec?.initContainers ?? []).map((container) => ({ container, init: true })),
  ];
  return containers.flatMap(({ container, init }) => {
    const statuses = init ? pod.status?.initContainerStatuses : pod.status?.containerStatuses;
    const own = {
      ...labels,
      __meta_kubernetes_pod_container_name: container.name,
      __meta_kubernetes_pod_container_image: container.image ?? '',
      __meta_kubernetes_pod_container_id:
        statuses?.find((status) => status.name === container.name)?.containerID ?? '',
      __meta_kubernetes_pod_container_init: String(init),
    };
    if (!container.ports?.length) return [{ ...own, __address__: address }];
    return container.ports.map((port) => ({
      ...own,
      __address__: address.includes(':')
        ? `[${address}]:${port.containerPort}`
        : `${address}:${port.containerPort}`,
      __meta_kubernetes_pod_container_port_number: String(port.containerPort),
      __meta_kubernetes_pod_container_port_name: port.name ?? '',
      __meta_kubernetes_pod_container_port_protocol: port.protocol ?? 'TCP',
    }));
  });
}

function podLabels({ metadata, spec, status }: Pod, address: string): Discovered {
  const prefix = '__meta_kubernetes_pod_';
  const owner = metadata.ownerReferences?.find((reference) => reference.controller);
  const ready = status?.conditions?.find((condition) => condition.type === 'Ready')?.status;
  const labels: Discovered = {
    __meta_kubernetes_namespace: metadata.namespace ?? '',
    [`${prefix}name`]: metadata.name,
    [`${prefix}ip`]: address,
    [`${prefix}ready`]: (ready ?? 'unknown').toLowerCase(),
    [`${prefix}phase`]: status?.phase ?? '',
    [`${prefix}node_name`]: spec?.nodeName ?? '',
    [`${prefix}host_ip`]: status?.hostIP ?? '',
    [`${prefix}uid`]: metadata.uid ?? '',
    [`${prefix}controller_kind`]: owner?.kind ?? '',
    [`${prefix}controller_name`]: owner?.name ?? '',
  };
  for (const kind of ['label', 'annotation'] as const) {
    for (const [key, value] of Object.entries(metadata[`${kind}s`] ?? {})) {
      labels[`${prefix}${kind}_${sanitize(key)}`] = value;
      labels[`${prefix}${kind}present_${sanitize(key)}`] = 'true';
    }
  }
  return labels;
}
