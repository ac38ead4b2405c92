import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
// The published implementation that ours is compared with; it has no types.
// @ts-expect-error no declarations
import published from 'hpack.js';
import { Field, STATIC, share } from './field.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { decodedBound, huffmanDecode, huffmanEncode, huffmanLength } from './huffman.ts';
import { FieldList } from './list.ts';

type Pair = [string, string];

const unlimited = { headerList: 1e9, headerCount: 1e9 };
const pairs = (list: FieldList): Pair[] => list.keep().map(({ name, value }) => [name, value]);

function decode(decoder: HpackDecoder, block: Buffer): Pair[] | undefined {
  const list = new FieldList(unlimited);
  list.begin(false);
  return decoder.decode(block, 0, block.length, list) ? pairs(list) : undefined;
}

function encode(encoder: HpackEncoder, fields: readonly Field[]): Buffer {
  const size = fields.reduce((sum, field) => sum + field.size, 0);
  const out = Buffer.alloc(HpackEncoder.bound(size));
  return out.subarray(0, encoder.encode(fields, fields.length, out, 0));
}

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');

/** Names and values as they occur, with many repetitions, so that tables matter. */
const name = fc.oneof(
  fc.constantFrom(':method', ':path', ':status', 'cookie', 'x-a', 'content-type', 'date', 'te'),
  fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
);
const value = fc.oneof(
  fc.constantFrom('', 'GET', '/', '200', 'a', 'application/grpc'),
  fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 200,
  }),
);
const blocks = fc.array(fc.array(fc.tuple(name, value, fc.boolean()), { maxLength: 12 }), { maxLength: 12 });

describe('Huffman', () => {
  test('RFC 7541 C.4: www.example.com', () => {
    const out = Buffer.alloc(12);
    expect(huffmanEncode('www.example.com', out, 0)).toBe(12);
    expect(out.toString('hex')).toBe('f1e3c2e5f23a6ba0ab90f4ff');
  });

  test('every text survives, and its length is known before', () => {
    fc.assert(
      fc.property(value, (text) => {
        const length = huffmanLength(text);
        const out = Buffer.alloc(length);
        expect(huffmanEncode(text, out, 0)).toBe(length);
        const back = Buffer.alloc(decodedBound(length));
        const count = huffmanDecode(out, 0, length, back);
        expect(back.toString('latin1', 0, count)).toBe(text);
      }),
    );
  });

  test.each([
    ['padding of eight ones', 'ff'],
    ['padding of zeros', '00'],
    ['EOS', 'ffffffff'],
    ['EOS after a letter', '1fffffffff'],
  ])('refuses %s', (_, bytes) => {
    expect(huffmanDecode(hex(bytes), 0, bytes.length / 2, Buffer.alloc(64))).toBe(-1);
  });
});

describe('HPACK decoding', () => {
  test('RFC 7541 C.4: three requests with Huffman code', () => {
    const decoder = new HpackDecoder();
    const first: Pair[] = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'www.example.com'],
    ];
    expect(decode(decoder, hex('8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'))).toEqual(first);
    expect(decoder.tableSize).toBe(57);
    expect(decode(decoder, hex('8286 84be 5886 a8eb 1064 9cbf'))).toEqual([
      ...first,
      ['cache-control', 'no-cache'],
    ]);
    expect(decode(decoder, hex('8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf'))).toEqual([
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', '/index.html'],
      [':authority', 'www.example.com'],
      ['custom-key', 'custom-value'],
    ]);
    expect(decoder.tableSize).toBe(164);
  });

  test('RFC 7541 C.6: responses that evict from a table of 256 bytes', () => {
    const decoder = new HpackDecoder(256);
    const first = hex(`4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
      2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`);
    expect(decode(decoder, first)?.[3]).toEqual(['location', 'https://www.example.com']);
    expect(decoder.tableSize).toBe(222);
    expect(decode(decoder, hex('4883 640e ffc1 c0bf'))?.[0]).toEqual([':status', '307']);
    expect(decoder.tableSize).toBe(222);
  });

  test.each([
    ['index 0', '80'],
    ['an index beyond both tables', 'be'],
    ['an integer without an end', 'ffffffffffff'],
    ['an integer of many zeros', 'ff8080808080808000'],
    ['an integer beyond 2^28', 'ffffffffff7f'],
    ['a literal cut off', '4005'],
    ['a string longer than its block', '40056162'],
    ['a name index beyond both tables', '7e0161'],
    ['a larger table than allowed', '3fe21f'],
    ['a table size in the middle of a block', '8220'],
    ['wrong padding of a string', '408100 00'],
  ])('refuses %s', (_, bytes) => {
    expect(decode(new HpackDecoder(), hex(bytes))).toBeUndefined();
  });

  test('whatever comes, it answers', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), (all) => {
        const decoder = new HpackDecoder();
        for (const block of all) {
          decode(decoder, Buffer.from(block));
          expect(decoder.tableSize).toBeLessThanOrEqual(4_096);
        }
      }),
    );
  });

  test('reads what the published implementation writes', () => {
    fc.assert(
      fc.property(blocks, fc.constantFrom(64, 200, 4_096), (all, tableSize) => {
        const theirs = published.compressor.create({ table: { maxSize: tableSize } });
        const decoder = new HpackDecoder(tableSize);
        for (const block of all) {
          theirs.write(
            block.map(([name, value, huffman]) => ({
              name,
              value: Buffer.from(value, 'latin1').toString('latin1'),
              huffman,
            })),
          );
          const chunks: Buffer[] = [];
          for (let chunk = theirs.read(); chunk; chunk = theirs.read()) chunks.push(chunk);
          // It writes strings as UTF-8 when they are not coded; keep to what both read alike.
          if (block.some(([, value]) => /[\x80-\xff]/.test(value))) return;
          expect(decode(decoder, Buffer.concat(chunks))).toEqual(block.map(([name, value]) => [name, value]));
        }
      }),
    );
  });
});

