import { kinds } from '../../../api/kinds.ts';
import type { KubeObject, OwnerReference, ResourceKind } from '../../../api/meta.ts';
import { Controller } from '../../../controller/index.ts';
import { Informer } from '../../../kube/index.ts';
import type { KubeClient } from '../../../kube/types.ts';
import type { Logger } from '../../../lib/log.ts';
import { lostRace } from '../context.ts';
import { discoverKinds } from './discovery.ts';
import { type GraphNode, OwnerGraph } from './graph.ts';
import { type CollectAction, isWaiting, type OwnerState, planDependent, planOwner } from './plan.ts';

const RETRY_MS = 20;
const REDISCOVER_MS = 50;
const plural = ({ group, plural }: ResourceKind): string => `${plural}.${group}`;

/**
 * Deletes what has lost all its owners, and carries out foreground deletion and orphaning. It follows every kind that
 * the server has, custom ones from the moment their definition is served. Owners are compared by uid, and an owner that
 * no cache knows is asked for live before anything is deleted on its account.
 */
export class GarbageCollector {
  readonly #client: KubeClient;
  readonly #log: Logger;
  readonly #graph = new OwnerGraph();
  readonly #watched = new Map<string, ResourceKind>();
  readonly #controller: Controller;

  constructor({ client, log }: { client: KubeClient; log: Logger }) {
    this.#client = client;
    this.#log = log;
    this.#controller = new Controller({
      name: 'garbage-collector',
      workers: 4,
      reconcile: (uid) => this.#reconcile(uid),
      log,
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    // Definitions come and go while it runs; their kinds are watched as soon as they are served.
    const definitions = new Informer({
      client: this.#client,
      kind: kinds.CustomResourceDefinition,
      log: this.#log,
    });
    let timer: NodeJS.Timeout | undefined;
    definitions.onChange(() => {
      clearTimeout(timer);
      timer = setTimeout(() => void this.#discover(signal), REDISCOVER_MS);
    });
    signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
    definitions.start(signal);
    await this.#discover(signal);
    await this.#controller.run(signal);
  }

  async #discover(signal: AbortSignal): Promise<void> {
    try {
      for (const kind of await discoverKinds(this.#client, signal)) {
        if (this.#watched.has(plural(kind)) || signal.aborted) continue;
        this.#watched.set(plural(kind), kind);
        const informer = new Informer<KubeObject>({ client: this.#client, kind, log: this.#log });
        informer.onChange(({ type, object }) => this.#see(type, { kind, object }));
        informer.start(signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#log.warn({ error }, 'could not discover the kinds of the API server, trying again');
      setTimeout(() => void this.#discover(signal), 1000).unref();
    }
  }

  #see(type: 'added' | 'updated' | 'deleted', node: GraphNode): void {
    const { uid, ownerReferences, deletionTimestamp } = node.object.metadata;
    if (!uid) return;
    if (type === 'deleted') {
      const dependents = this.#graph.dependentsOf(uid);
      this.#graph.delete(uid);
      for (const { object } of dependents) this.#controller.enqueue(object.metadata.uid!);
      // An owner in foreground deletion may have waited for exactly this one.
      for (const owner of ownerReferences ?? []) this.#controller.enqueue(owner.uid);
      return;
    }
    const before = this.#graph.get(uid)?.object.metadata.ownerReferences ?? [];
    this.#graph.set(node);
    if (ownerReferences?.length || deletionTimestamp) this.#controller.enqueue(uid);
    for (const owner of before) {
      if (!ownerReferences?.some((reference) => reference.uid === owner.uid))
        this.#controller.enqueue(owner.uid);
    }
  }

  async #reconcile(uid: string): Promise<{ requeueAfterMs: number } | undefined> {
    const node = this.#graph.get(uid);
    if (!node) return undefined;
    try {
      if (node.object.metadata.deletionTimestamp) await this.#asOwner(node);
      else await this.#asDependent(node);
    } catch (thrown) {
      if (!lostRace(thrown)) throw thrown;
      return { requeueAfterMs: RETRY_MS };
    }
    return undefined;
  }

  async #asOwner(node: GraphNode): Promise<void> {
    const { metadata } = node.object;
    const action = planOwner(node.object, this.#graph.dependentsOf(metadata.uid!));
    switch (action.type) {
      case 'none':
        return;
      case 'wait':
        for (const { object } of action.dependents) this.#controller.enqueue(object.metadata.uid!);
        return;
      case 'orphan':
        for (const dependent of action.dependents) await this.#dropReferences(dependent, [metadata.uid!]);
        return;
      case 'removeFinalizer': {
        const finalizers = (metadata.finalizers ?? []).filter((name) => name !== action.finalizer);
        await this.#client.patch(node.kind, metadata.namespace, metadata.name, {
          type: 'merge',
          body: { metadata: { resourceVersion: metadata.resourceVersion, finalizers } },
        });
      }
    }
  }

  async #asDependent(node: GraphNode): Promise<void> {
    const { object, kind } = node;
    const states = new Map<string, OwnerState>();
    for (const owner of object.metadata.ownerReferences ?? []) {
      states.set(owner.uid, await this.#stateOf(owner, object.metadata.namespace));
    }
    const hasDependents = this.#graph.dependentsOf(object.metadata.uid!).length > 0;
    const action: CollectAction = planDependent(object, ({ uid }) => states.get(uid)!, hasDependents);
    switch (action.type) {
      case 'none':
        return;
      case 'dropReferences':
        return this.#dropReferences(node, action.uids);
      case 'delete': {
        const { namespace, name, uid, resourceVersion } = object.metadata;
        await this.#client.delete(kind, namespace, name, {
          propagationPolicy: action.propagationPolicy,
          // The resourceVersion too: someone may just have given it another owner.
          preconditions: { uid, resourceVersion },
        });
      }
    }
  }

  async #stateOf(owner: OwnerReference, namespace: string | undefined): Promise<OwnerState> {
    const known = this.#graph.get(owner.uid)?.object;
    if (known) return isWaiting(known) ? 'waiting' : 'solid';
    const group = owner.apiVersion.includes('/') ? owner.apiVersion.split('/')[0]! : '';
    const kind = [...this.#watched.values()].find((each) => each.group === group && each.kind === owner.kind);
    // A kind that is not served (any more) may come back; deleting on a guess cannot be undone.
    if (!kind) return 'solid';
    const live = await this.#client.find(kind, kind.namespaced ? namespace : undefined, owner.name);
    if (live?.metadata.uid !== owner.uid) return 'absent';
    return isWaiting(live) ? 'waiting' : 'solid';
  }

  async #dropReferences({ kind, object }: GraphNode, uids: string[]): Promise<void> {
    const { namespace, name, uid, resourceVersion, ownerReferences = [] } = object.metadata;
    const kept = ownerReferences.filter((owner) => !uids.includes(owner.uid));
    await this.#client.patch(kind, namespace, name, {
      type: 'merge',
      body: { metadata: { uid, resourceVersion, ownerReferences: kept } },
    });
  }
}
