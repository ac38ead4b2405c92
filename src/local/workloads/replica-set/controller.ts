import { kinds } from '../../../api/kinds.ts';
import { matchesLabels } from '../../../api/label-selector.ts';
import { keyOf } from '../../../api/meta.ts';
import { Controller } from '../../../controller/index.ts';
import { canonicalJson } from '../../../lib/canonical.ts';
import { isCode } from '../../../lib/errors.ts';
import { claimObjects } from '../claim.ts';
import { type ControllerContext, lostRace } from '../context.ts';
import { controllerOf } from '../owners.ts';
import { isEmpty } from '../selectors.ts';
import { safeEncode } from '../template.ts';
import type { Pod, ReplicaSet } from '../types.ts';
import { Expectations } from './expectations.ts';
import { planReplicaSet, type ReplicaSetPlan } from './plan.ts';

const RETRY_MS = 10;

function randomSuffix(): string {
  return safeEncode(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(5))));
}

export function replicaSetController(context: ControllerContext): Controller {
  const { client, caches, log, now } = context;
  const { replicaSets, pods } = caches;
  const expectations = new Expectations(now);
  const controller = new Controller({ name: 'replicaset', workers: 4, reconcile, log });

  replicaSets.onChange(({ type, object }) => {
    if (type === 'deleted') expectations.forget(keyOf(object));
    controller.enqueue(keyOf(object));
  });
  pods.onChange(({ type, object, previous }) => {
    for (const pod of previous ? [object, previous] : [object]) {
      const owner = ownerKey(pod);
      if (owner) {
        if (type !== 'deleted') expectations.observe(owner, 'creation', keyOf(pod));
        if (type === 'deleted' || pod.metadata.deletionTimestamp) {
          expectations.observe(owner, 'deletion', keyOf(pod));
        }
        controller.enqueue(owner);
      } else if (type !== 'deleted') {
        for (const set of replicaSets.store.byIndex('namespace', pod.metadata.namespace ?? '')) {
          if (matchesLabels(set.spec.selector, pod.metadata.labels)) controller.enqueue(keyOf(set));
        }
      }
    }
  });

  function ownerKey(pod: Pod): string | undefined {
    const owner = controllerOf(pod);
    return owner?.kind === 'ReplicaSet' ? `${pod.metadata.namespace}/${owner.name}` : undefined;
  }

  async function reconcile(key: string): Promise<{ requeueAfterMs?: number } | undefined> {
    const set = replicaSets.store.get(key);
    if (!set || isEmpty(set.spec.selector)) return undefined;
    const owned = await claimObjects<Pod>({
      client,
      ownerKind: kinds.ReplicaSet,
      owner: set,
      selector: set.spec.selector,
      kind: kinds.Pod,
      candidates: [
        ...pods.store.byIndex('owner', set.metadata.uid!),
        ...pods.store
          .byIndex('orphan', set.metadata.namespace ?? '')
          .filter((pod) => pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed'),
      ],
    });
    const plan = planReplicaSet(set, owned, {
      now: now(),
      expecting: expectations.pending(key),
      suffix: randomSuffix,
    });
    try {
      await carryOut(key, set, plan);
    } catch (thrown) {
      if (!lostRace(thrown)) throw thrown;
      return { requeueAfterMs: RETRY_MS };
    }
    return plan.requeueAfterMs === undefined ? undefined : { requeueAfterMs: plan.requeueAfterMs };
  }

  async function carryOut(key: string, set: ReplicaSet, plan: ReplicaSetPlan): Promise<void> {
    const creations = plan.create.map(async (pod) => {
      expectations.expectCreation(key, keyOf(pod));
      try {
        await client.create(kinds.Pod, pod);
      } catch (thrown) {
        expectations.observe(key, 'creation', keyOf(pod));
        throw thrown;
      }
    });
    const removals = plan.remove.map(async (pod) => {
      expectations.expectDeletion(key, keyOf(pod));
      try {
        await client.delete(kinds.Pod, pod.metadata.namespace, pod.metadata.name, {
          preconditions: { uid: pod.metadata.uid },
        });
      } catch (thrown) {
        expectations.observe(key, 'deletion', keyOf(pod));
        if (!isCode(thrown, 'NotFound', 'Conflict')) throw thrown;
      }
    });
    const results = await Promise.allSettled([...creations, ...removals]);
    const failure = results.find((result) => result.status === 'rejected');
    const status = { ...plan.status };
    const others = (status.conditions ?? []).filter(({ type }) => type !== 'ReplicaFailure');
    if (failure) {
      const before = set.status?.conditions?.find(({ type }) => type === 'ReplicaFailure');
      status.conditions = [
        ...others,
        {
          type: 'ReplicaFailure',
          status: 'True',
          reason: 'FailedCreate',
          message: String((failure.reason as Error).message),
          lastTransitionTime: before?.lastTransitionTime ?? `${new Date(now()).toISOString().slice(0, 19)}Z`,
        },
      ];
    } else if (others.length > 0) status.conditions = others;
    else delete status.conditions;
    if (canonicalJson(status) !== canonicalJson(set.status ?? {})) {
      await client.replace(kinds.ReplicaSet, { ...set, status }, { subresource: 'status' });
    }
    if (failure) throw failure.reason;
  }

  return controller;
}