describe('HPACK encoding', () => {
  test('the static table is that of RFC 7541 appendix A', () => {
    expect(STATIC).toHaveLength(62);
    const theirs = published.decompressor.create({ table: { maxSize: 4_096 } });
    for (let index = 1; index <= 61; index += 1) {
      theirs.write(Buffer.from([128 | index]));
      theirs.execute();
      const { name, value } = theirs.read();
      expect([STATIC[index]!.name, STATIC[index]!.value]).toEqual([name, value]);
    }
  });

  test('what repeats takes one byte, and what is sensitive never enters a table', () => {
    const encoder = new HpackEncoder();
    const fields = [share('x-often', 'seen'), STATIC[2]!];
    expect(encode(encoder, fields).length).toBeGreaterThan(8);
    expect(encode(encoder, fields)).toEqual(hex('be82'));
    const secret = new Field('authorization', 'me', undefined, true);
    expect(encode(encoder, [secret])).toEqual(hex('1f08 026d65'));
    expect(encoder.tableSize).toBe(share('x-often', 'seen').size);
  });

  test('the published implementation and ours read what ours writes, whatever the table size', () => {
    fc.assert(
      fc.property(blocks, fc.array(fc.constantFrom(0, 64, 200, 4_096, 65_536)), (all, sizes) => {
        const encoder = new HpackEncoder();
        const ours = new HpackDecoder();
        const theirs = published.decompressor.create({ table: { maxSize: 4_096 } });
        for (const [n, block] of all.entries()) {
          const size = sizes[n];
          if (size !== undefined) encoder.limit(size);
          const fields = block.map(([name, value, shared]) =>
            shared ? share(name, value) : new Field(name, value),
          );
          const bytes = encode(encoder, fields);
          const expected = fields.map(({ name, value }) => [name, value]);
          expect(decode(ours, bytes)).toEqual(expected);
          expect(encoder.tableSize).toBe(ours.tableSize);
          if (block.some(([, value]) => /[\x80-\xff]/.test(value))) return;
          theirs.write(bytes);
          theirs.execute();
          const read: Pair[] = [];
          for (let field = theirs.read(); field; field = theirs.read()) read.push([field.name, field.value]);
          expect(read).toEqual(expected);
        }
      }),
    );
  });

  test('shared fields are bounded, and identities that are given again do not mix', () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    const first = share('x-first', 'one');
    encode(encoder, [first]);
    for (let n = 0; n < 3_000; n += 1) {
      const field = share('x-many', String(n));
      expect(field.id).toBeLessThan(1_200);
      const bytes = encode(encoder, [field]);
      if (n === 0) decode(decoder, encode(new HpackEncoder(), [first]));
      expect(decode(decoder, bytes)).toEqual([['x-many', String(n)]]);
    }
  });
});

describe('limits of a header list', () => {
  const list = (limits: { headerList: number; headerCount: number }, fields: Field[]) => {
    const all = new FieldList(limits);
    all.begin(true);
    for (const field of fields) all.add(field);
    return all;
  };

  test('crumbs of a cookie count one by one', () => {
    const crumb = new Field('cookie', 'a=b');
    const all = list({ headerList: 65_536, headerCount: 200 }, Array(201).fill(crumb));
    expect(all.overflow).toBe(true);
    expect(all.count).toBe(200);
  });

  test('one-byte references to a large field (an HPACK bomb) stop at the decoded size', () => {
    const large = new Field('x', 'y'.repeat(3_000));
    const all = list({ headerList: 65_536, headerCount: 200 }, Array(60).fill(large));
    expect(all.overflow).toBe(true);
    expect(all.count).toBe(21);
  });
});

