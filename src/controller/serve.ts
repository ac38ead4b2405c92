import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AppError } from '../lib/errors.ts';
import { parseListen } from '../lib/listen.ts';

export interface Address {
  host: string;
  port: number;
}

/** Binds a server and gives the port that it got. */
export async function bind(server: Server, listen: string | Address): Promise<number> {
  const { host, port } = typeof listen === 'string' ? parseListen(listen) : listen;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new AppError('Unavailable', `cannot listen on ${host}:${port}: ${cause.message}`, { cause })),
    );
    server.listen(port, host, resolve);
  });
  return (server.address() as AddressInfo).port;
}

/** Milliseconds that requests under way have when a server stops. */
const GRACE_MS = 5000;

/** Takes no new connection, lets the requests under way end, then closes what is left. */
export async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), GRACE_MS);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
