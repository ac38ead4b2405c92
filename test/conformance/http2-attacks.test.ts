/**
 * HTTP/2 attacks on a running proxy: each for a second from four connections that come again when they are cut off.
 * Meanwhile a bystander's requests must all be answered, and afterwards the proxy must be there and no larger.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Field } from '../../src/mesh/proxy/protocol/http2/field.ts';
import { ERROR, FLAG, FRAME, Output, PREFACE, SETTING } from '../../src/mesh/proxy/protocol/http2/frames.ts';
import { HpackEncoder } from '../../src/mesh/proxy/protocol/http2/hpack-encoder.ts';
import { attacker } from './support/attacker.ts';
import { Proxies } from './support/proxies.ts';

const SECOND = 1_000;
/** Growth that is no leak: buffers of the attackers' connections, young garbage. */
const GROWTH = 96 * 1_048_576;
/** Where bodies wait: what the proxy lets wait (32 MiB), and what V8 lets pile up of such buffers before it collects them. */
const GROWTH_OF_BODIES = 192 * 1_048_576;

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

interface Attack {
  /** First bytes of a connection. */
  begin: Buffer;
  /** What follows again and again; `n` counts within a connection. */
  next?: (n: number) => Buffer;
  /** The attacker does not read. */
  deaf?: boolean;
}

const UNREAD = 'large responses that are not read (CVE-2019-9511, 9517)';

const ATTACKS: Record<string, Attack> = {
  'rapid reset (CVE-2023-44487)': {
    begin: start(),
    next: (n) =>
      repeat(50, (k) => {
        const id = 2 * (50 * n + k) + 1;
        return Buffer.concat([request(id), frame(FRAME.rstStream, 0, id, uint32(ERROR.cancel))]);
      }),
  },
  'resets we are made to send (CVE-2025-8671)': {
    begin: start(),
    next: (n) =>
      repeat(50, (k) => {
        const id = 2 * (50 * n + k) + 1;
        return Buffer.concat([request(id), frame(FRAME.windowUpdate, 0, id, uint32(0))]);
      }),
  },
  'CONTINUATION without end (CVE-2024-27316)': {
    begin: Buffer.concat([start(), frame(FRAME.headers, FLAG.endStream, 1, SMALL)]),
    next: () => repeat(20, () => frame(FRAME.continuation, 0, 1, Buffer.alloc(1_000, 0x82))),
  },
  'header bombs behind a stalled window (CVE-2026-49975)': {
    begin: start(0),
    next: (n) => repeat(5, (k) => request(2 * (5 * n + k) + 1, BOMB)),
    deaf: true,
  },
  'PING without reading the answers (CVE-2019-9512)': {
    begin: start(),
    next: () => repeat(100, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8))),
    deaf: true,
  },
  'SETTINGS without reading the answers (CVE-2019-9515)': {
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
    begin: Buffer.concat([start(), frame(FRAME.headers, FLAG.endHeaders, 1, SMALL)]),
    next: () => repeat(100, () => frame(FRAME.data, 0, 1)),
  },
  'priorities (CVE-2019-9513)': {
    begin: start(),
    next: (n) => repeat(100, (k) => frame(FRAME.priority, 0, 2 * (n + k) + 1, Buffer.from([0, 0, 0, 0, 9]))),
  },
  'streams that never end (slowloris)': {
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
async function attack(port: number, { begin, next, deaf }: Attack, until: number): Promise<void> {
  while (Date.now() < until) {
    const one = attacker(port, deaf);
    const { socket } = one;
    socket.write(begin);
    for (let n = 0; one.open && Date.now() < until; n += 1) {
      const more = next ? socket.write(next(n)) : false;
      const wait = new Promise<void>((resolve) => setTimeout(resolve, more ? 1 : 20));
      await Promise.race([one.closed, wait]);
    }
    socket.destroy();
    await one.closed;
  }
}

const megabytes = (bytes: number) => `${(bytes / 1_048_576).toFixed(0)} MB`;
const rss = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

(process.platform === 'linux' ? describe : describe.skip)('HTTP/2 attacks', () => {
  const proxies = new Proxies();
  // Not the server's own limit is tried here.
  const server = http2.createServer({ maxSessionMemory: 4_096 });
  const large = Buffer.alloc(4_194_304);
  server.on('session', (session) => session.on('error', () => {}));
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    stream.resume();
    stream.respond({ ':status': 200 });
    stream.end(headers[':path'] === '/large' ? large : 'ok');
  });
  let port = 0;
  let pid = 0;

  beforeAll(async () => {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    port = await proxies.outbound(`127.0.0.1:${(server.address() as AddressInfo).port}`, 'http2');
    pid = proxies.last.pid!;
    // The same responses, read: what V8 lets pile up before it collects buffers (64 MiB) is no attack's doing.
    const idle = rss(pid);
    const until = Date.now() + SECOND;
    const reading: Attack = { ...ATTACKS[UNREAD]!, deaf: false };
    await Promise.all(Array.from({ length: 4 }, () => attack(port, reading, until)));
    process.stderr.write(`reading the same: ${megabytes(rss(pid) - idle)}\n`);
  });

  afterAll(async () => {
    await proxies.stop();
    server.close();
  });

  test.each(Object.entries(ATTACKS))('%s', async (name, each) => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    await once(session, 'connect');
    const ask = async () => {
      const stream = session.request({ ':path': '/' });
      stream.resume();
      const [headers] = await once(stream, 'response');
      await once(stream, 'close');
      return headers[':status'];
    };
    for (let n = 0; n < 20; n += 1) expect(await ask()).toBe(200);
    const before = rss(pid);
    // Of bodies so long that a proxy without a limit would have taken gigabytes by then.
    const bodies = name === UNREAD;
    const until = Date.now() + (bodies ? 4 : 1) * SECOND;
    let first = Number.POSITIVE_INFINITY;
    const firstEnds = Date.now() + SECOND;
    const attackers = Array.from({ length: 4 }, () => attack(port, each, until));
    let slowest = 0;
    let asked = 0;
    while (Date.now() < until) {
      asked += 1;
      const began = performance.now();
      expect(await ask()).toBe(200);
      slowest = Math.max(slowest, performance.now() - began);
      if (Date.now() > firstEnds) first = Math.min(first, rss(pid));
    }
    await Promise.all(attackers);
    expect(await ask()).toBe(200);
    session.destroy();
    // Generous: the attackers, the server and this test share one process, and the machine with the proxy.
    process.stderr.write(`${name}: ${megabytes(rss(pid) - before)}, ${asked} of others, the slowest ${slowest.toFixed(0)} ms
`);
    expect(slowest).toBeLessThan(5 * SECOND);
    expect(rss(pid) - before).toBeLessThan(bodies ? GROWTH_OF_BODIES : GROWTH);
    // Attacked for longer it takes no more.
    if (bodies) expect(rss(pid) - first).toBeLessThan(GROWTH);
  });
});
