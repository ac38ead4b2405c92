/** The transport on node:net and node:tls: every platform. */
import net from 'node:net';
import tls from 'node:tls';
import { serverName, spiffeIds } from './spiffe.ts';
import type {
  Connection,
  ConnectionHandler,
  ConnectOptions,
  CredentialSource,
  Listener,
  ListenOptions,
  Transport,
} from './types.ts';

const nothing: ConnectionHandler = { data() {}, drain() {}, end() {}, close() {} };

class PortableConnection implements Connection {
  handler: ConnectionHandler;
  peerIdentity: string | undefined;
  alpn: string | undefined;
  readonly secure: boolean;
  readonly #socket: net.Socket;
  #error: Error | undefined;

  constructor(socket: net.Socket, handler: ConnectionHandler, secure: boolean) {
    this.#socket = socket;
    this.handler = handler;
    this.secure = secure;
    // An error in handling one connection ends that connection and nothing else.
    socket.on('data', (chunk: Buffer) => {
      try {
        this.handler.data(chunk);
      } catch (thrown) {
        socket.destroy(thrown as Error);
      }
    });
    socket.on('drain', () => this.handler.drain());
    socket.on('end', () => this.handler.end());
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('close', () => {
      const last = this.handler;
      this.handler = nothing;
      last.close(this.#error);
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
    this.#socket.pause();
  }

  resume(): void {
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

  keep(chunk: Buffer): Buffer {
    return chunk;
  }
}

export class PortableTransport implements Transport {
  readonly #credentials: CredentialSource | undefined;
  #clientContext: tls.SecureContext | undefined;

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
    const open = (socket: net.Socket, secure: boolean) => {
      const connection = new PortableConnection(socket, nothing, secure);
      if (secure) {
        connection.peerIdentity = spiffeIds((socket as tls.TLSSocket).getPeerCertificate())[0];
        connection.alpn = (socket as tls.TLSSocket).alpnProtocol || undefined;
      }
      // Signed by the right authority but nobody of the mesh: not a peer.
      const stranger = secure && connection.peerIdentity === undefined;
      const handler = stranger ? undefined : accept(connection);
      if (handler) connection.handler = handler;
      else socket.destroy();
    };
    const socketOptions = { noDelay: true, allowHalfOpen: true };
    if (options.tls === 'off') {
      return listening(
        net.createServer(socketOptions, (socket) => open(socket, false)),
        options,
      );
    }
    const server = tls.createServer(
      {
        ...socketOptions,
        ...this.#serverContext(),
        requestCert: true,
        rejectUnauthorized: true,
        handshakeTimeout: options.handshakeTimeout,
        ALPNProtocols: options.alpn,
      },
      (socket) => open(socket, true),
    );
    // A failed handshake is the peer's trouble. One that took too long is told here too, with its connection still there.
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    const off = this.#credentials?.onRotate(() => server.setSecureContext(this.#serverContext()));
    if (options.tls === 'required') return listening(server, options, off);
    return listening(
      net.createServer(socketOptions, (socket) => sniff(socket, options, server, open)),
      options,
      off,
    );
  }

  #serverContext(): tls.SecureContextOptions {
    const current = this.#credentials?.current();
    // Without a certificate every handshake fails; the first one that comes in is used from then on.
    return current
      ? { key: current.key, cert: current.cert, ca: current.trust, minVersion: 'TLSv1.3' }
      : { minVersion: 'TLSv1.3' };
  }

  afterTurn(callback: () => void): void {
    setImmediate(callback);
  }

  connect(options: ConnectOptions, handler: ConnectionHandler): Connection {
    const { host, port, identity, alpn } = options;
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
      connection.handler.open?.();
    });
    return connection;
  }
}

/** Decides by the first byte whether a connection is TLS. */
function sniff(
  socket: net.Socket,
  options: ListenOptions,
  server: tls.Server,
  open: (socket: net.Socket, secure: boolean) => void,
): void {
  const quiet = () => socket.destroy();
  const timer = setTimeout(quiet, options.handshakeTimeout);
  socket.on('error', quiet);
  socket.once('close', () => clearTimeout(timer));
  socket.once('data', (chunk: Buffer) => {
    clearTimeout(timer);
    socket.pause();
    socket.off('error', quiet);
    socket.unshift(chunk);
    if (chunk[0] === 0x16) server.emit('connection', socket);
    else {
      open(socket, false);
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
