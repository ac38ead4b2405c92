/** A raw server that records what reaches it, and a raw client that says what came back. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { OK } from './case.ts';

/** Offset after the first message in `text`, or -1 while it is not whole. As lenient as a careless server would be. */
function messageEnd(text: string): number {
  const head = text.indexOf('\r\n\r\n');
  if (head < 0) return -1;
  const lines = text.slice(0, head);
  let at = head + 4;
  if (/^transfer-encoding:\s*chunked/im.test(lines)) {
    for (;;) {
      const line = text.indexOf('\r\n', at);
      if (line < 0) return -1;
      const size = Number.parseInt(text.slice(at, line), 16);
      if (size > 0) at = line + 2 + size + 2;
      else {
        const end = text.indexOf('\r\n\r\n', line);
        return end < 0 ? -1 : end + 4;
      }
    }
  }
  at += Number(/^content-length:\s*(\d+)/im.exec(lines)?.[1] ?? 0);
  return text.length < at ? -1 : at;
}

export class RawServer {
  /** Everything that came since `expect`. */
  seen = '';
  /** Requests for /held, which get no answer. */
  held = 0;
  requests = 0;
  port = 0;
  #reply = OK;
  #closes = false;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => this.#accept(socket));

  async start(): Promise<this> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    this.port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  expect(reply: string, closes: boolean): void {
    this.seen = '';
    this.requests = 0;
    this.#reply = reply;
    this.#closes = closes;
  }

  #accept(socket: Socket) {
    this.#sockets.add(socket);
    let pending = '';
    let tunnel = false;
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      const text = chunk.toString('latin1');
      this.seen += text;
      if (tunnel) return void socket.write(chunk);
      pending += text;
      for (let end = messageEnd(pending); end >= 0; end = messageEnd(pending)) {
        const request = pending.slice(0, end);
        pending = pending.slice(end);
        if (request.startsWith('GET /held ')) {
          this.held += 1;
          continue;
        }
        this.requests += 1;
        // The request that tries the connection out afterwards has a good answer.
        const reply = request.startsWith('GET /after ') ? OK : this.#reply;
        tunnel = / 101 /.test(reply) || (request.startsWith('CONNECT') && / 200 /.test(reply));
        socket.write(reply, 'latin1');
        if (this.#closes && reply === this.#reply) socket.end();
      }
    });
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Statuses of the answers in `text`, in order, interim ones left out. */
export function statuses(text: string, bodiless: boolean): number[] {
  const found: number[] = [];
  let rest = text;
  for (;;) {
    const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(rest)?.[1]);
    if (!status || rest.indexOf('\r\n\r\n') < 0) return found;
    const bare = status < 200 || status === 204 || status === 304 || bodiless;
    const end = bare ? rest.indexOf('\r\n\r\n') + 4 : messageEnd(rest);
    if (status >= 200 || status === 101) found.push(status);
    if (end < 0) return found;
    rest = rest.slice(end);
  }
}

export class RawClient {
  received = '';
  closed = false;
  readonly #socket: Socket;
  #wake = () => {};

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('error', () => {});
    this.#socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1');
      this.#wake();
    });
    const gone = () => {
      this.closed = true;
      this.#wake();
    };
    this.#socket.on('end', gone);
    this.#socket.on('close', gone);
  }

  send(text: string): void {
    this.#socket.write(text, 'latin1');
  }

  /** Until `done`; false when that has not come within `milliseconds`. */
  async until(done: () => boolean, milliseconds: number): Promise<boolean> {
    const end = Date.now() + milliseconds;
    while (!done()) {
      const left = end - Date.now();
      if (left <= 0) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return true;
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
