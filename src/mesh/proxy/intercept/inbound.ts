import type { InterceptConfig } from '../config.ts';
import type { DataPlane } from '../proxy.ts';
import type { Stack } from '../stack.ts';
import type { Connection, ConnectionHandler } from '../transport/types.ts';
import { addressKey, type OwnAddresses } from './addresses.ts';

/** More ports than an application has; callers that try all of them push out the ones that nobody uses. */
const MAX_PORTS = 256;
const IDLE = 600_000;

/** What was meant for the application: each port of the pod has a stack of its own, made when it is first called. */
export class InboundRoutes {
  readonly #plane: DataPlane;
  readonly #config: InterceptConfig;
  readonly #ownPorts: ReadonlySet<number>;
  readonly #own: OwnAddresses;
  readonly #routes = new Map<string, { stack: Stack; used: number }>();

  constructor(options: {
    plane: DataPlane;
    config: InterceptConfig;
    /** The proxy's own: a connection to one of them would be one to itself. */
    ownPorts: Iterable<number>;
    own: OwnAddresses;
  }) {
    this.#plane = options.plane;
    this.#config = options.config;
    this.#ownPorts = new Set(options.ownPorts);
    this.#own = options.own;
  }

  /** Undefined: to be closed. */
  accept(connection: Connection): ConnectionHandler | undefined {
    const { runtime } = this.#plane;
    const original = connection.originalDestination?.();
    // Not redirected, or to this proxy itself, or through this pod to somewhere else.
    if (!original || this.#ownPorts.has(original.port) || !this.#own.has(original.host)) {
      runtime.metrics.failed('loop');
      return undefined;
    }
    const key = addressKey(original);
    const route = this.#routes.get(key) ?? this.#add(key, original.port);
    if (!route) {
      runtime.metrics.failed('overload');
      return undefined;
    }
    route.used = runtime.now();
    return route.stack.accept(connection);
  }

  #add(key: string, port: number): { stack: Stack; used: number } | undefined {
    if (this.#routes.size >= MAX_PORTS && !this.sweep(0)) return undefined;
    const { opaque, name } = this.#config;
    const tcp = opaque.some(({ from, to }) => port >= from && port <= to);
    const entry = { forward: key, protocol: tcp ? ('tcp' as const) : ('detect' as const) };
    const route = { stack: this.#plane.inbound(entry, () => name), used: 0 };
    this.#routes.set(key, route);
    return route;
  }

  /** Forgets ports that nobody has called for a while; true when there is room again. */
  sweep(idle = IDLE): boolean {
    const before = this.#plane.runtime.now() - idle;
    for (const [key, { stack, used }] of this.#routes) {
      const busy = stack.connections.size + (stack.inside?.connections.size ?? 0);
      if (used > before || busy > 0) continue;
      this.#routes.delete(key);
      this.#plane.release(stack);
    }
    return this.#routes.size < MAX_PORTS;
  }
}
