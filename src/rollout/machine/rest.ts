import type { RevisionStatus } from '../../api/rollout.ts';
import { refuseOthers, take } from './commands.ts';
import type { Turn } from './context.ts';
import { atRest, drainLeftovers, gateEntry, removeStrays } from './goals.ts';
import { heldBy, newRun, refusal, shortImages, startRun, unpause } from './runs.ts';
import type { DeploymentView, ReplicaSetView, Run } from './types.ts';

/** How often the gate is tried where its objects cannot be watched. */
const GATE_CHECK = 60_000;
const RETRY = 1000;

export function revisionOf(set: ReplicaSetView): RevisionStatus {
  return { digest: set.digest, replicaSet: set.name, hash: set.hash, images: set.images };
}

/** The ReplicaSet that a Deployment runs: the owned one with its template, newest revision first. */
export function currentSet(turn: Turn, digest: string): ReplicaSetView | undefined {
  return turn.observation.replicaSets
    .filter((set) => set.owned && !set.deleting && set.digest === digest)
    .sort((a, b) => b.replicas - a.replicas || b.revision - a.revision)[0];
}

/** Takes over a Deployment as it runs: nothing is judged, nothing is restarted. */
export function initializing(turn: Turn) {
  const { observation, state } = turn;
  const deployment = observation.deployment!;
  gateEntry(turn);
  removeStrays(turn, undefined);
  const current = currentSet(turn, deployment.digest);
  const busiest = observation.replicaSets
    .filter(({ owned, deleting, replicas }) => owned && !deleting && replicas > 0)
    .sort((a, b) => b.replicas - a.replicas || b.revision - a.revision)[0];
  const newest = observation.replicaSets
    .filter(({ owned, deleting }) => owned && !deleting)
    .sort((a, b) => b.revision - a.revision)[0];
  const stable = deployment.paused ? (busiest ?? current ?? newest) : current;
  if (!stable) {
    turn.message = `waiting for Deployment ${deployment.name} to have a ReplicaSet`;
    // A paused Deployment that never ran has nothing to compare with: creation is not gated.
    if (deployment.paused && observation.replicaSets.every(({ owned }) => !owned)) unpause(turn, deployment);
    return;
  }
  state.deploymentUid = deployment.uid;
  state.stable = revisionOf(stable);
  turn.goto({ name: 'Healthy' }, 'Adopted', `${shortImages(stable.images)} is stable`);
}

/** Tries whether the gate really holds: when its admission objects have changed, and until it does, again and again. */
export function watchGate(turn: Turn) {
  const { probe, version } = turn.observation.gate;
  if (probe?.holds && probe.version !== undefined) turn.state.gate = probe.version;
  else if (probe) delete turn.state.gate;
  if (version !== undefined && turn.state.gate === version) return;
  const changed = probe === undefined || probe.version !== version;
  const again = probe?.holds ? GATE_CHECK : Math.min(GATE_CHECK, RETRY * 2 ** ((probe?.failures ?? 1) - 1));
  const due = changed ? turn.now : probe.at + again;
  if (turn.now >= due) turn.effects.push({ kind: 'probe-gate' });
  else turn.wake(due);
}

export function healthy(turn: Turn) {
  const { observation, state } = turn;
  const deployment = observation.deployment!;
  const stable = state.stable!;
  refuseOthers(turn, ['approve', 'promote', 'abort', 'retry'], 'no rollout is running');
  turn.message = `${shortImages(stable.images)} is stable`;
  if (!deployment.paused) {
    if (deployment.digest !== stable.digest) {
      pastTheGate(turn, deployment);
    } else {
      const set = currentSet(turn, deployment.digest);
      if (set && set.name !== stable.replicaSet && set.replicas > 0) state.stable = revisionOf(set);
    }
    if (atRest(turn) && removeStrays(turn, undefined)) watchGate(turn);
    return;
  }
  if (deployment.digest !== stable.digest) keepServing(turn, deployment);
  const settled = deployment.digest === state.stable!.digest;
  // What the run that begins here has left behind already, in a turn that came to nothing, is taken up.
  if (!atRest(turn) || !removeStrays(turn, settled ? undefined : newRun(turn, deployment).replicaSet)) return;
  watchGate(turn);
  if (settled) {
    unpause(turn, deployment);
    return;
  }
  if (!drainLeftovers(turn, [state.stable!.replicaSet])) return;
  startRun(turn, deployment, 'a new template was applied');
}

/**
 * The gate has stopped the Deployment's own controller at its work, or that had come to nothing: the revision it was bringing out is
 * not there in full. Users stay on the one that has most of what serves them, and none of its pods is drained. One without any
 * pod is nobody's: scaled up from 0, a paused Deployment has its pods by the ReplicaSet of its template, where there is one of before.
 */
