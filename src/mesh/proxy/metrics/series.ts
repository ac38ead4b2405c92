/**
 * Counters of the hot path: plain numbers and typed arrays, resolved once per endpoint. Text is made at scrape time.
 */

/** Upper bounds in milliseconds: 1, 2, 3, 4, 5 times 10^0 to 10^4. */
export const LATENCY_BOUNDS: readonly number[] = [1, 10, 100, 1_000, 10_000].flatMap((scale) =>
  [1, 2, 3, 4, 5].map((step) => step * scale),
);

/** The fine histogram of split destinations: growth 2^(1/8) from 2^-4 ms (62.5 µs) to 2^16 ms (65 s). */
const FINE_STEPS = 8;
const FINE_FROM = -4;
const FINE_COUNT = (16 - FINE_FROM) * FINE_STEPS + 1;
export const FINE_BOUNDS: readonly number[] = Array.from(
  { length: FINE_COUNT },
  (_, index) => 2 ** (FINE_FROM + index / FINE_STEPS),
);

/**
 * gRPC statuses that are the server's fault, as OpenTelemetry's semantic conventions list them: UNKNOWN,
 * DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
 */
export const SERVER_FAULTS: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);

/** A status and a gRPC status (-1 = none) as one number. */
export const ownKey = (status: number, grpcStatus: number): number => status * 100 + grpcStatus + 1;

export class HttpSeries {
  requests = 0;
  /** By status - 100, answers that came from upstream. */
  readonly answered = new Float64Array(500);
  /** By gRPC status, answers from upstream that had one; allocated for the first. Not in `answered`. */
  grpc: Float64Array | undefined;
  /** By status and gRPC status (`ownKey`), answers of the proxy itself: failures whatever the status. */
  readonly own = new Map<number, number>();
  readonly latency = new Float64Array(LATENCY_BOUNDS.length + 1);
  latencySum = 0;
  latencyCount = 0;
  /** Allocated for destinations that a split rules. */
  fine: Float64Array | undefined;
  connectFailures = 0;
  retries = 0;
  readonly labels: string;

  constructor(labels: string) {
    this.labels = labels;
  }

  /** `grpcStatus`: -1 = none. */
  response(status: number, own: boolean, milliseconds: number, grpcStatus = -1): void {
    if (own) {
      const key = ownKey(status, grpcStatus);
      this.own.set(key, (this.own.get(key) ?? 0) + 1);
    } else if (grpcStatus >= 0) {
      this.grpc ??= new Float64Array(17);
      this.grpc[grpcStatus]! += 1;
    } else this.answered[status - 100]! += 1;
    let bucket = 0;
    while (bucket < LATENCY_BOUNDS.length && milliseconds > LATENCY_BOUNDS[bucket]!) bucket += 1;
    this.latency[bucket]! += 1;
    this.latencySum += milliseconds;
    this.latencyCount += 1;
    const { fine } = this;
    if (fine) {
      const step = Math.ceil((Math.log2(milliseconds) - FINE_FROM) * FINE_STEPS);
      fine[Math.min(FINE_COUNT, Math.max(0, step))]! += 1;
    }
  }

  /** Grows with everything that is counted. */
  get activity(): number {
    return this.requests + this.latencyCount + this.connectFailures + this.retries;
  }

  /** Called when a split begins to rule the destination; kept afterwards. */
  refine(): void {
    this.fine ??= new Float64Array(FINE_COUNT + 1);
  }
}

export class TcpSeries {
  opened = 0;
  closed = 0;
  read = 0;
  written = 0;
  readonly labels: string;

  get activity(): number {
    return this.opened + this.closed + this.read + this.written;
  }

  constructor(labels: string) {
    this.labels = labels;
  }
}
