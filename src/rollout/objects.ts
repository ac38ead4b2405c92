import type { LabelSelector } from '../api/label-selector.ts';
import type { KubeObject } from '../api/meta.ts';
import type { PodTemplate } from './digest.ts';

/* The fields of core kinds that the rollout reads. Everything else passes through untouched. */

export interface Deployment extends KubeObject {
  spec: {
    replicas?: number;
    paused?: boolean;
    selector: LabelSelector;
    template: PodTemplate;
    strategy?: { type?: string; rollingUpdate?: { maxSurge?: number | string } };
    revisionHistoryLimit?: number;
    [field: string]: unknown;
  };
  status?: {
    observedGeneration?: number;
    replicas?: number;
    updatedReplicas?: number;
    readyReplicas?: number;
    availableReplicas?: number;
  };
}

export interface ReplicaSet extends KubeObject {
  spec: { replicas?: number; selector: LabelSelector; template: PodTemplate; [field: string]: unknown };
  status?: {
    replicas?: number;
    readyReplicas?: number;
    availableReplicas?: number;
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
  };
}

export interface Service extends KubeObject {
  spec: {
    selector?: Record<string, string>;
    ports?: {
      name?: string;
      port: number;
      targetPort?: number | string;
      protocol?: string;
      appProtocol?: string;
    }[];
    [field: string]: unknown;
  };
}

export interface Pod extends KubeObject {
  status?: {
    phase?: string;
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
    containerStatuses?: {
      name: string;
      restartCount?: number;
      state?: { waiting?: { reason?: string; message?: string }; terminated?: { exitCode?: number } };
    }[];
  };
}

export interface EndpointSlice extends KubeObject {
  endpoints?:
    | {
        conditions?: { ready?: boolean; terminating?: boolean };
        targetRef?: { kind?: string; name?: string };
      }[]
    | null;
}

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>;
}

export const DESIRED = 'deployment.kubernetes.io/desired-replicas';
export const MAX = 'deployment.kubernetes.io/max-replicas';
export const REVISION = 'deployment.kubernetes.io/revision';
