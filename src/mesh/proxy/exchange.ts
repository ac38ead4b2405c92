import { concerns, refusal } from './admission.ts';
import { CAUSES, type Cause } from './answers.ts';
import { Attempts } from './attempts.ts';
import { type HttpSeries, SERVER_FAULTS } from './metrics/series.ts';
import type { Observation, Outcome } from './observation.ts';
import type { Carrier, Requester } from './requester.ts';
import type { Runtime } from './runtime.ts';
import type { RoutingTable } from './table.ts';
import type { Deadline } from './timers.ts';

/** gRPC's UNAVAILABLE: the server says that it did not do it. */
const UNAVAILABLE = 14;
/** What the chosen endpoint is to blame for; whoever cannot be connected to is left out by itself. */
const ENDPOINTS_FAULT: ReadonlySet<Cause> = new Set<Cause>(['bad-response', 'reset', 'timeout']);
/** Times a request is sent again for free because the peer has said that it has not seen it. */
const UNPROCESSED = 3;

/** An answer, whatever it says, and not a failure of whoever gave it. */
const served = (status: number, grpcStatus: number): boolean =>
  status < 500 && !SERVER_FAULTS.has(grpcStatus);

/**
 * One request and its answer, whatever protocols they come in: routed, sent to an endpoint (to another one where that is
 * safe), timed, counted.
 */
export class Exchange<C extends Carrier> {
  /** A request is being served. */
  busy = false;
  /** The head of the response has been sent. */
  responding = false;
  /** The client does not keep up with the response. */
  clientFull = false;
  /** Of the current request, if somebody watches. */
  seen: Observation | undefined;
  readonly #requester: Requester<C>;
  readonly #runtime: Runtime;
  /** The policy's until the head of the response; without one, and then, that of a body that has stalled. */
  readonly #deadline: Deadline;
  readonly #attempts: Attempts;
  /** Of the attempt at hand, where the policy has one. */
  #attemptDeadline: Deadline | undefined;
  #carrier: C | undefined;
  /** Where the request is counted. */
  #series: HttpSeries | undefined;
  #started = 0;
  #headed = 0;
  /** When the endpoint at hand was chosen: what others took before is no matter of it. */
  #asked = 0;
  /** When the whole of the request was here, 0 = not yet: what its client took to send it is no matter of the endpoint. */
  #whole = 0;
  #status = 0;
  #unprocessed = 0;
  /** Until it is sent, or sent again. */
  #pausing: NodeJS.Timeout | undefined;

  constructor(runtime: Runtime, requester: Requester<C>) {
    this.#requester = requester;
    this.#runtime = runtime;
    this.#attempts = new Attempts(runtime);
    this.#deadline = runtime.wheel.deadline(() => this.#expired());
  }

  get carrier(): C | undefined {
    return this.#carrier;
  }

  get table(): RoutingTable {
    return this.#attempts.table;
  }

  /** Whether response headers of the weir-* family are the upstream's own invention. */
  get stripResponse(): boolean {
    return this.#attempts.endpoint?.identity === undefined;
  }

  // --- the request ---

