import { refuseOthers, take } from './commands.ts';
import type { Turn } from './context.ts';
import { canaryOf, drainLeftovers, gateEntry, leaf, pinned, removeStrays, routeExists } from './goals.ts';
import { currentSet, revisionOf } from './rest.ts';
import { heldBy, rollBack, shortImages } from './runs.ts';
import type { DeploymentView, PhaseState, ReplicaSetView, Run } from './types.ts';

/**
 * What may end a run in any phase before its release. True: it did. Order: the gate was passed, Git moved on or went
 * back, a person aborts.
 */
export function interrupted(turn: Turn, run: Run): boolean {
  const { observation, state } = turn;
  const deployment = observation.deployment!;
  if (deployment.digest === state.stable!.digest) {
    rollBack(
      turn,
      run,
      'reverted',
      'Reverted',
      'the stable template was applied again: traffic goes back, quietly',
    );
    return true;
  }
  if (deployment.digest !== run.digest) {
    const next = shortImages(deployment.images);
    rollBack(
      turn,
      run,
      'superseded',
      'Superseded',
      `${next} was applied while ${shortImages(run.images)} was on its way: traffic goes to stable, then it starts over`,
    );
    return true;
  }
  if (!deployment.paused) {
    const set = currentSet(turn, deployment.digest);
    const message = `Deployment ${deployment.name} was unpaused past the gate during its rollout: its own controller is replacing the pods`;
    if (set) state.stable = revisionOf(set);
    state.gateOpen = message;
    turn.goto({ name: 'Healthy' }, 'GateOpen', message, { warn: true });
    return true;
  }
  if (deployment.replicas === 0) {
    const message = `Deployment ${deployment.name} was scaled to 0: there is nobody to judge by`;
    rollBack(turn, run, 'superseded', 'ScaledToZero', message);
    return true;
  }
  const abort = take(turn, 'abort');
  if (abort) {
    rollBack(turn, run, 'aborted', 'Aborted', `aborted by ${abort.by}`, abort.by);
    return true;
  }
  return false;
}

/**
 * At 100 % and later stable's leaf or all traffic stands on the canary: without its ReplicaSet, with another template
 * in it, or with no pod that is ready, users go back to the pods that are still there, and nothing is started anew under them.
 */
export function lost(turn: Turn, run: Run, set: ReplicaSetView | undefined): boolean {
  const what = lossOf(run, set);
  if (!what) return false;
  rollBack(turn, run, 'failed', what.reason, what.message);
  return true;
}

function lossOf(run: Run, set: ReplicaSetView | undefined): { reason: string; message: string } | undefined {
  const name = `ReplicaSet ${run.replicaSet}`;
  if (!set || set.deleting) return { reason: 'CanaryGone', message: `${name} was deleted by somebody` };
  if (set.digest !== run.digest) {
    const message = `${name} has another pod template than the Deployment's by now`;
    return { reason: 'TemplateChanged', message };
  }
  if (set.ready > 0) return undefined;
  return { reason: 'PodsLost', message: `not one canary pod is ready at 100 %${why(set)}` };
}

/** Users' traffic is kept on stable pods before a canary pod exists: pins, leaves, then the route. */
export function fenced(turn: Turn, run: Run): boolean {
  const { observation, state } = turn;
  const stable = state.stable!.hash;
  const done = [
    gateEntry(turn),
    pinned(turn, observation.root, stable),
    leaf(turn, 'stable', stable),
    leaf(turn, 'canary', run.hash),
    leaf(turn, 'preview', run.hash),
    routeExists(turn),
  ];
  return done.every(Boolean);
}

