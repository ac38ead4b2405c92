import net from 'node:net';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeAddress, encodeAddress, SOCKADDR_SIZE } from './sockaddr.ts';

describe('socket addresses', () => {
  test('IPv4', () => {
    const bytes = Buffer.alloc(SOCKADDR_SIZE, 0xff);
    expect(encodeAddress(bytes, '127.9.8.7', 8080)).toBe(16);
    expect([...bytes.subarray(2, 16)]).toEqual([0x1f, 0x90, 127, 9, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(decodeAddress(bytes)).toEqual({ host: '127.9.8.7', port: 8080 });
  });

  test.each([
    ['::', '00000000000000000000000000000000', 0],
    ['::1', '00000000000000000000000000000001', 0],
    ['2001:db8::ff00:42', '20010db80000000000000000ff000042', 0],
    ['::ffff:10.1.2.3', '00000000000000000000ffff0a010203', 0],
    ['fe80::1%7', 'fe800000000000000000000000000001', 7],
  ])('IPv6 %s', (ip, hex, scope) => {
    const bytes = Buffer.alloc(SOCKADDR_SIZE, 0xff);
    expect(encodeAddress(bytes, ip, 443)).toBe(28);
    expect(bytes.toString('hex', 8, 24)).toBe(hex);
    expect(bytes.readUInt32LE(24)).toBe(scope);
  });

  test('what is written is read again; whatever is there is read as an address, and nothing beyond it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(65_535), (ip, port) => {
        const bytes = Buffer.alloc(SOCKADDR_SIZE + 8, 0xee);
        const length = encodeAddress(bytes, ip, port);
        expect([...bytes.subarray(SOCKADDR_SIZE)]).toEqual(Array(8).fill(0xee));
        const host = net.isIPv4(ip) ? ip : new net.SocketAddress({ address: ip, family: 'ipv6' }).address;
        expect(decodeAddress(bytes.subarray(0, Math.max(length, 8)))).toEqual({ host, port });
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: SOCKADDR_SIZE, maxLength: SOCKADDR_SIZE }), (bytes) => {
        const { host, port } = decodeAddress(Buffer.from(bytes));
        expect(net.isIP(host)).toBeGreaterThan(0);
        expect(port).toBe(bytes[2]! * 256 + bytes[3]!);
      }),
    );
  });

  test('every IPv6 address comes out as its sixteen bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (sixteen) => {
        const groups = [];
        for (let n = 0; n < 16; n += 2) groups.push(((sixteen[n]! << 8) | sixteen[n + 1]!).toString(16));
        // The longest run of zero groups, or one of them, is left out by whoever writes addresses.
        const text = groups.join(':');
        const short = text.replace(/(^|:)0(:0)+(:|$)/, '::');
        const bytes = Buffer.alloc(SOCKADDR_SIZE);
        for (const each of [text, short]) {
          encodeAddress(bytes, each, 1);
          expect([...bytes.subarray(8, 24)]).toEqual([...sixteen]);
        }
      }),
    );
  });
});
