import { parseDuration } from '../../lib/duration.ts';
import { callersRemedy, greenNeedsCallers } from '../advice.ts';
import { peek, refuseOthers, take } from './commands.ts';
import type { Turn } from './context.ts';
import { acknowledgedText, scaled, weightsSet } from './goals.ts';
import { judge, requestsAsked } from './judging.ts';
import { approves, type PlannedStep, placeIn, planOf, replicasFor, weightAt } from './plan.ts';
import { comparedCanary, fenced, interrupted } from './run.ts';
import { heldBy, rollBack } from './runs.ts';
import type { PhaseState, ReplicaSetView, StepState } from './types.ts';

type Progressing = Extract<PhaseState, { name: 'Progressing' }>;

export function progressing(turn: Turn, phase: Progressing) {
  const { observation } = turn;
  const { run } = phase;
  const deployment = observation.deployment!;
  if (interrupted(turn, run)) return;
  refuseOthers(turn, ['retry'], 'the rollout is still running');
  const plan = planOf(observation.spec);
  const index = replaced(turn, phase, plan);
  const { step } = phase;
  const planned = plan[index]!;
  if (!fenced(turn, run)) {
    turn.message = 'putting Services back to what the rollout needs';
    return;
  }
  const set = comparedCanary(turn, run, deployment);
  if (!set) {
    // Pods may be gone with their ReplicaSet: no user is sent to them meanwhile.
    weightsSet(turn, 0);
    if (turn.overdue(phase, 'pods', 0)) rollBack(turn, run, 'failed', 'CanaryGone', turn.message);
    return;
  }
  const wanted = weightAt(plan, index);
  const held = step.weight !== undefined && step.weight < wanted ? heldBy(turn) : undefined;
  if (!held) step.weight = wanted;
  if (!carried(turn, phase, set, step.weight!, plan, index)) return;
  if (held) {
    if (failedLook(turn, phase, step.weight!, step.acknowledgedAt!, Number.POSITIVE_INFINITY)) return;
    turn.message = `the steps were changed to ${wanted} %, which waits: ${held}`;
    return;
  }
  if (planned.kind === 'pause') return paused(turn, phase, planned, plan, index);
  step.acknowledgedAt ??= turn.now;
  const promote = take(turn, 'promote');
  if (promote) return skip(turn, phase, plan, index, promote.full === true, promote.by);
  if (!planned.judged) return advance(turn, phase, plan, index);
  decided(turn, phase, planned, plan, index);
}

/** The index of the step in the plan as it is now; a step that the plan has no more is left for an earlier one. */
function replaced(turn: Turn, phase: Progressing, plan: PlannedStep[]): number {
  const { index, weight = 100 } = phase.step;
  const place = placeIn(plan, index, weight);
  if (place < Math.min(index, plan.length - 1)) {
    const to = Math.min(weight, weightAt(plan, place));
    const message = `the steps were changed at ${weight} %: going on from ${to} %`;
    turn.record('Progressing', 'Progressing', 'StepsChanged', message);
    delete phase.wait;
    phase.step = { index: place, since: turn.now, weight: to };
  }
  return place;
}

