/** The transport on node:net and node:tls: every platform. */
import { constants, X509Certificate } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
import { GUESTS } from './guests.ts';
import { NOBODY } from './nobody.ts';
import { originalDestination, sameMachine } from './original-destination.ts';
import { LEAST, MOST, portionAfter, SHARE } from './portion.ts';
import { handshakeRefusal } from './refusal.ts';
import { serverName, spiffeIds } from './spiffe.ts';
import type {
  Address,
  Connection,
  ConnectionHandler,
  ConnectOptions,
  CredentialSource,
  Listener,
  ListenOptions,
  Transport,
} from './types.ts';

/** Hands the socket over to a TLS server; calls back once, without a socket when the handshake failed. */
type Terminate = (socket: net.Socket, done: (inside: tls.TLSSocket | undefined) => void) => void;

class PortableConnection implements Connection {
  handler: ConnectionHandler;
  peerIdentity: string | undefined;
  alpn: string | undefined;
  readonly secure: boolean;
  /** Why the peer may have ended it without a word. */
  suspicion: (() => Error | undefined) | undefined;
  readonly #socket: net.Socket;
  readonly #terminate: Terminate | undefined;
  readonly #refused: ListenOptions['refused'];
  #error: Error | undefined;
  #paused = false;
  /** Bytes that are handled at a time. */
  #portion = MOST;

