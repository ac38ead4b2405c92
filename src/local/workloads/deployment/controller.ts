import { kinds } from '../../../api/kinds.ts';
import { matchesLabels } from '../../../api/label-selector.ts';
import { keyOf } from '../../../api/meta.ts';
import { Controller } from '../../../controller/index.ts';
import { canonicalJson } from '../../../lib/canonical.ts';
import { isCode } from '../../../lib/errors.ts';
import { claimObjects } from '../claim.ts';
import { type ControllerContext, lostRace } from '../context.ts';
import { controllerOf } from '../owners.ts';
import { isActive } from '../replica-set/plan.ts';
import { isEmpty } from '../selectors.ts';
import { equalIgnoringHash } from '../template.ts';
import type { Deployment, ReplicaSet } from '../types.ts';
import { type DeploymentPlan, planDeployment } from './plan.ts';
import { REVISION } from './revision.ts';

const RETRY_MS = 10;

export function deploymentController(context: ControllerContext): Controller {
  const { client, caches, log, now } = context;
  const { deployments, replicaSets, pods } = caches;
  const controller = new Controller({ name: 'deployment', workers: 4, reconcile, log });

  deployments.onChange(({ object }) => controller.enqueue(keyOf(object)));
  replicaSets.onChange(({ object, previous }) => {
    for (const set of previous ? [object, previous] : [object]) enqueueOwnerOf(set);
  });
  pods.onChange(({ type, object }) => {
    // Recreate waits for the last old pod; nobody else needs a Deployment's pods.
    if (type !== 'deleted') return;
    const owner = controllerOf(object);
    const set = owner && replicaSets.store.get(`${object.metadata.namespace}/${owner.name}`);
    if (set) enqueueOwnerOf(set);
  });

  function enqueueOwnerOf(set: ReplicaSet): void {
    const { namespace = '', labels } = set.metadata;
    const owner = controllerOf(set);
    if (owner) {
      if (owner.kind === 'Deployment') controller.enqueue(`${namespace}/${owner.name}`);
      return;
    }
    for (const deployment of deployments.store.byIndex('namespace', namespace)) {
      if (matchesLabels(deployment.spec.selector, labels)) controller.enqueue(keyOf(deployment));
    }
  }

  async function reconcile(key: string): Promise<{ requeueAfterMs?: number } | undefined> {
    const deployment = deployments.store.get(key);
    if (!deployment || isEmpty(deployment.spec.selector)) return undefined;
    const { namespace = '', uid } = deployment.metadata;
    const sets = await claimObjects<ReplicaSet>({
      client,
      ownerKind: kinds.Deployment,
      owner: deployment,
      selector: deployment.spec.selector,
      kind: kinds.ReplicaSet,
      candidates: [
        ...replicaSets.store.byIndex('owner', uid!),
        ...replicaSets.store.byIndex('orphan', namespace),
      ],
    });
    const runningPods = new Set<string>();
    for (const set of sets) {
      const running = pods.store
        .byIndex('owner', set.metadata.uid!)
        .some((pod) => isActive(pod) || pod.metadata.deletionTimestamp !== undefined);
      if (running) runningPods.add(set.metadata.uid!);
    }
    const plan = planDeployment({ deployment, sets, runningPods, now: now() });
    try {
      await carryOut(deployment, plan);
    } catch (thrown) {
      if (!lostRace(thrown)) throw thrown;
      return { requeueAfterMs: RETRY_MS };
    }
    return plan.requeueAfterMs === undefined ? undefined : { requeueAfterMs: plan.requeueAfterMs };
  }

  async function carryOut(deployment: Deployment, plan: DeploymentPlan): Promise<void> {
    const { namespace } = deployment.metadata;
    if (plan.create && !(await create(deployment, plan.create))) {
      const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
      await writeStatus(deployment, { ...plan, status: { ...plan.status, collisionCount } });
      return;
    }
    for (const set of plan.update) await client.replace(kinds.ReplicaSet, set);
    for (const { metadata } of plan.remove) {
      const { uid, resourceVersion } = metadata;
      await client.delete(kinds.ReplicaSet, namespace, metadata.name, {
        preconditions: { uid, resourceVersion },
        propagationPolicy: 'Background',
      });
    }
    await writeStatus(deployment, plan);
  }

  /** False when another ReplicaSet has that name: the hash collided. */
  async function create(deployment: Deployment, set: ReplicaSet): Promise<boolean> {
    try {
      await client.create(kinds.ReplicaSet, set);
      return true;
    } catch (thrown) {
      if (!isCode(thrown, 'AlreadyExists')) throw thrown;
      const there = await client.get<ReplicaSet>(kinds.ReplicaSet, set.metadata.namespace, set.metadata.name);
      return (
        controllerOf(there)?.uid === deployment.metadata.uid &&
        equalIgnoringHash(there.spec.template, deployment.spec.template)
      );
    }
  }

  async function writeStatus(deployment: Deployment, { status, revision }: DeploymentPlan): Promise<void> {
    const { namespace, name } = deployment.metadata;
    if (revision === undefined && canonicalJson(status) === canonicalJson(deployment.status ?? {})) return;
    const annotations = { ...deployment.metadata.annotations };
    if (revision !== undefined) annotations[REVISION] = revision;
    const written = await client.replace<Deployment>(
      kinds.Deployment,
      { ...deployment, metadata: { ...deployment.metadata, annotations }, status },
      { subresource: 'status' },
    );
    // Kubernetes takes annotations along with a Deployment's status; a server that does not gets them separately.
    if (revision !== undefined && written.metadata.annotations?.[REVISION] !== revision) {
      await client.patch(kinds.Deployment, namespace, name, {
        type: 'merge',
        body: { metadata: { annotations: { [REVISION]: revision } } },
      });
    }
  }

  return controller;
}
