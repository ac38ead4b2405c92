/** Which transport a proxy runs on. */
import type { Logger } from '../../../lib/log.ts';
import { PortableTransport } from './portable.ts';
import { ReactorTransport, reactorMachine } from './reactor/reactor.ts';
import type { CredentialSource, Transport } from './types.ts';

/**
 * `wanted` is the value of WEIR_TRANSPORT: `reactor` or `portable`. Where the reactor cannot run, the log says why and
 * the portable transport takes its place.
 */
export function createTransport(options: {
  credentials?: CredentialSource | undefined;
  log: Logger;
  wanted?: string | undefined;
}): Transport {
  const { credentials, log, wanted = 'portable' } = options;
  if (wanted === 'reactor') {
    const machine = reactorMachine();
    if (!('reason' in machine)) return new ReactorTransport(machine, credentials);
    log.warn({ reason: machine.reason }, 'the reactor cannot run here: using the portable transport');
  } else if (wanted !== 'portable') {
    log.warn({ wanted }, 'WEIR_TRANSPORT is neither reactor nor portable: using the portable transport');
  }
  return new PortableTransport(credentials);
}
