import { sameJson } from '../../lib/same-json.ts';

import type { Backend, Destination, DestinationChange } from './model.ts';

/**
 * What turns one state of a destination into the next; undefined when changes cannot say it (no destination on one
 * side, another protocol or policy) and a snapshot must.
 */
export function diffDestination(
  from: Destination | null,
  to: Destination | null,
): DestinationChange[] | undefined {
  if (!from || !to) return undefined;
  if (from.protocol !== to.protocol || !sameJson(from.policy, to.policy)) return undefined;
  const changes: DestinationChange[] = [];
  const before = new Map(from.backends.map((backend) => [backend.name, backend]));
  const after = new Map(to.backends.map((backend) => [backend.name, backend]));
  const weights: Record<string, number> = {};
  for (const [name, backend] of after) {
    const old = before.get(name);
    if (!old || old.revision !== backend.revision || old.deployment !== backend.deployment) {
      changes.push({ set: 'backend', backend });
      continue;
    }
    if (old.weight !== backend.weight) weights[name] = backend.weight;
    changes.push(...diffEndpoints(old, backend));
  }
  // Weights before removals: no instant in which the remaining backends share out what nobody decided.
  if (!sameJson(from.split, to.split) || Object.keys(weights).length > 0)
    changes.push({ set: 'split', split: to.split, weights });
  for (const name of before.keys()) if (!after.has(name)) changes.push({ remove: 'backend', name });
  return changes;
}

function diffEndpoints(from: Backend, to: Backend): DestinationChange[] {
  const before = new Map(from.endpoints.map((endpoint) => [endpoint.address, endpoint]));
  const changes: DestinationChange[] = [];
  for (const endpoint of to.endpoints) {
    if (!sameJson(before.get(endpoint.address), endpoint))
      changes.push({ set: 'endpoint', backend: to.name, endpoint });
    before.delete(endpoint.address);
  }
  for (const address of before.keys()) changes.push({ remove: 'endpoint', backend: to.name, address });
  return changes;
}

/** The reference for what a receiver does with a delta; ordered as snapshots are. */
export function applyChanges(destination: Destination, changes: DestinationChange[]): Destination {
  const backends = new Map(destination.backends.map((backend) => [backend.name, backend]));
  let split = destination.split;
  for (const change of changes) {
    if ('set' in change) {
      if (change.set === 'backend') backends.set(change.backend.name, change.backend);
      else if (change.set === 'split') {
        split = change.split;
        for (const [name, weight] of Object.entries(change.weights)) {
          const backend = backends.get(name);
          if (backend) backends.set(name, { ...backend, weight });
        }
      } else
        withEndpoints(backends, change.backend, (map) => map.set(change.endpoint.address, change.endpoint));
    } else if (change.remove === 'backend') backends.delete(change.name);
    else withEndpoints(backends, change.backend, (map) => map.delete(change.address));
  }
  const { split: _, ...rest } = destination;
  return { ...rest, backends: sorted([...backends.values()], 'name'), ...(split ? { split } : {}) };
}

function withEndpoints(
  backends: Map<string, Backend>,
  name: string,
  change: (endpoints: Map<string, Backend['endpoints'][number]>) => void,
): void {
  const backend = backends.get(name);
  if (!backend) return;
  const endpoints = new Map(backend.endpoints.map((endpoint) => [endpoint.address, endpoint]));
  change(endpoints);
  backends.set(name, { ...backend, endpoints: sorted([...endpoints.values()], 'address') });
}

function sorted<T, K extends keyof T>(items: T[], key: K): T[] {
  return items.sort((a, b) => (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0));
}
