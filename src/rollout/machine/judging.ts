import type { RolloutSpec } from '../../api/rollout.ts';
import { parseDuration } from '../../lib/duration.ts';
import { greenNeedsCallers } from '../advice.ts';
import type { Turn } from './context.ts';
import type { AnalysisMemory, Run } from './types.ts';

export interface Judging {
  id: string;
  /** Counting begins: the weight was acknowledged. */
  since: number;
  /** A look that is to count for leaving the step must be at least this late. */
  until: number;
  minRequests: number;
  /** In percent. */
  weight: number;
}

/**
 * Takes in the last look for this step and orders the next one. Looks run beside the machine, so a metrics backend
 * that does not answer delays nothing: there is just no verdict.
 */
export function judge(turn: Turn, run: Run, judging: Judging): AnalysisMemory | undefined {
  const { observation, state, now } = turn;
  const before = state.analysis;
  const { look } = observation;
  // By another controller, or before the clock was set back: until then nothing newer would come.
  const future = (at: number) => at > now;
  const newer = (than: number) => look!.at > than || (future(than) && !future(look!.at));
  if (look?.id === judging.id && (before?.id !== judging.id || newer(before.at))) {
    const { decision, reason, message, metrics, requests, failedRequests, memory } = look.verdict;
    const cost = failedRequests ?? before?.failedRequests;
    state.analysis = {
      id: judging.id,
      at: look.at,
      decision,
      reason,
      message,
      metrics,
      ...(requests === undefined ? {} : { requests }),
      ...(cost === undefined ? {} : { failedRequests: cost }),
      memory,
    };
  }
  const current = state.analysis?.id === judging.id ? state.analysis : undefined;
  const regular = (current?.at ?? judging.since) + parseDuration(observation.spec.analysis.interval);
  const first = current === undefined ? judging.since : regular;
  const planned = current && current.at < judging.until ? Math.min(regular, judging.until) : first;
  const due = future(current?.at ?? judging.since) ? now : planned;
  if (now >= due) {
    turn.effects.push({
      kind: 'look',
      id: judging.id,
      stepStartedAt: judging.since,
      runStartedAt: run.startedAt,
      memory: state.analysis?.memory ?? {},
      canary: run.hash,
      stable: state.stable!.hash,
      minRequests: judging.minRequests,
      alone: judging.weight === 100,
      after: due,
    });
  } else {
    turn.wake(due);
  }
  return current;
}

/**
 * Green has no users before it goes live, only whoever calls its preview: where nothing would ever be measured
 * (explicit queries, or noData: pass) no requests are asked for; otherwise it holds until preview traffic is enough.
 */
export function requestsAsked(spec: RolloutSpec, weight: number): number {
  const { analysis, strategy } = spec;
  if (!strategy.blueGreen || weight > 0) return analysis.minRequests;
  return greenNeedsCallers(spec) ? analysis.minRequests : 0;
}
