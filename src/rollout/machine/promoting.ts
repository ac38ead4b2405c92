import { refuseOthers } from './commands.ts';
import type { Turn } from './context.ts';
import {
  acknowledgedText,
  canaryOf,
  drainLeftovers,
  gateEntry,
  leaf,
  pinned,
  scaled,
  weightsSet,
} from './goals.ts';
import { revisionOf } from './rest.ts';
import { comparedCanary, interrupted, lost } from './run.ts';
import { refusal, rollBack, shortImages } from './runs.ts';
import type { DeploymentView, PhaseState, ReplicaSetView } from './types.ts';

type Promoting = Extract<PhaseState, { name: 'Promoting' }>;

/** Everything in order, each seen to be done before the next. The release is the point of no return. */
export function promoting(turn: Turn, phase: Promoting) {
  const { run } = phase;
  const deployment = turn.observation.deployment!;
  const set = canaryOf(turn, run);
  if (set?.released) return afterRelease(turn, phase, deployment, set);
  if (interrupted(turn, run)) return;
  refuseOthers(turn, ['approve', 'promote', 'retry'], 'the revision is being promoted');
  gateEntry(turn);
  if (lost(turn, run, set)) return;
  const compared = comparedCanary(turn, run, deployment);
  if (!compared) return;
  if (handedOver(turn, phase, deployment, compared)) releaseIt(turn, phase, deployment, compared);
  if (turn.state.phase === phase) {
    // Whatever it waits for has a deadline, also what never reports progress: a field that somebody fights for.
    const { what, best } = phase.wait ?? { what: 'deployment', best: 0 };
    if (turn.overdue(phase, what, best)) {
      rollBack(
        turn,
        run,
        'failed',
        'ProgressDeadline',
        `not promoted within ${turn.deadlineText()}: ${turn.message}`,
      );
    }
  }
}

/** Traffic stands on the stable leaf alone, which selects the new pods; all of them are ready. */
function handedOver(turn: Turn, phase: Promoting, deployment: DeploymentView, set: ReplicaSetView): boolean {
  const { observation } = turn;
  const { run } = phase;
  const { route } = observation;
  // An HPA averages idle and busy pods: rather a larger Deployment for a while than fewer tested pods.
  if (set.replicas > deployment.replicas) {
    const { resourceVersion } = deployment;
    turn.effects.push({ kind: 'raise-scale', replicas: set.replicas, resourceVersion });
    turn.message = `raising the Deployment to the canary's ${set.replicas} replicas`;
    return false;
  }
  if (!scaled(turn, set, deployment.replicas)) {
    turn.message = `scaling the canary to ${deployment.replicas}`;
    return false;
  }
  const full = set.ready === deployment.replicas && set.available === deployment.replicas;
  const moved = observation.stableLeaf?.hash === run.hash;
  if (!full && !moved) {
    turn.message = `waiting for the canary: ${set.available} of ${deployment.replicas} pods are available`;
    turn.overdue(phase, 'pods', set.available);
    return false;
  }
  if (!leaf(turn, 'stable', run.hash)) {
    turn.message = 'pointing the stable leaf Service at the new pods';
    return false;
  }
  const endpoints = observation.stableLeaf!.ready[run.hash] ?? 0;
  // All of them: the first few alone would have to carry everybody.
  if (endpoints < Math.max(1, set.ready) && route.weights?.stable !== 100) {
    turn.message = `waiting for the endpoints of the stable leaf Service: ${endpoints} of ${set.ready}`;
    turn.overdue(phase, 'pods', endpoints);
    return false;
  }
  if (!weightsSet(turn, 0)) {
    turn.message = 'taking the route back to 100/0, now on the new pods';
    return false;
  }
  if (!route.acknowledged.done) {
    turn.message = `waiting for proxies to acknowledge: ${acknowledgedText(turn)}`;
    turn.overdue(phase, 'acknowledgement', route.acknowledged.proxies);
    return false;
  }
  if (!pinned(turn, observation.root, run.hash)) {
    turn.message = 'pinning the Service to the new pods';
    return false;
  }
  return true;
}

