/**
 * Prefers endpoints of the proxy's own zone as far as that overloads nobody. Pure; milliseconds.
 *
 * Callers are taken to be spread evenly over the zones, as Envoy's zone aware routing does without knowing better: of `z`
 * zones each then sends 1/z of the requests, and a zone with the share `n` of the available endpoints can take n·z of what
 * comes from itself. With a whole share everything stays; with less the rest goes to the zones that have room, in proportion
 * to it, so that no endpoint gets more than its equal part. Availability counts, not membership: a zone that loses endpoints keeps less, and one without any
 * nothing. Where callers are not spread evenly, an endpoint that has clearly more in flight here than one elsewhere stops
 * being preferred.
 */
import { type Candidate, pickTwo } from './ewma.ts';
import { cumulate, pickWeighted } from './split.ts';

export interface Zoned extends Candidate {
  readonly zone: string | undefined;
}

/** How long a count of the available endpoints is good. */
const COUNT_MS = 100;
/** Requests in flight at which an endpoint of the own zone is too busy: twice those of another one, and a few. */
const BUSY_FACTOR = 2;
const BUSY_MORE = 4;

export class Locality<T extends Zoned> {
  readonly #near: T[];
  readonly #far: T[][];
  readonly #all: readonly T[];
  #share = 0;
  /** What each of the other zones can take beside what comes from itself, cumulated. */
  #room: Float64Array = new Float64Array();
  #until = Number.NEGATIVE_INFINITY;

  private constructor(all: readonly T[], near: T[], far: T[][]) {
    this.#all = all;
    this.#near = near;
    this.#far = far;
  }

  /** undefined: there is nothing to prefer, because zones are not known or all endpoints are in the same one. */
  static of<T extends Zoned>(endpoints: readonly T[], zone: string | undefined): Locality<T> | undefined {
    // Without the zone of every endpoint the shares would be wrong (Kubernetes drops its hints then, too).
    if (!zone || endpoints.some((each) => !each.zone)) return undefined;
    const { [zone]: near, ...far } = Object.groupBy(endpoints, (each) => each.zone!) as Record<string, T[]>;
    const others = Object.values(far);
    return near && others.length > 0 ? new Locality(endpoints, near, others) : undefined;
  }

  /** Share of this proxy's requests that stay in its zone, 0 to 1. */
  share(now: number): number {
    if (now < this.#until) return this.#share;
    this.#until = now + COUNT_MS;
    const available = (list: readonly T[]) => {
      let count = 0;
      for (const { evictedUntil } of list) if (evictedUntil <= now) count += 1;
      return count;
    };
    const all = available(this.#all);
    const zones = this.#far.length + 1;
    this.#share = all === 0 ? 0 : Math.min(1, (available(this.#near) / all) * zones);
    this.#room = cumulate(this.#far.map((zone) => available(zone) * zones - all));
    return this.#share;
  }

  /** undefined: choose among all of them. */
  pick(
    now: number,
    random: () => number,
    cost: ((candidate: T, now: number) => number) | undefined,
    excluded: ReadonlySet<T> | undefined,
  ): T | undefined {
    const share = this.share(now);
    const stays = share > 0 && (share === 1 || random() < share);
    const from = stays ? this.#near : this.#far[pickWeighted(this.#room, random())];
    const chosen = from && pickTwo(from, now, random, cost, excluded);
    if (!chosen || chosen.evictedUntil > now) return undefined;
    if (!stays || chosen.pending < BUSY_MORE) return chosen;
    const other = pickTwo(this.#all, now, random, ({ pending }) => pending, excluded);
    const busy =
      other && other.evictedUntil <= now && chosen.pending > BUSY_FACTOR * other.pending + BUSY_MORE;
    return busy ? other : chosen;
  }
}

/** One of a backend's endpoints: of the own zone where that is preferred, else the less loaded of two of them all. */
export function pickEndpoint<T extends Zoned>(
  { endpoints, locality }: { endpoints: readonly T[]; locality: Locality<T> | undefined },
  now: number,
  random: () => number,
  cost?: (candidate: T, now: number) => number,
  excluded?: ReadonlySet<T>,
): T | undefined {
  return locality?.pick(now, random, cost, excluded) ?? pickTwo(endpoints, now, random, cost, excluded);
}
