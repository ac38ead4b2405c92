import { AppError } from '../../lib/errors.ts';

// Third octets 1..239 are pods; 240 and up are Services, 0 the node and the API server.
const LAST = 239;

/** Hands out pod addresses of one 127.x.0.0/16, going round, so that an address is not soon used again. */
export class AddressPool {
  readonly #prefix: string;
  readonly #used = new Set<string>();
  #next = 0;

  /** @param prefix the first two octets, such as `127.42` */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Takes an address that a pod has already, from before a restart. */
  reserve(address: string): void {
    this.#used.add(address);
  }

  allocate(): string {
    for (let tried = 0; tried < LAST * 254; tried += 1) {
      const index = this.#next;
      this.#next = (this.#next + 1) % (LAST * 254);
      const address = `${this.#prefix}.${1 + Math.floor(index / 254)}.${1 + (index % 254)}`;
      if (this.#used.has(address)) continue;
      this.#used.add(address);
      return address;
    }
    throw new AppError('Unavailable', 'no pod address is left in this cluster: delete some pods');
  }

  release(address: string): void {
    this.#used.delete(address);
  }
}
