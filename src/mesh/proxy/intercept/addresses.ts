import { networkInterfaces } from 'node:os';
import type { Destination } from '../../discovery/model.ts';
import { splitAddress } from '../config.ts';
import type { Address } from '../transport/types.ts';

/** `ip:port`, `[ip]:port` for IPv6: how discovery names what a connection was made to. */
export const addressKey = ({ host, port }: Address): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/** Asking the kernel for every connection would cost more than it is worth. */
const FRESH = 10_000;

/** The addresses of this pod. */
export class OwnAddresses {
  readonly #read: () => Iterable<string>;
  readonly #now: () => number;
  #known = new Set<string>();
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(now: () => number, read: () => Iterable<string> = interfaceAddresses) {
    this.#now = now;
    this.#read = read;
  }

  has(host: string): boolean {
    const stale = this.#now() - this.#readAt > FRESH;
    // An address may have come up since.
    if (stale || (!this.#known.has(host) && this.#now() - this.#readAt > FRESH / 10)) {
      this.#known = new Set(this.#read());
      this.#readAt = this.#now();
    }
    return this.#known.has(host);
  }
}

function* interfaceAddresses(): Iterable<string> {
  for (const addresses of Object.values(networkInterfaces()))
    for (const { address } of addresses ?? []) yield address;
}

/**
 * A pod that calls a Service of which it is an endpoint: its own connections to itself do not pass its inbound port, so
 * they are as plain as the application expects them.
 */
export function plainToSelf(destination: Destination, own: OwnAddresses): Destination {
  const isOwn = (address: string) => own.has(splitAddress(address, '').host);
  if (!destination.backends.some(({ endpoints }) => endpoints.some(({ address }) => isOwn(address))))
    return destination;
  return {
    ...destination,
    backends: destination.backends.map((backend) => ({
      ...backend,
      endpoints: backend.endpoints.map((endpoint) => {
        if (!isOwn(endpoint.address)) return endpoint;
        const { identity: _identity, ...plain } = endpoint;
        return plain;
      }),
    })),
  };
}