  /** The requester has a request. */
  begin() {
    const requester = this.#requester;
    const runtime = this.#runtime;
    this.busy = true;
    this.#started = runtime.moment();
    runtime.lastActivity = this.#started;
    this.responding = false;
    this.clientFull = false;
    this.#unprocessed = 0;
    this.#headed = 0;
    this.#whole = 0;
    const { table } = requester.stack;
    this.#attempts.begin(requester.stack);
    this.#series = requester.caller?.series ?? table.orphan;
    runtime.inFlight += 1;
    runtime.requests += 1;
    table.flight.count += 1;
    const refused = refusal(runtime, table, this.#started);
    if (refused) return this.fail(refused.cause, refused.detail);
    table.budget.deposit();
    const { fault } = table.policy;
    if (fault !== undefined && concerns(fault, (name) => requester.header(name))) return this.#fault(fault);
    this.#route();
  }

  /** The client broke off: its body is malformed, or it stands still. Counts against no endpoint. */
  abort(cause: Cause, detail: string) {
    this.#discard();
    if (this.seen) this.#tell(this.responding ? this.#status : CAUSES[cause], cause);
    if (this.responding) {
      this.#runtime.metrics.failed(cause);
      return this.#requester.break();
    }
    this.#end();
    this.#requester.reject(cause, detail);
  }

  /** What is asked for cannot be had there. Counts against no endpoint. */
  unsupported(detail: string) {
    this.#discard();
    this.fail('bad-request', detail, 501);
  }

  /** The client is gone. */
  abandon() {
    this.#runtime.wheel.drop(this.#deadline);
    if (this.#attemptDeadline) this.#runtime.wheel.drop(this.#attemptDeadline);
    if (!this.busy) return;
    if (this.seen) this.#tell(this.responding ? this.#status : 0, 'client-gone');
    this.#end();
    this.#discard();
  }

  // --- where it goes ---

  #fault({ abort, delay }: NonNullable<RoutingTable['policy']['fault']>) {
    const { random } = this.#runtime;
    const then = () => {
      if (abort && random() * 100 < abort.percent) this.fail('fault', 'injected by policy', abort.status);
      else this.#route();
    };
    if (delay && random() * 100 < delay.percent) this.#pause(delay.for, then);
    else then();
  }

  #route() {
    const { timeout } = this.#attempts.table.policy;
    if (timeout) this.#runtime.wheel.arm(this.#deadline, timeout);
    else this.progress();
    if (!this.#attempts.pickBackend())
      return this.fail('no-endpoint', 'no backend with a weight has a ready endpoint');
    this.#dispatch(false);
  }

  /** Chooses an endpoint and a connection. `fresh`: the last pooled one turned out to be closed. */
  #dispatch(fresh: boolean) {
    const attempts = this.#attempts;
    const requester = this.#requester;
    const again = fresh && !attempts.endpoint!.retired;
    const endpoint = again ? attempts.endpoint : attempts.pickEndpoint();
    if (!endpoint) {
      if (attempts.broken)
        return this.fail('breaker', `the breaker of every endpoint of ${attempts.backend!.name} is open`);
      return attempts.connectFailed
        ? this.fail('connect', 'no endpoint could be connected to')
        : this.fail('no-endpoint', `${attempts.backend?.name ?? 'no backend'} has no ready endpoint`);
    }
    this.#series = requester.caller?.series ?? endpoint.http;
    if (attempts.first) this.#series.requests += 1;
    endpoint.pending += 1;
    this.#asked = this.#runtime.moment();
    const { attemptTimeout } = attempts.table.policy;
    if (attemptTimeout) this.#armAttempt(attemptTimeout);
    const pooled = fresh ? undefined : requester.pooled(endpoint);
    if (pooled) {
      this.#carrier = pooled;
      return requester.send(pooled);
    }
    if (this.#runtime.loops.closes(requester.stack.direction, endpoint)) {
      endpoint.pending -= 1;
      return this.fail('loop', `${endpoint.address} is this proxy itself`);
    }
    requester.hold();
    this.#carrier = requester.connect(endpoint);
  }

  #armAttempt(milliseconds: number) {
    const { wheel } = this.#runtime;
    this.#attemptDeadline ??= wheel.deadline(() => this.#attemptExpired());
    wheel.arm(this.#attemptDeadline, milliseconds);
  }