function keepServing(turn: Turn, deployment: DeploymentView) {
  const { observation, state } = turn;
  const before = state.stable!;
  const running = observation.replicaSets.filter(
    ({ owned, deleting, replicas }) => owned && !deleting && replicas > 0,
  );
  const [most] = running.sort((a, b) => b.available - a.available || b.replicas - a.replicas);
  const kept = running.find(({ name }) => name === before.replicaSet);
  if (!most || (kept && kept.available >= Math.min(most.available, deployment.replicas))) return;
  state.stable = revisionOf(most);
  const message = `${shortImages(before.images)} was not out in full when another template was applied: ${shortImages(most.images)}, which serves, is stable`;
  const { name } = state.phase;
  turn.record(name, name, 'NotOut', message, { warn: true });
}

/** The template changed and was not paused: break-glass, or a change from before the gate held. Say so, follow it. */
function pastTheGate(turn: Turn, deployment: DeploymentView) {
  const set = currentSet(turn, deployment.digest);
  if (!set) return;
  if (deployment.replicas === 0 && turn.state.phase.name === 'Waiting') {
    turn.state.stable = revisionOf(set);
    turn.goto(
      { name: 'Healthy' },
      'Released',
      `${shortImages(set.images)} is stable; there were no pods to judge`,
    );
    return;
  }
  const message = `${shortImages(set.images)} went live without judgement: Deployment ${deployment.name} was changed while the gate did not hold it`;
  turn.state.stable = revisionOf(set);
  turn.state.gateOpen = message;
  turn.record(turn.state.phase.name, 'Healthy', 'GateOpen', message, { warn: true });
  turn.state.phase = { name: 'Healthy' };
  turn.message = message;
}

export function waiting(turn: Turn, phase: { name: 'Waiting'; run: Run; reason: string }) {
  const { observation, state } = turn;
  const deployment = observation.deployment!;
  const approve = take(turn, 'approve');
  if (approve) phase.run.approvedBy = approve.by;
  const abort = take(turn, 'abort');
  if (abort) {
    const message = `aborted by ${abort.by} before it began`;
    // As after a rollback: judged again only when somebody says so after this moment.
    const run = { ...phase.run, retry: observation.spec.retry };
    turn.goto({ name: 'Failed', run, reason: 'Aborted', message }, 'Aborted', message, { by: abort.by });
    return;
  }
  refuseOthers(turn, ['retry'], 'the rollout has not begun yet');
  if (!deployment.paused) return pastTheGate(turn, deployment);
  if (deployment.digest !== state.stable!.digest) keepServing(turn, deployment);
  if (deployment.digest === state.stable!.digest) {
    turn.goto({ name: 'Healthy' }, 'Reverted', 'the stable template was applied again: nothing to roll out');
    return;
  }
  if (deployment.digest !== phase.run.digest) {
    return startRun(turn, deployment, 'it replaces the revision that was waiting');
  }
  atRest(turn);
  const refused = refusal(turn, deployment);
  if (refused) return turn.stall(refused.reason, refused.message);
  // `promote` opens a closed window for this run: a person has decided.
  const promote = take(turn, 'promote');
  const held = observation.spec.suspend
    ? 'suspended (spec.suspend: true): no new rollout starts'
    : heldBy(turn);
  if (held && !promote) {
    phase.reason = held;
    turn.message = `${shortImages(phase.run.images)} waits at the gate: ${held}`;
    return;
  }
  if (promote) phase.run.opened = true;
  if (deployment.replicas === 0) {
    return release0(turn, deployment, phase.run);
  }
  turn.goto({ name: 'Preparing', run: phase.run }, 'Preparing', 'pinning Services and starting canary pods', {
    ...(promote ? { by: promote.by } : {}),
  });
}

/** Scaled to zero: no pod, no user, nothing to judge. */
function release0(turn: Turn, deployment: DeploymentView, run: Run) {
  const set = currentSet(turn, run.digest);
  if (set && !deployment.paused) return;
  turn.message = `Deployment ${deployment.name} has 0 replicas: there is nothing to judge, so the template is let go`;
  turn.effects.push({
    kind: 'set-paused',
    paused: false,
    resourceVersion: deployment.resourceVersion,
    digest: run.digest,
  });
}

export function failed(turn: Turn, phase: { name: 'Failed'; run: Run; reason: string; message: string }) {
  const { observation, state } = turn;
  const deployment = observation.deployment!;
  refuseOthers(turn, ['approve', 'promote', 'abort'], 'the rollout has failed; retry starts it again');
  if (!deployment.paused && deployment.digest !== state.stable!.digest) return pastTheGate(turn, deployment);
  if (!atRest(turn) || !removeStrays(turn, undefined)) {
    turn.message = phase.message;
    return;
  }
  watchGate(turn);
  if (deployment.digest === state.stable!.digest) {
    delete state.analysis;
    turn.goto(
      { name: 'Healthy' },
      'Reverted',
      `Git is back at ${shortImages(state.stable!.images)}: the gate opens`,
    );
    return;
  }
  if (deployment.digest !== phase.run.digest)
    return startRun(turn, deployment, 'it replaces the revision that failed');
  const retry = take(turn, 'retry');
  if (retry) return startRun(turn, deployment, `retried by ${retry.by}`, retry.by);
  if (observation.spec.retry !== phase.run.retry) {
    const by = `spec.retry (${observation.spec.retry})`;
    return startRun(turn, deployment, `retried by ${by}`, by);
  }
  turn.stall(phase.reason, phase.message);
}
