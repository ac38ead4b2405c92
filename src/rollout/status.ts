import type { Condition } from '../api/meta.ts';
import type { RevisionStatus, RolloutStatus } from '../api/rollout.ts';
import { sameJson } from '../lib/same-json.ts';
import { heldMessage } from './gate/probe.ts';
import type { Observation, PhaseState, Result, Run, State } from './machine/types.ts';

const revisionOf = (run: Run): RevisionStatus => ({
  digest: run.digest,
  replicaSet: run.replicaSet,
  hash: run.hash,
  images: run.images,
  startedAt: new Date(run.startedAt).toISOString(),
});

const runOf = (phase: PhaseState): Run | undefined => ('run' in phase ? phase.run : undefined);

type Draft = Omit<Condition, 'lastTransitionTime' | 'observedGeneration'>;

/** The state as `renderStatus` wrote it: its history is the one that people read, once. */
export function stateOf(status: RolloutStatus | undefined): State | undefined {
  if (!status?.machine) return undefined;
  // An earlier Weir has written it twice.
  const written = status.machine as Omit<State, 'history'> & Partial<State>;
  return { ...written, history: written.history ?? status.history };
}

/** Everything a person needs to understand the decision, and `machine` for the controller after a restart. */
export function renderStatus(
  result: Result,
  observation: Observation,
  previous: RolloutStatus | undefined,
  now: number,
): RolloutStatus {
  const { state, message } = result;
  const { phase, analysis } = state;
  const { history, ...remembered } = state;
  const run = runOf(phase);
  const at = new Date(now).toISOString();
  const { route } = observation;
  return {
    observedGeneration: observation.generation,
    phase: phase.name,
    message,
    conditions: conditionsOf(result, observation).map((draft) =>
      dated(draft, previous?.conditions, observation.generation, at),
    ),
    ...(state.stable ? { stable: state.stable } : {}),
    ...(run ? { canary: revisionOf(run) } : {}),
    ...(phase.name === 'Progressing'
      ? {
          step: {
            index: Math.min(phase.step.index, result.steps - 1),
            of: result.steps,
            weight: result.weight,
            since: new Date(phase.step.since).toISOString(),
          },
        }
      : {}),
    ...trafficOf(route, state.stable !== undefined),
    ...(analysis
      ? {
          analysis: {
            verdict: analysis.decision,
            ...(analysis.requests === undefined ? {} : { requests: analysis.requests }),
            ...(analysis.failedRequests === undefined ? {} : { failedRequests: analysis.failedRequests }),
            metrics: analysis.metrics,
          },
        }
      : {}),
    history,
    machine: remembered,
  };
}

/** Without a route, before the first run, everything goes to the one revision there is. */
function trafficOf(route: Observation['route'], adopted: boolean): Pick<RolloutStatus, 'traffic'> {
  if (route.weights) {
    const { proxies, of } = route.acknowledged;
    return {
      traffic: {
        ...route.weights,
        acknowledged: { proxies, of },
        ...(route.version ? { version: route.version } : {}),
      },
    };
  }
  return adopted ? { traffic: { stable: 100, canary: 0 } } : {};
}

function conditionsOf(result: Result, observation: Observation): Draft[] {
  const { state, message, stalled, awaitsApproval } = result;
  const { name } = state.phase;
  const resting = name === 'Healthy';
  const failed = name === 'Failed';
  const stuck = stalled !== undefined;
  const gate = gateSeen(state, observation);
  const last = state.last;
  const promoted = resting || last?.outcome === 'promoted';
  const drafts: Draft[] = [
    {
      type: 'Ready',
      status: resting && !stuck ? 'True' : 'False',
      reason: stalled?.reason ?? name,
      message: stalled?.message ?? message,
    },
    {
      type: 'Reconciling',
      status: resting || failed || stuck ? 'False' : 'True',
      reason: awaitsApproval ? 'AwaitingApproval' : name,
      message,
    },
    {
      type: 'Stalled',
      status: stuck || failed ? 'True' : 'False',
      reason:
        stalled?.reason ?? (failed && state.phase.name === 'Failed' ? state.phase.reason : 'NotStalled'),
      message: stalled?.message ?? (failed ? message : ''),
    },
    {
      type: 'Promoted',
      status: failed ? 'False' : resting && promoted ? 'True' : 'Unknown',
      reason: failed ? 'RolledBack' : resting ? (last?.outcome === 'promoted' ? 'Promoted' : 'Stable') : name,
      message: last?.message ?? message,
    },
    {
      type: 'Gated',
      status: gate === undefined ? 'Unknown' : gate.holds ? 'True' : 'False',
      reason: gate === undefined ? 'NotTried' : gate.holds ? 'GateHolds' : 'GateOpen',
      message: gate?.message ?? 'the gate has not been tried yet',
    },
  ];
  if (observation.problem) {
    drafts.push({ type: 'Held', status: 'True', ...observation.problem });
  }
  if (state.gateOpen) {
    drafts.push({ type: 'GateOpen', status: 'True', reason: 'PastTheGate', message: state.gateOpen });
  }
  const judged = name === 'Progressing' || name === 'Watching';
  const { acknowledged } = observation.route;
  // Known only once every replica of the mesh has spoken of this very weight.
  if (judged && result.weight > 0 && acknowledged.done && acknowledged.of === 0) {
    drafts.push({
      type: 'NoMeshedCaller',
      status: 'True',
      reason: 'NoMeshedCaller',
      message: `no proxy follows Service ${observation.spec.service.name}: callers outside the mesh reach stable only, so the canary gets no requests; inject the callers`,
    });
  }
  if (judged && observation.others.length > 0) {
    drafts.push({
      type: 'UnpinnedServices',
      status: 'True',
      reason: 'UnpinnedServices',
      message: `these Services select canary pods too, outside of the weights: ${observation.others.join(', ')}`,
    });
  }
  return drafts;
}

/** The last try, or what an earlier process saw of the very same gate. */
function gateSeen(
  state: State,
  { gate: { probe, version }, spec }: Observation,
): { holds: boolean; message: string } | undefined {
  if (probe || version === undefined || state.gate !== version) return probe;
  return { holds: true, message: heldMessage(spec.targetRef.name) };
}

function dated(
  draft: Draft,
  previous: Condition[] | undefined,
  observedGeneration: number,
  at: string,
): Condition {
  const before = previous?.find(({ type }) => type === draft.type);
  const lastTransitionTime = before?.status === draft.status ? before.lastTransitionTime : at;
  return { ...draft, observedGeneration, lastTransitionTime };
}

/** A Rollout that cannot be worked with: the condition names field and remedy, everything else stays as it was. */
export function brokenStatus(
  previous: RolloutStatus | undefined,
  generation: number,
  reason: string,
  message: string,
  now: number,
): RolloutStatus {
  const at = new Date(now).toISOString();
  const drafts: Draft[] = [
    { type: 'Ready', status: 'False', reason, message },
    { type: 'Reconciling', status: 'False', reason, message },
    { type: 'Stalled', status: 'True', reason, message },
  ];
  const others = (previous?.conditions ?? []).filter(
    ({ type }) => type !== 'Held' && !drafts.some((draft) => draft.type === type),
  );
  return {
    ...previous,
    phase: previous?.phase ?? 'Initializing',
    history: previous?.history ?? [],
    observedGeneration: generation,
    message,
    conditions: [...drafts.map((draft) => dated(draft, previous?.conditions, generation, at)), ...others],
  };
}

export const sameStatus = (a: RolloutStatus | undefined, b: RolloutStatus): boolean =>
  a !== undefined && sameJson(a, b);
