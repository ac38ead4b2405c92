/** Where requests go: a Destination made ready for the hot path. Replaced as a whole, so a switch is atomic. */
import type { Destination, Policy, Protocol } from '../discovery/model.ts';
import { RetryBudget } from './balance/budget.ts';
import { Locality } from './balance/locality.ts';
import { RateLimit } from './balance/rate-limit.ts';
import { cumulate, pickWeighted } from './balance/split.ts';
import { EndpointState } from './endpoint.ts';
import type { Labels } from './metrics/registry.ts';
import type { HttpSeries } from './metrics/series.ts';
import type { Runtime } from './runtime.ts';

/** What was learned about a destination's protocol may change with its servers. */
const REMEMBERED = 600_000;

export interface BackendState {
  name: string;
  /** One with nobody behind it gives its share to the others; a weight of 0 stays 0. */
  weight: number;
  endpoints: EndpointState[];
  /** Where endpoints of the proxy's own zone are preferred. */
  locality: Locality<EndpointState> | undefined;
}

/** Until when (wheel clock) the control plane's weights may be used; one object for all tables, renewed by pings. */
export interface Lease {
  until: number;
}

/** One that is under way goes on while its policy stays the same. */
function limitOf({ rateLimit }: Policy, before: RateLimit | undefined, now: number): RateLimit | undefined {
  const same = before?.policy.perSecond === rateLimit?.perSecond && before?.policy.burst === rateLimit?.burst;
  return same ? before : rateLimit && new RateLimit(rateLimit, now);
}

export class RoutingTable {
  readonly protocol: Protocol;
  readonly policy: Policy;
  readonly backends: BackendState[];
  readonly budget: RetryBudget;
  readonly rateLimit: RateLimit | undefined;
  /** Requests in flight, of this table and those that it replaced. */
  readonly flight: { count: number };
  /** For requests that found no endpoint. */
  readonly orphan: HttpSeries;
  readonly destination: Destination;
  readonly #learned: { serverFirstUntil: number; http: 0 | 1 | 2 };
  readonly #cumulative: Float64Array;
  readonly #lease: Lease | undefined;
  readonly #fallback: BackendState | undefined;

  constructor(
    destination: Destination,
    runtime: Runtime,
    direction: 'inbound' | 'outbound',
    lease: Lease | undefined,
    previous?: RoutingTable,
  ) {
    this.destination = destination;
    this.protocol = destination.protocol;
    this.policy = destination.policy;
    const now = runtime.now();
    this.budget = previous?.budget ?? new RetryBudget(now);
    this.budget.rule(destination.policy.retries?.budget, now);
    this.flight = previous?.flight ?? { count: 0 };
    this.rateLimit = limitOf(destination.policy, previous?.rateLimit, now);
    this.#learned = previous ? previous.#learned : { serverFirstUntil: Number.NEGATIVE_INFINITY, http: 0 };
    const known = new Map<string, EndpointState>();
    for (const backend of previous?.backends ?? [])
      for (const endpoint of backend.endpoints) known.set(endpoint.id, endpoint);
    // An address is nobody's name.
    const service = /^(\[|\d+\.\d+\.\d+\.\d+:)/.test(destination.key)
      ? undefined
      : destination.key.split('.')[0];
    const base: Labels =
      direction === 'inbound'
        ? { direction, authority: destination.key }
        : {
            direction,
            authority: destination.key,
            dst_namespace: destination.namespace,
            dst_service: service,
          };
    const zone = destination.policy.balancer?.zones === 'ignore' ? undefined : runtime.zone;
    const named = (labels: Labels) => (direction === 'inbound' ? {} : labels);
    this.orphan = runtime.metrics.http({ ...base, tls: 'false' });
    this.backends = destination.backends.map((backend) => {
      const endpoints = backend.endpoints.map((endpoint) => {
        const labels = {
          ...base,
          ...named({
            dst_backend: backend.name,
            dst_deployment: endpoint.deployment ?? backend.deployment,
            dst_revision: endpoint.revision ?? backend.revision,
            // Who the server must prove to be, and so is.
            server_id: endpoint.identity,
          }),
          tls: endpoint.identity ? 'true' : 'false',
        };
        const http = runtime.metrics.http(labels);
        if (destination.split) http.refine();
        const tcp = runtime.metrics.tcp({ ...labels, peer: 'dst' });
        const id = `${backend.name} ${endpoint.address} ${endpoint.identity ?? ''}`;
        const state =
          known.get(id) ?? new EndpointState(runtime, id, endpoint.address, endpoint.identity, http, tcp);
        known.delete(id);
        state.rule(destination.policy.breaker, now);
        state.http = http;
        state.tcp = tcp;
        state.revision = endpoint.revision ?? backend.revision;
        state.zone = endpoint.zone;
        return state;
      });
      const weight = endpoints.length > 0 ? backend.weight : 0;
      return { name: backend.name, weight, endpoints, locality: Locality.of(endpoints, zone) };
    });
    this.#cumulative = cumulate(this.backends.map(({ weight }) => weight));
    this.#lease = destination.split ? lease : undefined;
    this.#fallback = this.backends.find(({ name }) => name === destination.split?.fallback);
    for (const gone of known.values()) gone.retire();
  }

  /** The server speaks first here, as seen not long ago: it is worth dialling before the client says anything. */
  serverFirst(now: number): boolean {
    return now < this.#learned.serverFirstUntil;
  }

  /** Seen now; kept for a while, over changes of the destination. */
  learnServerFirst(now: number): void {
    this.#learned.serverFirstUntil = now + REMEMBERED;
  }

  /** A server here has answered in HTTP: 1 if ever to a client of HTTP/1, 2 if only to those of HTTP/2, 0 not yet. */
  get http(): 0 | 1 | 2 {
    return this.#learned.http;
  }

  learnHttp(version: 1 | 2): void {
    if (this.#learned.http !== 1) this.#learned.http = version;
  }

  /** Where a request that starts now goes. */
  pick(now: number, random: () => number): BackendState | undefined {
    if (this.#lease !== undefined && now > this.#lease.until) return this.#fallback;
    const { backends } = this;
    const index = pickWeighted(this.#cumulative, random());
    return index < 0 ? undefined : backends[index];
  }
}
