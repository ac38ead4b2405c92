/** Which transport a proxy runs on. */
import type { Logger } from '../../../lib/log.ts';
import { PortableTransport } from './portable/portable.ts';
import { type Machine, ReactorTransport, reactorMachine } from './reactor/reactor.ts';
import type { CredentialSource, Transport } from './types.ts';

/**
 * The reactor where it can run, else the portable transport; the log says why. `wanted` is the value of
 * WEIR_TRANSPORT: `portable` for that one everywhere, `reactor` or nothing for the choice above.
 */
export function createTransport({
  credentials,
  log,
  wanted = 'reactor',
  machine = reactorMachine,
}: {
  credentials?: CredentialSource | undefined;
  log: Logger;
  wanted?: string | undefined;
  machine?: () => Machine | { reason: string };
}): Transport {
  if (wanted === 'portable') {
    log.info({ transport: 'portable', reason: 'WEIR_TRANSPORT asks for it' }, 'transport');
    return new PortableTransport(credentials);
  }
  if (wanted !== 'reactor')
    log.warn({ wanted }, 'WEIR_TRANSPORT must be reactor or portable: taken as not set');
  const found = machine();
  if ('reason' in found) {
    log.warn({ transport: 'portable', reason: found.reason }, 'transport');
    return new PortableTransport(credentials);
  }
  log.info({ transport: 'reactor' }, 'transport');
  return new ReactorTransport(found, credentials);
}
