import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Backlog } from './backlog.ts';
import { type ConnectionEvents, Http2Connection } from './connection.ts';
import { Field } from './field.ts';
import { ERROR, errorName, FLAG, FRAME, Output, PREFACE } from './frames.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { DEFAULT_HTTP2_LIMITS, type Http2Limits } from './limits.ts';
import type { Http2Stream, StreamHandler } from './stream.ts';

const GET = [
  new Field(':method', 'GET'),
  new Field(':scheme', 'http'),
  new Field(':path', '/'),
  new Field(':authority', 'a'),
];
const OK = [new Field(':status', '200')];
const sizeOf = (fields: readonly Field[]) => fields.reduce((sum, { size }) => sum + size, 0);

/** One side of a connection that writes down what happens. */
class Side {
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
function exchange(a: Side, b: Side): void {
  for (;;) {
    const [fromA, fromB] = [a.take(), b.take()];
    if (fromA.length + fromB.length === 0) return;
    b.receive(fromA);
    a.receive(fromB);
  }
}

function pair(limits: Partial<Http2Limits> = {}) {
  const client = new Side('client', limits);
  const server = new Side('server', limits);
  exchange(client, server);
  return { client, server };
}

/** A frame as anybody could send it. */
function frame(type: number, flags: number, id: number, payload: Buffer | string = ''): Buffer {
  const body = Buffer.from(payload as string, 'latin1');
  const output = new Output();
  output.reserve(9 + body.length);
  output.header(body.length, type, flags, id);
  output.raw(body, 0, body.length);
  return output.bytes.subarray(0, output.length);
}
const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const SETTINGS = frame(FRAME.settings, 0, 0);
const START = Buffer.concat([PREFACE, SETTINGS]);
function block(fields: readonly Field[]): Buffer {
  const out = Buffer.alloc(100_000);
  return out.subarray(0, new HpackEncoder().encode(fields, fields.length, out, 0));
}
const head = (id: number, flags: number = FLAG.endHeaders | FLAG.endStream, fields = GET) =>
  frame(FRAME.headers, flags, id, block(fields));

function serve(frames: Buffer[], limits: Partial<Http2Limits> = {}): Side {
  const side = new Side('server', limits);
  side.receive(Buffer.concat([START, ...frames]));
  return side;
}

describe('requests and responses', () => {
  test('head, body and trailers both ways', () => {
    const { client, server } = pair();
    const stream = client.open(GET, false);
    client.send(stream, 'ping');
    client.connection.sender.trailers(stream, { items: [new Field('x', 'y')], count: 1, size: 34 });
    exchange(client, server);
    const there = server.streams.get(1)!;
    server.respond(there);
    server.send(there, 'pong');
    server.connection.sender.trailers(there, { items: [new Field('grpc-status', '0')], count: 1, size: 44 });
    exchange(client, server);
    expect(server.log.slice(1)).toEqual(['request 1 /', '1: data ping', '1: trailers x=y']);
    expect(client.log.slice(1)).toEqual(['1: headers 200', '1: data pong', '1: trailers grpc-status=0']);
    expect(client.connection.streamCount + server.connection.streamCount).toBe(0);
  });

  test('a head larger than a frame goes in CONTINUATIONs', () => {
    const { client, server } = pair({ headerList: 200_000, headerBlock: 200_000 });
    const large = new Field('x', 'y'.repeat(50_000));
    client.open([...GET, large]);
    exchange(client, server);
    expect(server.connection.list.count).toBe(5);
    expect(server.failure).toBeUndefined();
  });

  test('data waits for the window, goes on when it opens, and trailers come after it', () => {
    const { client, server } = pair({ streamWindow: 10, connectionWindow: 70_000 });
    const stream = client.open(GET, false);
    expect(client.send(stream, '0123456789abcdef')).toBe(10);
    client.connection.sender.trailers(stream, { items: [new Field('x', 'y')], count: 1, size: 34 });
    exchange(client, server);
    expect(server.log.at(-1)).toBe('1: data 0123456789');
    server.connection.consume(server.streams.get(1)!, 10);
    exchange(client, server);
    expect(server.log.slice(-2)).toEqual(['1: data abcdef', '1: trailers x=y']);
    expect(client.log.slice(-2)).toEqual(['1: flushed 6', '1: flushed 0']);
  });

  test('streams share the window of the connection in turns', () => {
    const client = new Side('client');
    client.receive(SETTINGS);
    const streams = [client.open(GET, false), client.open(GET, false)];
    const text = 'x'.repeat(60_000);
    expect(client.send(streams[0]!, text)).toBe(60_000);
    expect(client.send(streams[1]!, text)).toBe(5_535);
    client.send(streams[0]!, text, true);
    client.take();
    client.receive(frame(FRAME.windowUpdate, 0, 1, uint32(100_000)));
    client.receive(frame(FRAME.windowUpdate, 0, 3, uint32(100_000)));
    client.receive(frame(FRAME.windowUpdate, 0, 0, uint32(32_768)));
    const sent = client.take();
    expect([sent.readUInt32BE(5), sent.readUInt32BE(9 + 16_384 + 5)].sort()).toEqual([1, 3]);
  });

  test('a window that stays shut ends its stream after the deadline, and no other', () => {
    const { client, server } = pair({ streamWindow: 4, connectionWindow: 70_000 });
    const [stuck, fine] = [client.open(GET, false), client.open(GET, false)];
    client.send(stuck!, '0123456789');
    client.send(fine!, '0123');
    exchange(client, server);
    client.connection.resetStalled(29_999, 30_000);
    expect(stuck!.closed).toBe(false);
    client.connection.resetStalled(30_000, 30_000);
    exchange(client, server);
    expect(client.log.at(-1)).toBe('1: reset CANCEL by self');
    expect(server.log.at(-1)).toBe('1: reset CANCEL by peer');
    expect(fine!.closed).toBe(false);
  });

  test('GOAWAY in two steps: what is on its way is served, later streams are not', () => {
    const { client, server } = pair();
    client.open(GET, true);
    server.connection.leave();
    client.receive(server.take());
    expect(client.connection.canOpen).toBe(false);
    server.receive(client.take());
    expect(server.log.slice(-2)).toEqual(
      ['request 1 /', 'pong'].map((text, n) => (n ? text : `${text} end`)),
    );
    server.connection.refuseFurther();
    client.receive(server.take());
    expect(client.log.at(-1)).toBe('goaway NO_ERROR');
    expect(client.streams.get(1)!.closed).toBe(false);
    server.receive(head(3));
    expect(server.log.at(-1)).toBe('pong');
  });

  test('requests that the peer says it has not seen are told so', () => {
    const { client } = pair();
    client.open();
    client.open();
    client.open();
    client.receive(frame(FRAME.rstStream, 0, 1, uint32(ERROR.refusedStream)));
    client.receive(frame(FRAME.goaway, 0, 0, Buffer.concat([uint32(3), uint32(0)])));
    expect(client.log.slice(1)).toEqual([
      '1: reset REFUSED_STREAM by peer unprocessed',
      'goaway NO_ERROR',
      '5: reset REFUSED_STREAM by peer unprocessed',
    ]);
  });

  test('any split of the input gives the same events', () => {
    const { client, server } = pair();
    const record = new Side('server');
    const bytes: Buffer[] = [START];
    for (let n = 0; n < 5; n += 1) {
      const stream = client.open([...GET, new Field('x', 'y'.repeat(n * 30))], false);
      client.send(stream, 'z'.repeat(n * 50), n % 2 === 0);
      if (n % 2 === 1) client.connection.reset(stream, ERROR.cancel);
    }
    bytes.push(client.take(), frame(FRAME.ping, 0, 0, '12345678'));
    bytes.push(frame(FRAME.data, FLAG.padded, 1, `${String.fromCharCode(200)}`));
    const all = Buffer.concat(bytes);
    record.receive(all);
    const answer = record.take();
    expect(record.log.length).toBeGreaterThan(8);
    expect(record.failure).toBe('PROTOCOL_ERROR');
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: all.length }), { maxLength: 40 }), (cuts) => {
        const side = new Side('server');
        let at = 0;
        for (const cut of [...cuts.sort((a, b) => a - b), all.length]) {
          side.receive(Buffer.from(all.subarray(at, cut)));
          at = cut;
        }
        expect(side.log).toEqual(record.log);
        expect(side.take()).toEqual(answer);
      }),
    );
    expect(server.failure).toBeUndefined();
  });

  test('whatever comes after the preface, it neither throws nor grows', () => {
    const any = fc
      .tuple(fc.nat(11), fc.nat(255), fc.nat(8), fc.uint8Array({ maxLength: 80 }))
      .map(([type, flags, id, payload]) => frame(type, flags, id, Buffer.from(payload)));
    fc.assert(
      fc.property(fc.array(any, { maxLength: 40 }), (frames) => {
        for (const role of ['client', 'server'] as const) {
          const side = new Side(role);
          side.receive(Buffer.concat([role === 'server' ? START : SETTINGS, ...frames]));
          expect(side.connection.streamCount).toBeLessThan(10);
          expect(side.take().length).toBeLessThan(5_000);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('bodies arrive whole, whatever windows and interruptions there are', () => {
    const step = fc.oneof(
      fc.record({ send: fc.nat(3_000) }),
      fc.record({ consume: fc.nat(4_000) }),
      fc.constant({ blocked: true }),
      fc.constant({ move: true }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 2, max: 5_000 }), (steps, window) => {
        const backlog = new Backlog(1_000_000);
        const { client, server } = pair({ streamWindow: window, connectionWindow: 100_000, backlog });
        const stream = client.open(GET, false);
        let sent = '';
        const received = () =>
          server.log
            .filter((line) => line.startsWith('1: data '))
            .map((line) => line.slice(8).replace(' end', ''))
            .join('');
        const write = (size: number) => {
          const text = Array.from({ length: size }, (_, n) =>
            String.fromCharCode(65 + ((sent.length + n) % 26)),
          );
          sent += text.join('');
          client.send(stream, text.join(''));
        };
        let consumed = 0;
        const consume = (most: number) => {
          const there = server.streams.get(1);
          const bytes = Math.min(most, received().length - consumed);
          consumed += bytes;
          if (there) server.connection.consume(there, bytes);
        };
        for (const each of steps) {
          if ('send' in each) write(each.send);
          else if ('consume' in each) consume(each.consume);
          else if ('blocked' in each) client.connection.sender.blocked = true;
          else exchange(client, server);
        }
        client.send(stream, '', true);
        client.connection.unblock(0);
        for (let n = 0; n < 200_000 && !server.log.at(-1)?.endsWith(' end'); n += 1) {
          exchange(client, server);
          consume(1e9);
        }
        expect(received()).toBe(sent);
        expect(stream.localDone).toBe(true);
        expect(backlog.bytes).toBe(0);
      }),
    );
  });
});

describe('what peers do wrong', () => {
  const setting = (id: number, value: number) => {
    const bytes = Buffer.alloc(6);
    bytes.writeUInt16BE(id);
    bytes.writeUInt32BE(value, 2);
    return frame(FRAME.settings, 0, 0, bytes);
  };
  test.each<[string, string, Buffer[]]>([
    ['DATA on stream 0', 'PROTOCOL_ERROR', [frame(FRAME.data, 0, 0, 'x')]],
    ['DATA on an idle stream', 'PROTOCOL_ERROR', [frame(FRAME.data, 0, 1, 'x')]],
    ['HEADERS on an even stream', 'PROTOCOL_ERROR', [head(2)]],
    ['a stream number that shrinks', 'PROTOCOL_ERROR', [head(5), head(3)]],
    [
      'a stream number used again',
      'PROTOCOL_ERROR',
      [head(1), frame(FRAME.priority, 0, 1, '\0\0\0\x03\0'), head(0)],
    ],
    ['PUSH_PROMISE', 'PROTOCOL_ERROR', [frame(FRAME.pushPromise, 4, 1, uint32(2))]],
    ['SETTINGS on a stream', 'PROTOCOL_ERROR', [frame(FRAME.settings, 0, 1)]],
    ['SETTINGS of 5 bytes', 'FRAME_SIZE_ERROR', [frame(FRAME.settings, 0, 0, '12345')]],
    ['an acknowledgement with content', 'FRAME_SIZE_ERROR', [frame(FRAME.settings, 1, 0, '123456')]],
    ['a window beyond 2^31 - 1', 'FLOW_CONTROL_ERROR', [setting(4, 2 ** 31)]],
    ['MAX_FRAME_SIZE of 1', 'PROTOCOL_ERROR', [setting(5, 1)]],
    ['ENABLE_PUSH of 2', 'PROTOCOL_ERROR', [setting(2, 2)]],
    ['PING of 7 bytes', 'FRAME_SIZE_ERROR', [frame(FRAME.ping, 0, 0, '1234567')]],
    ['PING on a stream', 'PROTOCOL_ERROR', [frame(FRAME.ping, 0, 1, '12345678')]],
    ['RST_STREAM on an idle stream', 'PROTOCOL_ERROR', [frame(FRAME.rstStream, 0, 1, uint32(8))]],
    ['WINDOW_UPDATE of 0', 'PROTOCOL_ERROR', [frame(FRAME.windowUpdate, 0, 0, uint32(0))]],
    [
      'a connection window too large',
      'FLOW_CONTROL_ERROR',
      [frame(FRAME.windowUpdate, 0, 0, uint32(2 ** 31 - 1))],
    ],
    ['CONTINUATION alone', 'PROTOCOL_ERROR', [frame(FRAME.continuation, 4, 1)]],
    ['a block interrupted', 'PROTOCOL_ERROR', [head(1, 0), frame(FRAME.ping, 0, 0, '12345678')]],
    ['padding longer than its frame', 'PROTOCOL_ERROR', [head(1, 4), frame(FRAME.data, 8, 1, '\x05abc')]],
    ['a malformed block', 'COMPRESSION_ERROR', [frame(FRAME.headers, 5, 1, '\x80')]],
    ['a frame of 16 MiB', 'FRAME_SIZE_ERROR', [Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])]],
  ])('%s: %s ends the connection', (_, code, frames) => {
    const side = serve(frames);
    expect(side.failure).toBe(code);
    const sent = side.take();
    expect(sent.includes(Buffer.from([FRAME.goaway]))).toBe(true);
    side.receive(head(101));
    expect(side.log.at(-1)).toBe(`failed ${code}`);
  });

  test.each<[string, number, Buffer[]]>([
    ['DATA after the end', ERROR.streamClosed, [head(1), frame(FRAME.data, 0, 1, 'x')]],
    ['a second head without an end', ERROR.protocol, [head(1, 4), head(1, 4, [new Field('x', 'y')])]],
    ['pseudo-headers in trailers', ERROR.protocol, [head(1, 4), head(1, 5)]],
    [
      'more than content-length',
      ERROR.protocol,
      [head(1, 4, [...GET, new Field('content-length', '1')]), frame(FRAME.data, 0, 1, 'xx')],
    ],
    [
      'less than content-length',
      ERROR.protocol,
      [head(1, 4, [...GET, new Field('content-length', '3')]), frame(FRAME.data, 1, 1, 'xx')],
    ],
    ['a window increment of 0', ERROR.protocol, [head(1), frame(FRAME.windowUpdate, 0, 1, uint32(0))]],
    [
      'a window too large',
      ERROR.flowControl,
      [head(1), frame(FRAME.windowUpdate, 0, 1, uint32(2 ** 31 - 1))],
    ],
    [
      'a request that depends on itself',
      ERROR.protocol,
      [frame(FRAME.headers, 0x25, 1, Buffer.concat([uint32(1), Buffer.from([0]), block(GET)]))],
    ],
    ['a malformed request', ERROR.protocol, [head(1, 5, GET.slice(1))]],
    [
      'more bytes than its window',
      ERROR.flowControl,
      [head(1, 4), ...Array(17).fill(frame(FRAME.data, 0, 1, 'x'.repeat(16_384)))],
    ],
  ])('%s ends the stream alone', (_, code, frames) => {
    const side = serve([...frames, head(3)]);
    expect(side.failure).toBeUndefined();
    expect(side.log.at(-1)).toBe('request 3 / end');
    expect(side.take().includes(Buffer.concat([frame(FRAME.rstStream, 0, 1, uint32(code))]))).toBe(true);
  });

  test('streams beyond the limit are refused', () => {
    const side = serve([head(1), head(3), head(5)], { streams: 2 });
    expect(side.log.at(-1)).toBe('request 3 / end');
    expect(side.take().includes(frame(FRAME.rstStream, 0, 5, uint32(ERROR.refusedStream)))).toBe(true);
  });
});

