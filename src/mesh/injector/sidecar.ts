import { annotations, IDENTITY_AUDIENCE, labels, ports, TRUST_CONFIG_MAP } from '../../api/names.ts';
import { readLimits } from '../../api/proxy-limits.ts';
import type { ResolvedInjectOptions } from './options.ts';
import type { OutboundListener } from './outbound.ts';
import {
  type Container,
  type EnvVar,
  IDENTITY_VOLUME,
  type PodLike,
  PROXY_CONTAINER,
  TRUST_VOLUME,
} from './pod.ts';

const TRUST_DIRECTORY = '/var/run/weir/trust';
const IDENTITY_DIRECTORY = '/var/run/weir/identity';
/** The user of Weir's image. */
const IMAGE_USER = 65_532;

export interface InboundListener {
  listen: number;
  forward: number;
}

const field = (name: string, fieldPath: string): EnvVar => ({ name, valueFrom: { fieldRef: { fieldPath } } });

/** What differs with the way in which traffic comes to the proxy. */
export interface Wiring {
  env: EnvVar[];
  ports: { name: string; containerPort: number }[];
  user: number;
  admin: number;
  /** More of the container: probes. */
  more?: Partial<Container>;
}

export const explicitWiring = (inbound: InboundListener[], outbound: OutboundListener[]): Wiring => ({
  env: [
    { name: 'WEIR_INBOUND', value: JSON.stringify(inbound) },
    { name: 'WEIR_OUTBOUND', value: JSON.stringify(outbound) },
  ],
  ports: inbound.map(({ listen }, index) => ({
    name: index === 0 ? 'weir-mesh' : `weir-mesh-${index}`,
    containerPort: listen,
  })),
  user: IMAGE_USER,
  admin: ports.admin,
});

/** The pod's setting `config.weir.dev/<name>`. */
export const setting = (pod: PodLike, name: string): string | undefined =>
  pod.metadata?.annotations?.[`${annotations.configPrefix}${name}`];

/** The image of the proxy and of what prepares its pod. */
export const imageOf = (pod: PodLike, options: ResolvedInjectOptions): string =>
  setting(pod, 'proxy-image') ?? options.image;

/** The proxy's container: least privilege, small requests, ready when the proxy is. */
export function proxyContainer(pod: PodLike, options: ResolvedInjectOptions, wiring: Wiring): Container {
  const config = (name: string) => setting(pod, name);
  const deployment = options.workload ?? deploymentOf(pod);
  return {
    name: PROXY_CONTAINER,
    image: imageOf(pod, options),
    args: ['proxy'],
    ...(options.sidecar === 'native' ? { restartPolicy: 'Always' } : {}),
    env: [
      field('POD_IP', 'status.podIP'),
      field('POD_NAME', 'metadata.name'),
      field('POD_NAMESPACE', 'metadata.namespace'),
      field('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
      field('WEIR_REVISION', `metadata.labels['${revisionLabel(pod)}']`),
      ...(deployment ? [{ name: 'WEIR_DEPLOYMENT', value: deployment }] : []),
      // Kubernetes copies it from the node since 1.35 (KEP-4742); before, nothing is preferred.
      field('WEIR_ZONE', "metadata.labels['topology.kubernetes.io/zone']"),
      ...observed(config, options),
      ...limited(pod),
      { name: 'WEIR_MESH', value: options.meshAddress },
      { name: 'WEIR_TRUST_DOMAIN', value: options.trustDomain },
      { name: 'WEIR_TRUST', value: `${TRUST_DIRECTORY}/ca.pem` },
      { name: 'WEIR_TOKEN', value: `${IDENTITY_DIRECTORY}/token` },
      ...wiring.env,
      { name: 'WEIR_ADMIN', value: `:${wiring.admin}` },
    ],
    ports: [
      { name: 'weir-admin', containerPort: wiring.admin, protocol: 'TCP' },
      ...wiring.ports.map((port) => ({ ...port, protocol: 'TCP' })),
    ],
    ...wiring.more,
    readinessProbe: {
      httpGet: { path: '/ready', port: wiring.admin },
      periodSeconds: 1,
      timeoutSeconds: 1,
      failureThreshold: 3,
    },
    resources: {
      requests: {
        cpu: config('proxy-cpu-request') ?? '10m',
        memory: config('proxy-memory-request') ?? '64Mi',
      },
      limits: { memory: config('proxy-memory-limit') ?? '256Mi' },
    },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: wiring.user,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    volumeMounts: [
      { name: TRUST_VOLUME, mountPath: TRUST_DIRECTORY, readOnly: true },
      { name: IDENTITY_VOLUME, mountPath: IDENTITY_DIRECTORY, readOnly: true },
    ],
  };
}

const LIMITS = 'proxy-limits';

/** What the pod or its namespace limits the proxy to. Throws Invalid, naming what is wrong. */
function limited(pod: PodLike): EnvVar[] {
  const text = setting(pod, LIMITS);
  if (text === undefined) return [];
  const limits = readLimits(text, `annotation ${annotations.configPrefix}${LIMITS}`);
  return Object.keys(limits).length > 0 ? [{ name: 'WEIR_LIMITS', value: JSON.stringify(limits) }] : [];
}

/** Tracing and the access log, where the pod, its namespace or the mesh asks for them. */
function observed(config: (name: string) => string | undefined, options: ResolvedInjectOptions): EnvVar[] {
  const otlp = config('trace-otlp') ?? options.traceOtlp;
  const values = {
    WEIR_TRACE_OTLP: otlp === 'off' ? undefined : otlp,
    WEIR_TRACE_SAMPLE: config('trace-sample') ?? options.traceSample,
    WEIR_ACCESS_LOG: config('access-log'),
  };
  return Object.entries(values).flatMap(([name, value]) => (value ? [{ name, value }] : []));
}

/** The mesh's roots, and a token that only `weir mesh` accepts. */
export const proxyVolumes = (): { name: string; [field: string]: unknown }[] => [
  {
    name: TRUST_VOLUME,
    projected: {
      sources: [{ configMap: { name: TRUST_CONFIG_MAP, items: [{ key: 'ca.pem', path: 'ca.pem' }] } }],
    },
  },
  {
    name: IDENTITY_VOLUME,
    projected: {
      sources: [
        { serviceAccountToken: { audience: IDENTITY_AUDIENCE, expirationSeconds: 3600, path: 'token' } },
      ],
    },
  },
];

/** StatefulSets and DaemonSets name their revision in a label of their own. */
function revisionLabel(pod: PodLike): string {
  const own = pod.metadata?.labels ?? {};
  return own['controller-revision-hash'] !== undefined && own[labels.podTemplateHash] === undefined
    ? 'controller-revision-hash'
    : labels.podTemplateHash;
}

/** The workload's name: what `dst_deployment` of its peers and `deployment` of its own metrics say. */
function deploymentOf(pod: PodLike): string | undefined {
  const { labels: own = {}, ownerReferences = [] } = pod.metadata ?? {};
  const owner = ownerReferences.find(({ controller }) => controller);
  const app = own['app.kubernetes.io/name'] ?? own.app;
  if (!owner) return app;
  if (owner.kind !== 'ReplicaSet') return owner.name;
  const hash = own[labels.podTemplateHash];
  if (hash && owner.name.endsWith(`-${hash}`)) return owner.name.slice(0, -hash.length - 1);
  return app ?? owner.name.replace(/-[^-]+$/, '');
}