  constructor(
    socket: net.Socket,
    handler: ConnectionHandler,
    secure: boolean,
    terminate?: Terminate,
    refused?: ListenOptions['refused'],
  ) {
    this.#terminate = terminate;
    this.#refused = refused;
    this.#socket = socket;
    this.handler = handler;
    this.secure = secure;
    socket.on('data', (chunk: Buffer) => {
      this.suspicion = undefined;
      this.#take(chunk);
    });
    socket.on('drain', () => this.handler.drain());
    socket.on('end', () => this.handler.end());
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('close', () => {
      const last = this.handler;
      this.handler = NOBODY;
      last.close(this.suspicion?.() ?? this.#error);
    });
  }

  /** Node reads 64 KiB at a time: where those are dear, others have their turn before the rest. */
  #take(chunk: Buffer) {
    const socket = this.#socket;
    let spent = 0;
    for (let at = 0; at < chunk.length; ) {
      if (spent > SHARE || this.#paused) return this.#leave(chunk.subarray(at));
      const size = this.#portion;
      const part = at === 0 && chunk.length <= size ? chunk : chunk.subarray(at, at + size);
      at += part.length;
      const began = part.length < LEAST ? 0 : performance.now();
      try {
        this.handler.data(part);
      } catch (thrown) {
        // An error in handling one connection ends that connection and nothing else.
        socket.destroy(thrown as Error);
      }
      if (socket.destroyed) return;
      const took = part.length < LEAST ? 0 : performance.now() - began;
      if (took > 0) this.#portion = portionAfter(size, part.length, took);
      spent += took;
    }
  }

  #leave(rest: Buffer) {
    this.#socket.pause();
    this.#socket.unshift(rest);
    setImmediate(() => {
      if (!this.#paused && !this.#socket.destroyed) this.#socket.resume();
    });
  }

  write(chunk: Buffer): boolean {
    return this.#socket.writable ? this.#socket.write(chunk) : true;
  }

  writeCopy(bytes: Buffer, end: number): boolean {
    return this.write(Buffer.from(bytes.subarray(0, end)));
  }

  writePair(first: Buffer, second: Buffer): boolean {
    if (!this.#socket.writable) return true;
    this.#socket.cork();
    this.#socket.write(first);
    const more = this.#socket.write(second);
    this.#socket.uncork();
    return more;
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  finish(): void {
    this.#socket.destroySoon();
  }

  destroy(error?: Error): void {
    this.#socket.destroy(error);
  }

  breakOff(): void {
    const socket = this.#socket;
    // Of TLS, the socket below.
    const below = (socket as { _parent?: net.Socket | null })._parent ?? socket;
    // `resetAndDestroy` would wait for what is to be written; libuv refuses while a shutdown is under way.
    const shutting = socket.writableEnded && !socket.writableFinished;
    if (!shutting && !below.connecting) (below as { resetAndClosing?: boolean }).resetAndClosing = true;
    below.destroy();
    socket.destroy();
  }

  keep(chunk: Buffer): Buffer {
    return chunk;
  }

  originalDestination(): Address | undefined {
    // Node tells a socket's descriptor nowhere else.
    const { fd = -1 } = (this.#socket as { _handle?: { fd?: number } })._handle ?? {};
    return fd < 0 ? undefined : originalDestination(fd, this.#socket.remoteAddress ?? '');
  }

  local(): boolean {
    return sameMachine(this.#socket.remoteAddress, this.#socket.localAddress);
  }

  startTls(first: Buffer, done: (inside: Connection | undefined) => ConnectionHandler | undefined): void {
    const socket = this.#socket;
    const terminate = this.#terminate;
    const refused = this.#refused;
    if (!terminate) throw new Error('this listener offers no TLS');
    this.handler = NOBODY;
    socket.pause();
    for (const event of ['data', 'drain', 'end']) socket.removeAllListeners(event);
    socket.unshift(first);
    terminate(socket, (secured) => {
      if (secured) acceptSecure(secured, done, refused);
      else done(undefined);
    });
  }
}

/** Gives a socket that is past its handshake to `accept`, if its peer is one of the mesh. */
function acceptSecure(
  socket: tls.TLSSocket,
  accept: (connection: Connection) => ConnectionHandler | undefined,
  refused: ListenOptions['refused'],
): void {
  const connection = new PortableConnection(socket, NOBODY, true);
  const identity = spiffeIds(socket.getPeerCertificate())[0];
  connection.peerIdentity = identity;
  connection.alpn = socket.alpnProtocol || undefined;
  // Signed by the right authority but nobody of the mesh: not a peer.
  if (identity === undefined)
    refused?.({ cause: 'identity', peer: socket.remoteAddress, detail: 'its certificate has no SPIFFE id' });
  const handler = identity === undefined ? undefined : accept(connection);
  if (handler) connection.handler = handler;
  else socket.destroy();
}

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
        const own = handshakes.get(endsOf(socket));
        if (own) own(socket);
        else {
          guests.leave(socket);
          acceptSecure(socket, accept, options.refused);
        }
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
        server.emit('connection', socket);
      };
      return listening(
        net.createServer(socketOptions, (socket) => open(socket, terminate)),
        options,
        off,
      );
    }
    const greet = (socket: net.Socket) => {
      if (!guests.enter(socket)) {
        const detail = `${guests.count} others have not finished theirs`;
        options.refused?.({ cause: 'too-many', peer: socket.remoteAddress, detail });
        return void socket.destroy();
      }
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

/** What tells one connection of a listener from another. */
const endsOf = ({ remoteAddress, remotePort, localAddress, localPort }: net.Socket): string =>
  `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;

/** Those of a listener that have not shown what they are. */
class Guests {
  readonly #most: number;
  readonly #here = new Set<string>();

  constructor(most: number) {
    this.#most = most;
  }

  get count(): number {
    return this.#here.size;
  }

  /** False: there are too many. */
  enter(socket: net.Socket): boolean {
    if (this.#here.size >= this.#most) return false;
    const ends = endsOf(socket);
    this.#here.add(ends);
    socket.once('close', () => this.#here.delete(ends));
    return true;
  }

  leave(socket: net.Socket): void {
    this.#here.delete(endsOf(socket));
  }
}

/** Decides by the first byte whether a connection is TLS; who says nothing has begun none. */
function sniff(
  socket: net.Socket,
  options: ListenOptions,
  server: tls.Server,
  open: (socket: net.Socket) => void,
): void {
  const quiet = () => socket.destroy();
  const timer = setTimeout(quiet, options.handshakeTimeout);
  socket.on('error', quiet);
  // With nothing said there is nobody to answer.
  socket.once('end', quiet);
  socket.once('close', () => clearTimeout(timer));
  socket.once('data', (chunk: Buffer) => {
    clearTimeout(timer);
    socket.pause();
    socket.off('error', quiet);
    socket.off('end', quiet);
    socket.unshift(chunk);
    if (options.tls === 'required' || chunk[0] === 0x16) server.emit('connection', socket);
    else {
      open(socket);
      socket.resume();
    }
  });
}

function listening(server: net.Server, options: ListenOptions, closed?: () => void): Promise<Listener> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: options.host, port: options.port, backlog: 1024 }, () => {
      server.off('error', reject);
      // EMFILE and the like while accepting: the connection is lost, the proxy is not.
      server.on('error', () => {});
      resolve({
        port: (server.address() as net.AddressInfo).port,
        close: () => {
          closed?.();
          server.close();
        },
      });
    });
  });
}