describe('attacks are cut off', () => {
  const many = (count: number, make: (n: number) => Buffer) =>
    Array.from({ length: count }, (_, n) => make(n));
  const reset = (id: number) => frame(FRAME.rstStream, 0, id, uint32(ERROR.cancel));

  test.each<[string, () => Buffer[]]>([
    [
      'rapid reset (CVE-2023-44487)',
      () => many(600, (n) => Buffer.concat([head(2 * n + 1), reset(2 * n + 1)])),
    ],
    [
      'resets we are made to send (CVE-2025-8671)',
      () =>
        many(600, (n) =>
          Buffer.concat([head(2 * n + 1), frame(FRAME.windowUpdate, 0, 2 * n + 1, uint32(0))]),
        ),
    ],
    ['PINGs (CVE-2019-9512)', () => many(1_100, () => frame(FRAME.ping, 0, 0, '12345678'))],
    ['SETTINGS (CVE-2019-9515)', () => many(1_100, () => SETTINGS)],
    ['PRIORITY (CVE-2019-9513)', () => many(1_100, () => frame(FRAME.priority, 0, 1, '\0\0\0\x03\0'))],
    ['empty DATA (CVE-2019-9518)', () => [head(1, 4), ...many(1_100, () => frame(FRAME.data, 0, 1))]],
    ['WINDOW_UPDATEs', () => many(1_100, () => frame(FRAME.windowUpdate, 0, 0, uint32(1)))],
    ['frames nobody knows', () => many(1_100, () => frame(77, 0, 0, 'x'))],
    [
      'CONTINUATION without end (CVE-2024-27316)',
      () => [head(1, 0), ...many(100, () => frame(FRAME.continuation, 0, 1))],
    ],
    [
      'a header block without end',
      () => [head(1, 0), ...many(10, () => frame(FRAME.continuation, 0, 1, 'x'.repeat(16_000)))],
    ],
  ])('%s', (_, frames) => {
    expect(serve(frames()).failure).toBe('ENHANCE_YOUR_CALM');
  });

  test('the same number of frames, spread over time or earned, is no attack', () => {
    const side = serve([]);
    for (let n = 0; n < 3_000; n += 1) {
      side.now += 10;
      side.receive(frame(FRAME.ping, 0, 0, '12345678'));
    }
    for (let n = 0; n < 2_000; n += 1) {
      side.receive(head(4 * n + 1));
      side.respond(side.streams.get(4 * n + 1)!, OK, true);
      side.receive(Buffer.concat([head(4 * n + 3), reset(4 * n + 3)]));
    }
    expect(side.failure).toBeUndefined();
  });

  test('a head too large is decoded to its end, so that the connection can go on', () => {
    const crumbs = Array(300).fill(new Field('cookie', 'a=b'));
    const side = serve([head(1, 5, [...GET, ...crumbs]), head(3)]);
    expect(side.log.slice(-2)).toEqual(['request 1 / end', 'request 3 / end']);
  });
});
