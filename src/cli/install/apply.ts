import { kinds } from '../../api/kinds.ts';
import { type Condition, type KubeObject, keyOf } from '../../api/meta.ts';
import { Discovery } from '../../gitops/discovery.ts';
import type { KubeClient } from '../../kube/types.ts';
import { Backoff } from '../../lib/backoff.ts';
import { systemClock } from '../../lib/clock.ts';
import { AppError, toAppError } from '../../lib/errors.ts';
import { type Logger, silentLogger } from '../../lib/log.ts';
import { generateManifests } from './manifests.ts';
import { type InstallOptions, installOptions } from './options.ts';
import { until } from './until.ts';

const MANAGER = 'weir-install';
const INJECTOR = 'inject.weir.dev';

export interface ApplyOptions {
  signal?: AbortSignal;
  log?: Logger;
  timeoutMs?: number;
}

/** Objects that may be written at the same time, in the order of their groups. */
function stageOf({ kind = '' }: KubeObject): number {
  if (kind === 'Namespace') return 0;
  if (kind === 'CustomResourceDefinition') return 1;
  if (kind === 'Deployment') return 3;
  return kind.includes('Webhook') || kind.includes('AdmissionPolicy') ? 4 : 2;
}

/** Server-side apply of a whole set: namespaces, CRDs (waits until they are served), the rest, admission last. */
export async function applyManifests(
  client: KubeClient,
  objects: KubeObject[],
  { signal = new AbortController().signal, log = silentLogger, timeoutMs = 60_000 }: ApplyOptions = {},
): Promise<void> {
  const discovery = new Discovery(client);
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  for (const stage of [0, 1, 2, 3, 4]) {
    const batch = objects.filter((object) => stageOf(object) === stage);
    await Promise.all(
      batch.map(async (object) => {
        const kind = await discovery.kindOf(object, deadline);
        await persist(`${object.kind} ${keyOf(object)}`, deadline, () =>
          client.apply(kind, object, { fieldManager: MANAGER, force: true, signal: deadline }),
        );
        log.debug({ kind: object.kind, object: keyOf(object) }, 'applied');
      }),
    );
    if (stage === 1) {
      await Promise.all(batch.map(({ metadata }) => established(client, metadata.name, deadline)));
    }
  }
}

/** Installs Weir as `weir install | kubectl apply` would, and waits until it does its work. */
export async function installWeir(
  client: KubeClient,
  options: Partial<InstallOptions> & ApplyOptions = {},
): Promise<void> {
  const { signal = new AbortController().signal, log, timeoutMs = 60_000, ...given } = options;
  const objects = generateManifests(given);
  await applyManifests(client, objects, { signal, timeoutMs, ...(log ? { log } : {}) });
  await installed(
    client,
    installOptions(given).namespace,
    AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  );
}

/** Resolves when every Deployment of Weir is available and its webhooks know whom to trust. */
export async function installed(client: KubeClient, namespace: string, signal: AbortSignal): Promise<void> {
  await until('Weir to become ready', signal, async () => {
    const [{ items: deployments }, { items: mutating }] = await Promise.all([
      client.list<KubeObject>(
        kinds.Deployment,
        namespace,
        { labelSelector: 'app.kubernetes.io/part-of=weir' },
        signal,
      ),
      client.list<KubeObject>(
        kinds.MutatingWebhookConfiguration,
        undefined,
        { labelSelector: 'app.kubernetes.io/part-of=weir' },
        signal,
      ),
    ]);
    const waiting = [
      ...deployments.filter((object) => !available(object)).map(keyOf),
      ...mutating.filter((object) => !trusted(object)).map(keyOf),
    ];
    return waiting.length === 0 && deployments.length > 0 ? undefined : `waiting for ${waiting.join(', ')}`;
  });
}

/** Resolves when pods can be injected: the mesh answers, and the API server knows whom to trust. */
export async function meshReady(client: KubeClient, signal: AbortSignal): Promise<void> {
  const { namespace } = installOptions();
  await until('the mesh to start', signal, async () => {
    const mesh = await client.find(kinds.Deployment, namespace, 'weir-mesh', signal);
    return mesh && available(mesh) ? undefined : 'weir-mesh is not available yet';
  });
  await until('the mesh to start', signal, async () => {
    const injector = await client.find(kinds.MutatingWebhookConfiguration, undefined, INJECTOR, signal);
    return injector && trusted(injector) ? undefined : 'the injector has no certificate yet';
  });
}

export function available(deployment: KubeObject): boolean {
  const status = deployment.status as
    | { observedGeneration?: number; availableReplicas?: number; updatedReplicas?: number }
    | undefined;
  const wanted = (deployment.spec as { replicas?: number } | undefined)?.replicas ?? 1;
  return (
    (status?.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0) &&
    (status?.availableReplicas ?? 0) >= wanted &&
    (status?.updatedReplicas ?? 0) >= wanted
  );
}

export function trusted(configuration: KubeObject): boolean {
  const hooks = (configuration.webhooks ?? []) as { clientConfig?: { caBundle?: string } }[];
  return hooks.every(({ clientConfig }) => Boolean(clientConfig?.caBundle));
}

async function established(client: KubeClient, name: string, signal: AbortSignal): Promise<void> {
  await until(`CustomResourceDefinition ${name}`, signal, async () => {
    const crd = await client.get<KubeObject>(kinds.CustomResourceDefinition, undefined, name, signal);
    const conditions = (crd.status as { conditions?: Condition[] } | undefined)?.conditions ?? [];
    return conditions.some(({ type, status }) => type === 'Established' && status === 'True')
      ? undefined
      : 'not Established yet';
  });
}

/** Tries again what may work a moment later: a webhook that comes up, a namespace that is just being created. */
async function persist<T>(what: string, signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  const backoff = new Backoff({ initial: 50, max: 1000 });
  for (;;) {
    try {
      return await attempt();
    } catch (thrown) {
      const error = toAppError(thrown);
      if (!error.retryable || signal.aborted) {
        throw new AppError(error.code, `${what}: ${error.message}`, { cause: thrown });
      }
      await systemClock.sleep(backoff.next(), signal).catch(() => {
        throw new AppError('Timeout', `${what}: ${error.message}`, { cause: thrown });
      });
    }
  }
}
