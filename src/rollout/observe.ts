import { matchesLabels } from '../api/label-selector.ts';
import { annotations, labels } from '../api/names.ts';
import type { Rollout, RolloutSpec } from '../api/rollout.ts';
import type { CachedDeployment, CachedPod, CachedReplicaSet, CachedService, CachedSlice } from './cached.ts';
import type { Command, GateProbe, Look, Observation, ReplicaSetView, ServiceView } from './machine/types.ts';
import type { ConfigMap } from './objects.ts';
import type { RouteObservation } from './ports.ts';

/** Caches of one namespace; the controller backs them by informers, tests by maps. */
export interface Sources {
  deployment(name: string): CachedDeployment | undefined;
  replicaSets(): Iterable<CachedReplicaSet>;
  pods(): Iterable<CachedPod>;
  service(name: string): CachedService | undefined;
  /** Names of Services that select pods with these labels. */
  selecting(labels: Record<string, string>): string[];
  slices(service: string): Iterable<CachedSlice>;
  gate(): ConfigMap | undefined;
  pins(): ConfigMap | undefined;
}

export interface Extras {
  route: RouteObservation;
  probe: GateProbe | undefined;
  /** Of the admission objects that make the gate. */
  gateVersion: string | undefined;
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
  const preview = spec.strategy.blueGreen?.preview?.service;
  const view = (service: CachedService | undefined) =>
    service && serviceView(service, name, readyByHash(from.slices(service.metadata.name), pods));
  const leaves = [`${spec.service.name}-stable`, `${spec.service.name}-canary`] as const;
  const own: (string | undefined)[] = [spec.service.name, preview, ...leaves];
  const pins = from.pins()?.data ?? {};
  return {
    namespace,
    name,
    generation: rollout.metadata.generation ?? 0,
    spec,
    deployment: gone
      ? undefined
      : { ...deployment.view, selectsEverything: matchesLabels(deployment.selector, canaryLabels(name)) },
    replicaSets: sets,
    root: view(from.service(spec.service.name)),
    stableLeaf: view(from.service(leaves[0])),
    canaryLeaf: view(from.service(leaves[1])),
    preview: preview ? view(from.service(preview)) : undefined,
    others: deployment
      ? from
          .selecting(deployment.templateLabels)
          .filter((service) => !own.includes(service))
          .sort()
      : [],
    gate: {
      entry: from.gate()?.data?.[`deployment.${spec.targetRef.name}`],
      pins: Object.fromEntries(
        own.flatMap((service) => {
          const pin = service && pins[`pin.${service}`];
          return pin ? [[service, pin]] : [];
        }),
      ),
      probe: extras.probe,
      version: extras.gateVersion,
    },
    route: extras.route,
    look: extras.look,
    commands: commandsOf(rollout),
  };
}

function replicaSetView(
  set: CachedReplicaSet,
  rollout: string,
  deployment: CachedDeployment | undefined,
  pods: CachedPod[],
): ReplicaSetView[] {
  const { metadata, view } = set;
  const references = metadata.ownerReferences ?? [];
  const uid = deployment?.metadata.uid;
  const referenced = deployment !== undefined && references.some((owner) => owner.uid === uid);
  const owned = referenced && references.some((owner) => owner.controller === true && owner.uid === uid);
  const ours = metadata.labels?.[labels.rollout] === rollout && metadata.labels[labels.role] === 'canary';
  const mine = set.made && ours;
  if (!mine && !referenced) return [];
  const released = owned || (deployment !== undefined && matchesLabels(deployment.selector, metadata.labels));
  const trouble = pods.find((pod) => pod.hash === view.hash && pod.trouble)?.trouble ?? set.refused;
  return [{ ...view, owned, released, canary: mine && !released, ...(trouble ? { trouble } : {}) }];
}

function serviceView(service: CachedService, rollout: string, ready: Record<string, number>): ServiceView {
  const { [labels.podTemplateHash]: hash, ...rest } = service.spec.selector ?? {};
  return {
    name: service.metadata.name,
    hash,
    selector: Object.entries(rest)
      .map(([key, value]) => `${key}=${value}`)
      .sort(),
    ports: service.ports,
    ours:
      service.metadata.labels?.[labels.rollout] === rollout &&
      service.metadata.labels[labels.managedBy] === 'weir',
    ready,
  };
}

function readyByHash(slices: Iterable<CachedSlice>, pods: CachedPod[]): Record<string, number> {
  const hashes = new Map(pods.map(({ metadata, hash }) => [metadata.name, hash]));
  const seen = new Map<string, Set<string>>();
  for (const slice of slices) {
    for (const name of slice.ready) {
      const hash = hashes.get(name);
      if (hash) seen.set(hash, (seen.get(hash) ?? new Set()).add(name));
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
  const { approve, promote, abort, retry, resume, paused } = annotations;
  return Object.fromEntries(
    Object.entries({ approve, promote, abort, retry, resume, paused }).flatMap(([verb, annotation]) => {
      const command = read(annotation);
      return command ? [[verb, command]] : [];
    }),
  );
}
