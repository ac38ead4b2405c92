import type { Destination } from '../../discovery/model.ts';
import type { DataPlane } from '../proxy.ts';
import type { Stack } from '../stack.ts';
import type { Deadline } from '../timers.ts';
import type { Connection, ConnectionHandler } from '../transport/types.ts';
import { addressKey, type OwnAddresses, plainToSelf } from './addresses.ts';

/** Whoever tells what an address stands for. */
export interface Directory {
  follow(key: string): void;
  unfollow(key: string): void;
}

/** Milliseconds the first connection to an address waits for the control plane; then it goes where it was going. */
const LOOKUP = 1_000;
/** Without a connection for this long an address is followed no longer. */
const IDLE = 60_000;
/** Addresses followed at a time; with the Services they stand for it stays below what a session may follow. */
const MAX_ADDRESSES = 800;

/** Ports whose servers may speak first, where nobody has said what they speak. */
const OPAQUE_PORTS = new Set([25, 587, 3306, 4444, 5432, 6379, 9300, 11211]);

/** One address that the application has connected to. */
interface Route {
  readonly key: string;
  /** The Service's destination that it stands for. */
  target: string | undefined;
  stack: Stack | undefined;
  readonly waiting: Set<Waiting>;
  readonly deadline: Deadline;
  used: number;
}

/** A Service's destination, and the addresses that stand for it (one of each family). */
interface Target {
  known: boolean;
  stack: Stack;
  readonly routes: Set<Route>;
}

/**
 * What the application connects to, by address: a Service's goes to its endpoints, a pod's to that pod as who it is, any
 * other to where it was going. Asked when first seen, followed while in use, as last known while nobody answers.
 */
export class OutboundRoutes {
  readonly #plane: DataPlane;
  readonly #port: number;
  readonly #own: OwnAddresses;
  readonly #directory: Directory;
  readonly #patience: number;
  readonly #routes = new Map<string, Route>();
  readonly #targets = new Map<string, Target>();
  /** Replaced, but not empty yet. */
  readonly #leaving = new Set<Stack>();

  constructor(options: {
    plane: DataPlane;
    /** Where the proxy itself takes what goes out. */
    port: number;
    own: OwnAddresses;
    directory: Directory;
    /** Milliseconds. */
    patience?: number;
  }) {
    this.#plane = options.plane;
    this.#port = options.port;
    this.#own = options.own;
    this.#directory = options.directory;
    this.#patience = options.patience ?? LOOKUP;
  }

  get size(): number {
    return this.#routes.size;
  }

