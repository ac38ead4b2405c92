/**
 * 1 GiB for a reader that begins at 10 KiB a second: the proxies hold no more of it than while nothing goes through them,
 * in both directions, of each protocol, through one proxy and through two.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Proxies } from './support/proxies.ts';

const KiB = 1_024;
const MiB = KiB * KiB;
const SIZE = KiB * MiB;
/** How much of it is read in the end. */
const PART = SIZE / 8;
const BLOCK = Buffer.alloc(64 * KiB, 'abcdefgh');
/** Milliseconds of 10 KiB a second, and then of 100. */
const SLOW = 4_000;
/** Pools and young garbage, on the portable transport `node:tls`'s and `node:net`'s too; the sender offers sixteen times as much at the very least. */
const GROWTH = (process.env.WEIR_TRANSPORT === 'portable' ? 96 : 64) * MiB;

const proxies = new Proxies();
const servers: net.Server[] = [];

/** As much of `SIZE` bytes as is taken. */
function send(to: Writable): void {
  let sent = 0;
  const more = () => {
    while (sent < SIZE && !to.destroyed) {
      sent += BLOCK.length;
      if (!to.write(BLOCK)) return;
    }
    to.end();
  };
  to.on('error', () => {});
  to.on('drain', more);
  more();
}

/** 10 KiB a second, then 100, then as fast as it comes until `PART`; how many bytes there were. */
async function read(from: Readable, look: () => void): Promise<number> {
  from.on('error', () => {});
  const begun = Date.now();
  let size = 0;
  for (let at = 0; at < 2 * SLOW; at = Date.now() - begun) {
    const chunk = from.read(
      Math.min(at < SLOW ? 1 * KiB : 10 * KiB, from.readableLength || 1),
    ) as Buffer | null;
    size += chunk?.length ?? 0;
    look();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  for await (const chunk of from) {
    size += (chunk as Buffer).length;
    look();
    if (size >= PART) break;
  }
  from.destroy();
  return size;
}

/** The server reads what it is sent with `read`, once told how. */
let reading: ((body: Readable) => void) | undefined;

async function listen(server: net.Server): Promise<string> {
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
const highWaterMark = 16 * KiB;
const h1 = () =>
  listen(
    http.createServer({ highWaterMark }, (request, response) => {
      if (request.method === 'POST') return reading!(request);
      response.writeHead(200, { 'content-length': SIZE });
      send(response);
    }),
  );
const h2 = () => {
  const server = http2.createServer();
  server.on('session', (session) => session.on('error', () => {}));
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    if (headers[':method'] === 'POST') return reading!(stream);
    stream.respond({ ':status': 200 });
    send(stream);
  });
  return listen(server as unknown as net.Server);
};
/** Sends to whoever says `s`; reads from everybody else. */
const raw = () =>
  listen(
    net.createServer({ highWaterMark }, (socket) => {
      socket.on('error', () => {});
      socket.once('readable', () => {
        const first = socket.read(1) as Buffer | null;
        if (first?.toString() === 's') send(socket);
        else reading!(socket);
      });
    }),
  );

/** A body to read, and one that is read by the server, through the proxy on `port`. */
interface Ways {
  download(port: number): Promise<Readable>;
  upload(port: number): Promise<Writable>;
}
const overHttp1: Ways = {
  download: async (port) => {
    const request = http.get({ port, host: '127.0.0.1', agent: false, highWaterMark } as http.RequestOptions);
    return (await once(request, 'response'))[0] as Readable;
  },
  upload: async (port) => {
    const headers = { 'content-length': SIZE };
    return http.request({ port, host: '127.0.0.1', agent: false, method: 'POST', headers });
  },
};
const overHttp2: Ways = {
  download: async (port) => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on('error', () => {});
    const stream = session.request({ ':path': '/' });
    stream.on('close', () => session.close());
    await once(stream, 'response');
    return stream;
  },
  upload: async (port) => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on('error', () => {});
    const stream = session.request({ ':path': '/', ':method': 'POST' }, { endStream: false });
    stream.on('close', () => session.destroy());
    return stream;
  },
};
const overTcp: Ways = {
  download: async (port) => {
    const socket = net.connect({ port, host: '127.0.0.1', highWaterMark } as net.NetConnectOpts);
    socket.write('s');
    return socket;
  },
  upload: async (port) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.write('r');
    return socket;
  },
};

const PATHS: [string, Ways, () => Promise<string>, string, boolean][] = [
  ['HTTP/1.1, one proxy', overHttp1, h1, 'http1', false],
  ['HTTP/1.1, two with mutual TLS', overHttp1, h1, 'http1', true],
  ['HTTP/2, one proxy', overHttp2, h2, 'http2', false],
  ['HTTP/2, two with mutual TLS', overHttp2, h2, 'http2', true],
  ['HTTP/1.1 to HTTP/2', overHttp1, h2, 'http2', false],
  ['HTTP/2 to HTTP/1.1', overHttp2, h1, 'http1', false],
  ['TCP, one proxy', overTcp, raw, 'tcp', false],
  ['TCP, two with mutual TLS', overTcp, raw, 'tcp', true],
];

const rss = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * KiB;

afterAll(async () => {
  await proxies.stop();
  for (const server of servers) server.close();
});

(process.platform === 'linux' ? describe : describe.skip).each(PATHS)(
  '%s',
  (name, ways, serve, protocol, two) => {
    let port = 0;
    let pids: number[] = [];
    beforeAll(async () => {
      const upstream = await serve();
      port = two ? await proxies.twoHops(upstream, protocol) : await proxies.outbound(upstream, protocol);
      pids = proxies.started.slice(two ? -2 : -1).map(({ pid }) => pid!);
    });

    /** The most that each of the proxies grew by. */
    function watched() {
      const before = pids.map(rss);
      const most = pids.map(() => 0);
      return {
        look: () => {
          for (const [n, pid] of pids.entries()) most[n] = Math.max(most[n]!, rss(pid) - before[n]!);
        },
        most: () => Math.max(...most),
      };
    }
    const say = (what: string, growth: number, size: number) =>
      process.stderr.write(
        `${name}, ${what}: ${(size / MiB).toFixed(0)} MiB read, RSS at most ${(growth / MiB).toFixed(1)} MiB more\n`,
      );

    test('a client that reads slowly', async () => {
      const { look, most } = watched();
      const size = await read(await ways.download(port), look);
      say('download', most(), size);
      expect(size).toBeGreaterThanOrEqual(PART);
      expect(most()).toBeLessThan(GROWTH);
    });

    test('a server that reads slowly', async () => {
      const { look, most } = watched();
      const done = new Promise<number>((resolve) => {
        reading = (body) => void read(body, look).then(resolve);
      });
      const body = await ways.upload(port);
      send(body);
      const size = await done;
      body.destroy();
      say('upload', most(), size);
      expect(size).toBeGreaterThanOrEqual(PART);
      expect(most()).toBeLessThan(GROWTH);
    });
  },
);
