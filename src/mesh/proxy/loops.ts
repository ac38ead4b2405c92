import { OwnAddresses } from './intercept/addresses.ts';
import type { Address } from './transport/types.ts';

const ANY = new Set(['0.0.0.0', '::']);
const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1']);

/**
 * Ways that would lead a request back into this proxy for ever. Every circle within one proxy has such a step: out to a
 * port where it takes what goes out, or in to any port of its own. (Out to a port where it takes what comes in is how a
 * pod calls itself.)
 */
export class Loops {
  readonly #own: OwnAddresses;
  readonly #listeners: (Address & { inbound: boolean })[] = [];

  constructor(now: () => number) {
    this.#own = new OwnAddresses(now);
  }

  /** This proxy listens there. `inbound`: for the application. */
  add(listener: Address & { inbound: boolean }): void {
    this.#listeners.push(listener);
  }

  /** Asked for each new connection, not for each request: there is none to be had where this is true. */
  closes(direction: 'inbound' | 'outbound', { host, port }: Address): boolean {
    for (const listener of this.#listeners) {
      if (listener.port !== port || (listener.inbound && direction === 'outbound')) continue;
      if (listener.host === host) return true;
      const local = LOOPBACK.has(host);
      if (local && LOOPBACK.has(listener.host)) return true;
      if (ANY.has(listener.host) && (local || this.#own.has(host))) return true;
    }
    return false;
  }
}
