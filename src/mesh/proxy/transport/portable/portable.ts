/** The transport on node:net and node:tls: every platform. */
import { constants, X509Certificate } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
import { GUESTS } from '../guests.ts';
import { NOBODY } from '../nobody.ts';
import { handshakeRefusal } from '../refusal.ts';
import { serverName, spiffeIds } from '../spiffe.ts';
import type {
  Connection,
  ConnectionHandler,
  ConnectOptions,
  CredentialSource,
  Listener,
  ListenOptions,
  Transport,
} from '../types.ts';
import { acceptSecure, PortableConnection, type Terminate } from './connection.ts';
import { endsOf, Guests, listening, sniff } from './listening.ts';

export class PortableTransport implements Transport {
  readonly intercepts = true;
  readonly #credentials: CredentialSource | undefined;
  #clientContext: tls.SecureContext | undefined;
  /** 0 = nobody has asked since the last events. */
  #moment = 0;
  readonly #past = () => {
    this.#moment = 0;
  };

  constructor(credentials?: CredentialSource) {
    this.#credentials = credentials;
    credentials?.onRotate(() => {
      this.#clientContext = undefined;
    });
  }

  async listen(
    options: ListenOptions,
    accept: (connection: Connection) => ConnectionHandler | undefined,
  ): Promise<Listener> {
    const open = (socket: net.Socket, terminate?: Terminate) => {
      const connection = new PortableConnection(socket, NOBODY, false, terminate, options.refused);
      const handler = accept(connection);
      if (handler) connection.handler = handler;
      else socket.destroy();
    };
    const socketOptions = { noDelay: true, allowHalfOpen: true };
    if (options.tls === 'off') {
      return listening(
        net.createServer(socketOptions, (socket) => open(socket)),
        options,
      );
    }
    const guests = new Guests(options.guests ?? GUESTS);
    /** False: there are too many, and it goes. */
    const receive = (socket: net.Socket): boolean => {
      if (guests.enter(socket)) return true;
      const detail = `${guests.count} others have not finished theirs`;
      options.refused?.({ cause: 'too-many', peer: socket.remoteAddress, detail });
      socket.destroy();
      return false;
    };
    /** Sockets in a handshake that `startTls` began, by their addresses: the server tells no other way whose it was. */
    const handshakes = new Map<string, (inside: tls.TLSSocket | undefined) => void>();
    const server = tls.createServer(
      {
        ...socketOptions,
        ...this.#serverContext(),
        requestCert: true,
        rejectUnauthorized: true,
        handshakeTimeout: options.handshakeTimeout,
        ALPNProtocols: options.alpn,
      },
      (socket) => {
        guests.leave(socket);
        const own = handshakes.get(endsOf(socket));
        if (own) own(socket);
        else acceptSecure(socket, accept, options.refused);
      },
    );
    // A failed handshake is the peer's trouble. One that took too long is told here too, with its connection still there.
    server.on('tlsClientError', (error, socket) => {
      const ready = this.#credentials?.current() !== undefined;
      options.refused?.(handshakeRefusal(error, socket, ready));
      socket.destroy();
    });
    const off = this.#credentials?.onRotate(() => server.setSecureContext(this.#serverContext()));
    if (options.tls === 'offered') {
      const terminate: Terminate = (socket, done) => {
        const ends = endsOf(socket);
        const once = (inside: tls.TLSSocket | undefined) => {
          if (handshakes.delete(ends)) done(inside);
        };
        handshakes.set(ends, once);
        socket.once('close', () => once(undefined));
        if (receive(socket)) server.emit('connection', socket);
      };
      return listening(
        net.createServer(socketOptions, (socket) => open(socket, terminate)),
        options,
        off,
      );
    }
    const greet = (socket: net.Socket) => {
      if (!receive(socket)) return;
      sniff(socket, options, server, (plain) => {
        guests.leave(plain);
        open(plain);
      });
    };
    return listening(net.createServer(socketOptions, greet), options, off);
  }

  #serverContext(): tls.SecureContextOptions {
    const current = this.#credentials?.current();
    // Without a certificate every handshake fails; the first one that comes in is used from then on.
    return current
      ? {
          key: current.key,
          cert: current.cert,
          ca: current.trust,
          minVersion: 'TLSv1.3',
          // Each handshake is one of its own: a session taken up again would not be verified by the trust of its day.
          secureOptions: constants.SSL_OP_NO_TICKET,
        }
      : { minVersion: 'TLSv1.3' };
  }

  afterTurn(callback: () => void): void {
    setImmediate(callback);
  }

  moment(): number {
    if (this.#moment === 0) {
      this.#moment = performance.now();
      setImmediate(this.#past);
    }
    return this.#moment;
  }

  connect(options: ConnectOptions, handler: ConnectionHandler): Connection {
    const { host, port, identity, server, alpn } = options;
    if (server) return this.#toServer({ host, port }, server, handler);
    if (identity === undefined) {
      const socket = net.connect({ host, port, noDelay: true, allowHalfOpen: true });
      const connection = new PortableConnection(socket, handler, false);
      socket.once('connect', () => connection.handler.open?.());
      return connection;
    }
    const current = this.#credentials?.current();
    if (!current) {
      const socket = new net.Socket();
      const connection = new PortableConnection(socket, handler, true);
      socket.destroy(new Error('no certificate yet: is the mesh control plane reachable?'));
      return connection;
    }
    this.#clientContext ??= tls.createSecureContext({
      key: current.key,
      cert: current.cert,
      ca: current.trust,
      minVersion: 'TLSv1.3',
    });
    const socket = tls.connect({
      // A socket of our own, because only net.connect takes allowHalfOpen and noDelay.
      socket: net.connect({ host, port, noDelay: true, allowHalfOpen: true }),
      secureContext: this.#clientContext,
      servername: serverName(identity),
      ALPNProtocols: alpn,
      checkServerIdentity: (_name, certificate) =>
        spiffeIds(certificate).includes(identity)
          ? undefined
          : new Error(`the peer proved ${spiffeIds(certificate)[0] ?? 'no identity'}, expected ${identity}`),
    });
    const connection = new PortableConnection(socket, handler, true);
    connection.peerIdentity = identity;
    socket.once('secureConnect', () => {
      connection.alpn = socket.alpnProtocol || undefined;
      // TLS 1.3: the server judges our certificate after that, and Node's own sends no alert when it refuses it.
      connection.suspicion = () => ownExpiry(current.cert);
      connection.handler.open?.();
    });
    return connection;
  }

  #toServer(
    to: { host: string; port: number },
    { name, trust, key, cert }: NonNullable<ConnectOptions['server']>,
    handler: ConnectionHandler,
  ): Connection {
    const socket = tls.connect({
      socket: net.connect({ ...to, noDelay: true, allowHalfOpen: true }),
      ca: trust,
      key,
      cert,
      servername: name,
      minVersion: 'TLSv1.3',
    });
    const connection = new PortableConnection(socket, handler, true);
    socket.once('secureConnect', () => connection.handler.open?.());
    return connection;
  }
}

function ownExpiry(cert: string): Error | undefined {
  const { validToDate } = new X509Certificate(cert);
  if (validToDate.getTime() > Date.now()) return undefined;
  return new Error(
    `the peer closed after the TLS handshake: this proxy's own certificate expired at ${validToDate.toISOString()}; is the mesh control plane reachable?`,
  );
}
