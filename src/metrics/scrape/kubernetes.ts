import { readFileSync } from 'node:fs';
import { kinds } from '../../api/kinds.ts';
import type { Logger } from '../../lib/log.ts';
import type { KubernetesSdConfig } from './config.ts';
import { type Pod, podTargets } from './pods.ts';
import type { Discovered } from './targets.ts';

/** A set of targets that changes by itself. */
export interface TargetSource {
  /** Resolves when the first list is complete. */
  ready: Promise<void>;
  list(): Discovered[];
  stop(): void;
}

/** Watches pods through informers, one per namespace named. Calls back when the list may have changed. */
export async function watchPods(
  config: KubernetesSdConfig,
  options: { kubeconfig: string | undefined; log: Logger; onChange: () => void },
): Promise<TargetSource> {
  // Loaded only where discovery is asked for: the client costs memory that static targets need not pay.
  const { connect, Informer } = await import('../../kube/index.ts');
  const client = await connect({ kubeconfig: config.kubeconfig_file ?? options.kubeconfig });
  const stopped = new AbortController();
  const namespaces = namespacesOf(config);
  const selector = config.selectors[0];
  const informers = namespaces.map((namespace) => {
    const informer = new Informer<Pod>({
      client,
      kind: kinds.Pod,
      namespace,
      labelSelector: selector?.label,
      fieldSelector: selector?.field,
      log: options.log,
    });
    informer.onChange(() => options.onChange());
    informer.start(stopped.signal);
    return informer;
  });
  return {
    ready: Promise.all(informers.map((informer) => informer.synced)).then(() => undefined),
    list: () => informers.flatMap((informer) => [...informer.store.list()].flatMap(podTargets)),
    stop: () => stopped.abort(),
  };
}

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
