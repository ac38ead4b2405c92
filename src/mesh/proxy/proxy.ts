import { AppError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type { Destination } from '../discovery/model.ts';
import { type InboundConfig, type OutboundConfig, type ProxyConfig, splitAddress } from './config.ts';
import { ProxyMetrics } from './metrics/registry.ts';
import { Observers } from './observers.ts';
import { ALPN } from './protocol/detect.ts';
import { Runtime } from './runtime.ts';
import { Stack } from './stack.ts';
import type { Lease } from './table.ts';
import type { Connection, ConnectionHandler, Listener, ListenOptions, Transport } from './transport/types.ts';

type Accept = (connection: Connection) => ConnectionHandler | undefined;

export interface ProxyOptions {
  config: ProxyConfig;
  transport: Transport;
  log: Logger;
  random?: () => number;
  /** Address to listen on where a listener names none. */
  host?: string;
}

/** One data plane: its listeners and what they route by. */
export class DataPlane {
  readonly runtime: Runtime;
  readonly observers: Observers;
  readonly stacks: Stack[] = [];
  /** Renewed by whoever hears from the control plane. Without one, splits rule for ever. */
  readonly lease: Lease = { until: Number.POSITIVE_INFINITY };
  /** Ports actually bound, in the order of inbound then outbound listeners (for `:0`). */
  readonly ports: number[] = [];
  #config: ProxyConfig;
  readonly #host: string;
  readonly #listeners: Listener[] = [];
  readonly #byDestination = new Map<string, Stack[]>();

  constructor({ config, transport, log, random, host }: ProxyOptions) {
    this.#config = { ...config, destinations: { ...config.destinations } };
    this.#host = host ?? '0.0.0.0';
    const metrics = new ProxyMetrics(config.labels);
    this.runtime = new Runtime({ transport, metrics, limits: config.limits, log, random, zone: config.zone });
    this.observers = new Observers(this.runtime, config.labels);
    this.observers.configure(config);
    metrics.counts = () => this.observers.counts();
  }

  get config(): ProxyConfig {
    return this.#config;
  }

  /** A stack without a listener of its own, routed by `key`; what it serves is drained and ended with the rest. */
  outbound(key: string): Stack {
    const { runtime, lease } = this;
    const stack = new Stack({ runtime, direction: 'outbound', lease, destination: this.#destination(key) });
    this.#follow(key, stack);
    return stack;
  }

  /** The same for what comes in on a port of the application; peers' handshakes with this proxy end here. */
  inbound(entry: Pick<InboundConfig, 'forward' | 'protocol'>, ownName: () => string | undefined): Stack {
    const { runtime } = this;
    const destination = inboundDestination(entry);
    const inside = new Stack({ runtime, direction: 'inbound', secure: true, destination });
    const terminate = { name: ownName, stack: inside };
    const outside = new Stack({ runtime, direction: 'inbound', destination, terminate });
    this.stacks.push(inside, outside);
    return outside;
  }

  /** Lets go of a stack that nothing is connected to any more. */
  release(stack: Stack): void {
    for (const each of [stack, ...(stack.inside ? [stack.inside] : [])]) {
      const at = this.stacks.indexOf(each);
      if (at >= 0) this.stacks.splice(at, 1);
      each.retire();
    }
    const { key } = stack.table.destination;
    const others = (this.#byDestination.get(key) ?? []).filter((each) => each !== stack);
    if (others.length > 0) return void this.#byDestination.set(key, others);
    this.#byDestination.delete(key);
    const { [key]: _gone, ...destinations } = this.#config.destinations;
    this.#config = { ...this.#config, destinations };
  }

  /** Listens for connections that say themselves where they were going. */
  async listen(options: ListenOptions, accept: Accept): Promise<number> {
    const listener = await this.runtime.listen(options, accept);
    this.#listeners.push(listener);
    this.ports.push(listener.port);
    // Whoever connects there must have been sent there by the rules.
    this.runtime.loops.add({ host: options.host, port: listener.port, inbound: false });
    return listener.port;
  }

  async start(): Promise<void> {
    for (const inbound of this.#config.inbound) await this.#add('inbound', inbound);
    for (const outbound of this.#config.outbound) await this.#add('outbound', outbound);
  }

  async #add(direction: 'inbound' | 'outbound', entry: InboundConfig | OutboundConfig): Promise<void> {
    const { host, port } = splitAddress(entry.listen, this.#host);
    const { runtime, lease } = this;
    const inbound = 'forward' in entry;
    const stack = new Stack({
      runtime,
      direction,
      lease,
      listen: {
        host,
        port,
        tls: inbound ? entry.tls : 'off',
        handshakeTimeout: runtime.limits.handshakeTimeout,
        alpn: ALPN,
      },
      destination: inbound ? inboundDestination(entry) : this.#destination(entry.destination),
    });
    try {
      const bound = await stack.start();
      this.ports.push(bound);
      runtime.loops.add({ host, port: bound, inbound });
    } catch (thrown) {
      throw new AppError('Unavailable', `cannot listen on ${entry.listen}: ${(thrown as Error).message}`, {
        cause: thrown,
      });
    }
    if (inbound) this.stacks.push(stack);
    else this.#follow(entry.destination, stack);
  }

  #follow(key: string, stack: Stack): void {
    this.stacks.push(stack);
    this.#byDestination.set(key, [...(this.#byDestination.get(key) ?? []), stack]);
  }

  #destination(key: string): Destination {
    return this.#config.destinations[key] ?? emptyDestination(key);
  }

  /**
   * Routes `key` by `destination` (undefined: it does not exist). When this returns, no request starts on what was
   * before, which is what an acknowledgement promises.
   */
  route(key: string, destination: Destination | undefined): void {
    const known = destination ?? emptyDestination(key);
    // Routes come before the listeners that need them: a sidecar accepts only when it knows where to send.
    this.#config = { ...this.#config, destinations: { ...this.#config.destinations, [key]: known } };
    for (const stack of this.#byDestination.get(key) ?? []) stack.update(known);
  }

  /** Takes over destinations, policies, tracing and the access log of a new file; listeners and limits need a restart. */
  reload(config: ProxyConfig): void {
    const { tracing, accessLog } = config;
    this.#config = { ...this.#config, destinations: { ...config.destinations }, tracing, accessLog };
    this.observers.configure(config);
    for (const key of this.#byDestination.keys()) this.route(key, this.#destination(key));
  }

  /** For /config. */
  describe(): unknown {
    const { tracing } = this.#config;
    return {
      ...this.#config,
      ...(tracing ? { tracing: { ...tracing, otlp: withoutCredentials(tracing.otlp) } } : {}),
      destinations: Object.fromEntries(
        [...this.#byDestination].map(([key, stacks]) => [key, stacks[0]!.table.destination]),
      ),
      draining: this.runtime.draining,
      inFlight: this.runtime.inFlight,
      connections: this.runtime.connections,
    };
  }

  stopAccepting(): void {
    for (const stack of this.stacks) stack.stop();
    for (const listener of this.#listeners) listener.close();
  }

  closeIdle(): void {
    for (const stack of this.stacks) for (const session of [...stack.sessions]) session.closeIfIdle();
  }

  /** Ends everything at once. */
  destroy(): void {
    this.stopAccepting();
    for (const stack of this.stacks) {
      for (const connection of [...stack.connections]) connection.destroy();
      stack.retire();
    }
    this.runtime.wheel.stop();
  }
}

function inboundDestination({ forward, protocol }: Pick<InboundConfig, 'forward' | 'protocol'>): Destination {
  return {
    key: forward,
    namespace: '',
    protocol: protocol ?? 'detect',
    backends: [{ name: 'app', weight: 1, endpoints: [{ address: forward }] }],
    policy: {},
  };
}

/** A collector's URL may carry a password. */
function withoutCredentials(text: string): string {
  const url = new URL(text);
  url.username = '';
  url.password = '';
  // Tokens of hosted collectors come as a query.
  url.search = '';
  return url.href;
}

function emptyDestination(key: string): Destination {
  const [, namespace = ''] = key.split(':')[0]!.split('.');
  return { key, namespace, protocol: 'detect', backends: [], policy: {} };
}
