import { matchesLabels } from '../api/label-selector.ts';
import { annotations, labels } from '../api/names.ts';
import type { Rollout, RolloutSpec } from '../api/rollout.ts';
import { canonicalJson } from '../lib/canonical.ts';
import { imagesOf, templateDigest } from './digest.ts';
import type {
  Command,
  DeploymentView,
  GateProbe,
  Look,
  Observation,
  ReplicaSetView,
  ServiceView,
} from './machine/types.ts';
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
import type { RouteObservation } from './ports.ts';
import { serviceSelects } from './selector.ts';

/** Caches of one namespace; the controller backs them by informers, tests by maps. */
export interface Sources {
  deployment(name: string): Deployment | undefined;
  replicaSets(): Iterable<ReplicaSet>;
  pods(): Iterable<Pod>;
  service(name: string): Service | undefined;
  services(): Iterable<Service>;
  slices(service: string): Iterable<EndpointSlice>;
  gate(): ConfigMap | undefined;
}

export interface Extras {
  route: RouteObservation;
  probe: GateProbe | undefined;
  look: Look | undefined;
}

/** Labels of a canary ReplicaSet: none of the Deployment's, so that its controller does not see it. */
export const canaryLabels = (rollout: string): Record<string, string> => ({
  [labels.rollout]: rollout,
  [labels.role]: 'canary',
  [labels.managedBy]: 'weir',
});

export function observe(rollout: Rollout, spec: RolloutSpec, from: Sources, extras: Extras): Observation {
  const namespace = rollout.metadata.namespace!;
  const name = rollout.metadata.name;
  const deployment = from.deployment(spec.targetRef.name);
  const gone = deployment === undefined || deployment.metadata.deletionTimestamp !== undefined;
  const pods = [...from.pods()];
  const sets = [...from.replicaSets()].flatMap((set) =>
    replicaSetView(set, name, gone ? undefined : deployment, pods),
  );
  const root = from.service(spec.service.name);
  const preview = spec.strategy.blueGreen?.preview?.service;
  const view = (service: Service | undefined) =>
    service && serviceView(service, name, readyByHash(from.slices(service.metadata.name), pods));
  const leaves = [`${spec.service.name}-stable`, `${spec.service.name}-canary`];
  const gate = from.gate()?.data ?? {};
  const template = deployment?.spec.template.metadata?.labels;
  return {
    namespace,
    name,
    generation: rollout.metadata.generation ?? 0,
    spec,
    deployment: gone ? undefined : deploymentView(deployment, name),
    replicaSets: sets,
    root: view(root),
    stableLeaf: view(from.service(leaves[0]!)),
    canaryLeaf: view(from.service(leaves[1]!)),
    preview: preview ? view(from.service(preview)) : undefined,
    others: [...from.services()]
      .filter(
        (service) =>
          ![spec.service.name, preview, ...leaves].includes(service.metadata.name) &&
          serviceSelects(service.spec.selector, template),
      )
      .map(({ metadata }) => metadata.name)
      .sort(),
    gate: {
      entry: gate[`deployment.${spec.targetRef.name}`],
      pins: Object.fromEntries(
        Object.entries(gate).flatMap(([key, value]) =>
          key.startsWith('pin.') ? [[key.slice(4), value]] : [],
        ),
      ),
      probe: extras.probe,
    },
    route: extras.route,
    look: extras.look,
    commands: commandsOf(rollout),
  };
}

export function deploymentView(deployment: Deployment, rollout: string): DeploymentView {
  const { metadata, spec, status = {} } = deployment;
  const replicas = spec.replicas ?? 1;
  return {
    name: metadata.name,
    uid: metadata.uid!,
    resourceVersion: metadata.resourceVersion!,
    generation: metadata.generation ?? 0,
    observedGeneration: status.observedGeneration ?? 0,
    paused: spec.paused === true,
    pausedBy: pauser(deployment),
    replicas,
    surge: surgeOf(spec.strategy?.rollingUpdate?.maxSurge ?? '25%', replicas),
    digest: templateDigest(spec.template),
    images: imagesOf(spec.template),
    strategy: spec.strategy?.type === 'Recreate' ? 'Recreate' : 'RollingUpdate',
    revisionHistoryLimit: spec.revisionHistoryLimit ?? 10,
    selectsEverything: matchesLabels(spec.selector, canaryLabels(rollout)),
    status: {
      replicas: status.replicas ?? 0,
      updated: status.updatedReplicas ?? 0,
      ready: status.readyReplicas ?? 0,
      available: status.availableReplicas ?? 0,
    },
  };
}

/** Percentages of maxSurge round up, as the Deployment controller does. */
function surgeOf(value: number | string, replicas: number): number {
  if (typeof value === 'number') return value;
  return value.endsWith('%') ? Math.ceil((Number(value.slice(0, -1)) * replicas) / 100) : Number(value) || 0;
}

function pauser(deployment: Deployment): string | undefined {
  return (deployment.metadata.managedFields ?? [])
    .filter(({ fieldsV1, manager }) => {
      const spec = (fieldsV1 as Record<string, Record<string, unknown>> | undefined)?.['f:spec'];
      return manager !== undefined && !manager.startsWith('weir') && spec?.['f:paused'] !== undefined;
    })
    .sort((a, b) => (a.time ?? '').localeCompare(b.time ?? ''))
    .at(-1)?.manager;
}

