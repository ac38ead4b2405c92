/**
 * The seam between protocol code and the operating system. Everything above it takes and gives buffers and knows no
 * socket; `portable` implements it on node:net and node:tls, the Linux reactor on raw system calls.
 *
 * Ownership of bytes: a chunk given to `data` belongs to the handler during the call, which may change it in place.
 * What must outlive the call goes through `Connection.keep`. What is given to `write` belongs to the transport.
 */
import type { Refusal } from './refusal.ts';

export interface ConnectionHandler {
  /** An outgoing connection is ready to write (after the TLS handshake, with the peer's identity verified). */
  open?(): void;
  data(chunk: Buffer): void;
  /** Bytes have come and gone on to where `passOn` sends them; `more` is what `write` would have returned. */
  moved?(count: number, more: boolean): void;
  /** Everything written so far has left: the other side may be read again. */
  drain(): void;
  /** The peer has half-closed: no more data will come, writing is still possible. */
  end(): void;
  /** Last event, exactly once. `error` when it was not an orderly close. */
  close(error?: Error): void;
}

export interface Connection {
  /** Set before the first event; may be replaced at any time (detection hands over to HTTP, HTTP to a tunnel). */
  handler: ConnectionHandler;
  /** SPIFFE id of the authenticated peer, if the connection is mutual TLS. */
  readonly peerIdentity: string | undefined;
  readonly secure: boolean;
  /** The protocol that the TLS handshake agreed on (RFC 7301), if any; known once the connection is open. */
  readonly alpn: string | undefined;
  /** False asks the caller to stop reading the other side until `drain`. */
  write(chunk: Buffer): boolean;
  /** Like `write` for the first `end` bytes, which stay the caller's: what cannot leave at once is copied. */
  writeCopy(bytes: Buffer, end: number): boolean;
  /** Two slices as one system call where possible. */
  writePair(first: Buffer, second: Buffer): boolean;
  /**
   * The next `count` bytes that come in (Infinity: all) may go on to `to` without being shown, where that is cheaper:
   * `moved` tells of them, instead of `data`. Which it is may change from one event to the next, and bytes never overtake
   * what was written to `to` before. Absent, or without effect, where it cannot be done.
   */
  passOn?(to: Connection, count: number): void;
  pause(): void;
  resume(): void;
  /** Half-close after what has been written. */
  end(): void;
  /** Closes after what has been written, without waiting for the peer's half. */
  finish(): void;
  destroy(): void;
  /** The same, but the peer is told by a reset: where an orderly end might be taken for the end of a message. */
  breakOff(): void;
  /** Where the client meant to connect to, if the kernel sent it here instead; ask once, on accepting. */
  originalDestination?(): Address | undefined;
  /** Whether the peer is of this pod: by loopback, or at the very address that it has called; ask once, on accepting. */
  local?(): boolean;
  /**
   * On a listener with `tls: 'offered'`: goes on as the server of the TLS handshake that `first` begins. This connection
   * has no more events; `done` gets the one inside, or undefined when the handshake failed.
   */
  startTls?(first: Buffer, done: (inside: Connection | undefined) => ConnectionHandler | undefined): void;
  /** A chunk, or part of one, that stays valid after `data` returns: itself, or a copy where buffers are reused. */
  keep(chunk: Buffer): Buffer;
}

/** An IP address as the kernel writes it, without brackets. */
export interface Address {
  host: string;
  port: number;
}

/** Keys and trust of one moment, PEM. Connections keep those they were made with. */
export interface Credentials {
  key: string;
  cert: string;
  trust: string;
}

export interface CredentialSource {
  /** Undefined until the first certificate is there. */
  current(): Credentials | undefined;
  /** Calls back on every change; returns the unsubscriber. */
  onRotate(listener: () => void): () => void;
}

export interface ListenOptions {
  host: string;
  port: number;
  /**
   * required: mutual TLS only; permissive: TLS by its first byte, otherwise plain; off: plain; offered: plain until the
   * handler calls `startTls`.
   */
  tls: 'required' | 'permissive' | 'off' | 'offered';
  /** Milliseconds a handshake may take. */
  handshakeTimeout: number;
  /** Clients at a time that have not proved who they are yet; more are closed at once. */
  guests?: number;
  /** Protocols to agree on, the preferred one first. A client that offers none of them is refused, one without is not. */
  alpn?: string[];
  /** Told of each client that began a TLS handshake, or would have, and did not get through. */
  refused?: ((refusal: Refusal) => void) | undefined;
}

export interface ConnectOptions {
  host: string;
  port: number;
  /** SPIFFE id the peer must prove; present = mutual TLS 1.3. */
  identity?: string;
  /** A server that proves a DNS name instead, by a trust of its own: TLS 1.3, mutual where there are keys to show. */
  server?: { name: string; trust: string; key?: string; cert?: string };
  /** Protocols to offer in the TLS handshake. */
  alpn?: string[];
}

export interface Listener {
  readonly port: number;
  /** Stops accepting; connections stay. */
  close(): void;
}

export interface Transport {
  /** Its connections have `originalDestination` and `startTls`. */
  readonly intercepts?: boolean;
  listen(
    options: ListenOptions,
    accept: (connection: Connection) => ConnectionHandler | undefined,
  ): Promise<Listener>;
  connect(options: ConnectOptions, handler: ConnectionHandler): Connection;
  /** Calls back once, after the events at hand: what they caused to be written can then leave in one piece. */
  afterTurn(callback: () => void): void;
  /** Milliseconds as `performance.now` counts them, when the events at hand came: asking again costs nothing. */
  moment(): number;
}
