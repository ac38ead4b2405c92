import { kinds } from '../../../api/kinds.ts';
import { matchesLabels } from '../../../api/label-selector.ts';
import { keyOf } from '../../../api/meta.ts';
import { Controller } from '../../../controller/index.ts';
import { type ControllerContext, lostRace } from '../context.ts';
import { isManaged, planSlices, SERVICE_NAME } from './plan.ts';

const RETRY_MS = 10;
const ZONE = 'topology.kubernetes.io/zone';

export function endpointSliceController(context: ControllerContext): Controller {
  const { client, caches, log } = context;
  const { services, pods, endpointSlices, nodes } = caches;
  const controller = new Controller({ name: 'endpointslice', workers: 4, reconcile, log });

  services.onChange(({ object }) => controller.enqueue(keyOf(object)));
  endpointSlices.onChange(({ object }) => {
    const service = object.metadata.labels?.[SERVICE_NAME];
    if (service && isManaged(object)) controller.enqueue(`${object.metadata.namespace}/${service}`);
  });
  pods.onChange(({ object, previous }) => {
    for (const service of services.store.byIndex('namespace', object.metadata.namespace ?? '')) {
      if (!service.spec.selector) continue;
      const selector = { matchLabels: service.spec.selector };
      if (
        matchesLabels(selector, object.metadata.labels) ||
        matchesLabels(selector, previous?.metadata.labels)
      ) {
        controller.enqueue(keyOf(service));
      }
    }
  });

  async function reconcile(key: string): Promise<{ requeueAfterMs: number } | undefined> {
    const service = services.store.get(key);
    // A deleted Service's slices go with it (ownerReference); one without a selector is managed by someone else.
    if (!service || service.metadata.deletionTimestamp) return undefined;
    const { selector, type } = service.spec;
    if (!selector || Object.keys(selector).length === 0 || type === 'ExternalName') return undefined;
    const selected = pods.store
      .byIndex('namespace', service.metadata.namespace ?? '')
      .filter((pod) => matchesLabels({ matchLabels: selector }, pod.metadata.labels));
    const existing = endpointSlices.store.byIndex('service', key).filter(isManaged);
    const zoneOf = (node: string) => nodes.store.get(node)?.metadata.labels?.[ZONE];
    const plan = planSlices(service, selected, existing, zoneOf);
    try {
      for (const slice of plan.create) await client.create(kinds.EndpointSlice, slice);
      for (const slice of plan.update) await client.replace(kinds.EndpointSlice, slice);
      for (const { metadata } of plan.remove) {
        await client.delete(kinds.EndpointSlice, metadata.namespace, metadata.name, {
          preconditions: { uid: metadata.uid },
        });
      }
    } catch (thrown) {
      if (!lostRace(thrown)) throw thrown;
      return { requeueAfterMs: RETRY_MS };
    }
    return undefined;
  }

  return controller;
}
