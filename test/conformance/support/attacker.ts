import { connect, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';

/** Where an attack goes; `secure`: to a listener with mutual TLS, as a peer that proves who it is. */
export interface Target {
  port: number;
  secure?: SecureContext | undefined;
}

export interface Attacker {
  socket: Socket;
  /** It has not been cut off. */
  readonly open: boolean;
  /** Resolves when it is. */
  closed: Promise<void>;
}

/** What came of an attack, over all of its connections. */
export interface Toll {
  /** Connections that were made. */
  connections: number;
  /** … that the proxy has ended. */
  cutOff: number;
}

/** A connection that may never read what it is told, and is not surprised to be cut off. */
export function attacker({ port, secure }: Target, deaf: boolean | undefined): Attacker {
  const socket = secure
    ? connectTls({
        port,
        host: '127.0.0.1',
        secureContext: secure,
        checkServerIdentity: () => undefined,
      })
    : connect(port, '127.0.0.1');
  let open = true;
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => {
      open = false;
      resolve();
    });
  });
  if (deaf) socket.pause();
  else socket.resume();
  return {
    socket,
    closed,
    get open() {
      return open;
    },
  };
}
