import net from 'node:net';
import { AppError } from '../../lib/errors.ts';

// Held by the supervisor as long as it lives: two clusters never share a /16, and a killed one frees it by dying.
const LOCK_PORT = 16442;
const FIRST = 16;
const LAST = 250;

export interface Subnet {
  /** First two octets, such as `127.42`. */
  prefix: string;
  release(): Promise<void>;
}

function lock(prefix: string): Promise<net.Server | undefined> {
  return new Promise((resolve) => {
    const server = net.createServer((socket) => socket.destroy());
    server.once('error', () => resolve(undefined));
    server.listen({ host: `${prefix}.255.254`, port: LOCK_PORT }, () => resolve(server));
  });
}

/** Takes a free 127.x.0.0/16: the one that this cluster had before, or another when it is a new cluster. */
export async function takeSubnet(
  previous: string | undefined,
  random: () => number = Math.random,
): Promise<Subnet> {
  if (process.platform !== 'linux') {
    throw new AppError(
      'Unavailable',
      'the local cluster gives every pod an address in 127.0.0.0/8, which only Linux has in full: on macOS add aliases with `sudo ifconfig lo0 alias 127.x.y.z`, or use a Linux machine, container or VM',
    );
  }
  const count = LAST - FIRST + 1;
  const start = Math.floor(random() * count);
  const candidates = previous
    ? [previous]
    : Array.from({ length: count }, (_, index) => `127.${FIRST + ((start + index) % count)}`);
  for (const prefix of candidates) {
    const server = await lock(prefix);
    if (server) return { prefix, release: () => new Promise((resolve) => server.close(() => resolve())) };
  }
  throw new AppError(
    'Unavailable',
    previous
      ? `the addresses ${previous}.0.0/16 of this cluster are in use: it may be running already (\`weir local status\`), or another cluster took them; \`weir local down\` stops it`
      : 'no 127.x.0.0/16 is free on this machine: stop another local cluster with `weir local down`',
  );
}
