/**
 * Coarse timers for deadlines: one timer for a whole proxy instead of one per request. Moving a deadline later is a field
 * write; the wheel looks at it again when the old one comes up. It sleeps until the next slot that holds something: a proxy
 * whose deadlines are all far off does not wake up for them.
 */
export interface Deadline {
  /** Milliseconds of the wheel's clock; Infinity = not armed. */
  at: number;
  slot: number;
  /** When its slot comes up. */
  due: number;
  /** Its neighbours in the slot. */
  next: Deadline | undefined;
  previous: Deadline | undefined;
  readonly fire: () => void;
}

/** Slots of a tick each, and as many of a span each for what lies beyond those. */
const SLOTS = 512;
/** Ticks. What is in a slot of this length is spread over those of a tick when it begins. */
const SPAN = 32;

export class TimerWheel {
  readonly #slots: (Deadline | undefined)[] = new Array(2 * SLOTS).fill(undefined);
  readonly #tick: number;
  readonly #now: () => number;
  /** The same, a little old perhaps. */
  readonly #moment: () => number;
  /** The last tick that was looked at, or a later one before which nothing lies. */
  #turn = 0;
  /** The tick that the timer is set for: nothing lies before it. -Infinity while the wheel turns. */
  #wake = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(tick = 20, now: () => number = () => performance.now(), moment = now) {
    this.#tick = tick;
    this.#now = now;
    this.#moment = moment;
  }

  deadline(fire: () => void): Deadline {
    return {
      at: Number.POSITIVE_INFINITY,
      slot: -1,
      due: 0,
      next: undefined,
      previous: undefined,
      fire,
    };
  }

  /** Fires `milliseconds` from now, at most one tick late. Replaces what was armed. */
  arm(deadline: Deadline, milliseconds: number): void {
    const moment = this.#moment();
    deadline.at = moment + milliseconds;
    if (deadline.slot >= 0) {
      if (deadline.at >= deadline.due) return;
      this.#remove(deadline);
    }
    // The wheel stood still while there was nothing to look at.
    const turn = Math.min(Math.floor(moment / this.#tick), this.#wake - 1);
    if (turn > this.#turn) this.#turn = turn;
    const visit = this.#place(deadline);
    if (visit < this.#wake) this.#sleep(visit);
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
    clearTimeout(this.#timer);
    this.#wake = Number.POSITIVE_INFINITY;
    for (let slot = 0; slot < 2 * SLOTS; slot += 1) this.#empty(slot, (each) => this.disarm(each));
  }

  /** Returns the tick at which it is looked at. */
  #place(deadline: Deadline): number {
    let visit = Math.max(this.#turn + 1, Math.ceil(deadline.at / this.#tick));
    let slot = visit % SLOTS;
    if (visit - this.#turn >= SLOTS) {
      // What lies beyond one round of the spans is looked at once per round.
      const span = Math.min(Math.floor(visit / SPAN), Math.floor(this.#turn / SPAN) + SLOTS - 1);
      visit = span * SPAN;
      slot = SLOTS + (span % SLOTS);
    }
    deadline.due = visit * this.#tick;
    deadline.slot = slot;
    const next = this.#slots[slot];
    deadline.next = next;
    if (next) next.previous = deadline;
    this.#slots[slot] = deadline;
    return visit;
  }

  #remove(deadline: Deadline): void {
    const { next, previous } = deadline;
    if (previous) previous.next = next;
    else this.#slots[deadline.slot] = next;
    if (next) next.previous = previous;
    deadline.next = undefined;
    deadline.previous = undefined;
    deadline.slot = -1;
  }

  /** Whatever `visit` puts in goes elsewhere: no slot reaches as far as to itself. */
  #empty(slot: number, visit: (deadline: Deadline) => void): void {
    for (let first = this.#slots[slot]; first; first = this.#slots[slot]) {
      this.#remove(first);
      visit(first);
    }
  }

  /** The first tick after `#turn` with something to look at; Infinity where there is nothing. */
  #next(): number {
    const turn = this.#turn;
    let next = Number.POSITIVE_INFINITY;
    for (let tick = turn + 1; tick < turn + SLOTS; tick += 1) {
      if (this.#slots[tick % SLOTS] === undefined) continue;
      next = tick;
      break;
    }
    const spans = Math.floor(turn / SPAN);
    for (let span = spans + 1; span < spans + SLOTS && span * SPAN < next; span += 1)
      if (this.#slots[SLOTS + (span % SLOTS)] !== undefined) return span * SPAN;
    return next;
  }

  #sleep(until: number): void {
    clearTimeout(this.#timer);
    this.#wake = until;
    // Node counts from the beginning of its loop's turn: where that was a while ago this is too early, and looked at again.
    // What is overdue, after a stall, has its turn at once.
    const wait = Math.max(1, Math.ceil(until * this.#tick - this.#now()));
    this.#timer = setTimeout(this.#advance, wait);
    this.#timer.unref();
  }

  readonly #advance = (): void => {
    const now = this.#now();
    const until = Math.floor(now / this.#tick);
    const visit = (deadline: Deadline) => {
      if (deadline.at <= now) {
        deadline.at = Number.POSITIVE_INFINITY;
        deadline.fire();
      } else if (deadline.at !== Number.POSITIVE_INFINITY) this.#place(deadline);
    };
    this.#wake = Number.NEGATIVE_INFINITY;
    try {
      for (let turn = this.#next(); turn <= until; turn = this.#next()) {
        this.#turn = turn;
        if (turn % SPAN === 0) this.#empty(SLOTS + ((turn / SPAN) % SLOTS), visit);
        this.#empty(turn % SLOTS, visit);
      }
    } finally {
      // One that throws takes none of the others along.
      const next = this.#next();
      this.#wake = next;
      if (next !== Number.POSITIVE_INFINITY) this.#sleep(next);
    }
  };
}
