import { refuseOthers } from './commands.ts';
import type { Turn } from './context.ts';
import {
  acknowledgedText,
  canaryOf,
  gateEntry,
  leaf,
  pinned,
  routeExists,
  scaled,
  weightsSet,
} from './goals.ts';
import { revisionOf } from './rest.ts';
import { shortImages, startRun } from './runs.ts';
import type { PhaseState } from './types.ts';

type RollingBack = Extract<PhaseState, { name: 'RollingBack' }>;

/** Weight 0 first, and acknowledged; then the canary drains. After the deadline it drains regardless. */
export function rollingBack(turn: Turn, phase: RollingBack) {
  const { observation, state } = turn;
  const { run } = phase;
  const stable = state.stable!;
  refuseOthers(turn, ['approve', 'promote', 'abort', 'retry'], 'the rollout is being rolled back');
  const set = canaryOf(turn, run);
  if (set?.released) {
    // A crash or a stale view: it was adopted after all, and what users have is what is true.
    state.stable = revisionOf(set);
    turn.goto({ name: 'Promoting', run, since: turn.now }, 'Released', 'the canary was released already');
    return;
  }
  turn.message = `${phase.message}; taking traffic back to stable`;
  // Flipping the stable leaf back matters only after promotion had moved it; it comes first because it moves traffic.
  const back = [
    leaf(turn, 'stable', stable.hash),
    routeExists(turn) && weightsSet(turn, 0),
    pinned(turn, observation.root, stable.hash),
  ].every(Boolean);
  gateEntry(turn);
  if (!back) return;
  const { acknowledged } = observation.route;
  if (!acknowledged.done && set && set.replicas > 0) {
    turn.message = `${phase.message}; waiting for proxies to acknowledge weight 0: ${acknowledgedText(turn)}`;
    if (!turn.overdue(phase, 'acknowledgement', acknowledged.proxies)) return;
    turn.message = `${phase.message}; scaling down without every proxy's word, ${turn.deadlineText()} are over`;
  }
  if (set) {
    turn.message = `${phase.message}; the canary drains: ${set.current} pods left`;
    if (!scaled(turn, set, 0) || set.current > 0) return;
    if (!set.deleting) {
      turn.effects.push({
        kind: 'delete-replica-set',
        name: set.name,
        uid: set.uid,
        resourceVersion: set.resourceVersion,
      });
    }
    return;
  }
  ended(turn, phase);
}

function ended(turn: Turn, phase: RollingBack) {
  const { observation, state } = turn;
  const deployment = observation.deployment!;
  const at = new Date(turn.now).toISOString();
  const images = shortImages(phase.run.images);
  if (deployment.digest === state.stable!.digest) {
    delete state.analysis;
    turn.goto({ name: 'Healthy' }, 'Reverted', `${images} is gone and Git is back at the stable template`);
    return;
  }
  if (deployment.digest !== phase.run.digest || phase.cause === 'superseded' || phase.cause === 'reverted') {
    return startRun(turn, deployment, `${images} is gone`);
  }
  const cost = state.analysis?.failedRequests;
  const message = `${images} was rolled back: ${phase.message}${cost === undefined ? '' : ` (${cost} failed requests)`}`;
  state.last = { outcome: phase.cause === 'aborted' ? 'aborted' : 'failed', at, message };
  // What failed is judged again only when somebody says so after this moment.
  const run = { ...phase.run, retry: observation.spec.retry };
  turn.goto({ name: 'Failed', run, reason: phase.reason, message }, 'RolledBack', message, { warn: true });
}
