import { pickEndpoint } from './balance/locality.ts';
import type { EndpointState } from './endpoint.ts';
import type { Runtime } from './runtime.ts';
import type { BackendState, RoutingTable } from './table.ts';

/** Endpoints tried for one request when connecting fails: nothing was sent, so each try is free of risk. */
const MAX_CONNECTS = 5;

/** Where one request goes: the backend that was picked for it, and the endpoints of that which were tried. */
export class Attempts {
  readonly #runtime: Runtime;
  table!: RoutingTable;
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

  begin(table: RoutingTable): void {
    this.table = table;
    this.backend = undefined;
    this.endpoint = undefined;
    this.retries = 0;
    this.#connects = 0;
    this.#refused = undefined;
    this.#failed = undefined;
  }

  /** Nothing has failed yet. */
  get first(): boolean {
    return this.retries + this.#connects === 0;
  }

  /** By weight; every endpoint that is tried belongs to this backend, so an answer counts for its revision. */
  pickBackend(): BackendState | undefined {
    this.backend = this.table.pick(this.#runtime.moment(), this.#runtime.random);
    return this.backend;
  }

  /** By load, among those that were not tried in vain. */
  pickEndpoint(): EndpointState | undefined {
    const { random } = this.#runtime;
    const now = this.#runtime.moment();
    const endpoint =
      this.#elsewhere(now) ?? pickEndpoint(this.backend!, now, random, undefined, this.#refused);
    this.broken = endpoint?.admits(now) === false;
    if (!endpoint || this.broken) return undefined;
    this.endpoint = endpoint;
    return endpoint;
  }

  /**
   * For a request that is sent again: one that is available and has not had it. One that fails at once is the cheapest to ask;
   * but asking it again is better than nobody.
   */
  #elsewhere(now: number): EndpointState | undefined {
    if (!this.#failed) return undefined;
    const had = new Set([...this.#failed, ...(this.#refused ?? [])]);
    const other = pickEndpoint(this.backend!, now, this.#runtime.random, undefined, had);
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
    return this.#connects < MAX_CONNECTS && this.backend!.endpoints.some((other) => !refused.has(other));
  }

  /** The request is sent again. */
  again(): void {
    this.retries += 1;
    if (this.endpoint) this.#failed = (this.#failed ?? new Set()).add(this.endpoint);
  }

  /** Whether policy and budget allow to send the request again; takes it from the budget. */
  mayRetry(on: 'connect' | '5xx'): boolean {
    const { retries } = this.table.policy;
    return (
      retries !== undefined &&
      this.retries < retries.max &&
      retries.on.includes(on) &&
      this.table.budget.withdraw(this.#runtime.moment())
    );
  }
}
