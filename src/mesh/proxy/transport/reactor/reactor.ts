/** The transport of Linux: an event loop of our own on system calls, TLS by Node's own OpenSSL. */
import { isMainThread } from 'node:worker_threads';
import { loadKoffi } from '../../../../lib/koffi.ts';
import type { MakeKey } from '../../../identity/client/csr.ts';
import { serverName } from '../spiffe.ts';
import type {
  Connection,
  ConnectionHandler,
  ConnectOptions,
  CredentialSource,
  Listener,
  ListenOptions,
  Transport,
} from '../types.ts';
import { ReactorConnection } from './connection.ts';
import { Dial } from './dial.ts';
import { peerIds, shakeHands } from './handshake.ts';
import { opensslKey } from './keys.ts';
import { ReactorListener } from './listener.ts';
import { Loop } from './loop.ts';
import type { Counts } from './memory.ts';
import { OpenSsl } from './openssl.ts';
import { Socket } from './socket.ts';
import { TlsContext } from './tls-context.ts';

export interface Machine {
  loop: Loop;
  openssl: OpenSsl;
}

let machine: Machine | { reason: string } | undefined;

/** One loop for the process, or why there can be none. */
export function reactorMachine(): Machine | { reason: string } {
  machine ??= build();
  return machine;
}

function build(): Machine | { reason: string } {
  const koffi = loadKoffi();
  if ('reason' in koffi) return koffi;
  if (!isMainThread) return { reason: 'the reactor runs on the main thread only' };
  if (process.arch !== 'x64' && process.arch !== 'arm64')
    return { reason: `the reactor does not know how structures are laid out on ${process.arch}` };
  try {
    return { loop: new Loop(koffi), openssl: new OpenSsl(koffi) };
  } catch (thrown) {
    return { reason: `this Node does not offer what the reactor calls: ${(thrown as Error).message}` };
  }
}

export class ReactorTransport implements Transport {
  readonly intercepts = true;
  readonly #loop: Loop;
  readonly #openssl: OpenSsl;
  readonly #credentials: CredentialSource | undefined;
  #clientContext: TlsContext | undefined;
  readonly #off: (() => void) | undefined;

  constructor({ loop, openssl }: Machine, credentials?: CredentialSource) {
    this.#loop = loop;
    this.#openssl = openssl;
    this.#credentials = credentials;
    this.#off = credentials?.onRotate(() => this.#forget());
  }

  /** Of all the transports of this process. */
  get counts(): Readonly<Counts> {
    return this.#loop.counts;
  }

  /** Lets go of keys; for whoever outlives the transport. */
  close(): void {
    this.#off?.();
    this.#forget();
  }

  #forget(): void {
    this.#clientContext?.release();
    this.#clientContext = undefined;
  }

  #context(alpn?: string[]): TlsContext | undefined {
    const current = this.#credentials?.current();
    return current && new TlsContext(this.#openssl, this.#loop.counts, current, alpn);
  }

  listen(
    options: ListenOptions,
    accept: (connection: Connection) => ConnectionHandler | undefined,
  ): Promise<Listener> {
    const [loop, openssl] = [this.#loop, this.#openssl];
    let context = options.tls === 'off' ? undefined : this.#context(options.alpn);
    const rotate = () => {
      const next = this.#context(options.alpn);
      context?.release();
      context = next;
    };
    const off = options.tls === 'off' ? undefined : this.#credentials?.onRotate(rotate);
    const closed = () => {
      off?.();
      context?.release();
      context = undefined;
    };
    const listener = new ReactorListener({ loop, openssl, context: () => context, closed }, options, accept);
    return listener.start().catch((thrown: unknown) => {
      closed();
      throw thrown;
    });
  }

  /** Makes keys for requests of certificates. */
  get makeKey(): MakeKey {
    return opensslKey(this.#loop, this.#openssl);
  }

  afterTurn(callback: () => void): void {
    this.#loop.afterTurn(callback);
  }

  moment(): number {
    return this.#loop.moment();
  }

  connect(options: ConnectOptions, handler: ConnectionHandler): Connection {
    const { host, port, identity, server } = options;
    const secure = identity !== undefined || server !== undefined;
    const connection = new ReactorConnection(this.#loop, handler, secure);
    let context: TlsContext | undefined;
    if (secure) {
      connection.peerIdentity = identity;
      try {
        context = server ? this.#contextFor(server) : this.#clients()?.retain();
        if (!context) throw new Error('no certificate yet: is the mesh control plane reachable?');
      } catch (thrown) {
        connection.destroy(thrown as Error);
        return connection;
      }
    }
    const dial = new Dial(this.#loop, { host, port }, (outcome) => {
      if (!(outcome instanceof Socket)) connection.destroy(outcome);
      else if (context) this.#secure(connection, outcome, context, options);
      else connection.open(outcome, true);
      context?.release();
    });
    connection.begin({
      cancel: () => {
        if (dial.cancel()) context?.release();
      },
    });
    return connection;
  }

  /** Of connections to others of the mesh; kept until the next rotation. */
  #clients(): TlsContext | undefined {
    this.#clientContext ??= this.#context();
    return this.#clientContext;
  }

  /** One more holder of the context with these keys and this trust, which are those of the mesh as a rule. */
  #contextFor(server: NonNullable<ConnectOptions['server']>): TlsContext {
    const current = this.#credentials?.current();
    const shared = (['key', 'cert', 'trust'] as const).every((each) => server[each] === current?.[each]);
    return shared ? this.#clients()!.retain() : new TlsContext(this.#openssl, this.#loop.counts, server);
  }

  #secure(
    connection: ReactorConnection,
    socket: Socket,
    context: TlsContext,
    { identity, server, alpn }: ConnectOptions,
  ): void {
    const [loop, openssl] = [this.#loop, this.#openssl];
    connection.begin({ cancel: () => socket.close() });
    const client = {
      servername: server?.name ?? serverName(identity!),
      named: server !== undefined,
      ...(alpn ? { alpn } : {}),
    };
    const watch = shakeHands({ socket, loop, openssl, context }, client, (error) => {
      if (error) return connection.destroy(error);
      const proved = identity === undefined ? [] : peerIds(socket);
      if (identity !== undefined && !proved.includes(identity)) {
        const who = proved[0] ?? 'no identity';
        return connection.destroy(new Error(`the peer proved ${who}, expected ${identity}`));
      }
      connection.alpn = socket.tls?.alpn;
      connection.open(socket, true);
    });
    watch.ready(0);
  }
}
