import { consumeDone, recordPause, refuseOthers } from './machine/commands.ts';
import { acts, Turn } from './machine/context.ts';
import { atRest, gateEntry, removeStrays } from './machine/goals.ts';
import { planOf, replicasFor, weightAt } from './machine/plan.ts';
import { progressing } from './machine/progressing.ts';
import { promoting } from './machine/promoting.ts';
import { failed, healthy, initializing, waiting } from './machine/rest.ts';
import { rollingBack } from './machine/rolling-back.ts';
import { preparing } from './machine/run.ts';
import type { Observation, Result, State } from './machine/types.ts';
import { watching } from './machine/watching.ts';
import { moved, namesOf } from './names.ts';

export type { Effect, EffectKind, Observation, Result, State } from './machine/types.ts';
export { initialState } from './machine/types.ts';

/** More phases than any turn passes through: a guard, not a limit. */
const CHAIN = 12;

/**
 * The heart of Weir: one pure turn. Looks at the whole observation, walks through phases until one asks for something,
 * and returns the state to persist before its effects are carried out. Called again with what came of it.
 */
export function machine(state: State, observation: Observation, now: number): Result {
  const turn = new Turn(state, observation, now);
  recordPause(turn);
  takeNames(turn);
  if (present(turn)) {
    for (let count = 0; count < CHAIN; count += 1) {
      const before = turn.state.phase.name;
      phase(turn);
      if (turn.state.phase.name === before || turn.effects.some(acts)) break;
    }
    // A phase entered in this turn without effects of its own is looked at again at once.
  }
  consumeDone(turn);
  gatherEvents(turn);
  const plan = planOf(observation.spec);
  const { phase: current } = turn.state;
  return {
    state: turn.state,
    effects: turn.effects,
    wakeAt: turn.wakeAt,
    message: turn.message,
    awaitsApproval: turn.awaitsApproval,
    stalled: turn.stalled,
    steps: plan.length,
    weight:
      current.name === 'Progressing'
        ? (current.step.weight ?? weightAt(plan, current.step.index))
        : current.name === 'Watching'
          ? 100
          : 0,
  };
}

/** Phases that were passed through in one turn are one Event: each costs a request, and a person reads them together. */
function gatherEvents(turn: Turn): void {
  const normal = turn.effects.filter((effect) => effect.kind === 'event' && effect.type === 'Normal');
  const last = normal.at(-1);
  if (normal.length < 2 || last?.kind !== 'event') return;
  last.message = normal.flatMap((effect) => (effect.kind === 'event' ? [effect.message] : [])).join('; ');
  const gathered = turn.effects.filter((effect) => effect === last || !normal.includes(effect));
  turn.effects.splice(0, turn.effects.length, ...gathered);
}

/** The Deployment and the Service are there and are the ones that the state speaks of. */
function present(turn: Turn): boolean {
  const { observation, state } = turn;
  const { deployment, spec } = observation;
  if (!deployment) {
    gateEntry(turn);
    if (state.deploymentUid !== undefined) endRun(turn, `Deployment ${spec.targetRef.name} was deleted`);
    if (observation.root) atRest(turn);
    removeStrays(turn, undefined);
    refuseOthers(turn, ['approve', 'promote', 'abort', 'retry'], 'there is no Deployment');
    turn.stall(
      'TargetNotFound',
      `there is no Deployment ${spec.targetRef.name} in namespace ${observation.namespace}: create it, or correct spec.targetRef.name`,
    );
    return false;
  }
  if (state.deploymentUid !== undefined && state.deploymentUid !== deployment.uid) {
    endRun(
      turn,
      `Deployment ${deployment.name} was deleted and created again, which no gate holds: following it`,
    );
    // Its Services may select nothing now: pins first, then traffic, then what is left of the canary.
    if (observation.root) atRest(turn);
    removeStrays(turn, undefined);
    return false;
  }
  if (!observation.root) {
    turn.stall(
      'ServiceNotFound',
      `there is no Service ${spec.service.name} in namespace ${observation.namespace}: create it, or correct spec.service.name`,
    );
    return false;
  }
  return true;
}

/** Whoever calls has let go what was named before. A state from an earlier Weir, at rest, is not written for their sake alone. */
function takeNames(turn: Turn): void {
  const { state, observation } = turn;
  const before = state.names;
  const names = namesOf(observation.spec);
  if (before && moved(before, names)) {
    delete state.gate;
    delete state.gateOpen;
    endRun(
      turn,
      `the Rollout is about Deployment ${names.target} and Service ${names.service} now: Deployment ${before.target} and Service ${before.service} were let go`,
    );
  }
  const { name } = state.phase;
  if (before || (name !== 'Healthy' && name !== 'Failed')) state.names = names;
}

function endRun(turn: Turn, message: string): void {
  const { state } = turn;
  delete state.deploymentUid;
  delete state.stable;
  delete state.analysis;
  delete state.repause;
  turn.goto({ name: 'Initializing' }, 'TargetReplaced', message, { warn: true });
}

function phase(turn: Turn) {
  const current = turn.state.phase;
  const { spec, deployment } = turn.observation;
  switch (current.name) {
    case 'Initializing':
      return initializing(turn);
    case 'Healthy':
      return healthy(turn);
    case 'Waiting':
      return waiting(turn, current);
    case 'Preparing':
      return preparing(turn, current, replicasFor(spec, weightAt(planOf(spec), 0), deployment!.replicas));
    case 'Progressing':
      return progressing(turn, current);
    case 'Watching':
      return watching(turn, current);
    case 'Promoting':
      return promoting(turn, current);
    case 'RollingBack':
      return rollingBack(turn, current);
    case 'Failed':
      return failed(turn, current);
    default:
      return current satisfies never;
  }
}
