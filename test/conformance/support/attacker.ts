import { connect, type Socket } from 'node:net';

export interface Attacker {
  socket: Socket;
  /** It has not been cut off. */
  readonly open: boolean;
  /** Resolves when it is. */
  closed: Promise<void>;
}

/** A connection that may never read what it is told, and is not surprised to be cut off. */
export function attacker(port: number, deaf: boolean | undefined): Attacker {
  const socket = connect(port, '127.0.0.1');
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
