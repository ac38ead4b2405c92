import { readFileSync } from 'node:fs';
import { kinds } from '../../api/kinds.ts';
import type { KubeObject } from '../../api/meta.ts';
import type { Logger } from '../../lib/log.ts';
import type { KubernetesSdConfig } from './config.ts';
import { type Pod, podTargets } from './pods.ts';
import type { ResolveTargets, Target } from './targets.ts';

/** A set of targets that changes by itself. */
export interface TargetSource {
  /** Resolves when the first list is complete. */
  ready: Promise<void>;
  list(): Target[];
  stop(): void;
}

/** What is kept of a pod: most pods of a cluster are no targets, and of the others only those are read. */
interface PodTargets extends KubeObject {
  targets: Target[];
}

interface WatchOptions {
  kubeconfig: string | undefined;
  log: Logger;
  resolve: ResolveTargets;
  onChange: () => void;
}

/**
 * Watches pods through informers, one per namespace named. A pod is relabelled once, when it arrives, and not whenever another
 * one changes. Calls back when the list has changed.
 */
export async function watchPods(config: KubernetesSdConfig, options: WatchOptions): Promise<TargetSource> {
  // Loaded only where discovery is asked for: the client costs memory that static targets need not pay.
  const { connect, Informer } = await import('../../kube/index.ts');
  const client = await connect({ kubeconfig: config.kubeconfig_file ?? options.kubeconfig });
  const stopped = new AbortController();
  const namespaces = namespacesOf(config);
  const selector = config.selectors[0];
  const informers = namespaces.map((namespace) => {
    const informer = new Informer<PodTargets>({
      client,
      kind: kinds.Pod,
      namespace,
      labelSelector: selector?.label,
      fieldSelector: selector?.field,
      project: (pod) => ({
        apiVersion: pod.apiVersion,
        kind: pod.kind,
        metadata: identity(pod.metadata),
        targets: options.resolve(podTargets(pod as Pod)),
      }),
      log: options.log,
    });
    informer.onChange(({ type, object, previous }) => {
      const before = previous?.targets ?? [];
      const after = type === 'deleted' ? [] : object.targets;
      if (!sameIds(before, after)) options.onChange();
    });
    informer.start(stopped.signal);
    return informer;
  });
  return {
    ready: Promise.all(informers.map((informer) => informer.synced)).then(() => undefined),
    list: () => informers.flatMap((informer) => [...informer.store.list()].flatMap((pod) => pod.targets)),
    stop: () => stopped.abort(),
  };
}

const identity = ({ name, namespace, uid, resourceVersion }: KubeObject['metadata']) => ({
  name,
  namespace,
  uid,
  resourceVersion,
});

const sameIds = (one: readonly Target[], other: readonly Target[]): boolean =>
  one.length === other.length && one.every(({ id }, index) => id === other[index]!.id);

function namespacesOf({ namespaces }: KubernetesSdConfig): (string | undefined)[] {
  const names = new Set(namespaces.names);
  if (namespaces.own_namespace) names.add(ownNamespace());
  return names.size > 0 ? [...names].sort() : [undefined];
}

function ownNamespace(): string {
  if (process.env.POD_NAMESPACE) return process.env.POD_NAMESPACE;
  try {
    return readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/namespace', 'utf8').trim();
  } catch {
    return 'default';
  }
}