describe('what a message may hold (RFC 9113 8)', () => {
  const request: Pair[] = [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/'],
    [':authority', 'a'],
  ];
  const check = (fields: Pair[]) => {
    const list = new FieldList(unlimited);
    list.begin(true);
    for (const [name, value] of fields) list.add(new Field(name, value));
    return list;
  };

  test.each<[string, Pair[]]>([
    ['an upper-case name', [...request, ['X-A', 'b']]],
    ['a space in a name', [...request, ['x a', 'b']]],
    ['CR LF in a value', [...request, ['x', 'a\r\nb']]],
    ['NUL in a value', [...request, ['x', 'a\0b']]],
    ['a value that begins with a space', [...request, ['x', ' a']]],
    ['connection', [...request, ['connection', 'close']]],
    ['transfer-encoding', [...request, ['transfer-encoding', 'chunked']]],
    ['upgrade', [...request, ['upgrade', 'h2c']]],
    ['keep-alive', [...request, ['keep-alive', 'timeout=5']]],
    ['proxy-connection', [...request, ['proxy-connection', 'close']]],
    ['te other than trailers', [...request, ['te', 'gzip']]],
    ['an unknown pseudo-header', [...request, [':x', 'y']]],
    ['a pseudo-header after a header', [['x', 'y'], ...request]],
    ['a repeated :path', [...request, [':path', '/']]],
    ['an empty :path', [...request.slice(0, 2), [':path', '']]],
    ['a relative :path', [...request.slice(0, 2), [':path', 'a']]],
    ['a space in :path', [...request.slice(0, 2), [':path', '/ HTTP/1.1']]],
    ['* for GET', [...request.slice(0, 2), [':path', '*']]],
    ['no :method', request.slice(1)],
    ['no :scheme', [request[0]!, request[2]!]],
    ['no :path', request.slice(0, 2)],
    [':status', [...request, [':status', '200']]],
    ['userinfo in :authority', [...request.slice(0, 3), [':authority', 'u@a']]],
    ['two hosts in :authority', [...request.slice(0, 3), [':authority', 'a,b']]],
    ['host that differs', [...request, ['host', 'b']]],
    ['repeated content-length', [...request, ['content-length', '1'], ['content-length', '1']]],
    ['content-length with a sign', [...request, ['content-length', '+1']]],
    [
      'CONNECT with :path',
      [
        [':method', 'CONNECT'],
        [':path', '/'],
        [':authority', 'a:1'],
      ],
    ],
  ])('refuses a request with %s', (_, fields) => {
    expect(check(fields).requestProblem()).toBeDefined();
  });

  test('takes a request as browsers and gRPC clients send it; weir-* ends here', () => {
    const list = check([
      ...request,
      ['host', 'A'],
      ['te', 'trailers'],
      ['content-type', 'application/grpc+proto'],
      ['weir-client-id', 'me'],
      ['l5d-dst-override', 'x'],
      ['x', 'a\tb'],
    ]);
    expect(list.requestProblem()).toBeUndefined();
    expect(list.grpc).toBe(true);
    expect(pairs(list).map(([name]) => name)).not.toContain('weir-client-id');
    expect(pairs(list)).toHaveLength(8);
  });

  test('responses and trailers', () => {
    expect(check([[':status', '200']]).responseProblem()).toBeUndefined();
    expect(check([[':status', '101']]).responseProblem()).toBeDefined();
    expect(check([[':status', '99']]).responseProblem()).toBeDefined();
    expect(
      check([
        [':status', '200'],
        [':path', '/'],
      ]).responseProblem(),
    ).toBeDefined();
    expect(check([['x', 'y']]).responseProblem()).toBeDefined();
    expect(check([['grpc-status', '14']]).trailersProblem()).toBeUndefined();
    expect(check([['grpc-status', '14']]).grpcStatus).toBe(14);
    expect(check([['grpc-status', 'x']]).grpcStatus).toBe(2);
    expect(check([[':status', '200']]).trailersProblem()).toBeDefined();
  });
});

test('field names whose hashes anybody can work out take no longer than others (CVE-2026-21717)', () => {
  const block = (name: (n: number) => string) =>
    Buffer.concat(
      Array.from({ length: 190 }, (_, n) => {
        const text = Buffer.from(name(n));
        return Buffer.concat([Buffer.from([0x40, text.length]), text, Buffer.from([1, 97])]);
      }),
    );
  // Strings that are array indices had their number for a hash; these are alike in its lower bits.
  const numbers = block((n) => String((n + 1) * 65_536));
  const words = block((n) => `x${(Math.imul(n + 1, 2_654_435_761) >>> 0).toString(36).padStart(7, 'a')}`);
  const out = Buffer.alloc(65_536);
  const spent = (bytes: Buffer) => {
    const [decoder, encoder, list] = [
      new HpackDecoder(),
      new HpackEncoder(),
      new FieldList({ headerList: 65_536, headerCount: 200 }),
    ];
    const begun = process.cpuUsage();
    for (let n = 0; n < 200; n += 1) {
      list.begin(true);
      expect(decoder.decode(bytes, 0, bytes.length, list)).toBe(true);
      encoder.encode(list.items, list.count, out, 0);
    }
    const { user, system } = process.cpuUsage(begun);
    return user + system;
  };
  const least = { numbers: Number.POSITIVE_INFINITY, words: Number.POSITIVE_INFINITY };
  for (let round = 0; round < 8; round += 1) {
    least.numbers = Math.min(least.numbers, spent(numbers));
    least.words = Math.min(least.words, spent(words));
  }
  // Seen: 1.2. In one bucket each of them would be compared with a thousand others.
  expect(least.numbers / least.words).toBeLessThan(3);
});
