import type { Judge, RevisionRef } from '../analysis/ports.ts';
import type { AnalysisSpec } from '../api/rollout.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { EffectOf } from './effects/context.ts';
import type { Look } from './machine/types.ts';

/** Each query has a limit of its own, far below; this one is for whatever else a judge may wait for. */
const LONGEST_MS = 30_000;

/** The judge's looks, beside the reconcile loop: at most one at a time for a Rollout, its outcome kept until read. */
export class Looks {
  readonly #judge: Judge;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #done: (key: string) => void;
  readonly #begun: (lateMs: number) => void;
  readonly #last = new Map<string, Look>();
  readonly #running = new Map<string, { id: string; stop: AbortController }>();

  constructor(options: {
    judge: Judge;
    log: Logger;
    done: (key: string) => void;
    /** Told of each look how many milliseconds after its time it began. */
    begun?: (lateMs: number) => void;
    clock?: Clock;
  }) {
    this.#judge = options.judge;
    this.#log = options.log;
    this.#done = options.done;
    this.#begun = options.begun ?? (() => {});
    this.#clock = options.clock ?? systemClock;
  }

  last(key: string): Look | undefined {
    return this.#last.get(key);
  }

  start(key: string, effect: EffectOf<'look'>, spec: AnalysisSpec, revisions: RevisionRef): void {
    const running = this.#running.get(key);
    if (running?.id === effect.id) return;
    const last = this.#last.get(key);
    const at = this.#clock.now();
    // A look of the future was taken before the clock was set back.
    if (last?.id === effect.id && last.at >= effect.after && last.at <= at) return;
    running?.stop.abort();
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), LONGEST_MS).unref();
    this.#running.set(key, { id: effect.id, stop });
    // Neither superseded nor forgotten.
    const wanted = () => this.#running.get(key)?.stop === stop;
    this.#begun(at - effect.after);
    this.#judge
      .look(
        {
          spec: { ...spec, minRequests: effect.minRequests },
          revisions,
          now: at,
          stepStartedAt: effect.stepStartedAt,
          runStartedAt: effect.runStartedAt,
          memory: effect.memory,
          alone: effect.alone,
        },
        stop.signal,
      )
      .then((verdict) => {
        if (wanted()) this.#last.set(key, { id: effect.id, at, verdict });
      })
      .catch((error: unknown) => {
        if (!wanted()) return;
        this.#log.warn({ rollout: key, error }, 'a look at the metrics failed');
        // Nothing was learnt, which holds; the next look comes at its time.
        const message = `the metrics could not be read: ${error instanceof Error ? error.message : String(error)}`;
        const hold = { decision: 'hold', reason: 'LookFailed', message, metrics: [] } as const;
        this.#last.set(key, {
          id: effect.id,
          at,
          verdict: {
            ...hold,
            metrics: [],
            requests: undefined,
            failedRequests: undefined,
            memory: effect.memory,
          },
        });
      })
      .finally(() => {
        clearTimeout(timer);
        if (!wanted()) return;
        this.#running.delete(key);
        this.#done(key);
      });
  }

  forget(key: string): void {
    this.#running.get(key)?.stop.abort();
    this.#running.delete(key);
    this.#last.delete(key);
  }
}
