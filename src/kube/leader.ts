import { kinds } from '../api/kinds.ts';
import type { KubeObject } from '../api/meta.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { isCode } from '../lib/errors.ts';
import { linked } from '../lib/linked.ts';
import type { Logger } from '../lib/log.ts';
import type { KubeClient } from './types.ts';

export interface LeaderElectionOptions {
  client: KubeClient;
  namespace: string;
  name: string;
  /** Unique among processes that may run at once: the pod's name, so that a restarted container takes its own lease up again. */
  identity: string;
  log: Logger;
  clock?: Clock;
  /** Milliseconds; client-go's defaults. */
  leaseDuration?: number;
  renewDeadline?: number;
  retryPeriod?: number;
  /** How long a lease that was just renewed is left alone; default: so long that two more tries fit before the deadline. */
  renewPeriod?: number;
  /** Told when a renewal is late (no answer, or a failure, after `retryPeriod`), and when one has come through. */
  onLate?: (late: boolean) => void;
}

interface LeaseSpec {
  holderIdentity?: string;
  leaseDurationSeconds?: number;
  acquireTime?: string;
  renewTime?: string;
  leaseTransitions?: number;
}

interface LeaseObject extends KubeObject {
  spec?: LeaseSpec;
}

/**
 * Leader election on a Lease (coordination.k8s.io/v1), safe under clock skew: another holder's lease counts from when *we*
 * last saw it change. `run` leads until the lease is lost or `signal` aborts; the signal it hands out ends before another can
 * lead, because renewDeadline < leaseDuration.
 */
export class LeaderElection {
  readonly #options: Required<Omit<LeaderElectionOptions, 'clock'>> & { clock: Clock };
  #observed: { spec: string; at: number } | undefined;
  /** As our last write left it: it is written over without being read while nobody else touched it (resourceVersion). */
  #mine: LeaseObject | undefined;
  #leading = false;

  constructor(options: LeaderElectionOptions) {
    const { renewDeadline = 10_000 } = options;
    this.#options = {
      clock: systemClock,
      leaseDuration: 15_000,
      renewDeadline,
      retryPeriod: 2000,
      renewPeriod: renewDeadline * 0.4,
      onLate: () => {},
      ...options,
    };
  }

  /** Milliseconds that only go forward: a wall clock that is set back must not stretch a lease. */
  #elapsed(): number {
    return this.#options.clock === systemClock ? performance.now() : this.#options.clock.now();
  }

  get leading(): boolean {
    return this.#leading;
  }

  /** Waits to become leader, runs `lead`, and resolves when leading has ended. Gives the lease back when stopped. */
  async run(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { clock, log, retryPeriod, identity } = this.#options;
    while (!signal.aborted) {
      if (await this.#try(signal)) break;
      await clock.sleep(retryPeriod * (0.5 + Math.random() / 2), signal).catch(() => {});
    }
    if (signal.aborted) return;
    log.info({ identity }, 'became leader');
    this.#leading = true;
    const { own: over, unlink } = linked(signal);
    const leading = over.signal;
    const work = lead(leading).finally(() => over.abort());
    // Awaited below; until then a failure must not count as unhandled.
    work.catch(() => {});
    await this.#renew(leading);
    this.#options.onLate(false);
    this.#leading = false;
    over.abort();
    unlink();
    try {
      await work;
    } finally {
      if (signal.aborted) await this.#release();
    }
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { clock, renewDeadline, retryPeriod, renewPeriod, onLate, log } = this.#options;
    let renewed = this.#elapsed();
    let wait = renewPeriod;
    while (!signal.aborted) {
      await clock.sleep(wait, signal).catch(() => {});
      if (signal.aborted) return;
      // A server that neither answers nor refuses must not keep us past the deadline.
      const { own: over, unlink } = linked(signal);
      const left = Math.max(1, Math.ceil(renewed + renewDeadline - this.#elapsed()));
      // A process that stood still for a while has its timers run before it reads what has come meanwhile: the answer may be there.
      const timer = setTimeout(() => setImmediate(() => setImmediate(() => over.abort())), left);
      // Counted from before the write: others may count from the moment the server has it.
      const asked = this.#elapsed();
      const answered = new AbortController();
      clock.sleep(retryPeriod, answered.signal).then(
        () => onLate(true),
        () => {},
      );
      const done = await this.#try(over.signal);
      answered.abort();
      clearTimeout(timer);
      unlink();
      onLate(!done);
      wait = done ? renewPeriod : retryPeriod;
      if (done) renewed = asked;
      else if (this.#elapsed() - renewed >= renewDeadline) {
        log.error('lost the lease');
        return;
      }
    }
  }

  /** One attempt to take or renew; false when another holds it or the server could not be asked. */
  async #try(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, identity, leaseDuration, clock, log } = this.#options;
    const now = new Date(clock.now()).toISOString().replace('Z', '000Z');
    try {
      const lease = this.#mine ?? (await client.find<LeaseObject>(kinds.Lease, namespace, name, signal));
      const fresh: LeaseSpec = {
        holderIdentity: identity,
        leaseDurationSeconds: Math.max(1, Math.round(leaseDuration / 1000)),
        acquireTime: now,
        renewTime: now,
        leaseTransitions: 0,
      };
      if (!lease) {
        this.#mine = await client.create<LeaseObject>(
          kinds.Lease,
          { metadata: { name, namespace }, spec: fresh },
          { signal },
        );
        return true;
      }
      const spec = lease.spec ?? {};
      const text = JSON.stringify(spec);
      if (this.#observed?.spec !== text) this.#observed = { spec: text, at: this.#elapsed() };
      const held =
        spec.holderIdentity !== undefined && spec.holderIdentity !== '' && spec.holderIdentity !== identity;
      const duration = (spec.leaseDurationSeconds ?? 15) * 1000;
      if (held && this.#elapsed() - this.#observed.at < duration) return false;
      const mine = spec.holderIdentity === identity;
      this.#mine = await client.replace<LeaseObject>(
        kinds.Lease,
        {
          ...lease,
          spec: {
            ...fresh,
            acquireTime: mine ? (spec.acquireTime ?? now) : now,
            leaseTransitions: (spec.leaseTransitions ?? 0) + (mine ? 0 : 1),
          },
        },
        { signal },
      );
      return true;
    } catch (error) {
      const unread = this.#mine !== undefined;
      this.#mine = undefined;
      // Changed by others, or gone: then it is read after all.
      if (unread && isCode(error, 'Conflict', 'NotFound')) return this.#try(signal);
      // Somebody else was quicker: look again next time.
      if (!isCode(error, 'Conflict', 'AlreadyExists') && !signal.aborted)
        log.warn({ error }, 'lease not renewed');
      return false;
    }
  }

  /** Lets the next one lead at once. */
  async #release(): Promise<void> {
    const { client, namespace, name, identity, log } = this.#options;
    try {
      const lease = await client.find<LeaseObject>(kinds.Lease, namespace, name, AbortSignal.timeout(2000));
      if (lease?.spec?.holderIdentity !== identity) return;
      await client.replace<LeaseObject>(
        kinds.Lease,
        { ...lease, spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 } },
        { signal: AbortSignal.timeout(2000) },
      );
    } catch (error) {
      log.warn({ error }, 'lease not given back');
    }
  }
}
