import { pickEndpoint } from './balance/locality.ts';
import type { EndpointState } from './endpoint.ts';
import type { Runtime } from './runtime.ts';
import type { Stack } from './stack.ts';
import type { BackendState, RoutingTable } from './table.ts';

/** Endpoints tried for one request when connecting fails: nothing was sent, so each try is free of risk. */
const MAX_CONNECTS = 5;

/**
 * Before a request is sent again: a random part of this, twice as much each time (milliseconds; full jitter, as Envoy has it). What
 * failed for many at once would otherwise get them all back at once.
 */
const BACKOFF_FIRST = 25;
const BACKOFF_MOST = 250;

/** Where one request goes: the backend that was picked for it, and the endpoints of that which were tried. */
export class Attempts {
  readonly #runtime: Runtime;
  #table: RoutingTable | undefined;
  #stack!: Pick<Stack, 'table'>;
  /** That the backend is of. */
  #routed: RoutingTable | undefined;
  backend: BackendState | undefined;
  endpoint: EndpointState | undefined;
  /** Times the request was sent again. */
  retries = 0;
  /** The last pick found only endpoints whose breaker is open. */
  broken = false;
  #connects = 0;
  /** Could not be connected to. */
  #refused: Set<EndpointState> | undefined;
  /** Have had the request and did not serve it. */
  #failed: Set<EndpointState> | undefined;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  begin(stack: Pick<Stack, 'table'>): void {
    this.#stack = stack;
    this.#table = stack.table;
    this.retries = 0;
    this.#connects = 0;
  }

  /** The request is over: nothing of where it went is kept. */
  end(): void {
    this.#table = undefined;
    this.#routed = undefined;
    this.backend = undefined;
    this.endpoint = undefined;
    this.#refused = undefined;
    this.#failed = undefined;
  }

  /** What the request began with: its policy rules to the end. Where it goes is up to the one that is in force by then. */
  get table(): RoutingTable {
    return this.#table!;
  }

  /** Nothing has failed yet. */
  get first(): boolean {
    return this.retries + this.#connects === 0;
  }

  /** By weight; every endpoint that is tried belongs to this backend, so an answer counts for its revision. */
  pickBackend(): BackendState | undefined {
    const { table } = this.#stack;
    this.#routed = table;
    this.backend = table.pick(this.#runtime.moment(), this.#runtime.random);
    return this.backend;
  }

  /** The destination may have changed meanwhile: its backend as it is now, or another one where that gets nothing any more. */
  #renew(): void {
    const { table } = this.#stack;
    if (table === this.#routed) return;
    this.#routed = table;
    const before = this.backend?.name;
    const same = table.backends.find(({ name, weight }) => name === before && weight > 0);
    if (same) this.backend = same;
    else this.pickBackend();
  }

  /** By load, among those that were not tried in vain. */
  pickEndpoint(): EndpointState | undefined {
    const { random } = this.#runtime;
    const now = this.#runtime.moment();
    if (!this.first) this.#renew();
    const { backend } = this;
    const endpoint =
      backend &&
      (this.#elsewhere(backend, now) ?? pickEndpoint(backend, now, random, undefined, this.#refused));
    this.broken = endpoint?.admits(now) === false;
    if (!endpoint || this.broken) return undefined;
    this.endpoint = endpoint;
    return endpoint;
  }

  /**
   * For a request that is sent again: one that is available and has not had it. One that fails at once is the cheapest to ask;
   * but asking it again is better than nobody.
   */
  #elsewhere(backend: BackendState, now: number): EndpointState | undefined {
    if (!this.#failed) return undefined;
    const had = new Set([...this.#failed, ...(this.#refused ?? [])]);
    const other = pickEndpoint(backend, now, this.#runtime.random, undefined, had);
    return other && other.evictedUntil <= now ? other : undefined;
  }

  get connectFailed(): boolean {
    return this.#connects > 0;
  }

  /** The endpoint could not be connected to: evicts it. True when another one may be tried. */
  evict(endpoint: EndpointState): boolean {
    endpoint.evict(this.#runtime.moment());
    this.#connects += 1;
    this.#refused ??= new Set();
    const refused = this.#refused.add(endpoint);
    this.#renew();
    if (this.#connects >= MAX_CONNECTS || !this.backend) return false;
    return this.backend.endpoints.some((other) => !refused.has(other));
  }

  /** The request is sent again. */
  again(): void {
    this.retries += 1;
    if (this.endpoint) this.#failed = (this.#failed ?? new Set()).add(this.endpoint);
  }

  /**
   * Milliseconds to wait before the request is sent again; undefined where policy, budget or the `left` milliseconds do not allow
   * that. Takes it from the budget.
   */
  retryAfter(on: 'connect' | '5xx', left: number): number | undefined {
    const { retries } = this.table.policy;
    if (retries === undefined || this.retries >= retries.max || !retries.on.includes(on)) return undefined;
    const wait = this.backoff(this.retries);
    return wait < left && this.table.budget.withdraw(this.#runtime.moment()) ? wait : undefined;
  }

  /** After so many times that it was sent again. */
  backoff(times: number): number {
    return this.#runtime.random() * Math.min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** times);
  }
}
