import { describe, expect, test } from '@jest/globals';
import { block, frame, GET, head, OK, SETTINGS, serve, uint32 } from './connection-fixtures.ts';
import { Field } from './field.ts';
import { ERROR, FRAME } from './frames.ts';

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
