import type { Condition, KubeObject } from '../api/meta.ts';

export type Health =
  | { status: 'Current' }
  | { status: 'InProgress'; message: string }
  | { status: 'Failed'; message: string };

const CURRENT: Health = { status: 'Current' };
const inProgress = (message: string): Health => ({ status: 'InProgress', message });
const failed = (message: string): Health => ({ status: 'Failed', message });

/** kstatus (sigs.k8s.io/cli-utils) for what is in a repository: is the object what its spec asks for? */
export function healthOf(object: KubeObject): Health {
  if (object.metadata.deletionTimestamp) return inProgress('is being deleted');
  const status = (object.status ?? {}) as Record<string, unknown> & { conditions?: Condition[] };
  const observed = status.observedGeneration;
  if (typeof observed === 'number' && observed < (object.metadata.generation ?? 0)) {
    return inProgress('the newest spec has not been seen yet');
  }
  const condition = (type: string) => status.conditions?.find((entry) => entry.type === type);
  const stalled = condition('Stalled');
  if (stalled?.status === 'True') return failed(stalled.message || stalled.reason);
  const reconciling = condition('Reconciling');
  if (reconciling?.status === 'True') return inProgress(reconciling.message || reconciling.reason);
  switch (object.kind) {
    case 'Deployment':
      return deployment(object, status, condition);
    case 'StatefulSet':
    case 'ReplicaSet':
      return counted(object, Number(status.readyReplicas ?? 0));
    case 'DaemonSet': {
      const wanted = Number(status.desiredNumberScheduled ?? 0);
      const ready = Number(status.numberReady ?? 0);
      return ready >= wanted ? CURRENT : inProgress(`${ready} of ${wanted} pods are ready`);
    }
    case 'Job': {
      if (condition('Failed')?.status === 'True')
        return failed(condition('Failed')?.message ?? 'the job failed');
      return condition('Complete')?.status === 'True' ? CURRENT : inProgress('the job runs');
    }
    case 'Pod':
      if (status.phase === 'Failed') return failed('the pod failed');
      return status.phase === 'Succeeded' || condition('Ready')?.status === 'True'
        ? CURRENT
        : inProgress('the pod is not ready');
    case 'CustomResourceDefinition':
      return condition('Established')?.status === 'True' ? CURRENT : inProgress('is not served yet');
    case 'Rollout':
      if (!status.conditions) return inProgress('the controller has not seen it yet');
      break;
    default:
  }
  const ready = condition('Ready');
  return ready && ready.status !== 'True' ? inProgress(ready.message || ready.reason) : CURRENT;
}

function deployment(
  object: KubeObject,
  status: Record<string, unknown>,
  condition: (type: string) => Condition | undefined,
): Health {
  const spec = (object.spec ?? {}) as { replicas?: number; paused?: boolean };
  if (status.observedGeneration === undefined) return inProgress('has not been seen yet');
  // Under a gate this is the truth: the new version is not out before it is promoted.
  if (spec.paused) return inProgress('is paused');
  const progressing = condition('Progressing');
  if (progressing?.reason === 'ProgressDeadlineExceeded') return failed(progressing.message);
  const wanted = spec.replicas ?? 1;
  const number = (field: string) => Number(status[field] ?? 0);
  if (number('updatedReplicas') < wanted)
    return inProgress(`${number('updatedReplicas')} of ${wanted} pods are updated`);
  if (number('replicas') > number('updatedReplicas')) return inProgress('old pods are still there');
  if (number('availableReplicas') < wanted)
    return inProgress(`${number('availableReplicas')} of ${wanted} pods are available`);
  return CURRENT;
}

function counted(object: KubeObject, ready: number): Health {
  const wanted = (object.spec as { replicas?: number } | undefined)?.replicas ?? 1;
  return ready >= wanted ? CURRENT : inProgress(`${ready} of ${wanted} pods are ready`);
}