/** The step's weight is in force and acknowledged, on pods that are ready to carry it. */
function carried(
  turn: Turn,
  phase: Progressing,
  set: ReplicaSetView,
  weight: number,
  plan: PlannedStep[],
  index: number,
): boolean {
  const { observation } = turn;
  const { run, step } = phase;
  const { replicas } = observation.deployment!;
  const need = replicasFor(observation.spec, weight, replicas);
  run.peak = Math.max(run.peak, need);
  // What was granted stays granted while stable grows; new pods follow within their own deadline.
  const floor = Math.min(step.granted ?? need, need);
  if (set.ready < floor) {
    const safe = plan
      .slice(0, index)
      .flatMap((earlier) => (earlier.kind === 'weight' ? [earlier.weight] : []))
      .filter((earlier) => earlier < weight && set.ready >= replicasFor(observation.spec, earlier, replicas))
      .reduce((best, earlier) => Math.max(best, earlier), 0);
    weightsSet(turn, safe);
    scaled(turn, set, Math.max(run.peak, set.replicas));
    delete step.acknowledgedAt;
    delete step.granted;
    turn.message = `${set.ready} of ${need} canary pods are ready, too few for ${weight} %${set.trouble ? `: ${set.trouble}` : ''}`;
    if (turn.overdue(phase, 'pods', set.ready)) {
      rollBack(
        turn,
        run,
        'failed',
        'ProgressDeadline',
        `${turn.message}, for longer than ${turn.deadlineText()}`,
      );
    }
    return false;
  }
  if (!scaled(turn, set, Math.max(run.peak, set.replicas))) {
    // Growing beside traffic that is already granted does not disturb it.
    if (step.granted === undefined) return false;
  }
  step.granted ??= need;
  if (!weightsSet(turn, weight)) {
    delete step.acknowledgedAt;
    turn.message = `setting the weight to ${weight} %`;
    return false;
  }
  const { acknowledged } = observation.route;
  if (step.acknowledgedAt === undefined && !acknowledged.done) {
    turn.message = `waiting for proxies to acknowledge ${weight} %: ${acknowledgedText(turn)}`;
    if (turn.overdue(phase, 'acknowledgement', acknowledged.proxies)) {
      rollBack(
        turn,
        run,
        'failed',
        'NotAcknowledged',
        `${weight} % was not acknowledged by all proxies within ${turn.deadlineText()}: ${acknowledgedText(turn)}`,
      );
    }
    return false;
  }
  if (step.acknowledgedAt === undefined) step.acknowledgedAt = turn.now;
  if (set.ready >= need) delete phase.wait;
  else if (turn.overdue(phase, 'pods', set.ready)) {
    rollBack(
      turn,
      run,
      'failed',
      'ProgressDeadline',
      `${set.ready} of ${need} canary pods were ready within ${turn.deadlineText()}`,
    );
    return false;
  }
  return true;
}

function paused(
  turn: Turn,
  phase: Progressing,
  planned: Extract<PlannedStep, { kind: 'pause' }>,
  plan: PlannedStep[],
  index: number,
) {
  const { step } = phase;
  const weight = weightAt(plan, index);
  if (weight > 0 && step.acknowledgedAt !== undefined) {
    // A hold is no blindfold: what runs on users is judged, and stopped when it fails.
    if (failedLook(turn, phase, weight, step.acknowledgedAt, Number.POSITIVE_INFINITY)) return;
  }
  const by = approver(turn, phase);
  if (by) return leave(turn, phase, plan, index, 'Approved', `approved by ${by}`, by);
  const promote = take(turn, 'promote');
  if (promote) return skip(turn, phase, plan, index, promote.full === true, promote.by);
  if (planned.for === undefined) {
    turn.awaitsApproval = true;
    turn.message = `paused at ${weight} % until approved: spec.approve, or \`weir rollouts approve ${turn.observation.name}\``;
    return;
  }
  const end = step.since + parseDuration(planned.for);
  if (turn.now >= end) {
    return leave(turn, phase, plan, index, 'PauseOver', `paused for ${planned.for}`);
  }
  turn.wake(end);
  turn.message = `paused at ${weight} % for ${planned.for}`;
}

function approver(turn: Turn, { run }: Progressing): string | undefined {
  const { spec } = turn.observation;
  if (approves(spec.approve, run)) {
    // Git has said it already: a command that says the same is done with.
    take(turn, 'approve');
    return `spec.approve (${spec.approve})`;
  }
  const command = take(turn, 'approve');
  if (command) return command.by;
  const before = run.approvedBy;
  delete run.approvedBy;
  return before;
}

/** Judges the step; true when that ended the run. */
function failedLook(turn: Turn, phase: Progressing, weight: number, since: number, until: number): boolean {
  const { run, step } = phase;
  const seen = judge(turn, run, {
    id: `${run.id}/${step.index}/${since}`,
    since,
    until,
    minRequests: requestsAsked(turn.observation.spec, weight),
    weight,
  });
  if (seen?.decision !== 'fail') return false;
  rollBack(turn, run, 'failed', seen.reason, seen.message);
  return true;
}