/** The canary's ReplicaSet, compared with what the gate holds; undefined while it is on its way or is refused. */
export function comparedCanary(turn: Turn, run: Run, deployment: DeploymentView): ReplicaSetView | undefined {
  const set = canaryOf(turn, run);
  if (!set) {
    turn.effects.push({
      kind: 'create-canary',
      run,
      replicas: deployment.replicas,
      surge: deployment.surge,
    });
    turn.message = `creating ReplicaSet ${run.replicaSet}`;
    return undefined;
  }
  if (set.deleting) {
    turn.message = `ReplicaSet ${set.name} is being deleted by somebody: it is created again when it is gone`;
    return undefined;
  }
  if (set.digest !== run.digest) {
    turn.stall(
      'TemplateChanged',
      `ReplicaSet ${set.name} came back with another pod template than the Deployment's: an admission webhook changes ReplicaSets; exclude those labelled weir.dev/rollout from it`,
    );
    return undefined;
  }
  return set;
}

/** What kept its pods, when the time is over: said by a pod or a controller, else told by the numbers. */
function why({ trouble, current, ready }: ReplicaSetView): string {
  if (trouble) return `: ${trouble}`;
  return current > ready ? `: ${current - ready} running but not ready, look at the readiness probe` : '';
}

type Preparing = Extract<PhaseState, { name: 'Preparing' }>;

export function preparing(turn: Turn, phase: Preparing, need: number) {
  prepare(turn, phase, need);
  // The first weight is set beside the write of the state that says so (`ahead`): a crash between the two leaves a weight that
  // stands only if this turn goes on with it.
  const forgotten = (turn.observation.route.weights?.canary ?? 0) > 0;
  if (forgotten && turn.state.phase === phase) {
    turn.effects.unshift({ kind: 'set-weights', stable: 100, canary: 0 });
  }
}

function prepare(turn: Turn, phase: Preparing, need: number) {
  const { observation, state } = turn;
  const deployment = observation.deployment!;
  const { run } = phase;
  if (interrupted(turn, run)) return;
  const approve = take(turn, 'approve');
  if (approve) run.approvedBy = approve.by;
  refuseOthers(turn, ['retry'], 'the rollout is still running');
  if (!removeStrays(turn, run.replicaSet)) {
    turn.message = 'removing the canary of an earlier run';
    return;
  }
  if (!drainLeftovers(turn, [state.stable!.replicaSet])) {
    turn.message = 'draining ReplicaSets of older revisions';
    return;
  }
  // First, because it is what takes longest, and has no pods that anything could reach before the pins are in place.
  const set = comparedCanary(turn, run, deployment);
  if (!fenced(turn, run)) {
    if (!turn.stalled) turn.message = 'pinning Services to the stable pods';
    return;
  }
  if (!set) return;
  run.peak = Math.max(run.peak, need);
  const grown = set.replicas >= run.peak;
  if (!grown) {
    turn.effects.push({
      kind: 'scale-replica-set',
      name: set.name,
      replicas: run.peak,
      desired: deployment.replicas,
      max: deployment.replicas + deployment.surge,
    });
  }
  if (grown && set.available >= run.peak) {
    delete phase.wait;
    // Its pods may have taken longer than the window was open.
    const held = run.opened || take(turn, 'promote') ? undefined : heldBy(turn);
    if (held) {
      turn.message = `canary pods are available; the first step waits: ${held}`;
      return;
    }
    turn.goto(
      { name: 'Progressing', run, step: { index: 0, since: turn.now } },
      'CanaryReady',
      `${run.peak} canary ${run.peak === 1 ? 'pod is' : 'pods are'} available`,
    );
    return;
  }
  refuseOthers(turn, ['promote'], 'the canary has no pods yet');
  turn.message = `waiting for canary pods: ${set.available} of ${run.peak} available${set.trouble ? `: ${set.trouble}` : ''}`;
  if (turn.overdue(phase, 'pods', set.available)) {
    rollBack(
      turn,
      run,
      'failed',
      'ProgressDeadline',
      `canary pods were not available within ${turn.deadlineText()}: ${set.available} of ${run.peak}${why(set)}`,
    );
  }
}
