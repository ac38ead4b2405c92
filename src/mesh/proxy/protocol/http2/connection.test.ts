import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Backlog } from './backlog.ts';
import { exchange, frame, GET, head, pair, SETTINGS, Side, START, uint32 } from './connection-fixtures.ts';
import { Field } from './field.ts';
import { ERROR, FLAG, FRAME } from './frames.ts';

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
