/**
 * HTTP/1.1 attacks on a running proxy. Meanwhile others are served; afterwards the proxy is there and no larger, and
 * whoever is slow on purpose has been cut off by the limits on time.
 */
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { attacker } from './support/attacker.ts';
import { Proxies } from './support/proxies.ts';

const DURATION = 1_000;
/** Buffers of the attackers' connections, and young garbage. */
const GROWTH = 64 * 1_048_576;
const LIMITS = { headerDeadline: '1s', bodyIdle: '1s', keepAliveIdle: '2s', connections: 2_000 };

interface Attack {
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
}

const HEAD = 'GET / HTTP/1.1\r\nHost: a\r\n';
const CHUNKED = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';

const ATTACKS: Record<string, Attack> = {
  'slow heads': {
    connections: 300,
    begin: 'GET / HTTP/1.1\r\nHost: a\r\nX: ',
    next: 'a',
    every: 50,
    cutOff: true,
  },
  'slow heads, a field at a time': {
    connections: 100,
    begin: HEAD,
    next: 'X: a\r\n',
    every: 50,
    cutOff: true,
  },
  'bodies that stand still': {
    connections: 300,
    begin: 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\na',
    cutOff: true,
  },
  'silent connections': { connections: 500, begin: '', cutOff: true },
  'field floods': {
    connections: 8,
    begin: HEAD,
    next: 'X-Flood: aaaaaaaaaaaaaaaa\r\n'.repeat(40),
    again: true,
  },
  'one field without end': { connections: 8, begin: `${HEAD}X: `, next: 'a'.repeat(4_096), again: true },
  'one field without end, byte by byte': {
    connections: 8,
    begin: `${HEAD}X: ${'a'.repeat(60_000)}`,
    next: 'a',
    again: true,
  },
  'giant chunk extensions': {
    connections: 8,
    begin: CHUNKED,
    next: `1;${'a'.repeat(1_000)}\r\na\r\n`,
    again: true,
  },
  'tiny chunks': { connections: 4, begin: CHUNKED, next: '1\r\na\r\n'.repeat(200) },
  'trailers without end': {
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
    connections: 20,
    begin: 'GET / HTTP/1.1\r\nHost : a\r\n\r\n',
    again: true,
  },
  'connections that come and go': { connections: 50, begin: `${HEAD}Connection: close\r\n\r\n`, again: true },
};

/** One attacker; resolves when its time is over, or when it was cut off. */
async function attack(
  port: number,
  { begin, next, every, deaf, cutOff, again }: Attack,
  until: number,
): Promise<void> {
  do {
    const one = attacker(port, deaf);
    const { socket } = one;
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
    socket.destroy();
    await one.closed;
  } while (again && Date.now() < until);
}

const rss = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
/** Seconds of processor time. */
const cpu = (pid: number) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
};
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

(process.platform === 'linux' ? describe : describe.skip)('HTTP/1.1 attacks', () => {
  const proxies = new Proxies();
  const large = Buffer.alloc(33_554_432);
  const medium = Buffer.alloc(60_000);
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('error', () => {});
    response.on('error', () => {});
    response.end(request.url === '/large' ? large : request.url === '/medium' ? medium : 'ok');
  });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  let port = 0;
  let pid = 0;

  const ask = () =>
    new Promise<number>((resolve, reject) => {
      const began = performance.now();
      http
        .get({ port, host: '127.0.0.1', agent, timeout: 10_000 }, (response) => {
          response.resume();
          response.on('end', () => {
            if (response.statusCode === 200) resolve(performance.now() - began);
            else reject(new Error(`${response.statusCode}`));
          });
        })
        .on('error', reject);
    });
  const windowOf = async (until: number) => {
    const latencies = [await ask()];
    while (Date.now() < until) latencies.push(await ask());
    return latencies;
  };

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = await proxies.outbound(
      `127.0.0.1:${(server.address() as AddressInfo).port}`,
      'http1',
      undefined,
      LIMITS,
    );
    pid = proxies.last.pid!;
    for (let n = 0; n < 500; n += 1) await ask();
  });

  afterAll(async () => {
    agent.destroy();
    await proxies.stop();
    server.closeAllConnections();
    server.close();
  });

  test.each(Object.entries(ATTACKS))('%s', async (name, each) => {
    await ask();
    const [files, size, used] = [descriptors(pid), rss(pid), cpu(pid)];
    const until = Date.now() + DURATION;
    const attackers = Promise.all(Array.from({ length: each.connections }, () => attack(port, each, until)));
    const during = await windowOf(until);
    const spent = cpu(pid) - used;
    await attackers;
    const after = await windowOf(Date.now() + 100);
    const growth = rss(pid) - size;
    process.stderr.write(
      `${name}: ${(growth / 1_048_576).toFixed(0)} MB, ${spent.toFixed(2)} s of CPU, ${during.length} of others, ` +
        `median ${median(during).toFixed(1)} ms, then ${median(after).toFixed(1)} ms\n`,
    );
    expect(growth).toBeLessThan(GROWTH);
    // Generous: attackers, server and bystander share one process, and the machine with the proxy.
    expect(median(during)).toBeLessThan(1_500);
    // Nothing of them is left.
    const end = Date.now() + 10_000;
    while (descriptors(pid) > files + 5 && Date.now() < end) await ask();
    expect(descriptors(pid)).toBeLessThanOrEqual(files + 5);
  });
});
