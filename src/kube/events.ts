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
/** How long what is normal waits for more to be told with it. */
const HOLD_MS = 2000;
/** Characters of a message that an API server takes. */
const LONGEST = 1024;

/** As an Event names it. Not the object itself: a thousand may wait, and each has changed many times when it is their turn. */
const referenceTo = ({ apiVersion, kind, metadata }: KubeObject) => ({
  apiVersion,
  kind,
  name: metadata.name,
  namespace: metadata.namespace,
  uid: metadata.uid,
  resourceVersion: metadata.resourceVersion,
});

interface Recorded {
  of: ReturnType<typeof referenceTo>;
  uid: string;
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
  signal: AbortSignal;
  /** Milliseconds since 1970 when it happened. */
  happened: number;
}

/**
 * Writes core/v1 Events; the same one again only raises its count. What is normal waits a moment, and goes out with what comes
 * meanwhile about that object: each costs a request, and a person reads them together. Never throws: an Event is a courtesy.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #known = new Map<string, { name: string; count: number; first: string }>();
  readonly #budget = new Map<string, { tokens: number; at: number }>();
  readonly #waiting: Recorded[] = [];
  /** Those of them that more may be told with, by uid. */
  readonly #open = new Map<string, Recorded>();
  /** One write at a time, so that counts rise in order. */
  #writing: Promise<void> | undefined;
  /** Aborted: nothing waits for company any more. */
  #hold = new AbortController();
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
    const open = this.#open.get(uid);
    if (open && type === 'Normal' && message !== open.message) {
      const both = `${open.message}; ${message}`;
      if (open.signal === signal && both.length <= LONGEST) {
        Object.assign(open, { reason, message: both });
        return;
      }
    }
    const of = referenceTo(object);
    const recorded = { of, uid, type, reason, message, signal, happened: this.#clock.now() };
    this.#waiting.push(recorded);
    if (type === 'Normal') this.#open.set(uid, recorded);
    else {
      // Not with what came before the warning: they are read in order, and a warning does not wait.
      this.#open.delete(uid);
      this.#hold.abort();
    }
    this.#writing ??= this.#run();
  }

  async #run(): Promise<void> {
    await undefined;
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const { uid, type, reason, signal, happened } = next;
      const wait = happened + HOLD_MS - this.#clock.now();
      if (type === 'Normal' && wait > 0) await this.#clock.sleep(wait, this.#hold.signal).catch(() => {});
      this.#waiting.shift();
      if (this.#open.get(uid) === next) this.#open.delete(uid);
      if (signal.aborted) continue;
      await this.#write(next).catch((error: unknown) => {
        if (signal.aborted) return;
        this.#options.log?.warn({ reason, cause: toAppError(error).message }, 'event not written');
      });
    }
    this.#writing = undefined;
    this.#hold = new AbortController();
  }

  /** Resolves when everything recorded so far was written or given up: what is left after `limitMs` is. */
  async drained(limitMs?: number): Promise<void> {
    this.#hold.abort();
    const drained = this.#writing;
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

  async #write({ of, uid, type, reason, message, signal, happened }: Recorded): Promise<void> {
    const { client, component } = this.#options;
    const namespace = of.namespace ?? 'default';
    const key = createHash('sha1').update([uid, type, reason, message].join('\0')).digest('hex');
    const at = new Date(happened).toISOString().replace(/\.\d+Z/, 'Z');
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
    const name = `${of.name}.${key.slice(0, 8)}${this.#clock.now().toString(16)}`;
    const event = {
      metadata: { name, namespace },
      involvedObject: of,
      type,
      reason,
      message: message.slice(0, LONGEST),
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
