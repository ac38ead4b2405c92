/** WebSocket (RFC 6455, RFC 7692) through the tunnel, with the `ws` package at both ends, through one proxy and through two. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WebSocket, WebSocketServer } from 'ws';
import { Proxies } from './support/proxies.ts';

const KiB = 1024;
const MiB = KiB * KiB;
const proxies = new Proxies();
const http = createServer((_request, response) =>
  response.writeHead(426, { upgrade: 'websocket' }).end('upgrade, please'),
);
const servers = new Set<WebSocket>();
const endpoint = new WebSocketServer({
  noServer: true,
  maxPayload: 64 * MiB,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (offered) => (offered.has('v2.chat') ? 'v2.chat' : false),
});
let upstream = '';

http.on('upgrade', (request: IncomingMessage, socket, head) => {
  if (request.url === '/refused') {
    socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\nConnection: close\r\n\r\nnot u');
    return;
  }
  endpoint.handleUpgrade(request, socket, head, (server) => {
    servers.add(server);
    server.on('error', () => {});
    server.on('close', () => servers.delete(server));
    serve(server, request.url ?? '/');
  });
});

/** What the server does is asked for by the path. */
function serve(server: WebSocket, url: string): void {
  const [, what, argument = ''] = url.split('/');
  switch (what) {
    case 'close':
      if (argument === '') server.close();
      else server.close(Number(argument), 'as asked');
      return;
    case 'die':
      server.terminate();
      return;
    case 'ping':
      server.on('pong', (data) => server.send(`pong ${data.toString()}`));
      server.ping('are you there');
      return;
    case 'digest':
      digest(server, Number(argument));
      return;
    case 'greet':
      server.send('server speaks first');
  }
  server.on('message', (data, isBinary) => server.send(data, { binary: isBinary }));
}

/** Reads nothing for a while, then everything, and says what it was. */
function digest(server: WebSocket, size: number): void {
  const hash = createHash('sha256');
  let left = size;
  server.pause();
  setTimeout(() => server.resume(), 300);
  server.on('message', (data: Buffer) => {
    hash.update(data);
    left -= data.length;
    if (left === 0) server.send(hash.digest('hex'));
  });
}

beforeAll(async () => {
  await once(http.listen(0, '127.0.0.1'), 'listening');
  upstream = `127.0.0.1:${(http.address() as AddressInfo).port}`;
});
afterAll(async () => {
  for (const server of servers) server.terminate();
  await proxies.stop();
  http.close();
});

const PATHS: [string, () => Promise<number>][] = [
  ['one proxy, protocol detected', () => proxies.outbound(upstream, 'detect')],
  ['in front of the application', () => proxies.inbound(upstream, 'off')],
  ['two proxies with mutual TLS', () => proxies.twoHops(upstream, 'http1')],
];

