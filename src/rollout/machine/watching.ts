import { parseDuration } from '../../lib/duration.ts';
import { refuseOthers, take } from './commands.ts';
import type { Turn } from './context.ts';
import { canaryOf, scaled, weightsSet } from './goals.ts';
import { judge } from './judging.ts';
import { keepFor, planOf, replicasFor } from './plan.ts';
import { comparedCanary, fenced, interrupted, lost } from './run.ts';
import { heldBy, rollBack } from './runs.ts';
import type { PhaseState } from './types.ts';

type Watching = Extract<PhaseState, { name: 'Watching' }>;

/** At 100 % with the old ReplicaSet still full: one failed judgement flips back at once, without starting a pod. */
export function watching(turn: Turn, phase: Watching) {
  const { observation } = turn;
  const { run } = phase;
  const deployment = observation.deployment!;
  if (interrupted(turn, run)) return;
  refuseOthers(turn, ['approve', 'retry'], 'all traffic goes to the new revision already');
  if (!fenced(turn, run)) {
    turn.message = 'putting Services back to what the rollout needs';
    return;
  }
  if (lost(turn, run, canaryOf(turn, run))) return;
  const set = comparedCanary(turn, run, deployment);
  if (!set) return;
  run.peak = Math.max(run.peak, deployment.replicas);
  scaled(turn, set, Math.max(run.peak, set.replicas));
  const need = replicasFor(observation.spec, 100, deployment.replicas);
  if (set.ready < Math.min(phase.granted ?? need, need)) {
    // A weight never exceeds what is ready: the last step has the lower weights, the deadline and the way back here.
    const index = planOf(observation.spec).length - 1;
    turn.goto(
      { name: 'Progressing', run, step: { index, weight: 100, since: turn.now } },
      'CapacityLost',
      `only ${set.ready} of ${need} canary pods are ready at 100 %${set.trouble ? `: ${set.trouble}` : ''}`,
      { warn: true },
    );
    return;
  }
  if (set.ready >= need) phase.granted = need;
  if (!weightsSet(turn, 100)) {
    turn.message = 'putting the weight back to 100 %';
    return;
  }
  const keep = parseDuration(keepFor(observation.spec));
  const end = phase.since + keep;
  const held = heldBy(turn);
  // A hold is no blindfold, also where nothing is to be watched for.
  if (keep > 0 || held) {
    const seen = judge(turn, run, {
      id: `${run.id}/watch/${phase.since}`,
      since: phase.since,
      until: end,
      minRequests: 0,
      weight: 100,
    });
    if (seen?.decision === 'fail') {
      rollBack(turn, run, 'failed', seen.reason, `at 100 %: ${seen.message}`);
      return;
    }
    turn.message = `all traffic goes to the new revision; the old one is kept for ${keepFor(observation.spec)}${seen ? `: ${seen.message}` : ''}`;
  }
  const promote = take(turn, 'promote');
  if (promote) run.unproven = `the watch was ended by ${promote.by}`;
  else if (turn.now < end) {
    turn.wake(end);
    return;
  } else if (keep > 0 && !settled(turn, phase, end)) {
    return;
  }
  if (held && !promote) {
    turn.message = `the watch is over; promotion waits: ${held}`;
    return;
  }
  turn.goto(
    { name: 'Promoting', run, since: turn.now },
    'WatchOver',
    promote
      ? `promoted by ${promote.by}`
      : keep > 0
        ? 'the watch found nothing wrong'
        : 'nothing to watch for',
    promote ? { by: promote.by } : {},
  );
}

/** The last look covers the whole watch. A backend that is down holds: unjudged is not fine. */
function settled(turn: Turn, phase: Watching, end: number): boolean {
  const { analysis } = turn.state;
  if (analysis?.id === `${phase.run.id}/watch/${phase.since}` && analysis.at >= end) {
    if (analysis.decision === 'pass') return true;
    turn.message = `the watch is over, but not decided: ${analysis.message}; \`weir rollouts promote\` goes on without`;
    const { after, then } = turn.observation.spec.analysis.inconclusive;
    const limit = end + parseDuration(after);
    if (turn.now < limit) {
      turn.wake(limit);
      return false;
    }
    if (then === 'promote') {
      phase.run.unproven = `inconclusive after ${after} at 100 %`;
      return true;
    }
    if (then === 'rollback') {
      rollBack(
        turn,
        phase.run,
        'failed',
        'Inconclusive',
        `inconclusive after ${after} at 100 %: ${analysis.message}`,
      );
    }
  }
  return false;
}