  /** Undefined: to be closed. */
  accept(connection: Connection): ConnectionHandler | undefined {
    const { runtime } = this.#plane;
    const original = connection.originalDestination?.();
    // Somebody connected to this port itself: passing that on would only lead here again.
    if (!original || (original.port === this.#port && this.#own.has(original.host))) {
      runtime.metrics.failed('loop');
      return undefined;
    }
    const key = addressKey(original);
    const route = this.#routes.get(key) ?? this.#add(key);
    if (!route || runtime.connections + route.waiting.size >= runtime.limits.connections) {
      runtime.metrics.failed('overload');
      return undefined;
    }
    route.used = runtime.now();
    if (route.stack) return route.stack.accept(connection);
    connection.pause();
    return new Waiting(connection, route.waiting);
  }

  #add(key: string): Route | undefined {
    if (this.#routes.size >= MAX_ADDRESSES && !this.#makeRoom()) return undefined;
    const { wheel } = this.#plane.runtime;
    const route: Route = {
      key,
      target: undefined,
      stack: undefined,
      waiting: new Set(),
      deadline: wheel.deadline(() => {
        if (!route.stack) this.#settle(route, this.#through(key));
      }),
      used: 0,
    };
    this.#routes.set(key, route);
    wheel.arm(route.deadline, this.#patience);
    this.#directory.follow(key);
    return route;
  }

  /** What the control plane says of a key that is followed, as it changes. */
  answer(key: string, destination: Destination | undefined, alias?: string): void {
    const target = this.#targets.get(key);
    if (target) {
      this.#plane.route(key, destination && plainToSelf(destination, this.#own));
      target.known = true;
      for (const route of target.routes) this.#settle(route, target.stack);
      return;
    }
    const route = this.#routes.get(key);
    if (!route) return;
    this.#standFor(route, alias);
    if (alias !== undefined) return;
    if (destination) this.#plane.route(key, plainToSelf(destination, this.#own));
    this.#settle(route, destination ? this.#stackOf(route) : this.#through(key));
  }

  /** Changes which Service an address stands for. Cluster IPs change hands, seldom. */
  #standFor(route: Route, alias: string | undefined): void {
    if (route.target !== alias) this.#unbind(route);
    if (alias === undefined) return;
    let target = this.#targets.get(alias);
    if (!target) {
      target = { known: false, stack: this.#plane.outbound(alias), routes: new Set() };
      this.#targets.set(alias, target);
      this.#directory.follow(alias);
    }
    route.target = alias;
    target.routes.add(route);
    if (target.known) this.#settle(route, target.stack);
  }

  #unbind(route: Route): void {
    const { target: name } = route;
    const target = name === undefined ? undefined : this.#targets.get(name);
    route.target = undefined;
    if (!target || name === undefined) return;
    target.routes.delete(route);
    if (target.routes.size > 0) return;
    this.#targets.delete(name);
    this.#directory.unfollow(name);
    this.#leave(target.stack);
  }

  /** To where it was going, as bytes or HTTP, and as nobody of the mesh. */
  #through(key: string): Stack {
    const route = this.#routes.get(key);
    const port = Number(key.slice(key.lastIndexOf(':') + 1));
    this.#plane.route(key, {
      key,
      namespace: '',
      protocol: OPAQUE_PORTS.has(port) ? 'tcp' : 'detect',
      backends: [{ name: '', weight: 1, endpoints: [{ address: key }] }],
      policy: {},
    });
    return route ? this.#stackOf(route) : this.#plane.outbound(key);
  }

  /** The stack that is routed by the address itself. */
  #stackOf(route: Route): Stack {
    const { stack } = route;
    return stack?.table.destination.key === route.key ? stack : this.#plane.outbound(route.key);
  }

  #settle(route: Route, stack: Stack): void {
    const { wheel } = this.#plane.runtime;
    wheel.drop(route.deadline);
    const before = route.stack;
    route.stack = stack;
    if (before && before !== stack && !this.#isTarget(before)) this.#leave(before);
    for (const waiting of [...route.waiting]) waiting.goOn(stack);
  }

  #isTarget(stack: Stack): boolean {
    return this.#targets.get(stack.table.destination.key)?.stack === stack;
  }

  #leave(stack: Stack): void {
    if (stack.connections.size > 0) this.#leaving.add(stack);
    else this.#plane.release(stack);
  }

  #makeRoom(): boolean {
    this.sweep(0);
    return this.#routes.size < MAX_ADDRESSES;
  }

  /** Stops following what nobody has connected to for a while. */
  sweep(idle = IDLE): void {
    const now = this.#plane.runtime.now();
    for (const stack of this.#leaving)
      if (stack.connections.size === 0) {
        this.#leaving.delete(stack);
        this.#plane.release(stack);
      }
    for (const route of this.#routes.values()) {
      if (route.stack && route.stack.connections.size > 0) route.used = now;
      if (route.waiting.size > 0 || now - route.used < idle) continue;
      if (idle === 0 && route.used === now) continue;
      this.#forget(route);
    }
  }

  #forget(route: Route): void {
    this.#routes.delete(route.key);
    this.#plane.runtime.wheel.drop(route.deadline);
    this.#directory.unfollow(route.key);
    const { stack } = route;
    this.#unbind(route);
    if (stack && stack.table.destination.key === route.key) this.#leave(stack);
  }

  /** Ends what still waits. */
  stop(): void {
    for (const route of this.#routes.values())
      for (const waiting of [...route.waiting]) waiting.connection.destroy();
  }
}

/** A connection whose destination is being asked for; nothing of it is read meanwhile. */
class Waiting implements ConnectionHandler {
  readonly connection: Connection;
  readonly #others: Set<Waiting>;
  /** What a transport had read already. */
  readonly #early: Buffer[] = [];
  #ended = false;

  constructor(connection: Connection, others: Set<Waiting>) {
    this.connection = connection;
    this.#others = others;
    others.add(this);
  }

  goOn(stack: Stack): void {
    const { connection } = this;
    this.#others.delete(this);
    const handler = stack.accept(connection);
    if (!handler) {
      connection.destroy();
      return;
    }
    connection.handler = handler;
    for (const chunk of this.#early) connection.handler.data(chunk);
    if (this.#ended) connection.handler.end();
    connection.resume();
  }

  data(chunk: Buffer): void {
    this.#early.push(this.connection.keep(chunk));
  }

  drain(): void {}

  end(): void {
    this.#ended = true;
  }

  close(): void {
    this.#others.delete(this);
  }
}
