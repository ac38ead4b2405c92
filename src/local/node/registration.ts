import { cpus, hostname, totalmem } from 'node:os';
import { kinds } from '../../api/kinds.ts';
import type { KubeObject } from '../../api/meta.ts';
import type { KubeClient } from '../../kube/types.ts';
import { systemClock } from '../../lib/clock.ts';
import { isCode } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type { NodePod } from './types.ts';
import { VERSION } from './version.ts';

const HOSTNAME = 'kubernetes.io/hostname';

function labelsOf(name: string): Record<string, string> {
  return {
    [HOSTNAME]: name,
    'kubernetes.io/os': process.platform === 'win32' ? 'windows' : process.platform,
    'kubernetes.io/arch': process.arch === 'x64' ? 'amd64' : process.arch,
    'topology.kubernetes.io/zone': 'local',
  };
}

/** Creates or refreshes the Node object, trying again while the API server is not there yet. */
export async function registerNode(
  client: KubeClient,
  options: { name: string; address: string; log: Logger; signal: AbortSignal },
): Promise<void> {
  const { name, address, log, signal } = options;
  const now = `${new Date().toISOString().slice(0, 19)}Z`;
  const resources = {
    cpu: String(cpus().length),
    memory: `${Math.floor(totalmem() / 1024)}Ki`,
    pods: '1000',
  };
  const status = {
    capacity: resources,
    allocatable: resources,
    addresses: [
      { type: 'InternalIP', address },
      { type: 'Hostname', address: hostname() },
    ],
    conditions: [
      {
        type: 'Ready',
        status: 'True',
        reason: 'KubeletReady',
        message: 'runs containers as processes',
        lastHeartbeatTime: now,
        lastTransitionTime: now,
      },
    ],
    nodeInfo: { kubeletVersion: VERSION, operatingSystem: process.platform, architecture: process.arch },
  };
  while (!signal.aborted) {
    try {
      const node: KubeObject = {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name, labels: labelsOf(name) },
        spec: {},
      };
      await client.create(kinds.Node, node).catch((thrown) => {
        if (!isCode(thrown, 'AlreadyExists')) throw thrown;
      });
      await client.patch(
        kinds.Node,
        undefined,
        name,
        { type: 'merge', body: { status } },
        { subresource: 'status' },
      );
      return;
    } catch (error) {
      log.warn({ error }, 'cannot register the node yet, trying again');
      await systemClock.sleep(100, signal).catch(() => {});
    }
  }
}

/** Why a pod cannot run on this node; undefined when it can. */
export function unschedulableReason(pod: NodePod, node: string, others: NodePod[]): string | undefined {
  const labels = labelsOf(node);
  const wrong = Object.entries(pod.spec.nodeSelector ?? {}).find(([key, value]) => labels[key] !== value);
  if (wrong)
    return `0/1 nodes are available: 1 node(s) didn't match Pod's node selector (${wrong[0]}=${wrong[1]}).`;
  const terms =
    (pod.spec as { affinity?: Affinity }).affinity?.podAntiAffinity
      ?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  const conflict = terms.some(({ labelSelector }) =>
    others.some(
      (other) =>
        other.metadata.uid !== pod.metadata.uid &&
        other.metadata.namespace === pod.metadata.namespace &&
        other.spec.nodeName === node &&
        Object.keys(labelSelector?.matchLabels ?? {}).length > 0 &&
        Object.entries(labelSelector?.matchLabels ?? {}).every(
          ([key, value]) => other.metadata.labels?.[key] === value,
        ),
    ),
  );
  return conflict ? "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules." : undefined;
}

interface Affinity {
  podAntiAffinity?: {
    requiredDuringSchedulingIgnoredDuringExecution?: {
      labelSelector?: { matchLabels?: Record<string, string> };
    }[];
  };
}

/** Binds the pod to this node and answers the bound pod, or says in its status why not. */
export async function bindPod(
  client: KubeClient,
  pod: NodePod,
  node: string,
  reason: string | undefined,
): Promise<NodePod | undefined> {
  const { namespace, name, uid } = pod.metadata;
  if (reason !== undefined) {
    const before = pod.status?.conditions as { type: string; message?: string }[] | undefined;
    if (before?.some(({ type, message }) => type === 'PodScheduled' && message === reason)) return undefined;
    const lastTransitionTime = `${new Date().toISOString().slice(0, 19)}Z`;
    const conditions = [
      { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: reason, lastTransitionTime },
    ];
    const body = { metadata: { uid }, status: { phase: 'Pending', conditions } };
    await client.patch(kinds.Pod, namespace, name, { type: 'merge', body }, { subresource: 'status' });
    return undefined;
  }
  try {
    return await client.patch<NodePod>(kinds.Pod, namespace, name, {
      type: 'merge',
      body: { metadata: { uid }, spec: { nodeName: node } },
    });
  } catch (thrown) {
    // A real API server lets nobody write nodeName but the binding subresource.
    if (!isCode(thrown, 'Invalid', 'Forbidden')) throw thrown;
    await client.request('POST', `/api/v1/namespaces/${namespace}/pods/${name}/binding`, {
      body: {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name, uid },
        target: { kind: 'Node', name: node },
      },
    });
    return client.get<NodePod>(kinds.Pod, namespace, name);
  }
}
