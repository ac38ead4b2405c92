import { type KubeClient, writeThrough } from '../../kube/index.ts';
import type { Logger } from '../../lib/log.ts';
import { type Caches, createCaches } from './context.ts';
import { deploymentController } from './deployment/controller.ts';
import { endpointSliceController } from './endpoint-slice/controller.ts';
import { GarbageCollector } from './garbage-collector/controller.ts';
import { replicaSetController } from './replica-set/controller.ts';

/**
 * The part of kube-controller-manager that Weir relies on, over the Kubernetes API alone: Deployments, ReplicaSets,
 * EndpointSlices and the garbage collector. Resolves when the signal aborts and the work in hand is done.
 */
export async function runWorkloads(options: {
  client: KubeClient;
  log: Logger;
  signal: AbortSignal;
  now?: () => number;
}): Promise<void> {
  const { client, log, signal, now = Date.now } = options;
  const caches = createCaches(client, log);
  // What they decide next sees what they have just written: the same slice is not made twice, nor a status written again.
  const context = { client: writeThrough(client, Object.values(caches)), caches, log, now };
  const controllers = [
    deploymentController(context),
    replicaSetController(context),
    endpointSliceController(context),
  ];
  const informers: Caches[keyof Caches][] = Object.values(caches);
  for (const informer of informers) informer.start(signal);
  const collector = new GarbageCollector({ client, log }).run(signal);
  await Promise.race([
    Promise.all(informers.map(({ synced }) => synced)),
    new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true })),
  ]);
  await Promise.all([collector, ...controllers.map((controller) => controller.run(signal))]);
}