function decided(
  turn: Turn,
  phase: Progressing,
  planned: Extract<PlannedStep, { kind: 'weight' }>,
  plan: PlannedStep[],
  index: number,
) {
  const { run, step } = phase;
  const { spec } = turn.observation;
  const since = step.acknowledgedAt!;
  const dwelt = since + parseDuration(planned.dwell);
  if (failedLook(turn, phase, planned.weight, since, dwelt)) return;
  if (peek(turn, 'approve')) run.approvedBy = take(turn, 'approve')!.by;
  if (step.undecided) {
    const by = run.approvedBy;
    if (by) {
      delete run.approvedBy;
      run.unproven = `approved by ${by} without enough evidence`;
      return leave(turn, phase, plan, index, 'Approved', `${run.unproven} at ${planned.weight} %`, by);
    }
  }
  const seen = turn.state.analysis?.id.startsWith(`${run.id}/${step.index}/${since}`)
    ? turn.state.analysis
    : undefined;
  const what = seen ? seen.message : 'no look at the metrics yet';
  if (turn.now >= dwelt && seen?.decision === 'pass' && seen.at >= dwelt) {
    return leave(turn, phase, plan, index, 'StepPassed', `${planned.weight} %: ${what}`);
  }
  turn.message = `${planned.weight} %: ${what}`;
  if (turn.now < dwelt) {
    // Or whoever reads that all is well asks what it waits for.
    if (seen?.decision === 'pass') turn.message += `; the step takes ${planned.dwell} at least`;
    turn.wake(dwelt);
    return;
  }
  if (planned.weight === 0 && greenNeedsCallers(spec)) turn.message += `; ${callersRemedy(spec)}`;
  const { after, then } = spec.analysis.inconclusive;
  const end = since + parseDuration(after);
  if (turn.now < end) {
    turn.wake(end);
    return;
  }
  const message = `inconclusive after ${after} at ${planned.weight} %: ${what}`;
  switch (then) {
    case 'rollback':
      return rollBack(turn, run, 'failed', 'Inconclusive', message);
    case 'promote':
      run.unproven = message;
      return leave(turn, phase, plan, index, 'Unproven', `${message}; going on, unproven`);
    case 'pause':
      step.undecided = true;
      turn.awaitsApproval = true;
      turn.message = `${message}; paused until approved`;
      return;
    default:
      return then satisfies never;
  }
}

/** To the next step, unless a window, a freeze or a person holds it. */
function leave(
  turn: Turn,
  phase: Progressing,
  plan: PlannedStep[],
  index: number,
  reason: string,
  message: string,
  by?: string,
) {
  const held = heldBy(turn);
  if (held) {
    // The approval is not lost with the window.
    if (by && reason === 'Approved' && plan[index]!.kind === 'pause') phase.run.approvedBy = by;
    turn.message = `${message}; the next step waits: ${held}`;
    return;
  }
  turn.record('Progressing', 'Progressing', reason, message, by ? { by } : {});
  advance(turn, phase, plan, index);
}

function advance(turn: Turn, phase: Progressing, plan: PlannedStep[], index: number) {
  delete phase.wait;
  if (index + 1 < plan.length) {
    phase.step = next(phase.step, plan, index + 1, turn.now);
    turn.message = describe(plan[index + 1]!);
    return;
  }
  turn.goto(
    {
      name: 'Watching',
      run: phase.run,
      since: turn.now,
      ...(phase.step.granted === undefined ? {} : { granted: phase.step.granted }),
    },
    'AllTraffic',
    'all traffic goes to the new revision; the old one is kept full',
  );
}

/** A pause goes on with the weight, and with what was granted for it. */
function next(step: StepState, plan: PlannedStep[], index: number, now: number): StepState {
  const weight = weightAt(plan, index);
  if (plan[index]!.kind !== 'pause') return { index, weight, since: now };
  return {
    index,
    weight,
    since: now,
    ...(step.granted === undefined ? {} : { granted: step.granted }),
    ...(step.acknowledgedAt === undefined ? {} : { acknowledgedAt: now }),
  };
}

function skip(turn: Turn, phase: Progressing, plan: PlannedStep[], index: number, full: boolean, by: string) {
  const to = full ? plan.length - 1 : Math.min(index + 1, plan.length - 1);
  const planned = plan[index]!;
  const seen = turn.state.analysis;
  if (full || (planned.kind === 'weight' && planned.judged && seen?.decision !== 'pass')) {
    phase.run.unproven = `promoted by ${by} before the evidence was complete`;
  }
  const message = full ? `promoted to 100 % by ${by}` : `promoted to the next step by ${by}`;
  turn.record('Progressing', 'Progressing', 'PromotedByHand', message, { by });
  if (full && plan[to]!.kind === 'weight') phase.run.unproven ??= message;
  if (to === index) return advance(turn, phase, plan, index);
  delete phase.wait;
  phase.step = next(phase.step, plan, to, turn.now);
  turn.message = message;
}

const describe = (step: PlannedStep): string =>
  step.kind === 'weight'
    ? `going to ${step.weight} %`
    : step.for
      ? `pausing for ${step.for}`
      : 'pausing until approved';
