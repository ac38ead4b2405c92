/** Attacks on whoever speaks HTTP/1.1: slow, endless, deaf, or too many. */
import type { Cause } from '../../../src/mesh/proxy/answers.ts';
import { attacker, type Target, type Toll } from './attacker.ts';

export interface Attack {
  connections: number;
  begin: string;
  /** What follows every `every` milliseconds (or as fast as it is taken). */
  next?: string;
  every?: number;
  /** Does not read. */
  deaf?: boolean;
  /** The proxy itself must end these connections, without the attacker's help. */
  cutOff?: boolean;
  /** Comes again at once when it is cut off. */
  again?: boolean;
  /** What the proxy counts it as when it ends it; undefined: it may go on. */
  cause?: Cause;
}

const HEAD = 'GET / HTTP/1.1\r\nHost: a\r\n';
const CHUNKED = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';

/** By name; from one process against one listener. */
export const ATTACKS: Record<string, Attack> = {
  'slow heads': {
    cause: 'head-timeout',
    connections: 300,
    begin: 'GET / HTTP/1.1\r\nHost: a\r\nX: ',
    next: 'a',
    every: 50,
    cutOff: true,
  },
  'slow heads, a field at a time': {
    cause: 'head-timeout',
    connections: 100,
    begin: HEAD,
    next: 'X: a\r\n',
    every: 50,
    cutOff: true,
  },
  'bodies that stand still': {
    cause: 'body-timeout',
    connections: 300,
    begin: 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\na',
    cutOff: true,
  },
  'silent connections': { connections: 500, begin: '', cutOff: true },
  'field floods': {
    cause: 'bad-request',
    connections: 8,
    begin: HEAD,
    next: 'X-Flood: aaaaaaaaaaaaaaaa\r\n'.repeat(40),
    again: true,
  },
  'one field without end': {
    cause: 'bad-request',
    connections: 8,
    begin: `${HEAD}X: `,
    next: 'a'.repeat(4_096),
    again: true,
  },
  'one field without end, byte by byte': {
    cause: 'head-timeout',
    connections: 8,
    begin: `${HEAD}X: ${'a'.repeat(60_000)}`,
    next: 'a',
    again: true,
  },
  'giant chunk extensions': {
    cause: 'bad-request',
    connections: 8,
    begin: CHUNKED,
    next: `1;${'a'.repeat(1_000)}\r\na\r\n`,
    again: true,
  },
  'tiny chunks': { connections: 4, begin: CHUNKED, next: '1\r\na\r\n'.repeat(200) },
  'trailers without end': {
    cause: 'bad-request',
    connections: 8,
    begin: `${CHUNKED}0\r\n`,
    next: 'X: aaaaaaaaaaaa\r\n'.repeat(40),
    again: true,
  },
  'pipelining without reading': { connections: 8, begin: '', next: `${HEAD}\r\n`.repeat(200), deaf: true },
  'pipelining requests for larger responses without reading': {
    connections: 8,
    begin: '',
    next: 'GET /medium HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(50),
    deaf: true,
  },
  'large responses that are not read': {
    connections: 20,
    begin: 'GET /large HTTP/1.1\r\nHost: a\r\n\r\n',
    deaf: true,
    cutOff: true,
  },
  'malformed requests, again and again': {
    cause: 'bad-request',
    connections: 20,
    begin: 'GET / HTTP/1.1\r\nHost : a\r\n\r\n',
    again: true,
  },
  // Names that look like numbers have had hashes that anybody can work out (CVE-2026-21717).
  'field names of one hash (CVE-2026-21717)': {
    connections: 8,
    begin: '',
    next: `${HEAD}${Array.from({ length: 190 }, (_, n) => `${(n + 1) * 65_536}: a\r\n`).join('')}\r\n`.repeat(
      4,
    ),
  },
  'connections that come and go': { connections: 50, begin: `${HEAD}Connection: close\r\n\r\n`, again: true },
};

/** One attacker; resolves when its time is over, or when it was cut off. */
export async function attack(
  target: Target,
  { begin, next, every, deaf, cutOff, again }: Attack,
  until: number,
  toll: Toll = { connections: 0, cutOff: 0 },
): Promise<Toll> {
  do {
    const one = attacker(target, deaf);
    const { socket } = one;
    toll.connections += 1;
    if (begin) socket.write(begin);
    // Who does not read is told nothing; the next write shows that the proxy has gone.
    const end = cutOff ? until + 20_000 : until;
    while (one.open && Date.now() < end) {
      let more = true;
      if (next) more = socket.write(next);
      else if (deaf && Date.now() > until) socket.write('x');
      const pause = new Promise<void>((resolve) => setTimeout(resolve, next && more ? (every ?? 1) : 50));
      await Promise.race([one.closed, pause]);
    }
    if (cutOff && one.open) throw new Error('the proxy did not end this connection');
    if (!one.open) toll.cutOff += 1;
    socket.destroy();
    await one.closed;
  } while (again && Date.now() < until);
  return toll;
}