describe.each(PATHS)('%s', (_name, start) => {
  let port = 0;
  beforeAll(async () => {
    port = await start();
  });

  async function open(path = '/', protocols: string[] = [], options: object = {}): Promise<WebSocket> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, {
      perMessageDeflate: false,
      ...options,
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve).once('error', reject);
      socket.once('unexpected-response', (_request, { statusCode, headers }) =>
        reject(new Error(`${statusCode}, weir-proxy-error: ${headers['weir-proxy-error']}`)),
      );
    });
    return socket;
  }
  async function echoed(socket: WebSocket, data: string | Buffer): Promise<Buffer | string> {
    const answer = once(socket, 'message');
    socket.send(data);
    const [back, isBinary] = (await answer) as [Buffer, boolean];
    return isBinary ? back : back.toString();
  }
  const closed = async (socket: WebSocket) => {
    const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
    return [code, reason.toString()];
  };

  test('4.2.2: the handshake, its key, and the subprotocol that the server chose', async () => {
    const socket = await open('/', ['v1.chat', 'v2.chat']);
    expect(socket.protocol).toBe('v2.chat');
    expect(await echoed(socket, 'hello')).toBe('hello');
    socket.close();
    await closed(socket);
  });

  test('4.2.2: a refusal reaches the client as it is', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/refused`);
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
    expect(response.statusCode).toBe(401);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe('not u');
  });

  test('5.2: messages of every length encoding, text and binary, empty ones too', async () => {
    const socket = await open();
    for (const size of [0, 1, 125, 126, 127, 65_535, 65_536, MiB, 16 * MiB]) {
      const data = randomBytes(size);
      const back = (await echoed(socket, data)) as Buffer;
      expect([size, data.equals(back)]).toEqual([size, true]);
    }
    expect(await echoed(socket, '')).toBe('');
    expect(await echoed(socket, 'Grüße, 世界, 🚦')).toBe('Grüße, 世界, 🚦');
    socket.terminate();
  });

  test('5.4: fragments with control frames between them are one message', async () => {
    const socket = await open();
    const answer = once(socket, 'message');
    const pong = once(socket, 'pong');
    for (let index = 0; index < 50; index += 1) {
      socket.send(`${index},`, { fin: false });
      if (index === 25) socket.ping('between');
    }
    socket.send('end', { fin: true });
    expect((await pong)[0].toString()).toBe('between');
    expect((await answer)[0].toString()).toBe(
      `${Array.from({ length: 50 }, (_, index) => `${index},`).join('')}end`,
    );
    socket.terminate();
  });

  test('5.5.2: pings of either side are answered by the other, not by a proxy', async () => {
    const socket = await open('/ping');
    expect((await once(socket, 'message'))[0].toString()).toBe('pong are you there');
    socket.terminate();
  });

  test('the server may speak first', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/greet`);
    expect((await once(socket, 'message'))[0].toString()).toBe('server speaks first');
    socket.terminate();
  });

  test.each([1000, 1001, 1011, 3000, 4999])(
    '7.4: status code %i and its reason, from either side',
    async (code) => {
      expect(await closed(await open(`/close/${code}`))).toEqual([code, 'as asked']);
      const socket = await open();
      socket.close(code, 'by the client');
      expect(await closed(socket)).toEqual([code, 'by the client']);
    },
  );

  test('7.1.5: no status code, and the end of a server that says nothing', async () => {
    expect(await closed(await open('/close'))).toEqual([1005, '']);
    const socket = new WebSocket(`ws://127.0.0.1:${port}/die`);
    socket.on('error', () => {});
    expect((await closed(socket))[0]).toBe(1006);
  });

  test.each([
    ['5.1: a frame without a mask', 1002, Buffer.from([0x81, 0x01, 0x61])],
    ['5.2: a reserved opcode', 1002, Buffer.from([0x83, 0x80, 0, 0, 0, 0])],
    ['5.5: a fragmented control frame', 1002, Buffer.from([0x09, 0x80, 0, 0, 0, 0])],
    ['8.1: text that is not UTF-8', 1007, Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28])],
  ])('%s is the server’s to refuse, with %i', async (_rule, code, frame) => {
    const socket = connect(port, '127.0.0.1');
    const key = randomBytes(16).toString('base64');
    socket.write(
      `GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    );
    let received = Buffer.alloc(0);
    const until = async (enough: () => boolean) => {
      while (!enough()) received = Buffer.concat([received, (await once(socket, 'data'))[0] as Buffer]);
    };
    await until(() => received.includes('\r\n\r\n'));
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    expect(received.toString('latin1')).toContain(`Sec-WebSocket-Accept: ${accept}`);
    received = received.subarray(received.indexOf('\r\n\r\n') + 4);
    socket.write(frame);
    await until(() => received.length >= 4);
    expect([received[0], received.readUInt16BE(2)]).toEqual([0x88, code]);
    socket.destroy();
  });

  test('RFC 7692: compression is between the two ends', async () => {
    const socket = await open('/', [], { perMessageDeflate: { threshold: 0 } });
    expect(socket.extensions).toContain('permessage-deflate');
    const text = 'again and again '.repeat(10_000);
    expect(await echoed(socket, text)).toBe(text);
    socket.terminate();
  });

  test('a hundred at once keep their messages apart', async () => {
    const sockets = await Promise.all(Array.from({ length: 100 }, () => open()));
    await Promise.all(
      sockets.map(async (socket, index) => {
        for (let round = 0; round < 10; round += 1) {
          expect(await echoed(socket, `${index}/${round}`)).toBe(`${index}/${round}`);
        }
        socket.close();
        expect((await closed(socket))[0]).toBe(1005);
      }),
    );
  });

  test('a server that does not read holds the client back, and gets everything in order later', async () => {
    const data = randomBytes(32 * MiB);
    const socket = await open(`/digest/${data.length}`);
    for (let from = 0; from < data.length; from += 64 * KiB)
      socket.send(data.subarray(from, from + 64 * KiB));
    const answer = (await once(socket, 'message'))[0].toString();
    expect(answer).toBe(createHash('sha256').update(data).digest('hex'));
    socket.terminate();
  });
});

/** Asked of the kernel: each connection that tries it would keep the proxy from going. */
function listens(port: number): boolean {
  const address = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
  return readFileSync('/proc/net/tcp', 'latin1').includes(address);
}

test('SIGTERM: what is open goes on within the grace period, what is new is refused', async () => {
  const port = await proxies.inbound(upstream, 'off');
  const child = proxies.last;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
  await once(socket, 'open');
  expect(listens(port)).toBe(true);
  child.kill('SIGTERM');
  const end = Date.now() + 20_000;
  while (listens(port)) {
    if (Date.now() > end) throw new Error('the proxy still accepts connections');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const answer = once(socket, 'message');
  socket.send('still here');
  expect((await answer)[0].toString()).toBe('still here');
  const exited = once(child, 'exit');
  socket.close();
  await exited;
});
