/** The proxy in a pod whose traffic iptables sends here: one listener each way, whatever the traffic was meant for. */
import { networkInterfaces } from 'node:os';
import { AppError } from '../../../lib/errors.ts';
import type { Destination } from '../../discovery/model.ts';
import type { InterceptConfig } from '../config.ts';
import { ALPN } from '../protocol/detect.ts';
import type { DataPlane } from '../proxy.ts';
import { prepareOriginalDestination } from '../transport/original-destination.ts';
import { OwnAddresses } from './addresses.ts';
import { InboundRoutes } from './inbound.ts';
import { type Directory, OutboundRoutes } from './outbound.ts';

const SWEEP = 10_000;

export class Interception {
  readonly #plane: DataPlane;
  readonly #config: InterceptConfig;
  readonly #inbound: InboundRoutes;
  readonly #outbound: OutboundRoutes;
  #sweeper: NodeJS.Timeout | undefined;

  /** `adminPort`: the proxy's own, too. Throws what to do where interception cannot work. */
  constructor(options: {
    plane: DataPlane;
    config: InterceptConfig;
    adminPort: number;
    directory: Directory;
  }) {
    const { plane, config, adminPort, directory } = options;
    const { intercepts } = plane.runtime.transport;
    const reason = intercepts ? prepareOriginalDestination() : 'this transport cannot';
    if (reason !== undefined)
      throw new AppError(
        'Unavailable',
        `interception needs to ask the kernel where connections were going: ${reason}; use Weir's image on Linux, or explicit listeners (docs/interception.md)`,
      );
    const uid = process.getuid?.();
    if (uid !== config.uid)
      throw new AppError(
        'Invalid',
        `WEIR_INTERCEPT: the rules let user ${config.uid} out, this proxy is user ${uid} and would be its own client for ever; run it as ${config.uid}, or weir proxy-init with --proxy-uid ${uid}`,
      );
    this.#plane = plane;
    this.#config = config;
    const own = new OwnAddresses(() => plane.runtime.now());
    const ownPorts = [config.outbound, config.inbound, adminPort];
    this.#inbound = new InboundRoutes({ plane, config, ownPorts, own });
    this.#outbound = new OutboundRoutes({ plane, port: config.outbound, own, directory });
  }

  /** Opens the listeners. */
  async start(): Promise<void> {
    const { outbound, inbound } = this.#config;
    const { handshakeTimeout } = this.#plane.runtime.limits;
    const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
    const ipv6 = addresses.some(({ family }) => family === 'IPv6');
    const open = async (
      host: string,
      port: number,
      tls: 'off' | 'offered',
      accept: Parameters<DataPlane['listen']>[1],
    ) => {
      try {
        await this.#plane.listen({ host, port, tls, handshakeTimeout, alpn: ALPN }, accept);
      } catch (thrown) {
        throw new AppError(
          'Unavailable',
          `cannot listen on ${host} port ${port}: ${(thrown as Error).message}`,
          { cause: thrown },
        );
      }
    };
    // REDIRECT sends what leaves to loopback, so nobody outside the pod can use this port.
    for (const host of ['127.0.0.1', ...(ipv6 ? ['::1'] : [])])
      await open(host, outbound, 'off', (connection) => this.#outbound.accept(connection));
    await open(ipv6 ? '::' : '0.0.0.0', inbound, 'offered', (connection) => this.#inbound.accept(connection));
    this.#sweeper = setInterval(() => {
      this.#outbound.sweep();
      this.#inbound.sweep();
    }, SWEEP).unref();
  }

  answer(key: string, destination: Destination | undefined, alias?: string): void {
    this.#outbound.answer(key, destination, alias);
  }

  stop(): void {
    clearInterval(this.#sweeper);
    this.#outbound.stop();
  }
}
