import type { Condition } from '../../api/meta.ts';
import type { ContainerStatus, NodePod } from './types.ts';

type PodCondition = Pick<Condition, 'type' | 'status' | 'lastTransitionTime'> & {
  reason?: string;
  message?: string;
};

export interface PodFacts {
  pod: NodePod;
  podIP: string;
  hostIP: string;
  startTime: string;
  initialized: boolean;
  init: ContainerStatus[];
  containers: ContainerStatus[];
  /** The conditions as last written. */
  before: PodCondition[];
  now: string;
}

const finished = ({ state }: ContainerStatus): boolean => state.terminated !== undefined;

/** Phase by the kubelet's rules: restarting containers keep a pod Running. */
export function phaseOf({ pod, initialized, init, containers }: PodFacts): string {
  const policy = pod.spec.restartPolicy ?? 'Always';
  const failed = ({ state }: ContainerStatus) =>
    state.terminated !== undefined && state.terminated.exitCode !== 0;
  if (!initialized) return policy === 'Never' && init.some(failed) ? 'Failed' : 'Pending';
  if (containers.every(({ state, restartCount }) => state.waiting && restartCount === 0)) return 'Pending';
  const willRestart = (status: ContainerStatus) =>
    !pod.metadata.deletionTimestamp && (policy === 'Always' || (policy === 'OnFailure' && failed(status)));
  if (!containers.every(finished) || containers.some(willRestart)) return 'Running';
  return containers.some(failed) ? 'Failed' : 'Succeeded';
}

/** The status of a pod from the states of its containers. */
export function statusOf(facts: PodFacts): Record<string, unknown> {
  const { pod, podIP, hostIP, startTime, initialized, init, containers, before, now } = facts;
  const phase = phaseOf(facts);
  const waiting = containers.filter(({ ready }) => !ready).map(({ name }) => name);
  const ready = phase === 'Running' && waiting.length === 0;
  const condition = (type: string, value: boolean, reason?: string, message?: string): PodCondition => {
    const status = value ? 'True' : 'False';
    const last = before.find((each) => each.type === type);
    return {
      type,
      status,
      lastTransitionTime: last?.status === status ? last.lastTransitionTime : now,
      ...(value || !reason ? {} : { reason }),
      ...(value || !message ? {} : { message }),
    };
  };
  const done = phase === 'Succeeded' ? 'PodCompleted' : 'ContainersNotReady';
  const message = `containers with unready status: [${waiting.join(' ')}]`;
  return {
    phase,
    hostIP,
    hostIPs: [{ ip: hostIP }],
    podIP,
    podIPs: [{ ip: podIP }],
    startTime,
    conditions: [
      condition('PodScheduled', true),
      condition('Initialized', initialized, 'ContainersNotInitialized'),
      condition('ContainersReady', ready, done, message),
      condition('Ready', ready, done, message),
    ],
    ...(pod.spec.initContainers?.length ? { initContainerStatuses: init } : {}),
    containerStatuses: containers,
  };
}