function replicaSetView(
  set: ReplicaSet,
  rollout: string,
  deployment: Deployment | undefined,
  pods: Pod[],
): ReplicaSetView[] {
  const { metadata, spec, status = {} } = set;
  const owned =
    deployment !== undefined &&
    (metadata.ownerReferences ?? []).some(
      ({ controller, uid }) => controller === true && uid === deployment.metadata.uid,
    );
  const ours = metadata.labels?.[labels.rollout] === rollout && metadata.labels[labels.role] === 'canary';
  const mine = metadata.annotations?.[annotations.digest] !== undefined && ours;
  const referenced = (metadata.ownerReferences ?? []).some(({ uid }) => uid === deployment?.metadata.uid);
  if (!owned && !mine && !referenced) return [];
  const released =
    owned || (deployment !== undefined && matchesLabels(deployment.spec.selector, metadata.labels));
  const hash = spec.template.metadata?.labels?.[labels.podTemplateHash] ?? '';
  const trouble = troubleOf(pods, hash) ?? refusedPods(set);
  const desired = metadata.annotations?.[DESIRED];
  return [
    {
      name: metadata.name,
      uid: metadata.uid!,
      resourceVersion: metadata.resourceVersion!,
      digest: templateDigest(spec.template),
      hash,
      images: imagesOf(spec.template),
      replicas: spec.replicas ?? 1,
      current: status.replicas ?? 0,
      ready: status.readyReplicas ?? 0,
      available: status.availableReplicas ?? 0,
      desired: desired === undefined ? undefined : Number(desired),
      owned,
      released,
      canary: mine && !released,
      deleting: metadata.deletionTimestamp !== undefined,
      revision: Number(metadata.annotations?.[REVISION] ?? 0),
      ...(trouble ? { trouble } : {}),
    },
  ];
}

/** A quota or an admission plug-in that refuses pods: there is no pod to ask. */
function refusedPods({ status }: ReplicaSet): string | undefined {
  const failure = status?.conditions?.find(
    ({ type, status: value }) => type === 'ReplicaFailure' && value === 'True',
  );
  return failure && `pods are refused: ${failure.message ?? failure.reason ?? 'ReplicaFailure'}`;
}

/** What a person would find in `kubectl describe pod`, for the first pod that is in trouble. */
function troubleOf(pods: Pod[], hash: string): string | undefined {
  for (const { metadata, status } of pods) {
    if (metadata.labels?.[labels.podTemplateHash] !== hash || metadata.deletionTimestamp) continue;
    const unscheduled = status?.conditions?.find(
      ({ type, status: value }) => type === 'PodScheduled' && value === 'False',
    );
    if (unscheduled) return `${metadata.name} is not scheduled: ${unscheduled.message ?? unscheduled.reason}`;
    for (const container of status?.containerStatuses ?? []) {
      const waiting = container.state?.waiting;
      if (!waiting?.reason || ['ContainerCreating', 'PodInitializing'].includes(waiting.reason)) continue;
      return `${metadata.name}: ${waiting.reason}${waiting.message ? ` (${waiting.message.slice(0, 200)})` : ''}`;
    }
  }
  return undefined;
}

export const portsKey = (service: Service): string =>
  canonicalJson(
    (service.spec.ports ?? []).map(({ name, port, targetPort, protocol, appProtocol }) => ({
      name,
      port,
      targetPort: targetPort ?? port,
      protocol: protocol ?? 'TCP',
      appProtocol,
    })),
  );

function serviceView(service: Service, rollout: string, ready: Record<string, number>): ServiceView {
  const { [labels.podTemplateHash]: hash, ...rest } = service.spec.selector ?? {};
  return {
    name: service.metadata.name,
    hash,
    selector: Object.entries(rest)
      .map(([key, value]) => `${key}=${value}`)
      .sort(),
    ports: portsKey(service),
    ours:
      service.metadata.labels?.[labels.rollout] === rollout &&
      service.metadata.labels[labels.managedBy] === 'weir',
    ready,
  };
}

function readyByHash(slices: Iterable<EndpointSlice>, pods: Pod[]): Record<string, number> {
  const hashes = new Map(
    pods.map(({ metadata }) => [metadata.name, metadata.labels?.[labels.podTemplateHash]]),
  );
  const seen = new Map<string, Set<string>>();
  for (const slice of slices) {
    for (const { conditions, targetRef } of slice.endpoints ?? []) {
      const hash = targetRef?.name === undefined ? undefined : hashes.get(targetRef.name);
      if (conditions?.ready === false || !hash) continue;
      seen.set(hash, (seen.get(hash) ?? new Set()).add(targetRef!.name!));
    }
  }
  return Object.fromEntries([...seen].map(([hash, names]) => [hash, names.size]));
}

function commandsOf(rollout: Rollout): Observation['commands'] {
  const read = (annotation: string): Command | undefined => {
    const text = rollout.metadata.annotations?.[annotation];
    if (text === undefined) return undefined;
    try {
      const { id, by, at, full } = JSON.parse(text) as Partial<Command>;
      if (typeof id === 'string') {
        return { id, by: by ?? 'somebody', at: at ?? '', ...(full === true ? { full } : {}) };
      }
    } catch {
      // Written by hand with kubectl: the text itself is the id.
    }
    return { id: text, by: 'kubectl annotate', at: '' };
  };
  const { approve, promote, abort, retry, paused } = annotations;
  return Object.fromEntries(
    Object.entries({ approve, promote, abort, retry, paused }).flatMap(([verb, annotation]) => {
      const command = read(annotation);
      return command ? [[verb, command]] : [];
    }),
  );
}
