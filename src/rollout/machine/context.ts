import type { Phase } from '../../api/rollout.ts';
import { clone } from '../../lib/clone.ts';
import { formatDuration, parseDuration } from '../../lib/duration.ts';
import type { Effect, Observation, PhaseState, State, Wait } from './types.ts';

const HISTORY = 20;

/** One turn of the machine: a private copy of the state, and what the phases have to say about it. */
export class Turn {
  readonly observation: Observation;
  readonly now: number;
  readonly state: State;
  readonly effects: Effect[] = [];
  wakeAt: number | undefined;
  message = '';
  /** It goes on when a person approves. */
  awaitsApproval = false;
  stalled: { reason: string; message: string } | undefined;

  constructor(state: State, observation: Observation, now: number) {
    this.state = clone(state);
    this.observation = observation;
    this.now = now;
  }

  wake(at: number) {
    this.wakeAt = this.wakeAt === undefined ? at : Math.min(this.wakeAt, at);
  }

  stall(reason: string, message: string) {
    this.stalled ??= { reason, message };
    this.message = message;
  }

  goto(next: PhaseState, reason: string, message: string, options: { by?: string; warn?: boolean } = {}) {
    this.record(this.state.phase.name, next.name, reason, message, options);
    this.state.phase = next;
    this.message = message;
  }

  /** A line of history and an Event. */
  record(
    from: Phase,
    to: Phase,
    reason: string,
    message: string,
    { by, warn = false }: { by?: string; warn?: boolean } = {},
  ) {
    const entry = { at: new Date(this.now).toISOString(), from, to, reason, message, ...(by ? { by } : {}) };
    this.state.history = [...this.state.history, entry].slice(-HISTORY);
    this.effects.push({ kind: 'event', type: warn ? 'Warning' : 'Normal', reason, message });
  }

  /**
   * Counts a wait against progressDeadline: true once it is over. `progress` (pods ready, proxies that acknowledged)
   * above everything seen starts it anew; pods that come and go do not.
   */
  overdue(holder: { wait?: Wait }, what: Wait['what'], progress: number): boolean {
    const wait = holder.wait;
    if (!wait || wait.what !== what || progress > wait.best) {
      holder.wait = { what, since: this.now, best: progress };
    }
    const deadline = parseDuration(this.observation.spec.progressDeadline);
    const end = holder.wait!.since + deadline;
    if (this.now >= end) return true;
    this.wake(end);
    return false;
  }

  deadlineText(): string {
    return formatDuration(parseDuration(this.observation.spec.progressDeadline));
  }
}

/** Only effects that change the world: events and looks do not end a turn. */
export const acts = (effect: Effect): boolean =>
  effect.kind !== 'event' &&
  effect.kind !== 'look' &&
  effect.kind !== 'consume' &&
  effect.kind !== 'probe-gate';
