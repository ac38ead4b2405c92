import type { Turn } from './context.ts';
import type { ReplicaSetView, Run, ServiceView } from './types.ts';

/*
 * Goals look at the world and ask for what is missing. They answer true only when the observation shows that it is
 * done, so a turn that is lost, repeated or cut short by a crash is made good by the next one.
 */

export const canaryOf = (turn: Turn, run: Run): ReplicaSetView | undefined =>
  turn.observation.replicaSets.find(({ name }) => name === run.replicaSet);

export const leafNames = (turn: Turn) => {
  const { name } = turn.observation.spec.service;
  return { stable: `${name}-stable`, canary: `${name}-canary` };
};

/** The Service carries the hash in its selector, and the gate's data keeps it there. undefined: neither does. */
export function pinned(turn: Turn, service: ServiceView | undefined, hash: string | undefined): boolean {
  if (!service) return true;
  const data = turn.observation.gate.pins[service.name];
  const expected = hash === undefined ? undefined : [hash, ...service.selector].join('|');
  if (service.hash === hash && data === expected) return true;
  turn.effects.push({ kind: 'pin-service', service: service.name, hash });
  return false;
}

export function leaf(turn: Turn, role: 'stable' | 'canary' | 'preview', hash: string | undefined): boolean {
  const { observation } = turn;
  const root = observation.root;
  if (!root) return false;
  if (role === 'preview') {
    const name = observation.spec.strategy.blueGreen?.preview?.service;
    if (!name) return true;
    if (observation.preview && !observation.preview.ours) return pinned(turn, observation.preview, hash);
    return owned(turn, role, name, observation.preview, root, hash);
  }
  const view = role === 'stable' ? observation.stableLeaf : observation.canaryLeaf;
  return owned(turn, role, leafNames(turn)[role], view, root, hash);
}

function owned(
  turn: Turn,
  role: 'stable' | 'canary' | 'preview',
  name: string,
  view: ServiceView | undefined,
  root: ServiceView,
  hash: string | undefined,
): boolean {
  const same =
    view?.ours === true &&
    view.hash === hash &&
    view.selector.join('|') === root.selector.join('|') &&
    view.ports === root.ports;
  if (same) return true;
  turn.effects.push({ kind: 'ensure-leaf', role, service: name, hash });
  return false;
}

export function gateEntry(turn: Turn): boolean {
  if (turn.observation.gate.entry === turn.observation.name) return true;
  turn.effects.push({ kind: 'ensure-gate-entry' });
  return false;
}

export function routeExists(turn: Turn): boolean {
  if (turn.observation.route.weights !== undefined) return true;
  turn.effects.push({ kind: 'ensure-route' });
  return false;
}

/** In place as seen in the router's own store; a hand edit is put back by asking again. */
export function weightsSet(turn: Turn, canary: number): boolean {
  const { weights } = turn.observation.route;
  if (weights?.canary === canary && weights.stable === 100 - canary) return true;
  turn.effects.push({ kind: 'set-weights', stable: 100 - canary, canary });
  return false;
}

/** How far the proxies are, for a message. */
export function acknowledgedText(turn: Turn): string {
  const { proxies, of, why } = turn.observation.route.acknowledged;
  return `${proxies} of ${of}${why === undefined ? '' : ` (${why})`}`;
}

export function scaled(turn: Turn, set: ReplicaSetView, replicas: number): boolean {
  const { deployment } = turn.observation;
  const desired = deployment!.replicas;
  if (set.replicas === replicas && set.desired === desired) return true;
  turn.effects.push({
    kind: 'scale-replica-set',
    name: set.name,
    replicas,
    desired,
    max: desired + deployment!.surge,
  });
  return false;
}

/**
 * What is in place at rest: the gate's entry, nothing pinned, and, where a run has made them before, the route at 100/0 and a
 * stable leaf without a hash; of the canary's only that the name is not somebody else's. The pins go first: after a Deployment was re-created or changed past
 * the gate they may select nothing at all.
 */
export function atRest(turn: Turn): boolean {
  const { root, route, stableLeaf, canaryLeaf } = turn.observation;
  if (!root) return false;
  const routed = route.version !== undefined;
  const done = [
    gateEntry(turn),
    pinned(turn, root, undefined),
    (!routed && !stableLeaf) || leaf(turn, 'stable', undefined),
    !canaryLeaf || canaryLeaf.ours || leaf(turn, 'canary', undefined),
    leaf(turn, 'preview', undefined),
    !routed || (routeExists(turn) && weightsSet(turn, 0)),
  ];
  return done.every(Boolean);
}

/** Old ReplicaSets of the Deployment that still have pods and are neither stable nor the run's: to 0 in one write. */
export function drainLeftovers(turn: Turn, keep: readonly string[]): boolean {
  let done = true;
  for (const set of turn.observation.replicaSets) {
    if (!set.owned || keep.includes(set.name) || set.replicas === 0) continue;
    done = scaled(turn, set, 0) && done;
    done = false;
  }
  return done;
}

/** Canary ReplicaSets of other runs: there are never two canaries. */
export function removeStrays(turn: Turn, keep: string | undefined): boolean {
  const strays = turn.observation.replicaSets.filter(({ canary, name }) => canary && name !== keep);
  for (const { name, uid, resourceVersion, deleting } of strays) {
    if (!deleting) turn.effects.push({ kind: 'delete-replica-set', name, uid, resourceVersion });
  }
  return strays.length === 0;
}
