import { type RolloutSpec, rolloutSpecSchema } from '../../api/rollout.ts';
import type { DeploymentView, ReplicaSetView, ServiceView } from './types.ts';

export const digest = (version: string): string => `digest-${version}`.padEnd(20, '0');

export function deploymentView(
  version: string,
  replicas: number,
  uid: string,
  resourceVersion: string,
): DeploymentView {
  return {
    name: 'web',
    uid,
    resourceVersion,
    generation: 1,
    observedGeneration: 0,
    paused: false,
    pausedBy: undefined,
    replicas,
    surge: 1,
    digest: digest(version),
    images: [`app:${version}`],
    strategy: 'RollingUpdate',
    revisionHistoryLimit: 10,
    selectsEverything: false,
    status: { replicas: 0, updated: 0, ready: 0, available: 0 },
  };
}

export function replicaSetView(
  name: string,
  uid: string,
  resourceVersion: string,
  { owned, ...of }: { digest: string; images: string[]; owned: boolean },
): ReplicaSetView {
  return {
    ...of,
    name,
    uid,
    resourceVersion,
    hash: name.slice(4),
    replicas: 0,
    current: 0,
    ready: 0,
    available: 0,
    desired: undefined,
    owned,
    released: owned,
    canary: !owned,
    deleting: false,
    revision: 0,
  };
}

export function service(name: string, ours: boolean): ServiceView {
  return { name, hash: undefined, selector: ['app=web'], ports: '80', ours, ready: {} };
}

export const parse = (spec: object): RolloutSpec =>
  rolloutSpecSchema.parse({
    targetRef: { name: 'web' },
    service: { name: 'web', port: 80 },
    strategy: { canary: { weights: [10, 50], dwell: '1m' } },
    ...spec,
  });
