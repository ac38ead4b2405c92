import { pickEndpoint } from './balance/locality.ts';
import type { EndpointState } from './endpoint.ts';
import type { TcpSeries } from './metrics/series.ts';
import type { Stack } from './stack.ts';
import type { BackendState, RoutingTable } from './table.ts';
import type { Deadline } from './timers.ts';
import type { Connection, ConnectionHandler } from './transport/types.ts';
import { Tunnel } from './tunnel.ts';

const MAX_CONNECTS = 5;
/** Bytes kept for an upstream that is still being dialled; the client is paused beyond. */
const EARLY = 65_536;

/** A client connection forwarded byte for byte: routed once, by weight and then by the fewest connections. */
export class OpaqueSession implements ConnectionHandler {
  readonly #stack: Stack;
  readonly #client: Connection;
  readonly #early: Buffer[] = [];
  readonly #deadline: Deadline;
  readonly #tried = new Set<EndpointState>();
  readonly #table: RoutingTable;
  readonly #onServerData: (() => void) | undefined;
  #backend: BackendState | undefined;
  #endpoint: EndpointState | undefined;
  /** Where its connection is counted. */
  #tcp: TcpSeries | undefined;
  #server: Connection | undefined;
  #size = 0;
  #ended = false;
  #over = false;
  /** Connected, but whether this stays a tunnel is not decided yet. */
  #held: boolean;

  /** `speculative`: dialled while the protocol is unknown; calls back when the server speaks first. */
  constructor(stack: Stack, client: Connection, speculative?: () => void) {
    this.#stack = stack;
    this.#client = client;
    this.#table = stack.table;
    this.#held = speculative !== undefined;
    this.#onServerData = speculative;
    const { runtime } = stack;
    this.#deadline = runtime.wheel.deadline(() => this.#server?.destroy());
    this.#backend = this.#table.pick(runtime.now(), runtime.random);
    this.#dial();
  }

  /** It is not HTTP: join the two as soon as both are there. */
  commit(first: Buffer | undefined): void {
    this.#held = false;
    this.#client.handler = this;
    if (first) this.data(first);
    if (this.#over) this.#client.destroy();
    else if (this.#server && this.#open) this.#join();
  }

  /** It is HTTP: the connection dialled for nothing goes. */
  cancel(): void {
    this.#over = true;
    this.#cancelled = true;
    this.#stack.runtime.wheel.drop(this.#deadline);
    this.#server?.destroy();
  }

  #open = false;
  /** It has said its last while whether this is a tunnel was open. */
  #serverEnded = false;
  #cancelled = false;

  #dial(): void {
    const { runtime } = this.#stack;
    const endpoint =
      this.#backend &&
      pickEndpoint(this.#backend, runtime.now(), runtime.random, ({ pending }) => pending, this.#tried);
    if (!endpoint || this.#tried.size >= MAX_CONNECTS) {
      runtime.metrics.failed(this.#tried.size > 0 ? 'connect' : 'no-endpoint');
      this.#over = true;
      if (!this.#held) this.#client.destroy();
      return;
    }
    if (runtime.loops.closes(this.#stack.direction, endpoint)) {
      runtime.metrics.failed('loop');
      this.#over = true;
      if (!this.#held) this.#client.destroy();
      return;
    }
    const { tcp } = endpoint;
    this.#endpoint = endpoint;
    this.#tcp = tcp;
    endpoint.pending += 1;
    tcp.opened += 1;
    runtime.wheel.arm(this.#deadline, runtime.limits.connectTimeout);
    const { host, port, identity } = endpoint;
    this.#server = runtime.transport.connect(
      { host, port, identity },
      {
        open: () => {
          this.#open = true;
          runtime.wheel.drop(this.#deadline);
          endpoint.alive();
          if (!this.#held) this.#join();
        },
        data: (chunk) => {
          // The server speaks first: that settles the protocol, and it is remembered for the destination.
          this.#table.learnServerFirst(runtime.now());
          const server = this.#server!;
          this.#onServerData?.();
          if (this.#held || this.#cancelled) return;
          tcp.read += chunk.length;
          this.#stack.accepted.written += chunk.length;
          if (!this.#client.write(chunk)) server.pause();
        },
        drain: () => {},
        end: () => {
          this.#serverEnded = true;
          if (!this.#held) this.#client.end();
        },
        close: () => {
          endpoint.pending -= 1;
          tcp.closed += 1;
          if (this.#over) return;
          if (!this.#open) {
            endpoint.evict(runtime.now());
            this.#tried.add(endpoint);
            this.#dial();
          } else {
            this.#over = true;
            if (!this.#held) this.#client.destroy();
          }
        },
      },
    );
  }

  #join(): void {
    const stack = this.#stack;
    const { runtime, accepted } = stack;
    const client = this.#client;
    const server = this.#server!;
    const endpoint = this.#endpoint!;
    const tcp = this.#tcp!;
    this.#over = true;
    for (const chunk of this.#early.splice(0)) {
      tcp.written += chunk.length;
      server.write(chunk);
    }
    // It may last for days: nothing of this is kept by it, such as what it was routed by.
    new Tunnel(runtime, client, server, { client: accepted, server: tcp }, () => {
      endpoint.pending -= 1;
      stack.closed(client, true);
    });
    if (this.#ended) server.end();
    if (this.#serverEnded) client.end();
  }

  data(chunk: Buffer): void {
    this.#stack.accepted.read += chunk.length;
    this.#early.push(this.#client.keep(chunk));
    this.#size += chunk.length;
    if (this.#size > EARLY) this.#client.pause();
  }

  drain(): void {
    this.#server?.resume();
  }

  end(): void {
    this.#ended = true;
  }

  close(): void {
    this.#stack.runtime.wheel.drop(this.#deadline);
    this.#stack.closed(this.#client);
    if (this.#over) return;
    this.#over = true;
    this.#server?.destroy();
  }
}
