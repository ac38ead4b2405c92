/** Where a connection was going before a REDIRECT rule of iptables turned it here: asked of the kernel, once each. */
import { isIPv4, SocketAddress } from 'node:net';
import { loadKoffi } from '../../../lib/koffi.ts';
import type { Address } from './types.ts';

// linux/in.h, linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h
const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_ORIGINAL_DST = 80;
const AF_INET = 2;
const AF_INET6 = 10;
/** sizeof(struct sockaddr_in6), the longer one. */
const LENGTH = 28;

type GetSockOpt = (fd: number, level: number, name: number, value: Buffer, length: Uint32Array) => number;

let getsockopt: GetSockOpt | undefined;

/** Makes the call ready; returns why it cannot be made here, or undefined. */
export function prepareOriginalDestination(): string | undefined {
  if (getsockopt) return undefined;
  const koffi = loadKoffi();
  if ('reason' in koffi) return koffi.reason;
  try {
    getsockopt = koffi
      .load(null)
      .func('int getsockopt(int fd, int level, int name, void *value, void *length)') as GetSockOpt;
    return undefined;
  } catch (thrown) {
    return `getsockopt cannot be called: ${(thrown as Error).message}`;
  }
}

/** `remote`: the peer's address, which tells the family. Undefined: the kernel has changed nothing about it. */
export function originalDestination(fd: number, remote: string): Address | undefined {
  if (!getsockopt) return undefined;
  // An IPv4 peer of a socket that takes both has a mapped address, and an IPv4 entry in the kernel's table.
  const level = isIPv4(remote.replace(/^::ffff:/, '')) ? SOL_IP : SOL_IPV6;
  const value = Buffer.alloc(LENGTH);
  if (getsockopt(fd, level, SO_ORIGINAL_DST, value, new Uint32Array([LENGTH])) !== 0) return undefined;
  return parseSocketAddress(value);
}

/** struct sockaddr_in and sockaddr_in6: the family in the machine's byte order (little), port and address in the network's. */
export function parseSocketAddress(bytes: Buffer): Address | undefined {
  const port = bytes.readUInt16BE(2);
  switch (bytes.readUInt16LE(0)) {
    case AF_INET:
      return { host: [...bytes.subarray(4, 8)].join('.'), port };
    case AF_INET6: {
      const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(8 + 2 * index).toString(16));
      // Written as everybody writes it (RFC 5952): discovery compares text.
      return { host: new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address, port };
    }
    default:
      return undefined;
  }
}

/** Whether a peer at `remote` that has reached us at `own` is of this machine, or pod. Pure. */
export function sameMachine(remote: string | undefined, own: string | undefined): boolean {
  if (remote === undefined) return false;
  return remote === '::1' || remote === '::ffff:127.0.0.1' || remote === '127.0.0.1' || remote === own;
}
