/**
 * Requests to the control plane over the proxy's own transport and HTTP/1.1 parser: node:https, and what it loads and keeps, would be
 * a tenth of what an idle sidecar holds.
 */
import {
  type Call,
  type Caller,
  type ControlPlane,
  hostAndPort,
  type Replies,
} from '../identity/client/request.ts';
import { BodyReader } from './protocol/http1/body.ts';
import { Head, headError } from './protocol/http1/head.ts';
import { parseResponseHead } from './protocol/http1/parse.ts';
import { startResponseBody } from './protocol/http1/response.ts';
import type { Connection, ConnectionHandler, Transport } from './transport/types.ts';

/** An order of a request: it is over when the last word of it has been said, or nobody wants to hear it. */
class Order {
  readonly call: Call;
  readonly replies: Replies;
  over = false;
  line: Line | undefined;
  readonly #abort: () => void;

  constructor(call: Call, replies: Replies) {
    this.call = call;
    this.replies = replies;
    this.#abort = () => {
      this.destroy();
      replies.error(call.signal!.reason as Error);
    };
    call.signal?.addEventListener('abort', this.#abort);
  }

  end(error?: Error): void {
    if (this.over) return;
    this.#finish();
    if (error) this.replies.error(error);
    else this.replies.end();
  }

  destroy(): void {
    if (this.over) return;
    this.#finish();
    this.line?.connection.destroy();
  }

  #finish() {
    this.over = true;
    this.call.signal?.removeEventListener('abort', this.#abort);
  }
}

/** Told when a line is ready for its next order, or gone; `again`: an order that it was not able to carry out. */
type Free = (line: Line, alive: boolean, again?: Order) => void;

/** One connection and the order that is on it. */
class Line implements ConnectionHandler {
  readonly connection: Connection;
  readonly cert: string | undefined;
  readonly #head: Head;
  readonly #free: Free;
  readonly #body = new BodyReader();
  #order: Order | undefined;
  #served = 0;
  /** Of a head that is not whole. */
  #rest: Buffer | undefined;
  /** Something of the answer has come. */
  #begun = false;
  #inBody = false;
  #last = false;

  constructor(
    connect: (handler: ConnectionHandler) => Connection,
    { cert, head, free }: { cert: string | undefined; head: Head; free: Free },
  ) {
    this.cert = cert;
    this.#head = head;
    this.#free = free;
    this.connection = connect(this);
  }

  send(order: Order, authority: string): void {
    this.#order = order;
    order.line = this;
    this.#begun = false;
    this.#inBody = false;
    this.#rest = undefined;
    const { method, path, keep, body } = order.call;
    this.#last = !keep;
    const lines = [`${method} ${path} HTTP/1.1`, `host: ${authority}`];
    if (!keep) lines.push('connection: close');
    if (body) lines.push('content-type: application/json', `content-length: ${body.length}`);
    const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`);
    this.connection.write(body ? Buffer.concat([head, body]) : head);
  }

  data(chunk: Buffer): void {
    const order = this.#order;
    if (!order) {
      // Nobody has asked for anything.
      this.connection.destroy();
      return;
    }
    this.#begun = true;
    let bytes = chunk;
    let at = 0;
    if (!this.#inBody) {
      if (this.#rest) bytes = Buffer.concat([this.#rest, chunk]);
      at = this.#readHead(order, bytes);
      if (at < 0 || order.over) return;
    }
    const body = this.#body;
    at = body.unframe(bytes, at, bytes.length, {
      payload: (buffer, from, to) => {
        if (!order.over) order.replies.data(buffer.subarray(from, to));
      },
      trailer: () => {},
    });
    if (at < 0) this.#broken('a body that is framed wrongly');
    else if (body.done) this.#answered(order);
  }

  /** Where the body begins; negative while it does not. */
  #readHead(order: Order, bytes: Buffer): number {
    const head = this.#head;
    for (let at = 0; ; ) {
      const end = parseResponseHead(head, bytes, at, bytes.length, false);
      if (end < 0) this.#broken(headError(end).reason);
      if (end === 0) this.#rest = Buffer.from(bytes.subarray(at));
      if (end <= 0) return -1;
      at = end;
      // An interim answer (RFC 9110 15.2).
      if (head.status < 200) continue;
      this.#inBody = true;
      this.#last ||= head.close || head.minor === 0;
      startResponseBody(this.#body, head, false);
      order.replies.status(head.status);
      return at;
    }
  }

  #broken(what: string) {
    this.#order?.end(new Error(`it answered with ${what}`));
    this.connection.destroy();
  }

  #answered(order: Order) {
    this.#order = undefined;
    this.#served += 1;
    if (this.#last) this.connection.finish();
    else this.#free(this, true);
    order.end();
  }

  drain(): void {}

  end(): void {
    const order = this.#order;
    if (order && this.#inBody && this.#body.finish()) this.#answered(order);
    this.connection.destroy();
  }

  close(error?: Error): void {
    const order = this.#order;
    this.#order = undefined;
    // Closed while the request was on its way, for having been idle: what it says may be said twice.
    const again = order && !order.over && !this.#begun && this.#served > 0 ? order : undefined;
    if (!again) order?.end(error ?? new Error('it closed the connection before the whole answer'));
    this.#free(this, false, again);
  }
}

export class TransportCaller implements Caller {
  readonly address: string;
  readonly #transport: () => Transport;
  readonly #servername: string;
  /** Scratch: a head is used before the next one is read. */
  readonly #head = new Head();
  readonly #queue: Order[] = [];
  /** The one connection that is kept, and whether an order is on it. */
  #kept: Line | undefined;
  #busy = false;

  /** `transport` is asked for with the first call: its own keys come from such calls. */
  constructor(transport: () => Transport, { address, servername }: ControlPlane) {
    this.#transport = transport;
    this.address = address;
    this.#servername = servername;
  }

  call(call: Call, replies: Replies): { destroy(): void } {
    const order = new Order(call, replies);
    if (call.keep) {
      this.#queue.push(order);
      this.#next();
    } else
      this.#send(
        this.#line(call, () => {}),
        order,
      );
    return order;
  }

  close(): void {
    if (!this.#busy) this.#kept?.connection.destroy();
  }

  #next(): void {
    if (this.#busy) return;
    let order = this.#queue.shift();
    while (order?.over) order = this.#queue.shift();
    if (!order) return;
    // It showed another certificate, from before a rotation.
    if (this.#kept && this.#kept.cert !== order.call.credentials.cert) {
      this.#kept.connection.destroy();
      this.#kept = undefined;
    }
    this.#busy = true;
    this.#kept ??= this.#line(order.call, (line, alive, again) => {
      if (line !== this.#kept) return;
      if (again) this.#queue.unshift(again);
      if (!alive) this.#kept = undefined;
      this.#busy = false;
      this.#next();
    });
    this.#send(this.#kept, order);
  }

  #send(line: Line, order: Order) {
    line.send(order, new URL(this.address).host);
  }

  #line({ credentials }: Call, free: Free): Line {
    const to = { ...hostAndPort(this.address), server: { name: this.#servername, ...credentials } };
    const connect = (handler: ConnectionHandler) => this.#transport().connect(to, handler);
    return new Line(connect, { cert: credentials.cert, head: this.#head, free });
  }
}
