/** One listener's stack: accept -> detect -> protocol -> route -> balance -> connect. */
import type { Destination } from '../discovery/model.ts';
import { detectProtocol, detectVersion } from './accept.ts';
import type { HttpSeries, TcpSeries } from './metrics/series.ts';
import { OpaqueSession } from './opaque.ts';
import { type Field, share } from './protocol/http2/field.ts';
import type { Runtime } from './runtime.ts';
import { type Lease, RoutingTable } from './table.ts';
import type { Connection, ConnectionHandler, Listener, ListenOptions } from './transport/types.ts';

export interface StackOptions {
  runtime: Runtime;
  direction: 'inbound' | 'outbound';
  /** Where it listens; without, connections come from `accept`, as those that were intercepted do. */
  listen?: ListenOptions;
  /** Whether what `accept` takes has been through a TLS handshake, where there is no `listen`. */
  secure?: boolean;
  destination: Destination;
  lease?: Lease;
  /** Connections that begin a TLS handshake with this name are terminated, and go on in `stack`. */
  terminate?: { name: () => string | undefined; stack: Stack };
}

/** A client connection that serves requests. */
export interface ClientSession {
  /** Closes it if nothing is going on, or announces that it is going to; called while draining. */
  closeIfIdle(): void;
}

export interface Caller {
  /** Header lines added to each request. */
  header: Buffer | undefined;
  /** The same for HTTP/2. */
  field: Field | undefined;
  series: HttpSeries;
}

export class Stack {
  readonly runtime: Runtime;
  readonly direction: 'inbound' | 'outbound';
  /** Every client connection, whatever it speaks. */
  readonly connections = new Set<Connection>();
  /** Those that serve HTTP; a tunnel is none. */
  readonly sessions = new Set<ClientSession>();
  /** Swapped as a whole by `update`. */
  table: RoutingTable;
  readonly accepted: TcpSeries;
  /** Peers must not speak in Weir's name: their weir-* and l5d-* request headers end at the inbound edge. */
  readonly strip: boolean;
  readonly #listen: ListenOptions | undefined;
  readonly #terminate: StackOptions['terminate'];
  readonly #lease: Lease | undefined;
  #listener: Listener | undefined;

  constructor({ runtime, direction, listen, secure, destination, lease, terminate }: StackOptions) {
    this.runtime = runtime;
    this.direction = direction;
    this.strip = direction === 'inbound';
    this.#listen = listen;
    this.#lease = lease;
    this.#terminate = terminate;
    this.table = new RoutingTable(destination, runtime, direction, lease);
    this.accepted = runtime.metrics.tcp({
      direction,
      peer: 'src',
      authority: direction === 'outbound' ? destination.key : undefined,
      tls: (secure ?? (listen !== undefined && listen.tls !== 'off')) ? 'true' : 'false',
    });
  }

  async start(): Promise<number> {
    if (!this.#listen) return 0;
    this.#listener = await this.runtime.listen(this.#listen, (connection) => this.accept(connection));
    return this.#listener.port;
  }

  /** From the moment this returns no request starts on the destination as it was before. */
  update(destination: Destination): void {
    this.table = new RoutingTable(destination, this.runtime, this.direction, this.#lease, this.table);
  }

  /** Where connections go on whose TLS ends here. */
  get inside(): Stack | undefined {
    return this.#terminate?.stack;
  }

  /** Closes what waits for requests at its endpoints. */
  retire(): void {
    for (const backend of this.table.backends) for (const endpoint of backend.endpoints) endpoint.retire();
  }

  /** Stops accepting. */
  stop(): void {
    this.#listener?.close();
  }

  /** Of a peer's handshake with this proxy; undefined: connections here have none, or had theirs. */
  get ownName(): string | undefined {
    return this.#terminate?.name();
  }

  /** The peer's TLS ends here: what is inside goes on as a connection of its own. */
  startTls(connection: Connection, first: Buffer): void {
    const { stack } = this.#terminate!;
    this.closed(connection);
    connection.startTls!(first, (inside) => inside && stack.accept(inside));
  }

  /** Takes a connection; undefined: there are too many, and it is to be closed. */
  accept(connection: Connection): ConnectionHandler | undefined {
    const { runtime } = this;
    if (runtime.connections >= runtime.limits.connections) return undefined;
    runtime.connections += 1;
    runtime.lastActivity = runtime.now();
    this.accepted.opened += 1;
    this.connections.add(connection);
    // Whatever the application speaks, a peer's handshake may come first.
    if (this.#terminate) return detectProtocol(this, connection);
    switch (this.table.protocol) {
      case 'http1':
      case 'http2':
        return detectVersion(this, connection);
      case 'tcp':
        return new OpaqueSession(this, connection);
      case 'detect':
        return detectProtocol(this, connection);
    }
  }

  /** A connection of this stack is gone. `counted`: a tunnel has counted its bytes and its end already. */
  closed(connection: Connection, counted = false): void {
    this.connections.delete(connection);
    this.runtime.connections -= 1;
    if (!counted) this.accepted.closed += 1;
  }

  /** Inbound, who is calling: the series are the caller's. Outbound ones belong to the endpoint. */
  caller(connection: Connection): Caller | undefined {
    if (this.direction === 'outbound') return undefined;
    const identity = connection.peerIdentity ?? '';
    return {
      header: identity === '' ? undefined : Buffer.from(`weir-client-id: ${identity}\r\n`, 'latin1'),
      field: identity === '' ? undefined : share('weir-client-id', identity),
      series: this.runtime.metrics.http({
        direction: 'inbound',
        authority: this.table.destination.key,
        tls: connection.secure ? 'true' : 'false',
        client_id: identity,
      }),
    };
  }

  /** Whether a client may read why the proxy failed: local callers and authenticated peers. */
  explains(connection: Connection): boolean {
    return this.direction === 'outbound' || connection.peerIdentity !== undefined;
  }
}
