/** Accepted sockets become connections: plain, or after a TLS handshake with a deadline. */
import { GUESTS } from '../guests.ts';
import { type RefusalCause, refusalCause } from '../refusal.ts';
import type { Connection, ConnectionHandler, ListenOptions } from '../types.ts';
import { ReactorConnection } from './connection.ts';
import { peerIds, shakeHands } from './handshake.ts';
import { EAGAIN, EPOLLIN, MSG_PEEK } from './libc.ts';
import type { Loop } from './loop.ts';
import type { OpenSsl } from './openssl.ts';
import type { Socket } from './socket.ts';
import type { TlsContext } from './tls-context.ts';

/** The first byte of a TLS connection: a handshake record (RFC 8446, 5.1). */
const HANDSHAKE = 0x16;

export type Accept = (connection: Connection) => ConnectionHandler | undefined;

export interface GreeterParts {
  loop: Loop;
  openssl: OpenSsl;
  /** Keys of the moment; undefined while there are none. */
  context: () => TlsContext | undefined;
}

/** A socket that is no connection yet: the keys of when it came, and a deadline. */
interface Guest {
  socket: Socket;
  context: TlsContext | undefined;
  /** It has begun a handshake: says why that came to nothing, if it does. */
  begin(): (cause: RefusalCause, detail: string) => void;
  /** It becomes a connection, or it goes. */
  end(well: boolean): void;
}

export class Greeter {
  readonly #parts: GreeterParts;
  readonly #options: ListenOptions;
  readonly #accept: Accept;
  #guests = 0;

  constructor(parts: GreeterParts, options: ListenOptions, accept: Accept) {
    this.#parts = parts;
    this.#options = options;
    this.#accept = accept;
  }

  greet(socket: Socket) {
    const { tls } = this.#options;
    if (tls === 'off') return this.#open(socket);
    if (tls === 'offered') return this.#open(socket, (first, done) => this.#offer(socket, first, done));
    const { libc, scratch } = this.#parts.loop;
    if (this.#full(socket)) return socket.close();
    const guest = this.#receive(socket);
    socket.watch = {
      ready: () => {
        const count = libc.recv(socket.fd, scratch.address, 1, MSG_PEEK);
        if (count < 0 && libc.errno() === EAGAIN) return;
        // Who says nothing has begun none: a probe, say.
        if (count <= 0) return guest.end(false);
        if (tls === 'required' || scratch.bytes[0] === HANDSHAKE)
          return this.#secure(guest, (inside) => inside && this.#accept(inside));
        guest.end(true);
        this.#open(socket);
      },
    };
    socket.want(EPOLLIN);
  }

  /** There are as many as may be: one more is told of. */
  #full(socket: Socket): boolean {
    if (this.#guests < (this.#options.guests ?? GUESTS)) return false;
    const peer = this.#parts.loop.peer(socket.fd);
    const detail = `${this.#guests} others have not finished theirs`;
    this.#options.refused?.({ cause: 'too-many', peer, detail });
    return true;
  }

  /** With the keys of now, even if they change or the listener closes in the meantime. */
  #receive(socket: Socket, gone?: () => void): Guest {
    const context = this.#parts.context()?.retain();
    let over = false;
    this.#guests += 1;
    const end = (well: boolean) => {
      if (over) return;
      over = true;
      this.#guests -= 1;
      clearTimeout(timer);
      context?.release();
      if (!well) socket.close(gone);
    };
    const { handshakeTimeout, refused } = this.#options;
    // Of a peer that has gone nobody can tell any more.
    const peer = refused && this.#parts.loop.peer(socket.fd);
    let fail: ReturnType<Guest['begin']> | undefined;
    const begin = () => {
      fail = (cause, detail) => {
        if (!over) refused?.({ cause, peer, detail });
        end(false);
      };
      return fail;
    };
    const timer = setTimeout(() => {
      if (fail) fail('timeout', `not done within ${handshakeTimeout} ms`);
      else end(false);
    }, handshakeTimeout);
    return { socket, context, begin, end };
  }

  /** `inside` gets the connection once its peer has proved to be of the mesh, and says who handles it. */
  #secure({ socket, context, begin, end }: Guest, inside: Accept, first?: Buffer) {
    const fail = begin();
    // Without a certificate no handshake can succeed.
    if (!context) return fail('no-certificate', 'this proxy has no certificate yet');
    const { loop, openssl } = this.#parts;
    shakeHands({ socket, loop, openssl, context }, { first }, (error) => {
      if (error) return fail(refusalCause(error.message, socket.tls?.untrusted === true), error.message);
      const identity = peerIds(socket)[0];
      // Signed by the right authority but nobody of the mesh: not a peer.
      if (identity === undefined) return fail('identity', 'its certificate has no SPIFFE id');
      end(true);
      const connection = new ReactorConnection(loop, undefined, true);
      connection.peerIdentity = identity;
      connection.alpn = socket.tls?.alpn;
      this.#hand(socket, connection, inside(connection));
    });
  }

  #offer(
    socket: Socket,
    first: Buffer,
    done: (inside: Connection | undefined) => ConnectionHandler | undefined,
  ): { destroy(): void } {
    const gone = () => done(undefined);
    if (this.#full(socket)) {
      socket.close(gone);
      return { destroy() {} };
    }
    let connection: Connection | undefined;
    const guest = this.#receive(socket, gone);
    const inside = (each: Connection) => {
      connection = each;
      return done(each);
    };
    this.#secure(guest, inside, first);
    return { destroy: () => (connection ? connection.destroy() : guest.end(false)) };
  }

  #open(socket: Socket, terminate?: ReactorConnection['terminate']) {
    const connection = new ReactorConnection(this.#parts.loop);
    connection.terminate = terminate;
    // Before it is opened: whoever accepts asks where it was going.
    connection.fd = socket.fd;
    this.#hand(socket, connection, this.#accept(connection));
  }

  #hand(socket: Socket, connection: ReactorConnection, handler: ConnectionHandler | undefined) {
    if (!handler) return socket.close();
    connection.handler = handler;
    connection.open(socket, false);
  }
}
