import { annotations, labels, spiffeId } from '../../api/names.ts';
import { inPorts, readPorts } from '../interception/ports.ts';
import type { PortRange } from '../interception/rules.ts';
import { canonicalIp } from './destination-key.ts';
import type { Pod } from './objects.ts';

/** What discovery keeps of a pod: a few strings instead of the whole object. */
export interface PodInfo {
  namespace: string;
  name: string;
  /** Application port -> mesh port; undefined when the pod has no sidecar. */
  meshPorts?: Record<string, number>;
  /** All its inbound ports but these go through its sidecar, which takes mutual TLS on each. */
  notIntercepted?: PortRange[];
  /** Its own; none when it shares the node's, or has ended and they may be another's. */
  ips: string[];
  /** Ports on which detection would only cost time. */
  opaque: PortRange[];
  identity: string;
  revision?: string;
  deployment?: string;
  injected: boolean;
  /** Ready, and not on its way out. */
  ready: boolean;
}

/** Reads a pod; `trustDomain` makes the identity its mesh port must prove. */
export function podInfo(pod: Pod, trustDomain: string): PodInfo {
  const { metadata } = pod;
  const namespace = metadata.namespace ?? 'default';
  const revision = metadata.labels?.[labels.podTemplateHash] ?? metadata.labels?.['controller-revision-hash'];
  const deployment = ownerName(pod, revision);
  const meshPorts = parsePorts(metadata.annotations?.[annotations.inboundPorts]);
  const notIntercepted = metadata.annotations?.[annotations.notIntercepted];
  return {
    namespace,
    name: metadata.name,
    ...(meshPorts ? { meshPorts } : {}),
    ...(notIntercepted === undefined ? {} : { notIntercepted: readPorts(notIntercepted) }),
    ips: ipsOf(pod),
    opaque: readPorts(metadata.annotations?.[`${annotations.configPrefix}opaque-ports`]),
    identity: spiffeId(namespace, pod.spec?.serviceAccountName ?? 'default', trustDomain),
    ...(revision ? { revision } : {}),
    ...(deployment ? { deployment } : {}),
    injected: metadata.annotations?.[annotations.injected] !== undefined,
    ready:
      !metadata.deletionTimestamp &&
      (pod.status?.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'True'),
  };
}

/** The port on which the pod's proxy takes what is meant for `port`; undefined: not reached through a proxy. */
export function meshPort(info: PodInfo, port: number): number | undefined {
  if (info.notIntercepted) return inPorts(info.notIntercepted, port) ? undefined : port;
  return info.meshPorts?.[String(port)];
}

function ipsOf({ spec, status }: Pod): string[] {
  if (spec?.hostNetwork || status?.phase === 'Succeeded' || status?.phase === 'Failed') return [];
  const all = status?.podIPs?.map(({ ip }) => ip) ?? [status?.podIP];
  return all.flatMap((ip) => (ip && canonicalIp(ip)) || []);
}

function parsePorts(text: string | undefined): Record<string, number> | undefined {
  if (!text) return undefined;
  try {
    const parsed: unknown = JSON.parse(text);
    if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed)) return undefined;
    const entries = Object.entries(parsed).filter(([, port]) => Number.isInteger(port) && port > 0);
    return entries.length > 0 ? Object.fromEntries(entries) : undefined;
  } catch {
    // Written by hand and broken: the pod is reached as if it had no sidecar, which always works.
    return undefined;
  }
}

/** The workload behind the pod: `web` of ReplicaSet `web-5d4f`, else the label `app`. */
function ownerName(pod: Pod, revision: string | undefined): string | undefined {
  const owner = (pod.metadata.ownerReferences ?? []).find(({ controller }) => controller);
  const app = pod.metadata.labels?.['app.kubernetes.io/name'] ?? pod.metadata.labels?.app;
  if (!owner) return app;
  if (owner.kind !== 'ReplicaSet') return owner.name;
  if (revision && owner.name.endsWith(`-${revision}`)) return owner.name.slice(0, -revision.length - 1);
  return app ?? owner.name.replace(/-[^-]+$/, '');
}
