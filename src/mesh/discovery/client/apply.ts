/** Applies delta changes to a destination (ADR 0002, "Frames"). Pure: the argument stays as it was. */
import { byCodeUnits } from '../../../lib/order.ts';
import type { Backend, Destination, DestinationChange } from '../model.ts';

export function applyChanges(destination: Destination, changes: readonly DestinationChange[]): Destination {
  let { split, policy } = destination;
  const backends = new Map(destination.backends.map((backend) => [backend.name, backend]));
  const edit = (name: string, change: (backend: Backend) => Backend) => {
    const backend = backends.get(name);
    if (backend) backends.set(name, change(backend));
  };
  for (const change of changes) {
    if ('remove' in change) {
      if (change.remove === 'backend') backends.delete(change.name);
      else {
        edit(change.backend, (backend) => ({
          ...backend,
          endpoints: backend.endpoints.filter(({ address }) => address !== change.address),
        }));
      }
      continue;
    }
    switch (change.set) {
      case 'split':
        split = change.split;
        for (const [name, weight] of Object.entries(change.weights))
          edit(name, (backend) => ({ ...backend, weight }));
        break;
      case 'policy':
        policy = change.policy;
        break;
      case 'backend':
        backends.set(change.backend.name, change.backend);
        break;
      case 'endpoint':
        edit(change.backend, (backend) => ({
          ...backend,
          endpoints: [
            ...backend.endpoints.filter(({ address }) => address !== change.endpoint.address),
            change.endpoint,
          ].sort((a, b) => byCodeUnits(a.address, b.address)),
        }));
        break;
    }
  }
  const { split: _before, ...rest } = destination;
  return {
    ...rest,
    policy,
    backends: [...backends.values()].sort((a, b) => byCodeUnits(a.name, b.name)),
    ...(split ? { split } : {}),
  };
}