  /** This endpoint takes too long: another may have the request, where it may be sent again. */
  #attemptExpired() {
    if (!this.busy || this.responding || !this.#carrier) return;
    if (this.#requester.replayable && this.#retried('5xx')) return;
    this.#discard();
    const { attemptTimeout } = this.#attempts.table.policy;
    this.fail('timeout', `no response to an attempt within ${attemptTimeout} ms`);
  }

  carrierReady(carrier: C) {
    if (carrier === this.#carrier) this.#requester.send(carrier);
  }

  /** It ended before the response did. `unprocessed`: the peer says that it has not seen the request. */
  carrierClosed(carrier: C, reason: string | undefined, unprocessed = false) {
    if (carrier !== this.#carrier) return;
    this.#detach(carrier);
    if (this.responding) return this.fail('reset', 'the upstream closed in the middle of its response');
    const attempts = this.#attempts;
    const { replayable, whole } = this.#requester;
    if (unprocessed && whole && this.#unprocessed < UNPROCESSED) {
      this.#unprocessed += 1;
      attempts.retries += 1;
      // Once is a connection that goes away just then; more is a server that has too much to do.
      if (this.#unprocessed === 1) return this.#dispatch(false);
      return this.#pause(attempts.backoff(this.#unprocessed), () => this.#dispatch(false));
    }
    if (!carrier.ready) {
      if (attempts.evict(carrier.endpoint)) return this.#dispatch(false);
      return this.fail('connect', reason ?? 'connection timed out');
    }
    const unanswered = !carrier.answered && replayable;
    // The server closed an idle connection just as it was chosen: the request was not seen.
    if (unanswered && carrier.used && attempts.retries === 0) {
      attempts.retries += 1;
      return this.#dispatch(true);
    }
    if (unanswered && this.#retried('connect')) return;
    this.fail('reset', reason ?? 'the upstream closed without a response');
  }

  /** True when the request will be sent again, after a moment. */
  #retried(on: 'connect' | '5xx'): boolean {
    const left = this.#attempts.table.policy.timeout ? this.#deadline.at - this.#runtime.moment() : Infinity;
    const wait = this.#attempts.retryAfter(on, left);
    if (wait === undefined) return false;
    this.#judged(false);
    this.#discard();
    this.#attempts.again();
    this.#series!.retries += 1;
    this.#pause(wait, () => this.#dispatch(false));
    return true;
  }

  #pause(milliseconds: number, then: () => void) {
    this.#pausing = setTimeout(() => {
      this.#pausing = undefined;
      then();
    }, milliseconds);
  }

  #detach(carrier: C) {
    if (this.#carrier === carrier) this.#carrier = undefined;
    if (this.#attemptDeadline) this.#runtime.wheel.disarm(this.#attemptDeadline);
    carrier.part();
    const { endpoint } = carrier;
    endpoint.pending -= 1;
    if (this.#headed > 0 || !this.#requester.requestDone) return;
    const now = this.#runtime.moment();
    endpoint.latency.waited(now, now - this.#since);
  }

  /** Lets go of the carrier, if there is one. */
  #discard() {
    const carrier = this.#carrier;
    if (!carrier) return;
    this.#detach(carrier);
    carrier.discard();
  }

  // --- the response ---

  /**
   * The head of the final response has come; `grpcStatus` when it is all of it, else -1. False when the request was sent
   * again instead.
   */
  answered(status: number, grpcStatus = -1): boolean {
    const requester = this.#requester;
    const again = status >= 500 ? requester.replayable : grpcStatus === UNAVAILABLE && requester.whole;
    if (again && this.#retried('5xx')) return false;
    this.#runtime.wheel.disarm(this.#deadline);
    if (this.#attemptDeadline) this.#runtime.wheel.disarm(this.#attemptDeadline);
    requester.forget();
    this.#status = status;
    this.#headed = this.#runtime.moment();
    // How long the body takes says little about the endpoint, and nothing where it is a stream of messages.
    if (served(status, grpcStatus))
      this.#carrier!.endpoint.latency.observe(this.#headed, this.#headed - this.#since);
    this.#attempts.table.learnHttp(requester.version);
    return true;
  }

  /** The response is complete. The carrier is the caller's again. */
  finish(carrier: C, grpcStatus = -1) {
    this.#judged(served(this.#status, grpcStatus));
    this.#series!.response(this.#status, false, this.#runtime.moment() - this.#started, grpcStatus);
    if (this.seen) this.#tell(this.#status, undefined, grpcStatus);
    this.#detach(carrier);
    this.#end();
  }

  /** The response makes a tunnel of the connection: nothing is left to do here. */
  tunnelled(carrier: C, status: number) {
    this.#judged(true);
    this.#series!.response(status, false, this.#runtime.moment() - this.#started);
    if (this.seen) this.#tell(status);
    this.#detach(carrier);
    this.#end();
    this.#runtime.wheel.drop(this.#deadline);
    if (this.#attemptDeadline) this.#runtime.wheel.drop(this.#attemptDeadline);
  }

  // --- endings ---

  /** The upstream broke its protocol. */
  badResponse(detail: string) {
    this.#discard();
    this.fail('bad-response', detail);
  }

  /** The request gets an answer of the proxy's own, or, when a response has begun, a visible break. */
  fail(cause: Cause, detail: string, status: number = CAUSES[cause]) {
    if (!this.busy) return;
    const requester = this.#requester;
    const series = this.#series!;
    this.#runtime.metrics.failed(cause);
    // A request that is not whole may be late by its client alone.
    if (ENDPOINTS_FAULT.has(cause)) this.#judged(false, cause === 'timeout' && !requester.requestDone);
    if (series === this.#attempts.table.orphan) series.requests += 1;
    const elapsed = this.#runtime.moment() - this.#started;
    if (this.responding) {
      series.response(status, true, elapsed);
      if (this.seen) this.#tell(this.#status, cause);
      return requester.break();
    }
    const told = requester.answer(status, cause, detail);
    series.response(told < 0 ? status : 200, true, elapsed, told);
    if (this.seen) this.#tell(told < 0 ? status : 200, cause, told);
    this.#end();
    requester.next();
  }

  /** From when on the endpoint at hand has had all it takes to answer. */
  get #since(): number {
    return Math.max(this.#asked, this.#whole);
  }

  /** For the endpoint's breaker, and for its standing among the others, unless `spared`. */
  #judged(success: boolean, spared = success) {
    const { endpoint } = this.#attempts;
    if (!endpoint) return;
    const now = this.#runtime.moment();
    endpoint.judged(success, now);
    if (!spared) endpoint.latency.failed(now, this.#since);
  }

  /** A byte of a body has passed, or can again: the limit on its standing still starts anew. */
  progress() {
    if (!this.busy) return;
    const { limits, wheel } = this.#runtime;
    if (this.#whole === 0 && !this.responding && this.#requester.requestDone)
      this.#whole = this.#runtime.moment();
    if (limits.bodyIdle === 0) return;
    if (this.responding) return wheel.arm(this.#deadline, limits.bodyIdle);
    // Until the response begins the policy's own limit counts, if there is one; waiting for an answer has no other.
    if (this.#attempts.table.policy.timeout) return;
    if (this.#requester.requestDone && !this.#requester.requestFull) wheel.disarm(this.#deadline);
    else wheel.arm(this.#deadline, limits.bodyIdle);
  }

  #expired() {
    if (!this.busy) return;
    const { timeout } = this.#attempts.table.policy;
    const stalled = `no byte of the body within ${this.#runtime.limits.bodyIdle} ms`;
    if (this.responding) {
      // Which side stands still decides whom the failure counts against.
      if (this.clientFull) return this.abort('body-timeout', stalled);
      this.#discard();
      return this.fail('timeout', stalled, 504);
    }
    const { requestFull } = this.#requester;
    if (timeout === undefined && !requestFull) return this.abort('body-timeout', stalled);
    this.#discard();
    this.fail('timeout', timeout ? `no response within ${timeout} ms` : `the upstream took ${stalled}`);
  }

  /** Tells who watches how it went. */
  #tell(status: number, cause?: Outcome['cause'], grpcStatus = -1) {
    const { seen } = this;
    const { backend, endpoint, retries } = this.#attempts;
    if (!seen) return;
    this.seen = undefined;
    const duration = this.#runtime.moment() - seen.started;
    const headed = this.#headed === 0 ? undefined : this.#headed - seen.started;
    seen.end({ status, grpcStatus, cause, duration, headed, retries, backend: backend?.name, endpoint });
  }

  #end() {
    if (this.#pausing) clearTimeout(this.#pausing);
    this.#pausing = undefined;
    this.#runtime.wheel.disarm(this.#deadline);
    this.#runtime.inFlight -= 1;
    this.#attempts.table.flight.count -= 1;
    // A client may stay for long without another request, and what it was routed by may be gone by then.
    this.#attempts.end();
    this.#series = undefined;
    this.busy = false;
    this.#requester.forget();
  }
}