function releaseIt(turn: Turn, phase: Promoting, deployment: DeploymentView, set: ReplicaSetView) {
  const { observation, state } = turn;
  const refused = refusal(turn, deployment);
  if (refused) return turn.stall(refused.reason, refused.message);
  if (!drainLeftovers(turn, [state.stable!.replicaSet])) {
    turn.message = 'draining ReplicaSets of older revisions';
    return;
  }
  // The Deployment controller would pick the oldest equal one and throw the tested pods away.
  const equal = observation.replicaSets.filter(
    (other) => other.owned && other.digest === phase.run.digest && other.name !== set.name,
  );
  if (equal.length > 0) {
    for (const other of equal) {
      if (other.replicas === 0 && other.current === 0 && !other.deleting) {
        turn.effects.push({
          kind: 'delete-replica-set',
          name: other.name,
          uid: other.uid,
          resourceVersion: other.resourceVersion,
        });
      }
    }
    turn.message = 'removing empty ReplicaSets with the same template';
    return;
  }
  const { replicas } = deployment;
  const whole =
    set.replicas === replicas &&
    set.current === replicas &&
    set.ready === replicas &&
    set.available === replicas;
  if (!whole) {
    turn.message = `waiting to release: ${set.ready} of ${replicas} pods are ready`;
    turn.overdue(phase, 'pods', set.ready);
    return;
  }
  turn.overdue(phase, 'deployment', 0);
  turn.message = 'handing the tested pods to the Deployment';
  turn.effects.push({
    kind: 'release',
    name: set.name,
    resourceVersion: set.resourceVersion,
    digest: phase.run.digest,
    hash: phase.run.hash,
    deploymentVersion: deployment.resourceVersion,
  });
}

function afterRelease(turn: Turn, phase: Promoting, deployment: DeploymentView, set: ReplicaSetView) {
  const { observation, state } = turn;
  const { run } = phase;
  refuseOthers(turn, ['approve', 'promote', 'abort', 'retry'], 'the revision has been released already');
  state.stable = revisionOf(set);
  gateEntry(turn);
  // Also here: the leaf and the pin must stand on the released pods if somebody changed them meanwhile.
  pinned(turn, observation.root, run.hash);
  leaf(turn, 'stable', run.hash);
  weightsSet(turn, 0);
  if (!set.owned) {
    turn.message = 'waiting for the Deployment to adopt the tested pods';
    late(turn, phase, 0);
    return;
  }
  if (deployment.digest !== run.digest) {
    return done(turn, phase, 'a newer revision is waiting at the gate');
  }
  if (deployment.paused) {
    turn.message = 'adopted: unpausing the Deployment';
    turn.effects.push({
      kind: 'set-paused',
      paused: false,
      resourceVersion: deployment.resourceVersion,
      digest: run.digest,
    });
    late(turn, phase, 1);
    return;
  }
  const { status, replicas } = deployment;
  const complete =
    deployment.observedGeneration >= deployment.generation &&
    status.updated === replicas &&
    status.replicas === replicas &&
    status.available === replicas;
  if (!complete) {
    turn.message = `waiting for the Deployment to settle: ${status.updated} of ${replicas} pods are updated, ${status.replicas - status.updated} old ones left`;
    late(turn, phase, 2 + status.updated);
    return;
  }
  done(turn, phase);
}

/** After the release there is no way back: late is told, and waited for. */
function late(turn: Turn, phase: Promoting, progress: number) {
  if (turn.overdue(phase, 'deployment', progress)) {
    turn.stall(
      'PromotionStuck',
      `${turn.message}, for longer than ${turn.deadlineText()}: look at Deployment ${turn.observation.deployment!.name}`,
    );
  }
}

function done(turn: Turn, phase: Promoting, more?: string) {
  const { run } = phase;
  const proof = run.unproven ? ` (unproven: ${run.unproven})` : '';
  const message = `${shortImages(run.images)} is promoted${proof}${more ? `; ${more}` : ''}`;
  turn.state.last = { outcome: 'promoted', at: new Date(turn.now).toISOString(), message };
  turn.goto({ name: 'Healthy' }, 'Promoted', message);
}
