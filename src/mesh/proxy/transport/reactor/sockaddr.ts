/** struct sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)). Pure. */
import { isIPv4, SocketAddress } from 'node:net';
import { endianness } from 'node:os';
import type { Address } from '../types.ts';
import { AF_INET, AF_INET6 } from './libc.ts';

/** Large enough for both. */
export const SOCKADDR_SIZE = 28;

const little = endianness() === 'LE';

/**
 * Whether an address, which `ip` is known to be, is one of IPv6. `isIPv6` of node:net would say the same, with a regular expression
 * of which V8 makes 160 KB of code.
 */
export const isVersion6 = (ip: string): boolean => ip.includes(':');

/** Whether it is an address and no name. */
export const isAddress = (host: string): boolean => isVersion6(host) || isIPv4(host);

/** Fills `into`; returns the length. `ip`: dotted or colons, with a numeric scope after `%` if it has one. */
export function encodeAddress(into: Buffer, ip: string, port: number): number {
  into.fill(0, 0, SOCKADDR_SIZE);
  const v6 = isVersion6(ip);
  const family = v6 ? AF_INET6 : AF_INET;
  if (little) into.writeUInt16LE(family, 0);
  else into.writeUInt16BE(family, 0);
  into.writeUInt16BE(port, 2);
  if (!v6) {
    for (const [n, part] of ip.split('.').entries()) into[4 + n] = Number(part);
    return 16;
  }
  const [address = '', scope] = ip.split('%');
  for (const [n, group] of groups(address).entries()) into.writeUInt16BE(group, 8 + 2 * n);
  const id = Number(scope ?? 0) || 0;
  if (little) into.writeUInt32LE(id, 24);
  else into.writeUInt32BE(id, 24);
  return SOCKADDR_SIZE;
}

/** The eight groups of an IPv6 address (RFC 4291, 2.2). */
function groups(address: string): number[] {
  // The last two may be written as an IPv4 address.
  const text = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, ...parts: string[]) => {
    const [a, b, c, d] = parts.slice(0, 4).map(Number) as [number, number, number, number];
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
  const [front = '', back] = text.split('::');
  const parse = (part: string) =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const [head, tail] = [parse(front), parse(back ?? '')];
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

/** Either kind; IPv6 as everybody writes it (RFC 5952). */
export function decodeAddress(from: Buffer): Address {
  const port = from.readUInt16BE(2);
  const family = little ? from.readUInt16LE(0) : from.readUInt16BE(0);
  if (family === AF_INET) return { host: [...from.subarray(4, 8)].join('.'), port };
  const groups = Array.from({ length: 8 }, (_, n) => from.readUInt16BE(8 + 2 * n).toString(16));
  return { host: new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address, port };
}
