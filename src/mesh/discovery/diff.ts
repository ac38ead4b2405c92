import { sameJson } from '../../lib/same-json.ts';

import type { Backend, Destination, DestinationChange } from './model.ts';

/**
 * What turns one state of a destination into the next; undefined when changes cannot say it (no destination on one
 * side, another protocol) and a snapshot must.
 */
export function diffDestination(
  from: Destination | null,
  to: Destination | null,
): DestinationChange[] | undefined {
  if (!from || !to) return undefined;
  if (from.protocol !== to.protocol) return undefined;
  const changes: DestinationChange[] = [];
  if (!sameJson(from.policy, to.policy)) changes.push({ set: 'policy', policy: to.policy });
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
