import { type ConnectionEvents, Http2Connection } from './connection.ts';
import { Field } from './field.ts';
import { errorName, FLAG, FRAME, Output, PREFACE } from './frames.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { DEFAULT_HTTP2_LIMITS, type Http2Limits } from './limits.ts';
import type { Http2Stream, StreamHandler } from './stream.ts';

export const GET = [
  new Field(':method', 'GET'),
  new Field(':scheme', 'http'),
  new Field(':path', '/'),
  new Field(':authority', 'a'),
];
export const OK = [new Field(':status', '200')];
export const sizeOf = (fields: readonly Field[]) => fields.reduce((sum, { size }) => sum + size, 0);

/** One side of a connection that writes down what happens. */
export class Side {
  readonly log: string[] = [];
  readonly connection: Http2Connection;
  readonly streams = new Map<number, Http2Stream>();
  failure: string | undefined;
  now = 0;

  constructor(role: 'client' | 'server', limits: Partial<Http2Limits> = {}) {
    const events: ConnectionEvents = {
      written: () => {},
      idle: () => {},
      request: (stream, list, end) => {
        this.log.push(`request ${stream.id} ${list.path?.value}${end ? ' end' : ''}`);
        this.streams.set(stream.id, stream);
        stream.handler = this.handler(stream);
      },
      goaway: (code) => this.log.push(`goaway ${errorName(code)}`),
      pong: () => this.log.push('pong'),
      settings: () => this.log.push('settings'),
      threw: (error) => {
        throw error;
      },
      failed: (code) => {
        this.failure = errorName(code);
        this.log.push(`failed ${this.failure}`);
      },
    };
    this.connection = new Http2Connection(role, events, { ...DEFAULT_HTTP2_LIMITS, ...limits }, false);
  }

  handler(stream: { id: number }): StreamHandler {
    const note = (text: string) => this.log.push(`${stream.id}: ${text}`);
    return {
      headers: (list, end) => note(`headers ${list.status}${end ? ' end' : ''}`),
      data: (bytes, from, to, end) => note(`data ${bytes.toString('latin1', from, to)}${end ? ' end' : ''}`),
      trailers: (list) => note(`trailers ${list.keep().map(({ name, value }) => `${name}=${value}`)}`),
      flushed: (bytes) => note(`flushed ${bytes}`),
      reset: (code, by, unprocessed) =>
        note(`reset ${errorName(code)} by ${by}${unprocessed ? ' unprocessed' : ''}`),
    };
  }

  open(fields = GET, end = true): Http2Stream {
    const id = { id: 0 };
    const stream = this.connection.open(this.handler(id), false);
    id.id = stream.id;
    this.streams.set(stream.id, stream);
    this.connection.sender.headers(stream, fields, fields.length, sizeOf(fields), end);
    return stream;
  }

  send(stream: Http2Stream, text: string, end = false): number {
    const bytes = Buffer.from(text, 'latin1');
    return this.connection.sender.data(stream, bytes, 0, bytes.length, end, this.now);
  }

  respond(stream: Http2Stream, fields = OK, end = false): void {
    this.connection.sender.headers(stream, fields, fields.length, sizeOf(fields), end);
  }

  take(): Buffer {
    const { output } = this.connection.sender;
    const bytes = Buffer.from(output.bytes.subarray(0, output.length));
    output.clear();
    return bytes;
  }

  receive(bytes: Buffer): void {
    this.connection.receive(bytes, this.now);
  }
}

/** Moves bytes until nothing moves any more. */
export function exchange(a: Side, b: Side): void {
  for (;;) {
    const [fromA, fromB] = [a.take(), b.take()];
    if (fromA.length + fromB.length === 0) return;
    b.receive(fromA);
    a.receive(fromB);
  }
}

export function pair(limits: Partial<Http2Limits> = {}) {
  const client = new Side('client', limits);
  const server = new Side('server', limits);
  exchange(client, server);
  return { client, server };
}

/** A frame as anybody could send it. */
export function frame(type: number, flags: number, id: number, payload: Buffer | string = ''): Buffer {
  const body = Buffer.from(payload as string, 'latin1');
  const output = new Output();
  output.reserve(9 + body.length);
  output.header(body.length, type, flags, id);
  output.raw(body, 0, body.length);
  return output.bytes.subarray(0, output.length);
}
export const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
export const SETTINGS = frame(FRAME.settings, 0, 0);
export const START = Buffer.concat([PREFACE, SETTINGS]);
export function block(fields: readonly Field[]): Buffer {
  const out = Buffer.alloc(100_000);
  return out.subarray(0, new HpackEncoder().encode(fields, fields.length, out, 0));
}
export const head = (id: number, flags: number = FLAG.endHeaders | FLAG.endStream, fields = GET) =>
  frame(FRAME.headers, flags, id, block(fields));

export function serve(frames: Buffer[], limits: Partial<Http2Limits> = {}): Side {
  const side = new Side('server', limits);
  side.receive(Buffer.concat([START, ...frames]));
  return side;
}
