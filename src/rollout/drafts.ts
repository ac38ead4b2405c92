import type { MetricStatus, RolloutStatus } from '../api/rollout.ts';
import { fnv32a } from '../lib/fnv.ts';
import { sameJson } from '../lib/same-json.ts';
import type { State } from './machine/types.ts';

/** How long what no crash must lose, but a person wants to see, may stay unwritten. */
const LAZY_MS = 1000;
/** Each Rollout that has something to write makes all of them wait so much longer: some ten such writes a second, whatever runs. */
const EACH_MS = 100;
const LAZIEST_MS = 30_000;
/** A look that found what the one before did: a person wants to see that it goes on. */
const MOMENT_MS = 60_000;

/** Between 0 and 1, the same for the same key: its hash, whose low bits, which the end of a key decides, are stirred into the high ones. */
function fractionOf(key: string): number {
  let hash = fnv32a(key);
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/**
 * Each Rollout has a moment of its own in every minute: a thousand that have begun together would all be written in the same seconds, and
 * what is looked at meanwhile waits. Half a minute to one and a half after `since`, and then every minute.
 */
function momentAfter(key: string, since: number): number {
  const earliest = since + MOMENT_MS / 2;
  const left = (fractionOf(key) * MOMENT_MS - earliest) % MOMENT_MS;
  return earliest + (left < 0 ? left + MOMENT_MS : left);
}

interface Draft {
  uid: string;
  /** What was written when the draft was begun: another process's write makes it void. */
  base: unknown;
  state: State;
  /** When it began to differ from what is written, and to differ in more than the time of its look. */
  since: number;
  told: number | undefined;
}

/**
 * States that were decided and not written yet. A turn writes at once what must survive a crash (`pressing`); a step's looks, waits
 * and acknowledgements change several times a second, and go out together. What a crash loses of them is observed again.
 */
export class Drafts {
  readonly #drafts = new Map<string, Draft>();

  /** The state to go on from: newer than the one that is written, or undefined. */
  state(key: string, uid: string, written: RolloutStatus | undefined): State | undefined {
    const draft = this.#drafts.get(key);
    if (!draft) return undefined;
    if (draft.uid === uid && sameJson(draft.base, written?.machine)) return draft.state;
    this.#drafts.delete(key);
    return undefined;
  }

  /**
   * Keeps a state for later; `tells`: it differs from what is written in more than times. Answers the milliseconds after
   * which it is to be written: 0 means now.
   */
  keep(
    key: string,
    uid: string,
    { written, state, tells }: { written: RolloutStatus | undefined; state: State; tells: boolean },
    now: number,
  ): number {
    const before = this.#drafts.get(key);
    const since = before?.since ?? now;
    const told = tells ? (before?.told ?? now) : undefined;
    this.#drafts.set(key, { uid, base: written?.machine, state, since, told });
    // A new one says nothing else before, and what comes of trying its gate is about to: a second write is what costs most of all.
    const due = written ? Math.min(LAZIEST_MS, Math.max(LAZY_MS, EACH_MS * this.#drafts.size)) : LAZIEST_MS;
    const wait = Math.min(momentAfter(key, since), (told ?? Number.POSITIVE_INFINITY) + due);
    return Math.max(0, wait - now);
  }

  drop(key: string): void {
    this.#drafts.delete(key);
  }

  clear(): void {
    this.#drafts.clear();
  }
}

/** Conditions that tell a person something; with nobody in the mesh, `NoMeshedCaller` comes and goes with each step's weight. */
const ADVICE = new Set(['NoMeshedCaller', 'UnpinnedServices']);

/**
 * Whether the new status must be written before anything is done about it: a phase, a step, a decision, a condition that programs
 * wait for, and on the way back every word.
 */
export function pressing(before: RolloutStatus | undefined, after: RolloutStatus): boolean {
  if (!before?.machine) return !adopted(after);
  if (before.observedGeneration !== after.observedGeneration) return true;
  if (!sameJson(before.history, after.history)) return true;
  if (!sameJson(essence(before.machine as State), essence(after.machine as State))) return true;
  const backwards = after.phase === 'RollingBack' || after.phase === 'Failed';
  if (backwards && !sameJson(before.traffic, after.traffic)) return true;
  return after.conditions.some(
    ({ type, status }) =>
      !ADVICE.has(type) && before.conditions.find((condition) => condition.type === type)?.status !== status,
  );
}

/** Whether the new status says more than that the same was found again. */
export const tells = (before: RolloutStatus | undefined, after: RolloutStatus): boolean =>
  before === undefined || !sameJson(timeless(before), timeless(after));

function timeless({ analysis, machine, ...status }: RolloutStatus): unknown[] {
  const { analysis: seen, ...state } = (machine ?? {}) as Partial<State>;
  return [status, state, analysis && still(analysis), seen && { ...still(seen), at: undefined }];
}

const still = <T extends { metrics: MetricStatus[] }>(looked: T): T => ({
  ...looked,
  metrics: looked.metrics.map((metric) => ({ ...metric, at: undefined })),
});

/** Taken over as it runs, and its gate is being tried: seen again after a restart, and written with what comes of the try. */
const adopted = ({ phase, conditions }: RolloutStatus): boolean =>
  phase === 'Healthy' &&
  conditions.some(({ type, status }) => type === 'Ready' && status === 'True') &&
  conditions.some(({ type, status }) => type === 'Gated' && status === 'Unknown');

/** What a restart cannot see in the world again. */
function essence({ analysis: _looks, phase, ...state }: State): object {
  const {
    wait: _wait,
    run,
    step,
    ...rest
  } = phase as typeof phase & {
    wait?: unknown;
    run?: object;
    step?: { index: number; undecided?: boolean };
  };
  // The largest size of the canary is also in its ReplicaSet.
  const { peak: _peak, ...lasting } = (run ?? {}) as { peak?: number };
  return { ...state, phase: { ...rest, run: lasting, index: step?.index, undecided: step?.undecided } };
}
