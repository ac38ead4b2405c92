/** Which proxies are watched: those of the target that run, and of a Deployment each that starts while somebody looks. */
import { kinds } from '../../api/kinds.ts';
import type { KubeObject } from '../../api/meta.ts';
import { Informer } from '../../kube/informer.ts';
import type { KubeClient } from '../../kube/types.ts';
import { aborted } from '../../lib/aborted.ts';
import { toAppError } from '../../lib/errors.ts';
import { silentLogger } from '../../lib/log.ts';
import { proxiesOf, runningProxy, type Tapped, type Target } from './target.ts';

export interface FollowOptions {
  client: KubeClient;
  target: Target;
  namespace: string;
  signal: AbortSignal;
  /** There is something to watch. */
  found?: () => void;
  /** Resolves when the stream of a proxy has ended, rejects when it cannot be had. */
  watch: (proxy: Tapped) => Promise<void>;
  /** Told of proxies that cannot be watched while others can. */
  problem: (message: string) => void;
}

const isReady = ({ status }: KubeObject): boolean => {
  const { conditions = [] } = (status ?? {}) as { conditions?: { type: string; status: string }[] };
  return conditions.some((each) => each.type === 'Ready' && each.status === 'True');
};

/**
 * Ends when `signal` does, or with a pod that was asked for by name. Rejects when nothing can be watched at the start.
 */
export async function follow(options: FollowOptions): Promise<void> {
  const over = new AbortController();
  try {
    await followUntil(options, AbortSignal.any([options.signal, over.signal]));
  } finally {
    // What goes on watching would keep the process from ending.
    over.abort();
  }
}

async function followUntil(
  { client, target, namespace, signal, found, watch, problem }: FollowOptions,
  over: AbortSignal,
): Promise<void> {
  const { items } = await client.list<KubeObject>(kinds.Pod, namespace);
  const first = proxiesOf(target, namespace, items);
  found?.();
  const watched = new Set(first.map(({ pod }) => pod));
  if (target.kind === 'deploy') {
    const informer = new Informer<KubeObject>({ client, kind: kinds.Pod, namespace, log: silentLogger });
    informer.onChange(({ type, object }) => {
      const { name } = object.metadata;
      // One of a StatefulSet comes back under its name.
      if (type === 'deleted') return void watched.delete(name);
      const proxy = watched.has(name) ? undefined : runningProxy(target, object);
      if (!proxy || object.metadata.deletionTimestamp !== undefined) return;
      watched.add(name);
      watch(proxy).catch((thrown) => {
        // It has only just started: what becomes of the pod next says whether it is worth another try.
        if (isReady(object)) problem(toAppError(thrown).message);
        else watched.delete(name);
      });
    });
    informer.start(over);
  }
  const outcomes = await Promise.allSettled(first.map(watch));
  const problems = outcomes.flatMap((each) => (each.status === 'rejected' ? [toAppError(each.reason)] : []));
  // Pods come and go while one watches: only if all are out of reach there is nothing to see.
  if (problems.length === first.length && !signal.aborted) throw problems[0]!;
  for (const { message } of problems) problem(message);
  if (target.kind === 'deploy') await aborted(signal);
}
