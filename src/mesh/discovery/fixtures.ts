import type { TrafficSplit } from '../../api/traffic-split.ts';
import type { EndpointSlice, Pod, Service } from './objects.ts';

/* Small clusters for the tests beside this file. */

export const service = (name: string, extra: Partial<Service['spec']> & { role?: string } = {}): Service => {
  const { role, ...spec } = extra;
  return {
    metadata: { name, namespace: 'shop', ...(role ? { labels: { 'weir.dev/role': role } } : {}) },
    spec: { ports: [{ port: 80, targetPort: 8080 }], ...spec },
  };
};

export const pod = (
  name: string,
  options: { hash?: string; meshed?: boolean; ready?: boolean } = {},
): Pod => {
  const { hash = 'v1', meshed = true, ready = true } = options;
  return {
    metadata: {
      name,
      namespace: 'shop',
      labels: { app: 'web', 'pod-template-hash': hash },
      annotations: meshed ? { 'weir.dev/injected': '1', 'weir.dev/inbound-ports': '{"8080":4143}' } : {},
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `web-${hash}`, uid: 'u', controller: true },
      ],
    },
    spec: { serviceAccountName: 'web' },
    status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  };
};

interface SlicePod {
  ip: string;
  pod: string;
  ready?: boolean;
  terminating?: boolean;
}

export const slice = (serviceName: string, endpoints: SlicePod[]): EndpointSlice => ({
  metadata: {
    name: `${serviceName}-1`,
    namespace: 'shop',
    labels: { 'kubernetes.io/service-name': serviceName },
  },
  addressType: 'IPv4',
  ports: [{ name: '', port: 8080 }],
  endpoints: endpoints.map(({ ip, pod: name, ready = true, terminating = false }) => ({
    addresses: [ip],
    conditions: { ready, serving: true, terminating },
    targetRef: { kind: 'Pod', name, namespace: 'shop' },
    zone: 'local',
  })),
});

export const split = (
  version: string,
  weights: Record<string, number>,
  extra: { name?: string; created?: string; service?: string } = {},
): TrafficSplit => ({
  apiVersion: 'split.smi-spec.io/v1alpha4',
  kind: 'TrafficSplit',
  metadata: {
    name: extra.name ?? 'web',
    namespace: 'shop',
    resourceVersion: version,
    creationTimestamp: extra.created ?? '2026-01-01T00:00:00Z',
  },
  spec: {
    service: extra.service ?? 'web',
    backends: Object.entries(weights).map(([name, weight]) => ({ service: name, weight })),
  },
});
