import { createHash } from 'node:crypto';
import { kinds } from '../api/kinds.ts';
import type { KubeObject } from '../api/meta.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { toAppError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { KubeClient } from './types.ts';

export interface EventRecorderOptions {
  client: KubeClient;
  component: string;
  log?: Logger;
  clock?: Clock;
}

/** Events an object may cause at once, and milliseconds after which it may cause one more (client-go's spam filter). */
const BURST = 25;
const REFILL_MS = 300_000 / 25;
/** Remembered events, oldest forgotten first. */
const MEMORY = 4096;

/** Writes core/v1 Events; the same one again only raises its count. Never throws: an Event is a courtesy. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #known = new Map<string, { name: string; count: number; first: string }>();
  readonly #budget = new Map<string, { tokens: number; at: number }>();
  /** One write at a time, so that counts rise in order. */
  #tail: Promise<void> = Promise.resolve();
  /** Ends the writes that nobody waits for any more. */
  #current = new AbortController();

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  event(object: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const uid = object.metadata.uid ?? `${object.kind}/${object.metadata.namespace}/${object.metadata.name}`;
    if (!this.#allow(uid)) return;
    const { signal } = this.#current;
    this.#tail = this.#tail.then(async () => {
      if (signal.aborted) return;
      await this.#write(object, uid, type, reason, message, signal).catch((error: unknown) => {
        if (signal.aborted) return;
        this.#options.log?.warn({ reason, cause: toAppError(error).message }, 'event not written');
      });
    });
  }

  /** Resolves when everything recorded so far was written or given up: what is left after `limitMs` is. */
  async drained(limitMs?: number): Promise<void> {
    const drained = this.#tail;
    if (limitMs === undefined) return drained;
    const done = new AbortController();
    const late = this.#clock.sleep(limitMs, done.signal).then(
      () => {
        this.#current.abort();
        this.#current = new AbortController();
      },
      () => {},
    );
    await Promise.race([drained, late]);
    done.abort();
    await drained;
  }

  #allow(uid: string): boolean {
    const now = this.#clock.now();
    const budget = this.#budget.get(uid) ?? { tokens: BURST, at: now };
    const tokens = Math.min(BURST, budget.tokens + (now - budget.at) / REFILL_MS);
    this.#budget.delete(uid);
    this.#budget.set(uid, { tokens: Math.max(0, tokens - 1), at: now });
    if (this.#budget.size > MEMORY) this.#budget.delete(this.#budget.keys().next().value!);
    return tokens >= 1;
  }

  async #write(
    object: KubeObject,
    uid: string,
    type: string,
    reason: string,
    message: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, component } = this.#options;
    const namespace = object.metadata.namespace ?? 'default';
    const key = createHash('sha1').update([uid, type, reason, message].join('\0')).digest('hex');
    const at = new Date(this.#clock.now()).toISOString().replace(/\.\d+Z/, 'Z');
    const known = this.#known.get(key);
    if (known) {
      known.count += 1;
      const again = { count: known.count, lastTimestamp: at };
      try {
        await client.patch(kinds.Event, namespace, known.name, { type: 'merge', body: again }, { signal });
        return;
      } catch {
        if (signal.aborted) return;
        // Events expire: write it afresh.
        this.#known.delete(key);
      }
    }
    const name = `${object.metadata.name}.${key.slice(0, 8)}${this.#clock.now().toString(16)}`;
    const event = {
      metadata: { name, namespace },
      involvedObject: {
        apiVersion: object.apiVersion,
        kind: object.kind,
        name: object.metadata.name,
        namespace: object.metadata.namespace,
        uid: object.metadata.uid,
        resourceVersion: object.metadata.resourceVersion,
      },
      type,
      reason,
      message: message.slice(0, 1024),
      source: { component },
      reportingComponent: component,
      reportingInstance: '',
      count: 1,
      firstTimestamp: at,
      lastTimestamp: at,
    };
    await client.create(kinds.Event, event, { signal });
    this.#known.set(key, { name, count: 1, first: at });
    if (this.#known.size > MEMORY) this.#known.delete(this.#known.keys().next().value!);
  }
}
