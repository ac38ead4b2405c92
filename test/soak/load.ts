/** Traffic of every kind, each piece of it checked: what did not come back as it was sent is lost. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { buffer } from 'node:stream/consumers';
import { WebSocket } from 'ws';

const PATIENCE = 30_000;
const BYTES = randomBytes(262_144);

/** Some of the same bytes, from one byte to `most`. */
const some = (most: number) => {
  const size = 1 + Math.floor(Math.random() * most);
  const from = Math.floor(Math.random() * (BYTES.length - size));
  return BYTES.subarray(from, from + size);
};
const chance = (share: number) => Math.random() < share;

function check(back: Buffer, sent: Buffer): void {
  if (!back.equals(sent)) throw new Error(`${back.length} bytes came back for ${sent.length}, or others`);
}

/** Rejects where nothing happens for too long, so that what hangs is lost and not waited for. */
async function within<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE} ms`)), PATIENCE);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function http1(port: number, agent: http.Agent | undefined): Promise<void> {
  const wait = chance(0.3) ? 10 : 0;
  const body = chance(0.5) ? some(65_536) : undefined;
  const request = http.request({
    host: '127.0.0.1',
    port,
    path: `/?wait=${wait}`,
    agent: agent ?? false,
    method: body ? 'POST' : 'GET',
    headers: body && chance(0.5) ? { 'content-length': body.length } : {},
  });
  const answered = once(request, 'response') as Promise<[http.IncomingMessage]>;
  request.end(body);
  const [response] = await answered;
  const back = await buffer(response);
  if (response.statusCode !== 200)
    throw new Error(`${response.statusCode} ${back.toString('latin1', 0, 200).trim()}`);
  check(back, body ?? Buffer.from('fine'));
}

/** Goes in the middle of its body, or before the answer. */
async function givenUp(port: number): Promise<void> {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(`POST /?wait=20 HTTP/1.1\r\nHost: web\r\nContent-Length: 100000\r\n\r\n`);
  socket.write(BYTES.subarray(0, chance(0.5) ? 100_000 : 5_000));
  await new Promise((resolve) => setTimeout(resolve, 5));
  if (chance(0.5)) socket.destroy();
  else socket.resetAndDestroy();
}

async function call(session: http2.ClientHttp2Session): Promise<void> {
  const stream = session.request({
    ':method': 'POST',
    ':path': '/echo.Echo/Say',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  let status: unknown;
  let message: unknown;
  // An answer of a proxy's own has both in its head.
  for (const event of ['response', 'trailers']) {
    stream.on(event, (headers: http2.IncomingHttpHeaders) => {
      status ??= headers['grpc-status'];
      message ??= headers['grpc-message'];
    });
  }
  if (chance(0.05)) {
    stream.on('error', () => {});
    stream.write(some(1_000));
    await once(stream, 'response');
    stream.close(http2.constants.NGHTTP2_CANCEL);
    return;
  }
  const sent = Array.from({ length: chance(0.3) ? 20 : 1 }, () => some(8_192));
  const back = buffer(stream);
  for (const each of sent) stream.write(each);
  stream.end();
  const received = await back;
  if (status !== '0') throw new Error(`grpc-status ${status} ${message ?? ''}`);
  check(received, Buffer.concat(sent));
}

async function conversation(port: number): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/chat`, { perMessageDeflate: false });
  await once(socket, 'open');
  for (let n = 0; n < 20; n += 1) {
    const said = some(16_384);
    socket.send(said);
    check((await once(socket, 'message'))[0] as Buffer, said);
  }
  socket.close();
  await once(socket, 'close');
}

async function bytes(port: number): Promise<void> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const sent = some(262_144);
  const back = buffer(socket);
  socket.end(sent);
  check(await back, sent);
}

/** Ports where the client's proxy listens. */
export interface Ports {
  web: number;
  rpc: number;
  raw: number;
}

/** What one worker does again and again; `rest` ends what it keeps open. */
interface Worker {
  once(): Promise<void>;
  rest?(): void;
}

/** On connections of its own, which it changes after a while. */
function keeping(port: number): Worker {
  let agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  return {
    once: () => {
      if (chance(0.02)) {
        agent.destroy();
        agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      }
      return http1(port, agent);
    },
    rest: () => agent.destroy(),
  };
}

function calling(port: number): Worker {
  let session: http2.ClientHttp2Session | undefined;
  return {
    once: async () => {
      if (session && chance(0.02)) {
        session.close();
        session = undefined;
      }
      if (!session) {
        session = http2.connect(`http://127.0.0.1:${port}`);
        session.on('error', () => {});
      }
      const one = session;
      await Promise.all(Array.from({ length: 4 }, () => call(one)));
    },
    rest: () => session?.close(),
  };
}

const KINDS: Record<string, { workers: number; make(ports: Ports): Worker }> = {
  'HTTP/1.1, kept open': { workers: 12, make: ({ web }) => keeping(web) },
  'HTTP/1.1, a connection each': { workers: 2, make: ({ web }) => ({ once: () => http1(web, undefined) }) },
  'HTTP/1.1, given up': { workers: 1, make: ({ web }) => ({ once: () => givenUp(web) }) },
  'gRPC, four calls at a time': { workers: 3, make: ({ rpc }) => calling(rpc) },
  'WebSocket, twenty messages': { workers: 3, make: ({ web }) => ({ once: () => conversation(web) }) },
  'TCP, half-closed': { workers: 3, make: ({ raw }) => ({ once: () => bytes(raw) }) },
};

export class Load {
  /** What went well, of each kind. */
  readonly done = new Map<string, number>();
  /** What did not, and when (Date.now). */
  readonly lost: { what: string; at: number }[] = [];
  #running = true;
  readonly #workers: Promise<void>[] = [];

  constructor(ports: Ports) {
    for (const [kind, { workers, make }] of Object.entries(KINDS)) {
      this.done.set(kind, 0);
      for (let n = 0; n < workers; n += 1) this.#workers.push(this.#work(kind, make(ports)));
    }
  }

  async #work(kind: string, worker: Worker): Promise<void> {
    while (this.#running) {
      try {
        await within(worker.once());
        this.done.set(kind, this.done.get(kind)! + 1);
      } catch (thrown) {
        this.lost.push({ what: `${kind}: ${(thrown as Error).message}`, at: Date.now() });
      }
      // As much as leaves a core to others, and not in step.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
    }
    worker.rest?.();
  }

  /** Lets what is under way come to its end. */
  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#workers);
  }
}
