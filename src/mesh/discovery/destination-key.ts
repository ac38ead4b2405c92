import { isIP, SocketAddress } from 'node:net';

/** A destination as a proxy names it: `name.namespace:port`. */
export interface DestinationKey {
  name: string;
  namespace: string;
  port: number;
}

const LABEL = '[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?';
const KEY = new RegExp(`^(${LABEL})\\.(${LABEL}):([0-9]{1,5})$`);

/** Undefined when it is not a key: it comes from the network. */
export function parseDestinationKey(text: string): DestinationKey | undefined {
  const match = KEY.exec(text);
  if (!match) return undefined;
  const port = Number(match[3]);
  return port >= 1 && port <= 65_535 ? { name: match[1]!, namespace: match[2]!, port } : undefined;
}

/** What a connection was made to: `ip:port`, `[ip]:port` for IPv6. */
export interface AddressKey {
  /** In the one way that the kernel writes it. */
  ip: string;
  port: number;
}

/** Undefined when it is no such key. */
export function parseAddressKey(text: string): AddressKey | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)):([0-9]{1,5})$/i.exec(text);
  const ip = match && canonicalIp(match[1] ?? match[2]!);
  const port = Number(match?.[3]);
  return ip && ip.includes(':') === text.startsWith('[') && port >= 1 && port <= 65_535
    ? { ip, port }
    : undefined;
}

/** An address has many spellings in IPv6 and one here (RFC 5952); undefined when it is none. */
export function canonicalIp(text: string): string | undefined {
  const version = isIP(text);
  if (version === 0) return undefined;
  return version === 4 ? text : new SocketAddress({ address: text, family: 'ipv6' }).address;
}
