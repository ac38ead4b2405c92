import type { Clock } from '../../lib/clock.ts';
import type { DataPlane } from './proxy.ts';

export interface DrainOptions {
  /** Milliseconds from the signal to the hard stop. */
  grace: number;
  /** Accepts at least this long, however quiet it is. */
  minimum: number;
  /** Without a new connection or request for this long, the endpoint is taken to be gone. */
  quiet: number;
  clock: Clock;
}

/** Idle connections of other proxies are closed by them after 3 s; closing first could meet a request on its way. */
const PEER_IDLE = 3_500;

/**
 * Lets go without losing a request: answers say `Connection: close` while new connections are still accepted; once it
 * is quiet, or five seconds before the end of the grace period, listeners and idle connections close; the hard stop
 * ends what is left.
 */
export async function drain(proxy: DataPlane, options: DrainOptions): Promise<void> {
  const { clock } = options;
  const { runtime } = proxy;
  runtime.draining = true;
  const began = clock.now();
  const hardStop = began + options.grace;
  const stopAccepting = began + Math.max(options.minimum, options.grace - 5_000);
  for (;;) {
    const now = clock.now();
    if (now >= stopAccepting) break;
    const silence = runtime.now() - runtime.lastActivity;
    const needed = runtime.connections === 0 ? options.quiet : Math.max(options.quiet, PEER_IDLE);
    if (now - began >= options.minimum && silence >= needed && runtime.inFlight === 0) break;
    await clock.sleep(50);
  }
  proxy.stopAccepting();
  while (runtime.connections > 0 && clock.now() < hardStop) {
    proxy.closeIdle();
    await clock.sleep(50);
  }
  proxy.destroy();
}
