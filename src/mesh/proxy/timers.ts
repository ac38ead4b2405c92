/**
 * Coarse timers for deadlines: one interval for a whole proxy instead of one timer per request. Moving a deadline later
 * is a field write; the wheel looks at it again when the old one comes up.
 */
export interface Deadline {
  /** Milliseconds of the wheel's clock; Infinity = not armed. */
  at: number;
  slot: number;
  /** When its slot comes up. */
  due: number;
  readonly fire: () => void;
}

const SLOTS = 512;

export class TimerWheel {
  readonly #slots: Set<Deadline>[] = Array.from({ length: SLOTS }, () => new Set());
  readonly #tick: number;
  readonly #now: () => number;
  /** The same, a little old perhaps. */
  readonly #moment: () => number;
  #turn: number;
  #armed = 0;
  #interval: NodeJS.Timeout | undefined;

  constructor(tick = 20, now: () => number = () => performance.now(), moment = now) {
    this.#tick = tick;
    this.#now = now;
    this.#moment = moment;
    this.#turn = Math.floor(now() / tick);
  }

  deadline(fire: () => void): Deadline {
    return { at: Number.POSITIVE_INFINITY, slot: -1, due: 0, fire };
  }

  /** Fires `milliseconds` from now, at most one tick late. Replaces what was armed. */
  arm(deadline: Deadline, milliseconds: number): void {
    deadline.at = this.#moment() + milliseconds;
    if (deadline.slot >= 0) {
      if (deadline.at >= deadline.due) return;
      this.#remove(deadline);
    }
    this.#place(deadline);
  }

  /** Stays in its slot until that comes up: arming and disarming per request costs nothing. */
  disarm(deadline: Deadline): void {
    deadline.at = Number.POSITIVE_INFINITY;
  }

  /** Takes it out for good. */
  drop(deadline: Deadline): void {
    deadline.at = Number.POSITIVE_INFINITY;
    if (deadline.slot >= 0) this.#remove(deadline);
  }

  stop(): void {
    clearInterval(this.#interval);
    this.#interval = undefined;
    for (const slot of this.#slots) slot.clear();
    this.#armed = 0;
  }

  #place(deadline: Deadline): void {
    if (this.#interval === undefined) {
      this.#turn = Math.floor(this.#now() / this.#tick);
      this.#interval = setInterval(() => this.#advance(), this.#tick);
      this.#interval.unref();
    }
    const turn = Math.max(this.#turn + 1, Math.ceil(deadline.at / this.#tick));
    // What lies beyond one round is looked at once per round.
    const visit = turn - this.#turn >= SLOTS ? this.#turn + SLOTS - 1 : turn;
    deadline.due = visit * this.#tick;
    deadline.slot = visit % SLOTS;
    this.#slots[deadline.slot]!.add(deadline);
    this.#armed += 1;
  }

  #remove(deadline: Deadline): void {
    this.#slots[deadline.slot]!.delete(deadline);
    deadline.slot = -1;
    this.#armed -= 1;
  }

  #advance(): void {
    const now = this.#now();
    const until = Math.floor(now / this.#tick);
    // After a long stall one round visits every slot.
    let turn = Math.max(this.#turn, until - SLOTS);
    while (turn < until) {
      turn += 1;
      this.#turn = turn;
      const slot = this.#slots[turn % SLOTS]!;
      if (slot.size === 0) continue;
      for (const deadline of [...slot]) {
        if (deadline.slot < 0) continue;
        this.#remove(deadline);
        if (deadline.at <= now) {
          deadline.at = Number.POSITIVE_INFINITY;
          deadline.fire();
        } else if (deadline.at !== Number.POSITIVE_INFINITY) this.#place(deadline);
      }
    }
    if (this.#armed === 0) {
      clearInterval(this.#interval);
      this.#interval = undefined;
    }
  }
}
