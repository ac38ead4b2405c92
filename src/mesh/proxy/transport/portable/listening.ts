/** What a listener on node:net knows of the sockets that came and have not shown what they are. */
import type net from 'node:net';
import type tls from 'node:tls';
import type { Listener, ListenOptions } from '../types.ts';

/** What tells one connection of a listener from another. */
export const endsOf = ({ remoteAddress, remotePort, localAddress, localPort }: net.Socket): string =>
  `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;

/** Those of a listener that have not shown what they are. */
export class Guests {
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
export function sniff(
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

export function listening(
  server: net.Server,
  options: ListenOptions,
  closed?: () => void,
): Promise<Listener> {
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
