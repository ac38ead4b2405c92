import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { CONTROLLER_SERVICE_ACCOUNT, SYSTEM_NAMESPACE, spiffeId } from '../../api/names.ts';
import { type Clock, steadyClock, systemClock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { Acknowledgements } from './acknowledgements.ts';
import type { Catalog } from './catalog.ts';
import type { ClusterIndex } from './cluster-index.ts';
import { ResponseSink, readJson, sendError, sendJson } from './http.ts';
import { type Peer, peerOf } from './peer.ts';
import { SessionRegistry } from './registry.ts';
import { parseAcks, parseSubscriptions } from './requests.ts';
import type { Session } from './session.ts';

export interface ServingIdentity {
  cert: string;
  key: string;
}

export interface DiscoveryServerOptions {
  listen: { host: string; port: number };
  tls: () => ServingIdentity;
  /** PEM bundle: what client certificates are checked against, and what proxies are told to trust. */
  trust: () => string;
  trustDomain: string;
  catalog: Catalog;
  index: ClusterIndex;
  /** POST /v1/certificates. */
  certificates: (body: unknown, signal: AbortSignal) => Promise<unknown>;
  log: Logger;
  leaseSeconds?: number;
  systemNamespace?: string;
  /** Unsent bytes above which a stream gets no more deltas. */
  streamLimit?: number;
  /** Of leases and of certificates; without: the steady one and the system's. */
  clock?: Clock;
}

/** The streams of ADR 0002, and the certificates that open them. */
export class DiscoveryServer {
  readonly registry: SessionRegistry;
  readonly acknowledgements: Acknowledgements;
  readonly #options: DiscoveryServerOptions;
  readonly #clock: Clock;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();
  readonly #stop = new AbortController();
  #timers: NodeJS.Timeout[] = [];

  constructor(options: DiscoveryServerOptions) {
    const clock = options.clock ?? steadyClock;
    const leaseSeconds = options.leaseSeconds ?? 15;
    const { catalog, index, trust } = options;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.registry = new SessionRegistry({ catalog, leaseSeconds, clock, trust });
    this.acknowledgements = new Acknowledgements({
      catalog,
      index,
      leaseSeconds,
      clock,
      registry: this.registry,
    });
    this.#server = createServer(
      {
        ...options.tls(),
        ca: trust(),
        minVersion: 'TLSv1.3',
        requestCert: true,
        // A pod has no certificate before its first request for one: each route says what it needs.
        rejectUnauthorized: false,
        keepAliveTimeout: 120_000,
        requestTimeout: 30_000,
      },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('tlsClientError', (error) =>
      options.log.debug({ error: error.message }, 'TLS handshake failed'),
    );
  }

  /** Resolves with the port once it listens. */
  async start(): Promise<number> {
    const { host, port } = this.#options.listen;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog: 1024 }, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    const lease = (this.#options.leaseSeconds ?? 15) * 1000;
    this.#timers = [
      setInterval(() => {
        this.registry.ping();
        this.acknowledgements.ping();
      }, lease / 3),
      setInterval(
        () => {
          this.registry.expire();
          this.acknowledgements.tick();
        },
        Math.min(500, lease / 10),
      ),
    ];
    return (this.#server.address() as AddressInfo).port;
  }

  /** New certificate or bundle: open connections go on, new handshakes use it. */
  reload(): void {
    this.#server.setSecureContext({
      ...this.#options.tls(),
      ca: this.#options.trust(),
      minVersion: 'TLSv1.3',
    });
    this.registry.trustChanged();
  }

  /** Ends the streams (proxies reconnect elsewhere) and waits for what is being answered. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#stop.abort();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.registry.closeAll('the control plane stops');
    this.acknowledgements.closeAll('the control plane stops');
    this.#server.closeIdleConnections();
    const force = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, 1000);
    await closed;
    clearTimeout(force);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = URL.parse(request.url ?? '/', 'https://weir-mesh');
    try {
      // Anybody who reaches the port may write what is no URL (`//`), with no certificate.
      if (!url) throw new AppError('BadRequest', 'The request names no path');
      switch (`${request.method} ${url.pathname}`) {
        case 'GET /v1/discover':
          return this.#discover(request, response, url);
        case 'GET /v1/acknowledgements':
          return this.#watchAcknowledgements(request, response);
        case 'POST /v1/subscriptions': {
          const peer = this.#peer(request);
          this.registry.subscriptions({ identity: peer.spiffe }, parseSubscriptions(await readJson(request)));
          response.writeHead(204).end();
          return;
        }
        case 'POST /v1/acks': {
          const peer = this.#peer(request);
          this.registry.acks({ identity: peer.spiffe }, parseAcks(await readJson(request)));
          response.writeHead(204).end();
          return;
        }
        case 'POST /v1/certificates': {
          sendJson(
            response,
            200,
            await this.#options.certificates(await readJson(request), this.#stop.signal),
          );
          return;
        }
        default:
          throw new AppError(
            'NotFound',
            `There is no ${request.method} ${url.pathname}: see docs/adr/0002-discovery-stream.md`,
          );
      }
    } catch (error) {
      this.#options.log.debug({ error, path: request.url }, 'request failed');
      sendError(response, error);
    }
  }

  #discover(request: IncomingMessage, response: ServerResponse, url: URL): void {
    const peer = this.#peer(request);
    const pod = this.#ownPod(peer, url.searchParams.get('pod'));
    const log = this.#options.log.child({ identity: peer.spiffe, ...(pod ? { pod } : {}) });
    // Assigned before any drain: `open` is synchronous and a response drains in a later turn.
    let session: Session | undefined;
    const sink = new ResponseSink(response, {
      limit: this.#options.streamLimit ?? 256 * 1024,
      onDrain: () => session?.catchUp(),
      onEnd: (reason) => log.debug({ reason }, 'stream ended'),
    });
    session = this.registry.open(
      sink,
      { identity: peer.spiffe, ...(pod ? { pod } : {}) },
      url.searchParams.get('session') ?? undefined,
    );
    const opened = session;
    response.once('close', () => this.registry.closed(opened, sink));
    log.debug({ session: session.id }, 'stream opened');
  }

  /**
   * `namespace/name` of the pod that it says it is. The namespace is the certificate's, and a pod that is known has a
   * ServiceAccount: who speaks for another's pod would end that one's session, and count in its place.
   */
  #ownPod(peer: Peer, name: string | null): string | undefined {
    if (!name) return undefined;
    const pod = `${peer.namespace}/${name}`;
    const known = this.#options.index.pod(pod);
    return !known || known.identity === peer.spiffe ? pod : undefined;
  }

  #watchAcknowledgements(request: IncomingMessage, response: ServerResponse): void {
    const peer = this.#peer(request);
    const { trustDomain, systemNamespace } = this.#options;
    const controller = spiffeId(systemNamespace ?? SYSTEM_NAMESPACE, CONTROLLER_SERVICE_ACCOUNT, trustDomain);
    if (peer.spiffe !== controller)
      throw new AppError('Forbidden', `Only ${controller} may watch acknowledgements, not ${peer.spiffe}`);
    const sink = new ResponseSink(response, { limit: this.#options.streamLimit ?? 256 * 1024 });
    response.once('close', () => this.acknowledgements.unwatch(sink));
    this.acknowledgements.watch(sink);
  }

  #peer(request: IncomingMessage): Peer {
    const peer = peerOf(request.socket as TLSSocket, this.#options.trustDomain, this.#clock.now());
    if (!peer)
      throw new AppError(
        'Unauthorized',
        `A client certificate of trust domain ${this.#options.trustDomain} is needed: get one from POST /v1/certificates`,
      );
    return peer;
  }
}
