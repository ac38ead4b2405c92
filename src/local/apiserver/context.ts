import type { Logger } from '../../lib/log.ts';
import type { Webhooks } from './admission/webhooks.ts';
import type { Authenticator } from './auth/authenticator.ts';
import type { Registry } from './registry.ts';
import type { ServiceAddresses } from './service-addresses.ts';
import type { Store } from './storage/store.ts';

/** What every handler shares. */
export interface ServerContext {
  dir: string;
  store: Store;
  registry: Registry;
  webhooks: Webhooks;
  addresses: ServiceAddresses;
  authenticator: Authenticator;
  log: Logger;
  now: () => number;
}

/** RFC 3339 to the second, as metav1.Time. */
export const timestamp = (milliseconds: number): string =>
  `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
