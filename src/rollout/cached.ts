import type { LabelSelector } from '../api/label-selector.ts';
import type { KubeObject, ObjectMeta } from '../api/meta.ts';
import { annotations, labels } from '../api/names.ts';
import type { Rollout } from '../api/rollout.ts';
import { canonicalJson } from '../lib/canonical.ts';
import { imagesOf, templateDigest } from './digest.ts';
import type { DeploymentView, ReplicaSetView } from './machine/types.ts';
import {
  type ConfigMap,
  DESIRED,
  type Deployment,
  type EndpointSlice,
  type Pod,
  REVISION,
  type ReplicaSet,
  type Service,
} from './objects.ts';

/*
 * What the caches keep of each kind. Ten thousand Rollouts mean a hundred thousand objects, nearly all of them pod
 * templates and managed fields that nothing here reads; and a digest is computed once per change, not once per look.
 */

export interface CachedDeployment extends KubeObject {
  view: Omit<DeploymentView, 'selectsEverything'>;
  selector: LabelSelector;
  templateLabels: Record<string, string>;
  /** Of those that are paused, which are few. */
  held?: HeldDeployment;
}

/** What becomes a canary, raw as it came. */
export interface HeldDeployment extends KubeObject {
  spec: Pick<Deployment['spec'], 'selector' | 'template'> & { minReadySeconds?: unknown };
}

export interface CachedReplicaSet extends KubeObject {
  view: Omit<ReplicaSetView, 'owned' | 'released' | 'canary' | 'trouble'>;
  /** Carries Weir's digest: made by Weir. */
  made: boolean;
  /** A quota or an admission plug-in that refuses pods: there is no pod to ask. */
  refused: string | undefined;
}

export interface CachedPod extends KubeObject {
  hash: string;
  /** What a person would find in `kubectl describe pod`. */
  trouble: string | undefined;
}

export interface CachedService extends KubeObject {
  spec: Pick<Service['spec'], 'selector' | 'ports'>;
  /** Ports as comparable text. */
  ports: string;
}

export interface CachedSlice extends KubeObject {
  service: string;
  /** Names of the pods behind its ready endpoints. */
  ready: string[];
}

export type CachedRollout = Rollout & KubeObject;

const identityOf = ({ metadata }: KubeObject): ObjectMeta => ({
  name: metadata.name,
  ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
  uid: metadata.uid,
  resourceVersion: metadata.resourceVersion,
  ...(metadata.deletionTimestamp ? { deletionTimestamp: metadata.deletionTimestamp } : {}),
});

export function cachedDeployment(object: KubeObject): CachedDeployment {
  const { metadata, spec, status = {} } = object as Deployment;
  const replicas = spec.replicas ?? 1;
  const { selector, template, minReadySeconds } = spec;
  const identity = identityOf(object);
  return {
    metadata: identity,
    selector,
    templateLabels: template.metadata?.labels ?? {},
    ...(spec.paused ? { held: { metadata: identity, spec: { selector, template, minReadySeconds } } } : {}),
    view: {
      name: metadata.name,
      uid: metadata.uid!,
      resourceVersion: metadata.resourceVersion!,
      generation: metadata.generation ?? 0,
      observedGeneration: status.observedGeneration ?? 0,
      paused: spec.paused === true,
      pausedBy: pauser(metadata),
      replicas,
      surge: surgeOf(spec.strategy?.rollingUpdate?.maxSurge ?? '25%', replicas),
      digest: templateDigest(template),
      images: imagesOf(template),
      strategy: spec.strategy?.type === 'Recreate' ? 'Recreate' : 'RollingUpdate',
      revisionHistoryLimit: spec.revisionHistoryLimit ?? 10,
      status: {
        replicas: status.replicas ?? 0,
        updated: status.updatedReplicas ?? 0,
        ready: status.readyReplicas ?? 0,
        available: status.availableReplicas ?? 0,
      },
    },
  };
}

/** Percentages of maxSurge round up, as the Deployment controller does. */
function surgeOf(value: number | string, replicas: number): number {
  if (typeof value === 'number') return value;
  return value.endsWith('%') ? Math.ceil((Number(value.slice(0, -1)) * replicas) / 100) : Number(value) || 0;
}

function pauser({ managedFields = [] }: ObjectMeta): string | undefined {
  return managedFields
    .filter(({ fieldsV1, manager }) => {
      const spec = (fieldsV1 as Record<string, Record<string, unknown>> | undefined)?.['f:spec'];
      return manager !== undefined && !manager.startsWith('weir') && spec?.['f:paused'] !== undefined;
    })
    .sort((a, b) => (a.time ?? '').localeCompare(b.time ?? ''))
    .at(-1)?.manager;
}

export function cachedReplicaSet(object: KubeObject): CachedReplicaSet {
  const { metadata, spec, status = {} } = object as ReplicaSet;
  const desired = metadata.annotations?.[DESIRED];
  const failure = status.conditions?.find(
    ({ type, status: value }) => type === 'ReplicaFailure' && value === 'True',
  );
  return {
    metadata: {
      ...identityOf(object),
      ...(metadata.labels ? { labels: metadata.labels } : {}),
      ...(metadata.ownerReferences ? { ownerReferences: metadata.ownerReferences } : {}),
    },
    made: metadata.annotations?.[annotations.digest] !== undefined,
    refused: failure && `pods are refused: ${failure.message ?? failure.reason ?? 'ReplicaFailure'}`,
    view: {
      name: metadata.name,
      uid: metadata.uid!,
      resourceVersion: metadata.resourceVersion!,
      digest: templateDigest(spec.template),
      hash: spec.template.metadata?.labels?.[labels.podTemplateHash] ?? '',
      images: imagesOf(spec.template),
      replicas: spec.replicas ?? 1,
      current: status.replicas ?? 0,
      ready: status.readyReplicas ?? 0,
      available: status.availableReplicas ?? 0,
      desired: desired === undefined ? undefined : Number(desired),
      deleting: metadata.deletionTimestamp !== undefined,
      revision: Number(metadata.annotations?.[REVISION] ?? 0),
    },
  };
}

export function cachedPod(object: KubeObject): CachedPod {
  const { metadata } = object;
  const owner = metadata.ownerReferences?.find(({ controller }) => controller);
  return {
    metadata: { ...identityOf(object), ...(owner ? { ownerReferences: [owner] } : {}) },
    hash: metadata.labels?.[labels.podTemplateHash] ?? '',
    trouble: troubleOf(object as Pod),
  };
}

function troubleOf({ metadata, status }: Pod): string | undefined {
  if (metadata.deletionTimestamp) return undefined;
  const unscheduled = status?.conditions?.find(
    ({ type, status: value }) => type === 'PodScheduled' && value === 'False',
  );
  if (unscheduled) return `${metadata.name} is not scheduled: ${unscheduled.message ?? unscheduled.reason}`;
  for (const container of status?.containerStatuses ?? []) {
    const waiting = container.state?.waiting;
    if (!waiting?.reason || ['ContainerCreating', 'PodInitializing'].includes(waiting.reason)) continue;
    return `${metadata.name}: ${waiting.reason}${waiting.message ? ` (${waiting.message.slice(0, 200)})` : ''}`;
  }
  return undefined;
}

export function cachedService(object: KubeObject): CachedService {
  const { metadata, spec } = object as Service;
  const { selector, ports } = spec;
  return {
    metadata: { ...identityOf(object), ...(metadata.labels ? { labels: metadata.labels } : {}) },
    spec: { ...(selector ? { selector } : {}), ...(ports ? { ports } : {}) },
    ports: portsKey(ports),
  };
}

const portsKey = (ports: Service['spec']['ports'] = []): string =>
  canonicalJson(
    ports.map(({ name, port, targetPort, protocol, appProtocol }) => ({
      name,
      port,
      targetPort: targetPort ?? port,
      protocol: protocol ?? 'TCP',
      appProtocol,
    })),
  );

export function cachedSlice(object: KubeObject): CachedSlice {
  const { metadata, endpoints } = object as EndpointSlice;
  return {
    metadata: identityOf(object),
    service: metadata.labels?.['kubernetes.io/service-name'] ?? '',
    // A real API server writes an empty list of Go's as null.
    ready: (endpoints ?? []).flatMap(({ conditions, targetRef }) =>
      conditions?.ready === false || !targetRef?.name ? [] : [targetRef.name],
    ),
  };
}

export function cachedGate(object: KubeObject): ConfigMap {
  const { data } = object as ConfigMap;
  return { metadata: identityOf(object), ...(data ? { data } : {}) };
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** Its status is written as a whole with what was read; metadata is only patched, so what is left out here is kept. */
export function cachedRollout(object: KubeObject): CachedRollout {
  const { managedFields: _managed, annotations: notes, ...metadata } = object.metadata;
  const { [LAST_APPLIED]: _applied, ...kept } = notes ?? {};
  return { ...object, metadata: { ...metadata, annotations: kept } } as CachedRollout;
}
